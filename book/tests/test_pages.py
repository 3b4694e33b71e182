"""A small book, built with the extension: what its pages hold, and what its faults are called."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from bookext.node import find_node

EXT = Path(__file__).parents[1] / "_ext"
MODULES = (
    "mathematics",
    "figures",
    "explorable",
    "records",
    "benchmarks",
    "claims",
    "claims_map",
    "orientation",
    "previews",
    "page",
)
CONF = f"""
import sys
sys.path.insert(0, {str(EXT)!r})
extensions = ["myst_nb", "sphinx_book_theme", "sphinx_proof"]
extensions += ["bookext." + name for name in {MODULES!r}]
html_theme = "sphinx_book_theme"
numfig = True
myst_enable_extensions = ["dollarmath", "amsmath", "colon_fence"]
nb_execution_mode = "force"
"""
CLAIMS = """
- id: D1
  statement: The mean is $m$.
  page: index
  anchor: D1
  functions: [json.loads]
  tests: ["lib/tests/test_data.py::test_mean"]
  kind: monte-carlo
  source: book
"""
INDEX = r"""---
file_format: mystnb
kernelspec: {name: python3, display_name: Python 3}
---
# A small book

Inline $\norm{x}$, see {eq}`one`, {numref}`fig-attention` and {claim}`D1`.

$$ \E[x] = m $$ (one)

\begin{align}
a &= b
\end{align}

:::{prf:theorem} Moments
:label: D1
The mean is $m$.
:::

```{code-cell} python
import numpy as np
unused = np.random.default_rng(7).normal()
```

```{code-cell} python
---
mystnb:
  image: {alt: A black line}
  figure: {name: fig-line, caption: A line.}
---
%config InlineBackend.figure_formats = ["svg"]
import matplotlib.pyplot as plt
from prompt_attention import plotting
plotting.use_style()
figure, ax = plt.subplots()
ax.plot([1, 2], [3, 4], color="black", label="rise");
```

:::{explorable} attention
:alt: Weights of fifty tokens
:name: fig-attention
Weights, with $\zeta$ and {claim}`D1`.
:::

```{toctree}
other
```
"""
BENCHMARKS = """{
 "works": {"work A": {
  "versions": {"library": {"milliseconds": 2.0, "library is faster": 1.0, "megabytes": 12.3},
               "loop": {"milliseconds": 700.0, "library is faster": 350.0}},
  "commit": "abc", "date": "2020-01-01", "processor": "P", "system": "S",
  "versions used": {"jax": "9"}}},
 "goals": [{"work": "work A", "what": "speed", "value": 350.0, "unit": "times", "met": true,
            "goal": "at least 700", "bound": 700}]
}"""
OTHER = r"""# Other

```{benchmarks} goals
```

```{benchmarks} times
```

```{benchmarks} figure
:name: fig-aims
:alt: A dot beside a line
How far: {measured}`work A | loop | milliseconds` ms.
```

```{claims-map}
```

```{claims-ledger}
```

```{eval-rst}
.. py:function:: json.loads(text)
```
"""
FAULTS = {
    r"Text with $\frac{1}$.": r"md:3: WARNING: formula '\\frac{1}': KaTeX parse error",
    "Text.\n\n$$ \\nosuch $$": "md:5: WARNING: formula '\\\\nosuch': KaTeX parse error",
    "See {claim}`D9`.": "md:3: WARNING: claim 'D9': expected an ID that claims.yml has",
    "![](picture.png)": "md:3: WARNING: image picture.png: expected a text alternative",
    "![picture.png](picture.png)": "expected a text alternative that says what it shows",
    ":::{explorable} nothing\n:alt: Words\nCaption\n:::": "expected one of attention",
    ":::{explorable} attention\nCaption\n:::": "expected :alt: to say what it shows",
    ":::{explorable} attention\n:alt: Words\n:::": "expected a caption",
    "{measured}`a | b | c`": "md:3: WARNING: measured 'a | b | c': expected a number that make",
    "```{benchmarks} goals\n```": "benchmarks.json: expected what make bench writes, got",
    "No box.": "claims.yml: claim D1: expected an anchor on the page index, got 'D1'",
}


def build(folder, pages, **environment):
    source = folder / "source"
    source.mkdir()
    for name, text in {"conf.py": CONF, "claims.yml": CLAIMS, **pages}.items():
        (source / name).write_text(text, "utf-8")
    (source / "picture.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "sphinx",
            "-n",
            "-q",
            "-b",
            "html",
            str(source),
            str(folder / "out"),
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        env={**os.environ, **environment},
    )
    assert done.returncode == 0, done.stderr
    return folder / "out", re.sub(r"\x1b\[\d+(;\d+)*m", "", done.stderr)


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    pages = {"index.md": INDEX, "other.md": OTHER, "benchmarks.json": BENCHMARKS}
    return build(tmp_path_factory.mktemp("book"), pages)


@pytest.fixture(scope="module")
def index(built):
    return (built[0] / "index.html").read_text("utf-8")


@pytest.fixture(scope="module")
def other(built):
    return (built[0] / "other.html").read_text("utf-8")


def test_a_sound_book_gives_no_warning(built):
    assert "WARNING:" not in built[1]


@pytest.mark.skipif(find_node() is None, reason="node is not installed")
def test_formulas_are_in_the_page_and_need_no_script(index):
    assert index.count("<math") >= 5
    assert "MathJax" not in index
    assert "katex.min.js" not in index
    assert "katex.min.css" in index


@pytest.mark.skipif(find_node() is None, reason="node is not installed")
def test_equations_keep_their_numbers_and_links_and_take_the_focus(index):
    assert '<a class="headerlink" href="#equation-one"' in index
    assert index.count('<span class="eqno">') == 2
    assert index.count('class="math-scroll" tabindex="0"') == 2
    assert "eqn-num" not in index


def test_drawn_figures_are_inlined(index):
    assert 'aria-label="A black line"' in index
    assert "stroke: currentColor" in index


def test_a_drawn_figure_comes_with_its_numbers_and_its_origin(built, index):
    table = (built[0] / "numbers" / "index-fig-line.csv").read_text("utf-8").splitlines()
    assert table[0] == "# figure: index, fig-line"
    assert table[-3:] == ["panel,series,mark,x,y", "panel 1,rise,line,1,3", "panel 1,rise,line,2,4"]
    record = index.partition('href="numbers/index-fig-line.csv"')[2].partition("</details>")[0]
    assert "<dt>commit</dt>" in record
    assert "plt.subplots()" in record
    assert "default_rng" not in record, "the figure does not use it"


def test_what_was_measured_is_on_the_page(built, other):
    words = re.sub(r"<[^>]*>|\s+", " ", other)
    assert re.search(r"work A: speed +350 times +at least 700 +met", words)
    assert re.search(r"work A +library +2.00 +1.00 +12.3 +loop +700 +350 ", words)
    assert "How far: 700 ms." in words
    table = (built[0] / "numbers" / "other-fig-aims.csv").read_text("utf-8")
    assert "# commit: abc" in table
    assert "met,dot,0.5,0" in table
    assert 'aria-label="A dot beside a line"' in other


def test_a_page_that_computes_says_how_long_it_takes(index, other):
    assert re.search(r'</h1>\s*<p class="chapter-facts">Reading: about \d+ min; running', index)
    assert "chapter-facts" not in other


def test_previews_of_a_page_hold_its_theorem_and_its_equation(built, index):
    script = (built[0] / "previews" / "index.js").read_text("utf-8")
    assert script.startswith('bookPreviews("index", {')
    assert '"D1": "' in script
    assert '"equation-one": "' in script
    assert "previews.js" in index


def test_the_map_leads_to_the_claims(other):
    assert '<a href="index.html#D1"><rect' in other


def test_nothing_is_fetched_from_another_host(index, other):
    for page in (index, other):
        fetched = re.findall(r'<(?:script|img|link)\b[^>]*(?:src|href)="(?:https?:)?//[^"]*"', page)
        assert fetched == []
        assert "fontawesome.js" not in page


def test_only_a_page_with_an_explorable_loads_its_scripts(index, other):
    scripts = re.findall(r'<script defer="defer" src="_static/([\w/]*explorable[\w/.]*)', index)
    assert scripts == ["explorable.js", "explorable_page.js", "explorables/attention.js"]
    assert "explorable.js" not in other


@pytest.mark.skipif(find_node() is None, reason="node is not installed")
def test_an_explorable_has_a_picture_without_its_script(index):
    stage = index.partition('data-explorable="attention"')[2].partition("</figure>")[0]
    assert 'role="img" aria-label="Weights of fifty tokens"' in stage
    assert "of 50 tokens are relevant" in stage
    assert '<span class="caption-number">Fig. 2 </span>' in stage


def test_claims_are_links(index, other):
    assert 'href="#D1"' in index
    assert 'href="index.html#D1"' in other
    assert 'href="#json.loads"' in other
    assert "test_data.py::test_mean" in re.sub("<[^>]*>", "", other)


def test_colour_scheme_is_known_before_the_page_is_drawn(index):
    assert 'localStorage.getItem("mode") || "auto"' in index
    assert 'getItem("theme") || (matchMedia(' in index


def test_search_button_says_what_it_shows(index):
    button = re.search(r"<button[^>]*search-button-field[^>]*>", index)[0]
    assert "aria-label" not in button


@pytest.fixture(scope="module")
def faults(tmp_path_factory):
    pages = {f"fault{number}.md": f"# Title\n\n{text}\n" for number, text in enumerate(FAULTS)}
    contents = "# Contents\n\n```{toctree}\n:glob:\nfault*\n```\n"
    return build(tmp_path_factory.mktemp("faults"), {"index.md": contents, **pages})[1]


@pytest.mark.skipif(find_node() is None, reason="node is not installed")
@pytest.mark.parametrize(("number", "warning"), list(enumerate(FAULTS.values())))
def test_a_fault_is_a_warning_that_says_where(faults, number, warning):
    place = "" if warning.startswith("claims.yml") else f"fault{number}.md:"
    assert any(place in line and warning in line for line in faults.splitlines())


def test_without_node_mathjax_takes_over(tmp_path):
    text = "# Title\n\n(D1)=\nText $\\norm{x}$.\n\n"
    text += ":::{explorable} attention\n:alt: Fifty weights\nOne.\n:::\n"
    out, said = build(tmp_path, {"index.md": text}, PATH="")
    page = (out / "index.html").read_text("utf-8")
    assert "WARNING:" not in said
    assert "mathjax" in page
    assert '"norm": [' in page
    assert '<p class="explorable-says">Fifty weights</p>' in page
