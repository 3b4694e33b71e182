"""The icons that pages show are in the fonts that are published, and the others are not."""

from pathlib import Path
from types import SimpleNamespace

import pydata_sphinx_theme
import pytest
from fontTools.ttLib import TTFont

from bookext import icons

THEME = Path(pydata_sphinx_theme.__file__).parent / "theme" / "pydata_sphinx_theme" / "static"
SUN, MOON, BARS, ARROW = 0xF185, 0xF186, 0xF0C9, 0xF107


@pytest.fixture
def site(tmp_path):
    """A site of the theme's own style sheet and fonts, with one page that shows two icons."""
    for path in [
        THEME / icons.STYLE.relative_to("_static"),
        *THEME.glob("vendor/fontawesome/webfonts/*"),
    ]:
        copy = tmp_path / "_static" / path.relative_to(THEME)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(path.read_bytes())
    (tmp_path / "index.html").write_text(
        '<i class="fa-solid fa-sun"></i><i class="fas fa-navicon">'
    )
    (tmp_path / "_static" / "book.css").write_text('summary:after { content: "\\f107"; }')
    return tmp_path


def app(site):
    return SimpleNamespace(outdir=str(site), builder=SimpleNamespace(name="html"))


def test_fonts_hold_what_pages_and_styles_name(site):
    icons.cut_icons(app(site), None)
    (solid,) = (site / icons.FONTS).glob("fa-solid-900.*")
    held = set(TTFont(solid).getBestCmap())
    assert {SUN, BARS, ARROW} <= held
    assert MOON not in held
    assert solid.stat().st_size < 10_000


def test_the_style_names_the_fonts_that_are_there_and_the_icons_of_the_page(site):
    icons.cut_icons(app(site), None)
    style = (site / icons.STYLE).read_text()
    assert ".fa-sun:before" in style
    assert ".fa-navicon:before" in style
    assert ".fa-moon:before" not in style
    for path in (site / icons.FONTS).iterdir():
        assert f"webfonts/{path.name}) format(" in style
    assert ".woff2" not in style
    assert ".ttf" not in style


def test_a_build_that_failed_is_left_alone(site):
    before = (site / icons.STYLE).read_bytes()
    icons.cut_icons(app(site), ValueError("a page failed"))
    assert (site / icons.STYLE).read_bytes() == before
