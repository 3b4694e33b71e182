"""The reference page shows signatures as they stand in the source, and docstrings as plain text."""

import functools
from types import SimpleNamespace

import pytest
from sphinx.ext.napoleon import GoogleDocstring

from bookext import signatures
from prompt_attention import data, models, risk


def shown(obj, what="function"):
    return signatures.as_written(None, what, obj.__qualname__, obj, None, None, None)


def test_types_are_as_written():
    text, returned = shown(models.PromptAttention.attention, "method")
    assert text == "(X: Float[Array, 'T d'])"
    assert returned == "Float[Array, 'T']"


def test_classes_of_the_package_have_their_full_name():
    text, returned = shown(risk.error_rate)
    assert "batch: prompt_attention.data.Batch" in text
    assert returned == "prompt_attention.data.Estimate"


def test_a_named_tuple_shows_its_fields():
    text, returned = shown(data.Batch, "class")
    assert text.startswith("(tokens: Float[Array, 'n T d'], labels: Float[Array, 'n']")
    assert returned is None


def test_a_keyword_only_dataclass_says_so():
    assert shown(data.ContextualModel, "class")[0].startswith("(*, context: ")


def test_a_module_shows_its_constructor():
    assert shown(models.PromptAttention, "class")[0].startswith("(dim: int, *, rngs: nnx.Rngs")


def test_what_has_no_source_is_left_to_autodoc():
    assert shown(len) is None
    assert signatures.parsed(functools.partial(len)) is None


@pytest.mark.parametrize(
    ("written", "markup"),
    [
        ("|R| = zeta T", r"\|R\| = zeta T"),
        ("r = q* + y w*", r"r = q\* + y w\*"),
        ("X' phi(X q)", r"X\\' phi(X q)"),
        ("x_t and x_ end", r"x_t and x\_ end"),
        ("see `sample` and ``[n T d]``", "see ``sample`` and ``[n T d]``"),
        (">>> f('a') * 2", ">>> f('a') * 2"),
    ],
)
def test_docstrings_are_plain_text(written, markup):
    lines = [written]
    signatures.as_plain_text(None, "function", "prompt_attention.data.f", None, None, lines)
    assert lines == [markup]


def napoleon(lines):
    return GoogleDocstring(lines, what="property").lines()


def test_a_colon_does_not_make_a_type_of_a_property():
    lines = ["rho: the correlation"]
    signatures.as_plain_text(None, "property", "prompt_attention.data.f", None, None, lines)
    assert lines == ["\\ ", "rho: the correlation"]
    assert not any(":type:" in line for line in napoleon(lines))


def test_comments_beside_fields_describe_them():
    lines = []
    signatures.describe_fields(None, "class", "Batch", data.Batch, None, lines)
    assert any(line.startswith("- ``labels``: +1 or -1") for line in lines)


def test_only_names_that_the_module_has_may_be_unlinked():
    def node(target):
        return {"py:module": "prompt_attention.models", "refdomain": "py", "reftarget": target}

    app = SimpleNamespace()
    assert signatures.is_known(app, None, node("nnx.Module"))
    assert not signatures.is_known(app, None, node("PromptAtention"))
