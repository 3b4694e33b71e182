"""How long a page takes, what it builds on, which result needs which, and previews of links."""

import re
from dataclasses import replace
from xml.etree import ElementTree

import pytest
from docutils import nodes

from bookext.claims_map import arrange, depth, drawn
from bookext.orientation import reading_minutes, running_time
from bookext.previews import boxes, element_at
from bookext.registry import Claim

ONE = Claim(
    id="D1", statement="S.", page="data", anchor="D1", functions=("a.b",), tests=("t.py::t",),
    kind="identity", source="book",
)  # fmt: skip
CLAIMS = {
    claim.id: claim
    for claim in (
        ONE,
        replace(ONE, id="D2"),
        replace(ONE, id="G1", page="dynamics", needs=("D1",)),
        replace(ONE, id="G2", page="dynamics", needs=("G1", "D2")),
    )
}


def test_words_and_formulas_take_time_and_code_does_not():
    document = nodes.document(None, None)
    document += nodes.paragraph("", "word " * 1000)
    assert reading_minutes(document) == 5
    document += [nodes.math_block("x", "x") for _ in range(20)]
    assert reading_minutes(document) == 7
    document += nodes.literal_block("", "word " * 1000)
    assert reading_minutes(document) == 7


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.2, "0 s"), (61, "61 s"), (89, "89 s"), (150, "2 min"), (290, "5 min")]
)
def test_running_time(seconds, words):
    assert running_time(seconds) == words


def test_a_result_stands_to_the_right_of_what_it_needs():
    places = arrange(CLAIMS).places
    assert [depth(claim, CLAIMS) for claim in CLAIMS.values()] == [0, 0, 1, 2]
    for claim in CLAIMS.values():
        assert all(places[name][0] < places[claim.id][0] for name in claim.needs)
    assert len(set(places.values())) == len(CLAIMS)


def test_each_chapter_has_a_band_that_holds_its_results():
    layout = arrange(CLAIMS)
    for claim in CLAIMS.values():
        top, height = layout.bands[claim.page]
        assert top < layout.places[claim.id][1] < top + height
    assert sum(height for _, height in layout.bands.values()) == layout.size[1]


def test_the_map_links_every_result_and_has_an_arrow_for_every_need():
    links = {name: f"page.html#{name}" for name in CLAIMS}
    svg = drawn(CLAIMS, links, {"data": "Data & more", "dynamics": "Dynamics"})
    root = ElementTree.fromstring(svg)
    assert {a.get("href") for a in root.iter("a")} == set(links.values())
    assert len(root.findall("path[@class='needs']")) == 3


PAGE = """<h1>T</h1><div class="proof theorem admonition" id="D1"><p>One</p>
<div class="math notranslate nohighlight math-display" id="equation-one"><div>a</div></div></div>
<div class="proof dropdown admonition"><p>Proof</p></div>
<div class="citation" role="listitem" id="oymak"><p>Paper</p></div><div id="other">x</div>"""


def test_theorems_equations_and_references_have_previews():
    found = dict(boxes(PAGE))
    assert list(found) == ["D1", "equation-one", "oymak"]
    assert found["D1"].endswith("<div>a</div></div></div>")
    assert not re.search(r"\\bid=", "".join(found.values()))


def test_a_box_without_an_end_is_an_error():
    with pytest.raises(ValueError, match="expected a div that ends"):
        element_at("<div><div></div>", 0)
