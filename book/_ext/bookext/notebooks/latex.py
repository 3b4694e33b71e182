r"""Formulas without the book's macros, for readers whose renderer does not know them."""

import re

from ..mathematics import MACROS

_CONTROL = re.compile(r"\\(?:[A-Za-z]+|.)", re.DOTALL)
_COMMAND_ENDS = re.compile(r"(?<!\\)(?:\\\\)*\\[A-Za-z]+$")
_NUMBERED = re.compile(r"\\(begin|end)\{(align|gather|equation)\*?\}")
# Inside $$ a renderer accepts these, and not the environments that number themselves.
_INNER = {"align": "aligned", "gather": "gathered"}


def expand(tex: str, macros: dict[str, tuple[int, str]] = MACROS) -> str:
    r"""Return LaTeX with every macro replaced by its meaning.

    Arguments follow TeX's rule: a group in braces, a command, or one character.

    Raises:
        ValueError: a macro's argument is missing or its brace is not closed.
    """
    out, position = [], 0
    while match := _CONTROL.search(tex, position):
        out.append(tex[position : match.start()])
        position = match.end()
        if match[0] not in macros:
            out.append(match[0])
            continue
        count, meaning = macros[match[0]]
        for number in range(1, count + 1):
            argument, position = _argument(tex, position, match[0])
            meaning = meaning.replace(f"#{number}", expand(argument, macros))
        out.append(_fitted(meaning, "".join(out)))
    return "".join(out) + tex[position:]


def _fitted(meaning: str, before: str) -> str:
    """Return what a macro means so that it can follow the formula before it.

    What stands in an index as one command stays one group, and a letter ends a command's name.
    """
    if before.rstrip()[-1:] in ("_", "^"):
        return f"{{{meaning}}}"
    return f" {meaning}" if meaning[:1].isalpha() and _COMMAND_ENDS.search(before) else meaning


def _argument(tex: str, position: int, macro: str) -> tuple[str, int]:
    """Return one argument of a macro without its braces, and where it ends."""
    while tex[position : position + 1].isspace():
        position += 1
    if position == len(tex):
        raise ValueError(f"{macro}: expected an argument, got the end of {tex!r}")
    if tex[position] == "\\":
        match = _CONTROL.match(tex, position)
        return match[0], match.end()
    if tex[position] != "{":
        return tex[position], position + 1
    depth, end = 0, position
    while end < len(tex):
        step = _CONTROL.match(tex, end)
        depth += {"{": 1, "}": -1}.get(tex[end], 0)
        end = step.end() if step else end + 1
        if depth == 0:
            return tex[position + 1 : end - 1], end
    raise ValueError(f"{macro}: expected a closing brace, got the end of {tex!r}")


def inline(tex: str) -> str:
    """Return a formula that stands in a line of Markdown."""
    return f"${' '.join(expand(tex).split())}$"


def display(tex: str, number: str = "") -> str:
    """Return a formula that stands on its own, in one line so that it may be quoted or indented.

    Lines broken by a bare double backslash are set in `split`, as on the page.
    """
    tex = " ".join(expand(tex).split())
    tex = _NUMBERED.sub(lambda m: _inner(m[1], m[2]), tex).strip()
    if r"\\" in tex and not tex.startswith(r"\begin{"):
        tex = rf"\begin{{split}}{tex}\end{{split}}"
    tag = rf" \tag{{{number}}}" if number else ""
    return f"$$ {tex}{tag} $$"


def _inner(side: str, environment: str) -> str:
    return rf"\{side}{{{_INNER[environment]}}}" if environment in _INNER else ""
