"""Figures that code cells draw are set into the page as SVG that reads on light and on dark.

The picture's black becomes the colour of the text and its white the colour of the page. Every
image of the book, drawn or not, needs a text alternative that says what it shows.
"""

from __future__ import annotations

import re
from itertools import count, pairwise
from pathlib import Path
from xml.etree import ElementTree

from docutils import nodes
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util import logging

logger = logging.getLogger(__name__)

SVG = "http://www.w3.org/2000/svg"
XLINK = "{http://www.w3.org/1999/xlink}"
PAGE_COLOUR = "var(--pst-color-background, transparent)"
# The colours of the palette that are hard to see on a dark page, or on a light one.
FAINT = {"#0072b2": "blue", "#e69f00": "gold", "#56b4e9": "sky"}
_GREY = re.compile(r"#(?:([0-9a-f])\1\1|([0-9a-f]{2})\2\2)$")
_REFERENCE = re.compile(r"url\(#([^)]+)\)")
# Below this share of its size a figure's letters are too small to read; there it scrolls.
LEAST_SHARE = 0.56
_CORNER = re.compile(r"[ML] (\S+) (\S+)")
_STRAIGHT = re.compile(r"M \S+ \S+(\s+L \S+ \S+){2,}\s+z\s*")
_LONG = re.compile(r"-?\d+\.\d{3,}")
_FILE_NAME = re.compile(r"\S*(/\S+|\.(svg|png|jpe?g|gif|webp|pdf))$", re.IGNORECASE)


class SvgImage(nodes.General, nodes.Inline, nodes.Element):
    """An SVG picture whose markup stands in the page; takes the place of an image node."""


def is_alt_text(alt: str | None) -> bool:
    """Say whether a text alternative is one: neither empty nor the name of a file."""
    return bool(alt and alt.strip()) and not _FILE_NAME.match(alt.strip())


def themed_colour(colour: str) -> str:
    """Return the colour for the page: near-black follows the text, white the page."""
    colour = {"black": "#000000", "white": "#ffffff"}.get(colour.lower(), colour.lower())
    if colour in FAINT:
        return f"var(--figure-{FAINT[colour]}, {colour})"
    grey = _GREY.match(colour)
    if grey is None:
        return colour
    level = int((grey[1] or grey[2][0]) + (grey[1] or grey[2][1]), 16)
    if level <= 0x33:
        return "currentColor"
    return PAGE_COLOUR if level == 0xFF else colour


def _themed_style(style: str) -> str:
    declarations = []
    for declaration in filter(str.strip, style.split(";")):
        name, _, value = (part.strip() for part in declaration.partition(":"))
        if name in ("fill", "stroke", "color", "stop-color"):
            value = themed_colour(value)
        declarations.append(f"{name}: {value}")
    return "; ".join(declarations)


def _remove(root: ElementTree.Element, names: set[str]) -> None:
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag.rpartition("}")[2] in names:
                parent.remove(child)


def _clear_backgrounds(root: ElementTree.Element) -> None:
    """Make the first patch of a Matplotlib figure and of each of its axes transparent."""
    for group in root.iter(f"{{{SVG}}}g"):
        if re.match(r"(figure|axes)_\d+$", group.get("id", "")):
            patch = group.find(f"{{{SVG}}}g")
            if patch is not None and patch.get("id", "").startswith("patch_"):
                for path in patch.findall(f"{{{SVG}}}path"):
                    style = re.sub(
                        r"\bfill:\s*(#ffffff|white)\b", "fill: none", path.get("style", "")
                    )
                    path.set("style", style)


def _renumber_ids(root: ElementTree.Element, prefix: str) -> None:
    """Keep only the ids that are referred to, and make them unique on the page."""
    used: list[str] = []
    for element in root.iter():
        for name, value in element.attrib.items():
            used += _REFERENCE.findall(value)
            if name in ("href", f"{XLINK}href") and value.startswith("#"):
                used.append(value[1:])
    renamed = {old: f"{prefix}-{number}" for number, old in enumerate(dict.fromkeys(used))}
    for element in root.iter():
        if "id" in element.attrib:
            old = element.attrib.pop("id")
            if old in renamed:
                element.set("id", renamed[old])
        for name, value in list(element.attrib.items()):
            if name in ("href", f"{XLINK}href"):
                del element.attrib[name]
                element.set("href", f"#{renamed[value[1:]]}" if value[:1] == "#" else value)
            else:
                element.set(name, _REFERENCE.sub(lambda m: f"url(#{renamed[m[1]]})", value))


def _radius(marker: ElementTree.Element | None) -> float | None:
    """Return the radius of a marker that is a disc, as Matplotlib draws it, or None."""
    if marker is None or marker.get("d", "").count("C") != 8:
        return None
    top = re.match(r"M 0 (\S+)\s", marker.get("d"))
    return float(top[1]) if top else None


def _declared(style: str) -> dict[str, str]:
    pairs = (part.partition(":") for part in style.split(";") if part.strip())
    return {name.strip(): value.strip() for name, _, value in pairs}


def _dots(marker: ElementTree.Element, look: dict[str, str]) -> tuple[str, dict[str, str]] | None:
    """Return the path and the look of discs: lines without length and with round ends."""
    radius = _radius(marker)
    if radius is None or look.get("fill", "none") == "none":
        return None
    edge = 0 if look.get("stroke", "none") == "none" else 1
    return "M{0:.2f} {1:.2f}h0", {
        "fill": "none",
        "stroke": look["fill"],
        "stroke-width": f"{2 * radius + edge * float(look.get('stroke-width', 1)):g}",
        "stroke-linecap": "round",
        "stroke-opacity": look.get("fill-opacity", "1"),
    }


def _corners(
    marker: ElementTree.Element, look: dict[str, str]
) -> tuple[str, dict[str, str]] | None:
    """Return the path and the look of markers with straight sides and an inside."""
    if not _STRAIGHT.fullmatch(marker.get("d", "")):
        return None
    corners = [(float(x), float(y)) for x, y in _CORNER.findall(marker.get("d"))]
    steps = (f"{x - a:g} {y - b:g}" for (a, b), (x, y) in pairwise(corners))
    x, y = corners[0]
    ours = _declared(marker.get("style", "")) | look
    return f"M{{0:.2f}} {{1:.2f}}m{x:g} {y:g}l{' '.join(steps)}z", ours


def _merge_clouds(root: ElementTree.Element, least: int = 100) -> None:
    """Draw a cloud of equal markers as one path.

    A cloud of thousands of elements makes a page slow to lay out, and four times as large.
    """
    named = {e.get("id"): e for e in root.iter() if "id" in e.attrib}
    for group in root.iter(f"{{{SVG}}}g"):
        uses = list(group)
        if len(uses) < least or any(use.tag != f"{{{SVG}}}use" for use in uses):
            continue
        kinds = {(use.get(f"{XLINK}href"), use.get("style", "")) for use in uses}
        reference, style = next(iter(kinds))
        marker = named.get((reference or "#")[1:])
        if len(kinds) > 1 or marker is None:
            continue
        declared = _declared(style)
        drawn = _dots(marker, declared) or _corners(marker, declared)
        if drawn is None:
            continue
        one, look = drawn
        points = [one.format(float(use.get("x")), float(use.get("y"))) for use in uses]
        for use in uses:
            group.remove(use)
        written = "; ".join(f"{name}: {value}" for name, value in look.items())
        ElementTree.SubElement(group, f"{{{SVG}}}path", d="".join(points), style=written)


def _rounded(coordinates: str) -> str:
    """Return coordinates with a hundredth of a point, which nobody sees, and single spaces."""
    shorter = _LONG.sub(lambda m: f"{float(m[0]):.2f}".rstrip("0").rstrip("."), coordinates)
    return " ".join(shorter.split())


def _shorten(root: ElementTree.Element) -> None:
    """Write the same picture in fewer bytes: a page is ready when all of them are read."""
    for element in root.iter():
        for name in {"d", "x", "y"} & element.attrib.keys():
            element.set(name, _rounded(element.attrib[name]))
        if element.tag not in (f"{{{SVG}}}text", f"{{{SVG}}}tspan"):
            for child in element:
                child.tail = (child.tail or "").strip()
            element.text = (element.text or "").strip()


def themed_svg(source: str, *, alt: str, prefix: str) -> str:
    """Return an SVG file as markup for the page, with colours of the theme and its own ids."""
    root = ElementTree.fromstring(source)
    _remove(root, {"metadata", "style", "title"})
    _merge_clouds(root)
    _shorten(root)
    _clear_backgrounds(root)
    for element in root.iter():
        if "style" in element.attrib:
            element.set("style", _themed_style(element.attrib["style"]))
        for name in ("fill", "stroke"):
            if name in element.attrib:
                element.set(name, themed_colour(element.attrib[name]))
    _renumber_ids(root, prefix)
    # Matplotlib says these in a style element, which would reach every SVG of the page.
    for name, value in {
        "role": "img",
        "aria-label": " ".join(alt.split()),
        "class": "themed",
        "fill": root.get("fill", "currentColor"),
        "stroke-linejoin": "round",
        "stroke-linecap": "butt",
    }.items():
        root.set(name, value)
    if root.get("width", "").endswith("pt"):
        root.set("style", f"min-width: {LEAST_SHARE * float(root.get('width')[:-2]):.0f}pt")
    ElementTree.register_namespace("", SVG)
    return ElementTree.tostring(root, encoding="unicode")


def _nearest_with_line(node: nodes.Node) -> nodes.Node:
    """Return the node or the nearest around it that knows its line in the source."""
    while not node.line and node.parent is not None:
        node = node.parent
    return node


class InlineFigures(SphinxPostTransform):
    """Check every image's text alternative; inline the SVG files that cells drew."""

    default_priority = 8  # before images are collected for copying

    def run(self, **kwargs: object) -> None:
        """Visit the images of one page."""
        inline = self.app.builder.format == "html"
        numbers = count(1)
        for image in list(self.document.findall(nodes.image)):
            alt = image.get("alt")
            if not is_alt_text(alt):
                logger.warning(
                    "image %s: expected a text alternative that says what it shows, got %r "
                    "(code cell: mystnb, image, alt)",
                    Path(image["uri"]).name,
                    alt,
                    location=_nearest_with_line(image),
                    type="book",
                    subtype="alt",
                )
            path = Path(self.env.srcdir, image["uri"])
            if inline and path.suffix == ".svg" and "jupyter_execute" in path.parts:
                markup = themed_svg(
                    path.read_text("utf-8"), alt=alt or "", prefix=f"picture{next(numbers)}"
                )
                picture = SvgImage("", markup=markup, classes=image["classes"])
                picture["ids"] = image["ids"]
                image.replace_self(picture)


def visit_svg(translator, node: SvgImage) -> None:
    """Write the picture."""
    translator.body.append(translator.starttag(node, "span", "", CLASS="picture"))
    translator.body.append(node["markup"] + "</span>")
    raise nodes.SkipNode


def setup(app) -> dict[str, bool]:
    """Register the transform and the node."""
    app.add_node(SvgImage, html=(visit_svg, None))
    app.add_post_transform(InlineFigures)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
