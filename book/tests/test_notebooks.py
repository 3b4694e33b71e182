"""A small book with everything that the book's pages hold, and the notebooks made from it."""

import json
import os
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import nbformat
import pytest

from bookext.execution import quick_to_compile
from bookext.node import find_node
from bookext.notebooks.first_cell import first_cell
from coursework.build import page as write_assignment
from coursework.source import read as read_assignment

BOOK = Path(__file__).parents[1]
CONF = f"""
import sys
sys.path.insert(0, {str(BOOK / "_ext")!r})
extensions = ["myst_nb", "sphinx_book_theme", "sphinx_proof", "sphinx_exercise"]
extensions += ["sphinxcontrib.bibtex", "sphinx.ext.autodoc"]
extensions += ["bookext." + name for name in
    ("mathematics", "figures", "explorable", "benchmarks", "claims", "repository", "notebooks")]
html_theme = "sphinx_book_theme"
html_baseurl = ""
numfig = True
bibtex_bibfiles = ["references.bib"]
bibtex_reference_style = "author_year"
myst_enable_extensions = ["dollarmath", "amsmath", "colon_fence"]
nb_render_markdown_format = "myst"
nb_execution_mode = "force"
"""
CLAIMS = """
- id: D1
  statement: The mean is $m$.
  page: other
  anchor: D1
  functions: [json.loads]
  tests: ["lib/tests/test_data.py::test_mean"]
  kind: monte-carlo
  source: book
"""
BIB = """
@article{oymak2023, author={Oymak, Samet and Rawat, Ankit}, title={On Attention},
  journal={J}, year={2023}}
"""
HEAD = """---
accelerator: GPU
kernelspec: {name: python3, display_name: Python 3}
file_format: mystnb
---
"""
MEASURED = '{"works": {"one step": {"versions": {"library": {"seconds": 2.5}}}}, "goals": []}'
INDEX = (
    HEAD
    + r"""# A small book

```{toctree}
:hidden:
other
```

First $\norm{x}$ & *one* `code` line, 3 < 4, by {cite:t}`oymak2023`.

$$
\E[x] = m
$$ (eq-one)

\begin{align}
a &= b
\end{align}

:::{prf:definition} A *word*
:label: word
It means $\qstar$.

$$
w = 1
$$ (eq-two)
:::

:::{prf:theorem} Moments (X)
:label: moments
See {eq}`eq-one`, {eq}`eq-two`, {prf:ref}`word`, {prf:ref}`D1` and {claim}`D1`.

It took {measured}`one step | library | seconds` s.

- One item with {numref}`fig-line`.
- Another, in {doc}`other` and {ref}`the last section <sec-last>`.
:::

:::{prf:proof}
:class: dropdown
**Step 1.** Hidden words. $\square$
:::

:::{prf:proof}
Open words.
:::

:::{prf:observation}
:label: seen
Seen words.
:::

:::{prf:proposition} Small
:label: small
Proposed words.
:::

```{code-cell} python
---
mystnb:
  image: {alt: "A black line, drawn"}
  figure:
    name: fig-line
    caption: |
      A line with slope $\zeta$ by {py:func}`json.loads`.
---
from IPython.display import SVG, Markdown
SVG('<svg xmlns="http://www.w3.org/2000/svg"><path id="a" d="M0 0" stroke="#000000"/></svg>')
```

```{code-cell} python
:tags: [remove-input]

value = 3
Markdown(rf"Computed {{eq}}`eq-one` and {{prf:ref}}`D1`: $\norm{{x}} = {value}$, {{claim}}`D1`.")
```

:::{explorable} attention
:alt: Weights of fifty tokens
:name: fig-attention
Weights, with $\zeta$.
:::

:::{admonition} Takeaway
:class: takeaway
Take this.
:::

:::{note}
Note this.
:::

| a | b |
| --- | --- |
| $\lvert x\rvert$ | two |

1. first
2. second

![A picture](picture.png)

```python
print("shown, not run")
```

## Exercises

:::{exercise}
:label: ex-one
Ask this.
:::

:::{solution} ex-one
:class: dropdown
Answer that.
:::

(sec-last)=
## The last section

The last words.

```{code-cell} python
:tags: [remove-cell]
print("not on the page")
```
"""
)
OTHER = r"""# Other

:::{prf:theorem}
:label: D1
Elsewhere.
:::

```{claims-ledger}
```

```{bibliography}
```

```{eval-rst}
.. py:function:: json.loads(text)
```
"""
PNG = bytes.fromhex("89504e470d0a1a0a")


def build(folder, index=INDEX, **environ):
    source = folder / "book"
    source.mkdir()
    pages = {"index.md": index, "other.md": OTHER}
    files = {"conf.py": CONF, "claims.yml": CLAIMS, "references.bib": BIB, **pages}
    files["benchmarks.json"] = MEASURED
    for name, text in files.items():
        (source / name).write_text(text, "utf-8")
    (source / "picture.png").write_bytes(PNG)
    command = [sys.executable, "-m", "sphinx", "-n", "-q", "-b", "html", str(source)]
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("BOOK_", "GITHUB_"))}
    done = subprocess.run(
        [*command, str(folder / "out")],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        env={**environment, **environ},
    )
    assert done.returncode == 0, done.stderr
    return folder / "out", re.sub(r"\x1b\[\d+(;\d+)*m", "", done.stderr)


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    return build(tmp_path_factory.mktemp("book"), BOOK_REPOSITORY="owner/book")


@pytest.fixture(scope="module")
def cells(built):
    return nbformat.read(built[0] / "notebooks" / "index.ipynb", 4).cells


@pytest.fixture(scope="module")
def text(cells):
    return "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown")


SITE = "https://owner.github.io/book"


def test_the_small_book_gives_no_warning(built):
    assert "WARNING:" not in built[1]


# A directive, a role in the text, a role in the string of a cell that computes text.
KINDS = {
    "directive": r"^\s*(?:`{3,}|:{3,})\{([\w:-]+)\}",
    "role": r"(?<!\{)\{([a-z:]+)\}`",
    "computed role": r"\{\{([a-z:]+)\}\}`",
}


def kinds_of(page):
    """Return all directives and roles that a page uses."""
    return {(kind, name) for kind, form in KINDS.items() for name in re.findall(form, page, re.M)}


def pages_with_code():
    """Return the text of every page that becomes a notebook, drafts too, by its name."""
    pages = {}
    for path in sorted(BOOK.rglob("*.md")):
        inside, text = path.relative_to(BOOK), path.read_text("utf-8")
        if "kernelspec:" in text and inside.parts[0] not in ("_ext", "assignments"):
            pages[inside.with_suffix("").as_posix()] = text
    for path in sorted((BOOK.parent / "assignments").glob("*/hidden.py")):
        folder = path.parent
        pages[f"assignments/{folder.name}"] = write_assignment(read_assignment(folder))
    return pages


PAGES = pages_with_code()


@pytest.mark.parametrize("name", PAGES)
def test_the_small_book_holds_all_that_a_page_holds(name):
    missing = kinds_of(PAGES[name]) - kinds_of(INDEX)
    assert not missing, f"add to the small book, and say what it becomes: {missing}"


def test_what_the_small_book_lacks_is_seen():
    page = INDEX + ':::{figure} a.png\n:::\nSee {term}`a`, and rf"{{numref}}`b`".\n'
    assert kinds_of(page) - kinds_of(INDEX) == {
        ("directive", "figure"),
        ("role", "term"),
        ("computed role", "numref"),
    }


@pytest.mark.parametrize(
    "words",
    [
        f"# A small book\n\n[This page in the book]({SITE}/index.html)\n\nFirst",
        r"First $\left\lVert x \right\rVert$ &amp; *one* `code` line, 3 &lt; 4, by Oymak and Rawat "
        rf"[[2023]({SITE}/other.html#id",
        r"$$ \mathbb{E}[x] = m \tag{1} $$",
        r"$$ \begin{aligned} a &= b \end{aligned} \tag{2} $$",
        "> **Definition 1 (A *word*)**\n>\n> It means $q_\\star$.",
        r"> $$ w = 1 \tag{3} $$",
        "> See [(1)](#equation-eq-one), [(3)](#equation-eq-two), [Definition 1](#word), "
        f"[Theorem 1]({SITE}/other.html#D1) and [D1]({SITE}/other.html#D1).",
        f"> - One item with [Fig. 1](#fig-line).\n> - Another, in [Other]({SITE}/other.html) and "
        "[the last section](#sec-last).",
        "<details><summary><b>Proof</b></summary>\n\n**Step 1.** Hidden words. $\\square$\n\n"
        "</details>",
        "> **Proof**\n>\n> Open words.",
        "It took 2.50 s.",
        "**Observation 1**\n>\n> Seen words.",
        "**Proposition 1 (Small)**\n>\n> Proposed words.",
        "**Fig. 1.** A line with slope $\\zeta$ by "
        f"[`json.loads()`]({SITE}/other.html#json.loads).",
        "<details><summary>The figure in words</summary>\n\nA black line, drawn\n\n</details>",
        f"[On the book's page this figure has sliders.]({SITE}/index.html#fig-attention)",
        "**Fig. 2.** Weights, with $\\zeta$.",
        "> **Takeaway**\n>\n> Take this.",
        "> **Note**\n>\n> Note this.",
        "| a | b |\n| --- | --- |\n| $\\lvert x\\rvert$ | two |",
        "1. first\n2. second",
        "![A picture](data:image/png;base64,iVBORw0KGgo=)",
        '```python\nprint("shown, not run")\n```',
        "## Exercises",
        "> **Exercise 1**\n>\n> Ask this.",
        "<details><summary><b>Solution to Exercise 1</b></summary>\n\nAnswer that.\n\n</details>",
        "## The last section\n\nThe last words.",
    ],
)
def test_markup_becomes_markdown(text, words):
    assert words in re.sub(r'<a id="[^"]*" name="[^"]*"></a>', "", text)


def test_links_within_the_page_find_their_anchor(text):
    inner = set(re.findall(r"\]\(#([^)]+)\)", text))
    assert inner >= {"equation-eq-one", "word", "fig-line", "sec-last"}
    assert inner <= set(re.findall(r'<a id="([^"]+)"', text))


@pytest.mark.skipif(find_node() is None, reason="node is not installed")
def test_a_figure_with_sliders_is_a_picture(text):
    assert re.search(r"!\[Weights of fifty tokens\]\(data:image/png;base64,[\w/+]{1000}", text)
    assert "of 50 tokens are relevant" in text


def test_code_is_complete_and_in_order(cells):
    code = [cell for cell in cells if cell.cell_type == "code"]
    assert 'VERSION = "' in code[0].source
    assert [cell.source.splitlines()[0] for cell in code[1:]] == [
        "from IPython.display import SVG, Markdown",
        "value = 3",
        'print("not on the page")',
    ]
    assert all(cell.outputs == [] and cell.execution_count is None for cell in code)
    folded = [cell.metadata.get("jupyter", {}).get("source_hidden", False) for cell in code]
    assert folded == [True, False, True, True]


def test_computed_text_is_plain_markdown(cells):
    (computed,) = (cell.source for cell in cells if cell.source.startswith("value = 3"))
    assert (
        rf'rf"Computed [(1)]({SITE}/index.html#equation-eq-one) and '
        rf"[Theorem 1]({SITE}/other.html#D1): $\left\lVert x \right\rVert = {{value}}$, "
        rf'[D1]({SITE}/other.html#D1)."'
    ) in computed


def test_the_notebook_is_valid_and_asks_for_what_the_page_asks(built):
    path = built[0] / "notebooks" / "index.ipynb"
    nbformat.validate(nbformat.read(path, 4))
    metadata = json.loads(path.read_text("utf-8"))["metadata"]
    assert metadata["accelerator"] == "GPU"
    assert metadata["kernelspec"]["name"] == "python3"


def test_a_page_without_code_has_no_notebook(built):
    assert not (built[0] / "notebooks" / "other.ipynb").exists()


def test_buttons_give_this_file(built):
    page = (built[0] / "index.html").read_text("utf-8")
    assert re.search(r'<a href="notebooks/index.ipynb"[^>]*download-notebook-button', page)
    opened = re.search(r'<a href="([^"]+)"[^>]*launch-colab-button', page)[1]
    edition = opened.split("/")[-2]
    assert re.fullmatch(r"\d+\.\d+\.\d+\w*-[0-9a-f]{10}", edition)
    assert opened == (
        f"https://colab.research.google.com/github/owner/book/blob/notebooks/{edition}/index.ipynb"
    )
    for name in ("index", "other"):
        assert "_sources/" not in (built[0] / f"{name}.html").read_text("utf-8")


def test_the_wheel_and_the_first_cell_lie_beside_the_notebooks(built, cells):
    (wheel,) = (built[0] / "notebooks" / "wheels").glob("*.whl")
    first = (built[0] / "notebooks" / "first-cell.py").read_text("utf-8")
    assert first.rstrip() == cells[0].source
    assert wheel.name.replace("+", "%2B") in first
    assert f'VERSION = "{wheel.name.split("-")[1]}"' in first


def test_the_first_cell_lets_jax_keep_what_it_compiles(tmp_path):
    """In the reader's home, unless she has set another place."""
    ask = "import jax\nprint(jax.config.jax_compilation_cache_dir)"
    ask += "\nprint(jax.config.jax_persistent_cache_min_compile_time_secs)"
    ask += "\nimport os\nprint(os.environ.get('XLA_FLAGS'))"
    code = f"{first_cell('0', None)}\n{ask}"
    settings = {k: v for k, v in os.environ.items() if not k.startswith(("JAX_", "XLA_"))}
    settings["HOME"] = str(tmp_path)
    for chosen, place in (
        ({}, f"{tmp_path}/.cache/prompt-attention"),
        (
            {"JAX_COMPILATION_CACHE_DIR": "/mine"},
            "/mine",
        ),
    ):
        run = subprocess.run(
            [sys.executable, "-c", code], env=settings | chosen, capture_output=True, text=True
        )
        flags = quick_to_compile().get("XLA_FLAGS")
        assert run.stdout.split() == [place, "0.0", str(flags)], run.stderr


@pytest.mark.parametrize("version", ["0.6.2", "0.7.2", "0.9.0", "0.10.1", "0.11.0", "1.0"])
def test_notebooks_ask_of_the_compiler_what_the_build_asks(version, monkeypatch):
    monkeypatch.setattr(metadata, "version", lambda name: version)
    cell = {}
    exec(first_cell("0", None).partition("for setting")[0], cell)
    monkeypatch.setitem(cell, "find_spec", lambda name: None)
    assert cell["quick_to_compile"]() == quick_to_compile()
    monkeypatch.setitem(cell, "find_spec", {"libtpu": "found"}.get)
    assert not cell["quick_to_compile"]()


def test_addresses_follow_from_the_repository(built):
    page = (built[0] / "index.html").read_text("utf-8")
    assert f'<link rel="canonical" href="{SITE}/index.html"' in page
    assert 'href="https://github.com/owner/book/edit/main/book/index.md"' in page
    assert 'href="https://github.com/owner/book/issues/new' in page
    lost = (built[0] / "404.html").read_text("utf-8")
    assert 'href="/book/index.html"' in lost or 'href="/book/"' in lost
    assert f"<loc>{SITE}/other.html</loc>" in (built[0] / "sitemap.xml").read_text("utf-8")


def test_without_a_repository_no_button_leads_outside(tmp_path):
    out, said = build(tmp_path)
    assert "WARNING:" not in said
    page = (out / "index.html").read_text("utf-8")
    assert "notebooks/index.ipynb" in page
    assert not re.search(r"colab|github\.com|rel=\"canonical\"", page)
    notebook = (out / "notebooks" / "index.ipynb").read_text("utf-8")
    assert "(https://" not in notebook
    assert "[Definition 1](#word), Theorem 1 and D1." in notebook
    assert not (out / "sitemap.xml").exists()
    assert (out / "404.html").exists()


def test_a_node_without_a_form_is_a_warning_that_names_it(tmp_path):
    toctree = "```{toctree}\n:hidden:\nother\n```\n\n"
    unknown = f"{HEAD}# Title\n\n{toctree}```{{productionlist}} a: b\n```\n"
    said = build(tmp_path, unknown)[1]
    assert "notebook: index: no notebook form for production " in said
