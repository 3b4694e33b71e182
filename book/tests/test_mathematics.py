import pytest

from bookext import mathematics
from bookext.mathematics import MACROS, FormulaError, Katex, mathjax_macros, prepare_display
from bookext.node import find_node

needs_node = pytest.mark.skipif(find_node() is None, reason="node is not installed")


@pytest.fixture
def katex():
    pipe = Katex()
    yield pipe
    pipe.close()


@needs_node
def test_a_formula_becomes_html_and_mathml(katex):
    html = katex.render(r"\zeta^2", display=False)
    assert "<math" in html
    assert 'class="katex-html" aria-hidden="true"' in html


@needs_node
@pytest.mark.parametrize("name", MACROS)
def test_every_macro_renders(katex, name):
    count, _ = MACROS[name]
    assert "<math" in katex.render(f"X{name}" + "{x}" * count, display=True)


@needs_node
@pytest.mark.parametrize("tex", [r"\frac{1}", r"\nosuchmacro", "x % a comment", "\u00e9"])
def test_bad_latex_is_refused_and_the_pipe_goes_on(katex, tex):
    with pytest.raises(FormulaError):
        katex.render(tex, display=False)
    assert "<math" in katex.render("x", display=False)


@needs_node
@pytest.mark.parametrize("environment", ["align", "gather", "equation", "align*", "aligned"])
def test_environments_render_and_leave_counting_to_sphinx(katex, environment):
    tex = rf"\begin{{{environment}}} a = b \end{{{environment}}}"
    html = katex.render(prepare_display(tex, wrapped=True), display=True)
    assert "eqn-num" not in html


@needs_node
def test_katex_itself_would_count(katex):
    assert "eqn-num" in katex.render(r"\begin{align} a &= b \end{align}", display=True)


def test_bare_line_breaks_are_set_in_split():
    assert prepare_display(r"a \\ b", wrapped=False) == r"\begin{split}a \\ b\end{split}"
    assert prepare_display(r"a \\ b", wrapped=True) == r"a \\ b"


def test_mathjax_gets_the_same_macros():
    macros = mathjax_macros()
    assert macros["RR"] == r"\mathbb{R}"
    assert macros["inner"] == [MACROS[r"\inner"][1], 2]
    assert len(macros) == len(MACROS)


def test_vendored_katex_is_whole():
    folder = mathematics.KATEX.parent
    style = (folder / "katex.min.css").read_text("utf-8")
    named = {part.partition(")")[0] for part in style.split("url(")[1:]}
    assert named == {f"fonts/{font.name}" for font in (folder / "fonts").iterdir()}
    assert (folder / "LICENSE").is_file()
