"""The ledger says what is true; and the checks of it notice when it does not."""

from dataclasses import replace
from pathlib import Path

import pytest

from bookext.audit import (
    anchors,
    missing_anchors,
    missing_functions,
    stated_ids,
    unknown_ids,
    unproved_tests,
    unsaid_needs,
)
from bookext.claims import KIND_WORDS
from bookext.registry import KINDS, Claim, Twin, load_claims

BOOK = Path(__file__).parents[1]
REPORT = BOOK.parent / "_build" / "tests" / "library.xml"


@pytest.fixture(scope="module")
def claims():
    return load_claims(BOOK / "claims.yml")


# --- the book's own ledger ---------------------------------------------------------------------


def test_pages_state_only_ids_that_the_ledger_has(claims):
    assert unknown_ids(claims, BOOK) == []


def test_every_claim_has_its_place(claims):
    assert missing_anchors(claims, BOOK) == []


def test_what_a_proof_refers_to_is_what_its_claim_needs(claims):
    assert unsaid_needs(claims, BOOK) == []


def test_every_function_exists(claims):
    assert missing_functions(claims) == []


def test_every_named_test_ran_and_passed(claims):
    if not REPORT.is_file():
        pytest.fail("the library's tests left no report: run `make test`, which runs them first")
    assert unproved_tests(claims, REPORT) == []


def test_every_kind_has_its_words():
    assert set(KIND_WORDS) == set(KINDS)


# --- the checks, on ledgers that are wrong -----------------------------------------------------


PLANTED = Claim(
    id="D1",
    statement="A statement.",
    page="page",
    anchor="D1",
    functions=("json.JSONDecoder.decode",),
    tests=("lib/tests/test_a.py::test_good",),
    kind="identity",
    source="book",
)


@pytest.fixture
def book(tmp_path):
    (tmp_path / "page.md").write_text(":::{prf:theorem}\n:label: D1\nText.\n:::\n", "utf-8")
    return tmp_path


@pytest.fixture
def report(tmp_path):
    path = tmp_path / "library.xml"
    path.write_text(
        """<testsuites><testsuite>
        <testcase classname="lib.tests.test_a" name="test_good[1]"/>
        <testcase classname="lib.tests.test_a" name="test_good[2]"/>
        <testcase classname="lib.tests.test_a" name="test_mixed[1]"/>
        <testcase classname="lib.tests.test_a" name="test_mixed[2]"><failure/></testcase>
        <testcase classname="lib.tests.test_a" name="test_left_out"><skipped/></testcase>
        <testcase classname="lib.tests.test_a.TestGroup" name="test_inside"/>
        </testsuite></testsuites>""",
        "utf-8",
    )
    return path


def test_a_right_ledger_passes(book, report):
    claims = (PLANTED, replace(PLANTED, tests=("lib/tests/test_a.py::TestGroup::test_inside",)))
    assert unknown_ids(claims, book) == []
    assert missing_anchors(claims, book) == []
    assert missing_functions(claims) == []
    assert unproved_tests(claims, report) == []


def test_an_id_that_the_ledger_lacks(book):
    (book / "page.md").write_text("By D1 and {claim}`X6w`, we see.", "utf-8")
    assert unknown_ids((PLANTED,), book) == ["page.md: states X6w, which claims.yml lacks"]


def test_a_place_that_is_not_there(book):
    claims = (replace(PLANTED, anchor="D2"), replace(PLANTED, page="nowhere"))
    assert missing_anchors(claims, book) == [
        "D1: page.md has no anchor D2",
        "D1: there is no page nowhere.md",
    ]


@pytest.mark.parametrize("place", ["statement", "proof", "elsewhere"])
def test_a_need_that_is_not_said(book, place):
    said = {place: "by {claim}`D2` and {prf:ref}`the other <D3>`"}
    (book / "page.md").write_text(
        f":::{{prf:theorem}} A name\n:label: D1\n{said.get('statement', '')}.\n:::\n"
        f":::{{prf:proof}}\n{said.get('proof', '')}.\n:::\n{said.get('elsewhere', '')}.\n",
        "utf-8",
    )
    found = [
        f"D1: page.md refers to {name}, which needs does not list"
        for name in ("D2", "D3")
        if place != "elsewhere"
    ]
    assert unsaid_needs((PLANTED,), book) == found
    assert unsaid_needs((replace(PLANTED, needs=("D2", "D3")),), book) == []


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("json.JSONDecoder.undo", "json.JSONDecoder.undo does not exist"),
        ("nosuchpackage.thing", "nosuchpackage.thing does not exist"),
        ("json.__version__", "json.__version__ is not a function or class"),
    ],
)
def test_a_function_that_is_not_there(path, message):
    (problem,) = missing_functions((replace(PLANTED, functions=(path,)),))
    assert problem.startswith(f"D1: {message}")


@pytest.mark.parametrize(
    ("test", "message"),
    [
        ("test_gone", "did not run"),
        ("test_goo", "did not run"),
        ("test_mixed", "ended in: failure"),
        ("test_left_out", "ended in: skipped"),
    ],
)
@pytest.mark.parametrize("as_twin", [False, True])
def test_a_test_that_proves_nothing(report, test, message, as_twin):
    node = f"lib/tests/test_a.py::{test}"
    if as_twin:
        claim = replace(PLANTED, twin=Twin(test=node, statement="It fails."))
    else:
        claim = replace(PLANTED, tests=(node,))
    assert unproved_tests((claim,), report) == [f"D1: the test {node} {message}"]


PAGE = """# Heading with E1

Text with (D2), **G3** and X4a; {claim}`X6w` and {prf:ref}`the box <D3>`.
:::{prf:theorem} Name E2
:label: E3
Content G1 and `code_with S1` and $S2 + S3$ and $$ S4 $$.
:::
<!-- a remark on S5 -->
% S6
```python
S7 = 1
```
```{code-cell} python
---
mystnb:
  figure:
    caption: |
      The curve of X1.
---
S8 = 1  # and S10
```
````{note}
```{math}
:label: eq
S11
```
Inside G2.
````
A link [text](https://host.example/S12), https://host.example/S13, S14x1, aS15, {eval}`S16`.
```{code-cell}
:tags: [hide-input]
S17 = 2
```
The end G4, not E5x6 nor DE7.
"""


def test_ids_are_read_where_a_reader_sees_them():
    expected = {"E1", "D2", "G3", "X4a", "X6w", "D3", "E2", "E3", "G1", "X1", "G2", "G4"}
    assert stated_ids(PAGE) == expected


def test_anchors_of_a_page():
    page = "(Target-1)=\n# T\n:::{prf:lemma}\n:label: D1\n:::\n    name: fig-a\n[x]{#span-b}\n"
    assert anchors(page) == {"target-1", "d1", "fig-a", "span-b"}
