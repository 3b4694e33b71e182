import re

import pytest

from bookext.figures import PAGE_COLOUR, is_alt_text, themed_colour, themed_svg

DRAWN = """<?xml version="1.0"?>
<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"
 viewBox="0 0 9 9">
 <metadata>made by a machine</metadata>
 <defs><style type="text/css">*{stroke-linejoin: round}</style></defs>
 <g id="figure_1">
  <g id="patch_1"><path d="M0 0" style="fill: #ffffff"/></g>
  <g id="axes_1">
   <g id="patch_2"><path d="M0 0" style="fill: #ffffff"/></g>
   <g id="line_1"><path d="M0 0" clip-path="url(#p1)" style="fill: none; stroke: #000000"/></g>
   <g id="legend"><path d="M0 0" style="fill: #ffffff; stroke: #0072b2"/></g>
   <use xlink:href="#m1" x="3"/>
  </g>
 </g>
 <defs><clipPath id="p1"/><path id="m1"/></defs>
</svg>"""


def test_black_follows_the_text_and_white_the_page():
    svg = themed_svg(DRAWN, alt="A line", prefix="a")
    assert "stroke: currentColor" in svg
    assert "#000000" not in svg
    assert svg.count(PAGE_COLOUR) == 1  # the legend; backgrounds are transparent
    assert "#ffffff" not in svg
    assert "#0072b2" in svg


def test_text_without_a_colour_follows_the_page():
    assert 'fill="currentColor"' in themed_svg(DRAWN, alt="A line", prefix="a").split(">")[0]


def test_nothing_in_a_picture_reaches_the_rest_of_the_page():
    svg = themed_svg(DRAWN, alt="A line", prefix="a")
    assert "<style" not in svg
    assert "<metadata" not in svg


def test_ids_are_unique_on_the_page_and_still_meet():
    first, second = (themed_svg(DRAWN, alt="A line", prefix=prefix) for prefix in "ab")
    ids = [set(re.findall(r'\bid="([^"]+)"', svg)) for svg in (first, second)]
    assert len(ids[0]) == 2
    assert not ids[0] & ids[1]
    assert set(re.findall(r'url\(#([^)]+)\)|href="#([^"]+)"', first)) == {("a-0", ""), ("", "a-1")}


def test_a_picture_has_a_role_and_a_name():
    head = themed_svg(DRAWN, alt='A "line" & more', prefix="a").split(">")[0]
    assert 'role="img"' in head
    assert 'aria-label="A &quot;line&quot; &amp; more"' in head


@pytest.mark.parametrize(
    ("colour", "themed"),
    [
        ("#000", "currentColor"),
        ("black", "currentColor"),
        ("#262626", "currentColor"),
        ("#808080", "#808080"),
        ("#fff", PAGE_COLOUR),
        ("#0072B2", "var(--figure-blue, #0072b2)"),
        ("#e69f00", "var(--figure-gold, #e69f00)"),
        ("#d55e00", "#d55e00"),
        ("none", "none"),
        ("url(#p1)", "url(#p1)"),
    ],
)
def test_colours(colour, themed):
    assert themed_colour(colour) == themed


@pytest.mark.parametrize("alt", [None, "", "  ", "x.svg", "../_images/a.png", "/tmp/a", "a/b/c"])
def test_no_text_alternative(alt):
    assert not is_alt_text(alt)


@pytest.mark.parametrize("alt", ["A line that rises", "Error and/or loss against n"])
def test_text_alternative(alt):
    assert is_alt_text(alt)


DISC = "M 0 2 " + "C 1 1 1 1 1 1 " * 8 + "z"


def cloud(count, marker=DISC, style="fill: #d55e00; fill-opacity: 0.5"):
    uses = "".join(
        f'<use xlink:href="#m" x="{i}" y="1.234" style="{style}"/>' for i in range(count)
    )
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink">'
        f'<defs><path id="m" d="{marker}"/></defs><g clip-path="url(#c)">{uses}</g>'
        '<clipPath id="c"/></svg>'
    )


def test_a_cloud_of_dots_is_one_path():
    svg = themed_svg(cloud(150), alt="A cloud", prefix="a")
    assert "<use" not in svg
    assert svg.count("h0") == 150
    assert "M149.00 1.23h0" in svg
    assert "stroke: #d55e00; stroke-width: 4; stroke-linecap: round; stroke-opacity: 0.5" in svg


def test_a_cloud_of_triangles_is_one_path():
    triangle = "M 0 -1.5 \nL -1.5 1.5 \nL 2.5 1.5 \nz\n"
    svg = themed_svg(cloud(150, marker=triangle), alt="A cloud", prefix="a")
    assert "<use" not in svg
    assert svg.count("z") == 150 + 1  # and the marker's own
    assert "M149.00 1.23m0 -1.5l-1.5 3 4 0z" in svg
    assert 'z" style="fill: #d55e00; fill-opacity: 0.5"' in svg


@pytest.mark.parametrize(
    "drawn",
    [
        cloud(50),
        cloud(150, marker="M -2 -2 L 2 2 z"),
        cloud(150, marker="M -2 -2 L 2 2 L 3 3"),
        cloud(150, marker="M -2 -2 C 1 1 1 1 1 1 L 3 3 z"),
        cloud(150, style="fill: none"),
        cloud(150).replace("fill-opacity: 0.5", "fill-opacity: 0.4", 1),
    ],
    ids=["few", "two corners", "not closed", "curved", "open", "not all alike"],
)
def test_other_marks_stay(drawn):
    svg = themed_svg(drawn, alt="A cloud", prefix="a")
    assert svg.count("<use") == drawn.count("<use")


def test_coordinates_are_as_long_as_one_sees_and_texts_stay():
    svg = themed_svg(
        """<svg xmlns="http://www.w3.org/2000/svg">
        <g>
          <path d="M 1.234567 -0.000001 \nL 20.5 3.999999"/>
          <text x="7.006" style="font-size: 0.1234px"> n = 1.23456 <tspan>d</tspan> </text>
        </g></svg>""",
        alt="A line",
        prefix="a",
    )
    assert 'd="M 1.23 -0 L 20.5 4"' in svg
    assert 'x="7.01"' in svg
    assert "> n = 1.23456 <tspan>d</tspan> </text></g></svg>" in svg
    assert "0.1234px" in svg


def test_a_figure_is_not_shrunk_until_nobody_can_read_it():
    svg = '<svg xmlns="http://www.w3.org/2000/svg" width="684pt" height="100pt"/>'
    assert "min-width: 383pt" in themed_svg(svg, alt="A line", prefix="a")
