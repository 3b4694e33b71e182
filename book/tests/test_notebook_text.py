"""Formulas and strings of code as they stand in a notebook: without the book's own markup."""

import pytest

from bookext.notebooks.code import plain_strings
from bookext.notebooks.latex import display, expand, inline


@pytest.mark.parametrize(
    ("written", "expanded"),
    [
        (r"\E[x] \in \RR^d", r"\mathbb{E}[x] \in \mathbb{R}^d"),
        (r"\norm{x_{\qstar}}^2", r"\left\lVert x_{q_\star} \right\rVert^2"),
        (r"\abs A + \abs\lambda", r"\left\lvert A \right\rvert + \left\lvert \lambda \right\rvert"),
        (
            r"\inner{w}{\norm{q}}",
            r"\left\langle w, \left\lVert q \right\rVert \right\rangle",
        ),
        (r"X\T\softmax(Xq)", r"X^{\mkern-1.5mu\top}\phi(Xq)"),
        (r"\tau\qstar", r"\tau q_\star"),
        (r"a\\\qstar", r"a\\q_\star"),
        (r"x_\RR", r"x_{\mathbb{R}}"),
        (r"\abs{\{a\}}", r"\left\lvert \{a\} \right\rvert"),
        (r"\Escape \textbf{E}", r"\Escape \textbf{E}"),
    ],
)
def test_macros_are_expanded(written, expanded):
    assert expand(written) == expanded


@pytest.mark.parametrize(
    ("wrong", "said"),
    [(r"\norm", "expected an argument"), (r"\norm{x", "expected a closing brace")],
)
def test_a_macro_without_its_argument_is_named(wrong, said):
    with pytest.raises(ValueError, match=rf"\\norm: {said}"):
        expand(wrong)


def test_a_formula_is_one_line_so_that_it_can_be_quoted():
    assert inline("a\n  b") == "$a b$"
    assert display("a\n+ b", "2.1") == r"$$ a + b \tag{2.1} $$"


def test_environments_that_number_themselves_are_replaced():
    assert display("\\begin{align}\na &= b\n\\end{align}") == (
        r"$$ \begin{aligned} a &= b \end{aligned} $$"
    )
    assert display(r"\begin{equation*} a \end{equation*}") == "$$ a $$"
    assert display(r"a \\ b") == r"$$ \begin{split}a \\ b\end{split} $$"


def link(name, text):
    return f"[{name} {text}](there)"


@pytest.mark.parametrize(
    ("code", "plain"),
    [
        (
            r'rf"{{eq}}`a` $\norm{{q}}$ {x:.2f}"',
            r'rf"[eq a](there) $\left\lVert q \right\rVert$ {x:.2f}"',
        ),
        (r"""f"$\\tau\\qstar$ {d['k']}\n" """, r"""f"$\\tau q_\\star$ {d['k']}\n" """),
        (r'''"it's \\E \"x\""''', r'''"it's \\mathbb{E} \"x\""'''),
        ('"""{doc}`a`\n\\\\T"""', '"""[doc a](there)\n^{\\\\mkern-1.5mu\\\\top}"""'),
        (
            r"""f"{', '.join('{eq}`a`' for _ in x)}" """,
            r"""f"{', '.join('[eq a](there)' for _ in x)}" """,
        ),
        (r"'\x41 \tau'  # \E and {eq}`a`", r"'\x41 \tau'  # \E and {eq}`a`"),
        (r"x = {'a': `b`}", r"x = {'a': `b`}"),
    ],
)
def test_strings_lose_macros_and_roles_and_nothing_else_changes(code, plain):
    assert plain_strings(code, link) == plain


def test_an_escape_that_would_be_lost_is_named():
    with pytest.raises(ValueError, match="expected no escapes but"):
        plain_strings(r'"\x41 \\E"', link)
