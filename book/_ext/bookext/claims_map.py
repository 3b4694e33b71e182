"""The directive ``claims-map``: which result needs which, drawn from the registry.

Time runs from left to right: a result stands to the right of all that it needs. Each chapter has a
band of its own. Every result is a link; in words, the ledger's tables say the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from html import escape

from docutils import nodes
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util.docutils import SphinxDirective

from .claims import registry_path, uri_of
from .registry import Claim

COLUMN, ROW, GAP, LEFT, BOX = 104, 34, 16, 118, (54, 24)


class ClaimsMap(nodes.General, nodes.Element):
    """The map, until all pages are read."""


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Where the results stand: the centre of each box, the bands of the pages, the whole size."""

    places: dict[str, tuple[float, float]]
    bands: dict[str, tuple[float, float]]  # page -> (top, height)
    size: tuple[float, float]


def depth(claim: Claim, claims: dict[str, Claim]) -> int:
    """Return the length of the longest way from a claim back to one that needs nothing."""
    return max((1 + depth(claims[name], claims) for name in claim.needs), default=0)


def arrange(claims: dict[str, Claim]) -> Layout:
    """Place each claim in the band of its page and in the column of its depth."""
    places, bands, top = {}, {}, 0.0
    columns = 0
    for page in dict.fromkeys(claim.page for claim in claims.values()):
        filled: dict[int, int] = {}
        for claim in claims.values():
            if claim.page == page:
                column = depth(claim, claims)
                row = filled.setdefault(column, 0)
                filled[column] += 1
                y = top + GAP / 2 + ROW * (row + 0.5)
                places[claim.id] = (LEFT + COLUMN * column + BOX[0] / 2, y)
        height = ROW * max(filled.values()) + GAP
        bands[page] = (top, height)
        top += height
        columns = max(columns, *filled)
    return Layout(places=places, bands=bands, size=(LEFT + COLUMN * columns + BOX[0] + 12, top))


def _arrow(start: tuple[float, float], end: tuple[float, float]) -> str:
    (x, y), (u, v) = (start[0] + BOX[0] / 2, start[1]), (end[0] - BOX[0] / 2 - 5, end[1])
    bend = max(18.0, (u - x) / 2)
    return (
        f'<path class="needs" d="M{x:g} {y:g}C{x + bend:g} {y:g} {u - bend:g} {v:g} {u:g} {v:g}" '
        'marker-end="url(#claims-map-arrow)"/>'
    )


def drawn(claims: dict[str, Claim], links: dict[str, str], titles: dict[str, str]) -> str:
    """Return the map as SVG; `links` leads from an ID to its place, `titles` from a page to its."""
    layout = arrange(claims)
    width, height = layout.size
    parts = [
        f'<svg class="claims-map" role="group" aria-label="Map: which result needs which" '
        f'viewBox="0 0 {width:g} {height:g}" width="{width:g}" height="{height:g}"><defs>'
        '<marker id="claims-map-arrow" viewBox="0 0 8 8" refX="4" refY="4" markerWidth="6" '
        'markerHeight="6" orient="auto"><path d="M0 0L8 4L0 8z"/></marker></defs>'
    ]
    for number, (page, (top, tall)) in enumerate(layout.bands.items()):
        shade = "odd" if number % 2 else "even"
        parts.append(
            f'<rect class="band {shade}" y="{top:g}" width="{width:g}" height="{tall:g}"/>'
        )
        parts.append(f'<text x="8" y="{top + tall / 2 + 4:g}">{escape(titles[page])}</text>')
    for claim in claims.values():
        parts += [_arrow(layout.places[name], layout.places[claim.id]) for name in claim.needs]
    for claim in claims.values():
        x, y = layout.places[claim.id]
        parts.append(
            f'<a href="{escape(links[claim.id])}"><rect x="{x - BOX[0] / 2:g}" '
            f'y="{y - BOX[1] / 2:g}" width="{BOX[0]}" height="{BOX[1]}" rx="5"/>'
            f'<text x="{x:g}" y="{y + 4.5:g}" text-anchor="middle">{claim.id}</text></a>'
        )
    return "".join(parts) + "</svg>"


class ClaimsMapDirective(SphinxDirective):
    """``{claims-map}``: the map of all claims."""

    def run(self) -> list[nodes.Node]:
        """Leave the place to the transform."""
        self.env.note_dependency(str(registry_path(self.env.app)))
        return [ClaimsMap()]


class DrawMap(SphinxPostTransform):
    """Draw the map where it belongs."""

    default_priority = 6
    formats = ("html",)

    def run(self, **kwargs: object) -> None:
        """Visit the maps of one page."""
        claims = self.app.bookext_claims
        for node in list(self.document.findall(ClaimsMap)):
            links = {
                claim.id: uri_of(self.app, self.env.docname, claim) for claim in claims.values()
            }
            pages = {claim.page for claim in claims.values()}
            titles = {page: self.env.titles[page].astext().partition(":")[0] for page in pages}
            markup = drawn(claims, links, titles)
            scroll = f'<div class="table-scroll" tabindex="0">{markup}</div>'
            node.replace_self(nodes.raw("", scroll, format="html"))


def setup(app) -> dict[str, bool]:
    """Register the directive and the transform."""
    app.add_node(ClaimsMap)
    app.add_directive("claims-map", ClaimsMapDirective)
    app.add_post_transform(DrawMap)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
