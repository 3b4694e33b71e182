import pytest

from bookext.registry import RegistryError, load_claims

GOOD = """
- id: X6w
  statement: One line.
  page: performance
  anchor: X6w
  functions: [a.b]
  tests: ["lib/tests/test_a.py::test_b"]
  kind: limit
  source: book
  twin: {test: "lib/tests/test_a.py::test_c", statement: It fails.}
"""


def load(tmp_path, text):
    path = tmp_path / "claims.yml"
    path.write_text(text, "utf-8")
    return load_claims(path)


def test_a_good_entry(tmp_path):
    (claim,) = load(tmp_path, GOOD)
    assert claim.id == "X6w"
    assert claim.all_tests == ("lib/tests/test_a.py::test_b", "lib/tests/test_a.py::test_c")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("id: X6w", "id: Z1", "entry 1 (Z1): id: expected a letter of DEGSVX"),
        ("kind: limit", "kind: sure", "kind: expected one of identity, monte-carlo"),
        ("source: book", "sauce: book", "expected the fields source"),
        ("source: book", "source: book\n  sauce: book", "expected no field named sauce"),
        ("[a.b]", "[]", "functions: expected a list with at least one module.name"),
        ("[a.b]", "[a b]", "functions: expected module.name, got 'a b'"),
        ("test_a.py::test_b", "test_a.py", "tests: expected path/test_file.py::test_name"),
        ("statement: One line.", "statement: 3", "statement: expected text, got 3"),
        ("statement: It fails.", "fails: yes", "twin: expected the fields test and statement"),
        ("page: performance", 'page: ""', "page: expected text, got ''"),
        ("kind: limit", "kind: limit\n  needs: [x]", "needs: expected an ID like D1, got 'x'"),
    ],
)
def test_a_wrong_entry_is_named(tmp_path, old, new, message):
    assert old in GOOD
    with pytest.raises(RegistryError, match=r"claims\.yml: entry 1") as caught:
        load(tmp_path, GOOD.replace(old, new))
    assert message in str(caught.value)


def test_an_id_stands_once(tmp_path):
    with pytest.raises(RegistryError, match=r"entry 2 \(X6w\): expected an id that no other"):
        load(tmp_path, GOOD + GOOD)


@pytest.mark.parametrize("text", ["", "a: b", "- a"])
def test_not_a_list_of_mappings(tmp_path, text):
    with pytest.raises(RegistryError, match="expected a"):
        load(tmp_path, text)


@pytest.mark.parametrize(
    ("needs", "message"),
    [("[X1]", "needs: expected IDs of claims, got X1"), ("[X6w]", "expected no circle, got X6w")],
)
def test_what_a_claim_needs_is_there_and_comes_before_it(tmp_path, needs, message):
    with pytest.raises(RegistryError, match=r"claims\.yml: X6w: needs") as caught:
        load(tmp_path, GOOD + f"  needs: {needs}\n")
    assert message in str(caught.value)


def test_a_circle_through_another_claim_is_found(tmp_path):
    other = GOOD.replace("id: X6w", "id: X7") + "  needs: [X6w]\n"
    with pytest.raises(RegistryError, match="expected no circle"):
        load(tmp_path, GOOD + "  needs: [X7]\n" + other)
