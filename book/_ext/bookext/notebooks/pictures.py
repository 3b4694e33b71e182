"""Pictures as they stand in a notebook: embedded, and in a format that every reader shows."""

import base64
import re
from pathlib import Path

import matplotlib
import resvg_py

WIDTH = 1200
FONTS = Path(matplotlib.get_data_path(), "fonts", "ttf")
STYLE = Path(__file__).parents[3] / "_static" / "book.css"
# The theme's colours on a light page; those of the book stand in its style sheet.
THEME = {
    "--pst-color-background": "#ffffff",
    "--pst-color-border": "#c9c9c9",
    "--pst-color-text-base": "#222832",
    "--pst-color-text-muted": "#48566b",
    "--pst-font-family-base": "DejaVu Sans",
}
_STAGE_RULE = re.compile(r"^\.explorable-stage svg ([^{]+)(\{[^}]*\})", re.MULTILINE)
_DEFINED = re.compile(r"(--book-[\w-]+):\s*([^;}]+)")
_VARIABLE = re.compile(r"var\((--[\w-]+)(?:,\s*([^()]+))?\)")
_TYPES = {".png": "png", ".jpg": "jpeg", ".jpeg": "jpeg", ".gif": "gif"}


def _light(text: str) -> str:
    """Return CSS or SVG with the colours of a light page in place of variables."""
    # The first definition of a colour is that of the light page.
    colours = dict(reversed(_DEFINED.findall(STYLE.read_text("utf-8")))) | THEME
    text = _VARIABLE.sub(lambda found: colours.get(found[1]) or found[2] or "#000000", text)
    return text.replace("currentColor", "#000000")


def embedded_svg(svg: str) -> str:
    """Return the address that holds an SVG picture as PNG, on white, styled as on the page."""
    rules = "\n".join(map("".join, _STAGE_RULE.findall(STYLE.read_text("utf-8"))))
    png = resvg_py.svg_to_bytes(
        svg_string=_light(svg),
        style_sheet=_light(rules),
        width=WIDTH,
        background="#ffffff",
        font_dirs=[str(FONTS)],
        skip_system_fonts=True,
        sans_serif_family="DejaVu Sans",
    )
    return _address("png", bytes(png))


def embedded_file(path: Path) -> str:
    """Return the address that holds a picture file."""
    if path.suffix == ".svg":
        return embedded_svg(path.read_text("utf-8"))
    if path.suffix.lower() not in _TYPES:
        known = ", ".join(sorted([*_TYPES, ".svg"]))
        raise ValueError(f"picture {path.name}: expected one of {known}")
    return _address(_TYPES[path.suffix.lower()], path.read_bytes())


def _address(kind: str, content: bytes) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"
