"""Formulas are turned into HTML and MathML while the book is built.

KaTeX runs in one node process, so a page loads a style sheet and fonts but no script, and LaTeX
that KaTeX does not understand is a warning with file and line. Where node is missing, Sphinx's
ordinary MathJax renderer takes over, with the same macros.
"""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

from docutils import nodes
from sphinx.util import logging
from sphinx.util.math import get_node_equation_number

from .node import find_node

logger = logging.getLogger(__name__)

KATEX = Path(__file__).parents[2] / "_static" / "vendor" / "katex" / "katex.min.js"
PIPE = Path(__file__).with_name("katex_pipe.js")

# The macros of the book: name -> (number of arguments, meaning).
MACROS: dict[str, tuple[int, str]] = {
    r"\RR": (0, r"\mathbb{R}"),
    r"\NN": (0, r"\mathbb{N}"),
    r"\E": (0, r"\mathbb{E}"),
    r"\Prob": (0, r"\mathbb{P}"),
    r"\Var": (0, r"\operatorname{Var}"),
    r"\Cov": (0, r"\operatorname{Cov}"),
    r"\Normal": (0, r"\mathcal{N}"),
    r"\Loss": (0, r"\mathcal{L}"),
    r"\Err": (0, r"\operatorname{ERR}"),
    r"\softmax": (0, r"\phi"),
    r"\tail": (0, r"\bar{\Phi}"),
    r"\sign": (0, r"\operatorname{sign}"),
    r"\tr": (0, r"\operatorname{tr}"),
    r"\diag": (0, r"\operatorname{diag}"),
    r"\rank": (0, r"\operatorname{rank}"),
    r"\argmin": (0, r"\operatorname*{arg\,min}"),
    r"\argmax": (0, r"\operatorname*{arg\,max}"),
    r"\T": (0, r"^{\mkern-1.5mu\top}"),
    r"\ind": (0, r"\mathbf{1}"),
    r"\ones": (0, r"\mathbf{1}"),
    r"\qstar": (0, r"q_\star"),
    r"\wstar": (0, r"w_\star"),
    r"\norm": (1, r"\left\lVert #1 \right\rVert"),
    r"\abs": (1, r"\left\lvert #1 \right\rvert"),
    r"\inner": (2, r"\left\langle #1, #2 \right\rangle"),
}

# KaTeX would number these on its own, out of step with Sphinx.
_NUMBERED = re.compile(r"\\(begin|end)\{(equation|align|alignat|gather)\}")


class FormulaError(ValueError):
    """LaTeX that KaTeX refuses; the message is KaTeX's own."""


class Katex:
    """A node process that answers one formula at a time."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None

    def render(
        self, tex: str, *, display: bool, macros: dict[str, tuple[int, str]] = MACROS
    ) -> str:
        """Return the HTML and MathML of one formula, or raise FormulaError."""
        if self._process is None:
            self._process = subprocess.Popen(
                [find_node() or "node", str(PIPE), str(KATEX)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                encoding="utf-8",
            )
        options = {
            "displayMode": display,
            "macros": {name: meaning for name, (_, meaning) in macros.items()},
            "output": "htmlAndMathml",
            "strict": "error",
            "throwOnError": True,
        }
        self._process.stdin.write(json.dumps({"tex": tex, "options": options}) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            self.close()
            raise RuntimeError("the node process that renders formulas ended unexpectedly")
        answer = json.loads(line)
        if "error" in answer:
            raise FormulaError(answer["error"])
        return answer["html"]

    def close(self) -> None:
        """End the node process, if one was started."""
        if self._process is not None:
            self._process.stdin.close()
            self._process.wait(timeout=10)
            self._process.stdout.close()
            self._process = None


_katex = Katex()


def prepare_display(tex: str, *, wrapped: bool) -> str:
    r"""Return what KaTeX shall see of a display formula.

    Sphinx counts equations, so environments that number themselves become their starred form;
    lines broken by a bare ``\\`` are set in ``split``, as Sphinx does for MathJax.
    """
    tex = _NUMBERED.sub(r"\\\1{\2*}", tex.strip())
    if not wrapped and r"\\" in tex and not tex.startswith(r"\begin{"):
        tex = rf"\begin{{split}}{tex}\end{{split}}"
    return tex


def _render(translator, node: nodes.Element, tex: str, *, display: bool) -> str:
    try:
        return _katex.render(tex, display=display)
    except FormulaError as error:
        logger.warning(
            "formula %r: %s",
            node.astext().strip(),
            error,
            location=node,
            type="book",
            subtype="formula",
        )
        return f'<code class="math-error">{translator.encode(node.astext())}</code>'


def visit_inline(translator, node: nodes.math) -> None:
    """Write a formula that stands in a line of text."""
    html = _render(translator, node, node.astext(), display=False)
    translator.body.append(f'<span class="math notranslate nohighlight">{html}</span>')
    raise nodes.SkipNode


def visit_display(translator, node: nodes.math_block) -> None:
    """Write a formula that stands on its own, with its number and permalink."""
    tex = prepare_display(node.astext(), wrapped=bool(node.get("nowrap")))
    html = _render(translator, node, tex, display=True)
    translator.body.append(
        translator.starttag(node, "div", CLASS="math notranslate nohighlight math-display")
    )
    # A formula wider than the page scrolls, so a keyboard must be able to reach it.
    translator.body.append(f'<div class="math-scroll" tabindex="0">{html}</div>')
    if node.get("number"):
        number = get_node_equation_number(translator, node)
        translator.body.append(f'<span class="eqno">({number})')
        translator.add_permalink_ref(node, "Link to this equation")
        translator.body.append("</span>")
    translator.body.append("</div>\n")
    raise nodes.SkipNode


def mathjax_macros() -> dict[str, object]:
    """Return the macros in the form that MathJax expects."""
    return {
        name.lstrip("\\"): [meaning, count] if count else meaning
        for name, (count, meaning) in MACROS.items()
    }


def choose_renderer(app, config) -> None:
    """Take KaTeX where node exists, and MathJax where it does not."""
    if find_node() is None:
        logger.info("bookext: node was not found, so formulas are left to MathJax")
        config.html_math_renderer = "mathjax"
        settings = dict(config.mathjax3_config or {})
        settings["tex"] = {**settings.get("tex", {}), "macros": mathjax_macros()}
        config.mathjax3_config = settings
        return
    config.html_math_renderer = "katex"
    app.add_css_file("vendor/katex/katex.min.css")


def setup(app) -> dict[str, bool]:
    """Register the renderer; ``choose_renderer`` decides whether it is used."""
    app.add_html_math_renderer("katex", (visit_inline, None), (visit_display, None))
    app.connect("config-inited", choose_renderer)
    app.connect("build-finished", lambda app, exception: _katex.close())
    return {"parallel_read_safe": True, "parallel_write_safe": True}
