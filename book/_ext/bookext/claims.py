"""The ledger of claims in the pages: the directive ``claims-ledger`` and the role ``claim``."""

from __future__ import annotations

import re
from pathlib import Path

from docutils import nodes
from sphinx import addnodes
from sphinx.errors import ExtensionError
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective, SphinxRole

from .registry import Claim, RegistryError, load_claims

logger = logging.getLogger(__name__)

KIND_WORDS = {
    "identity": "Exact identity",
    "monte-carlo": "Monte Carlo",
    "limit": "Limit",
    "empirical": "Empirical",
}
SOURCE_WORDS = {"paper": "the paper", "book": "this book"}


class ClaimReference(nodes.Inline, nodes.TextElement):
    """A link to the place of a claim, until all pages are read."""


def registry_path(app) -> Path:
    """Return the path of the registry, next to the pages."""
    return Path(app.srcdir, "claims.yml")


def read_registry(app) -> None:
    """Read the registry once for each build."""
    path = registry_path(app)
    try:
        claims = load_claims(path) if path.is_file() else ()
    except RegistryError as error:
        raise ExtensionError(str(error)) from error
    app.bookext_claims = {claim.id: claim for claim in claims}


class ClaimRole(SphinxRole):
    """``{claim}`D1```: the words "D1", linked to the box that states it."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        """Make the link, or warn of an ID that the registry lacks."""
        self.env.note_dependency(str(registry_path(self.env.app)))
        claim = self.env.app.bookext_claims.get(self.text)
        if claim is None:
            logger.warning(
                "claim %r: expected an ID that claims.yml has",
                self.text,
                location=self.get_location(),
                type="book",
                subtype="claim",
            )
            return [nodes.Text(self.text)], []
        return [ClaimReference(self.rawtext, claim.id, claim=claim.id)], []


class ClaimsLedger(SphinxDirective):
    """``{claims-ledger}``: one table for each page that makes claims."""

    def run(self) -> list[nodes.Node]:
        """Build the tables from the registry."""
        self.env.note_dependency(str(registry_path(self.env.app)))
        made: list[nodes.Node] = []
        claims = self.env.app.bookext_claims.values()
        for page in dict.fromkeys(claim.page for claim in claims):
            of_page = [claim for claim in claims if claim.page == page]
            made += [nodes.rubric("", "", *self._inline(f"{{doc}}`{page}`")), self._table(of_page)]
        return made

    def _table(self, claims: list[Claim]) -> nodes.table:
        group = nodes.tgroup(cols=2)
        group += [nodes.colspec(colwidth=50), nodes.colspec(colwidth=50)]
        titles = ("Claim", "Computed and checked by")
        group += nodes.thead("", _row([[nodes.paragraph("", title)] for title in titles]))
        group += nodes.tbody("", *(_row(self._cells(claim)) for claim in claims))
        return nodes.table("", group, classes=["claims-ledger", "colwidths-given"])

    def _cells(self, claim: Claim) -> list[list[nodes.Node]]:
        link = nodes.strong("", "", ClaimReference("", claim.id, claim=claim.id))
        statement = nodes.paragraph("", "", link, nodes.Text(". "), *self._inline(claim.statement))
        source = SOURCE_WORDS.get(claim.source) or f"{{cite:t}}`{claim.source}`"
        kind = self._inline(f"{KIND_WORDS[claim.kind]}; stated by {source}.")
        says = [statement, nodes.paragraph("", "", *kind, classes=["claims-kind"])]
        if claim.needs:
            says.append(nodes.paragraph("", "Needs ", *_links(claim.needs), nodes.Text(".")))
        checks = [_function(path, self.env.docname) for path in claim.functions]
        checks += [_test(test) for test in claim.tests]
        if claim.twin is not None:
            words = [nodes.emphasis("", "Twin: "), *self._inline(claim.twin.statement)]
            says.append(nodes.paragraph("", "", *words))
            checks.append(
                nodes.inline("", "", nodes.emphasis("", "Twin: "), _test(claim.twin.test))
            )
        return [says, [_items(checks)]]

    def _inline(self, text: str) -> list[nodes.Node]:
        return self.state.inline_text(text, self.lineno)[0]


def _links(names: tuple[str, ...]) -> list[nodes.Node]:
    """Return references to claims, with commas between them."""
    made: list[nodes.Node] = []
    for name in names:
        made += [nodes.Text(", "), ClaimReference("", name, claim=name)]
    return made[1:]


def _row(cells: list[list[nodes.Node]]) -> nodes.row:
    return nodes.row("", *(nodes.entry("", *content) for content in cells))


def _items(content: list[nodes.Node]) -> nodes.bullet_list:
    return nodes.bullet_list(
        "", *(nodes.list_item("", nodes.paragraph("", "", item)) for item in content)
    )


def _function(path: str, docname: str) -> nodes.Node:
    words = _breakable(path.partition(".")[2])
    return addnodes.pending_xref(
        "", words, refdomain="py", reftype="obj", reftarget=path, refexplicit=True, refdoc=docname
    )


def _test(node_id: str) -> nodes.Node:
    return _breakable(node_id.rpartition("/")[2])


def _breakable(name: str) -> nodes.literal:
    """Return a name in which a line may break where its parts meet."""
    literal = nodes.literal()
    for part in re.split(r"(?<=[._:])(?=[A-Za-z])", name):
        literal += [nodes.Text(part), nodes.raw("", "<wbr/>", format="html")]
    return literal


def _anchors(env, page: str) -> dict[str, str]:
    """Return the anchors of a page, by their name in lower case."""
    known = env.app.bookext_anchors
    if page not in known:
        tree = env.get_doctree(page)
        known[page] = {
            name.lower(): name
            for node in tree.findall(nodes.Element)
            for name in reversed(node.get("ids", []))
        }
    return known[page]


def uri_of(app, docname: str, claim: Claim) -> str:
    """Return the address of a claim's box, as seen from a page."""
    anchor = _anchors(app.env, claim.page).get(claim.anchor.lower(), claim.anchor)
    page = "" if claim.page == docname else app.builder.get_relative_uri(docname, claim.page)
    return f"{page}#{anchor}"


class ResolveClaims(SphinxPostTransform):
    """Turn references to claims into links."""

    default_priority = 6

    def run(self, **kwargs: object) -> None:
        """Visit the references of one page."""
        for reference in list(self.document.findall(ClaimReference)):
            claim = self.app.bookext_claims[reference["claim"]]
            if claim.page in self.env.found_docs:
                uri = uri_of(self.app, self.env.docname, claim)
                link = nodes.reference(
                    "", claim.id, internal=True, refuri=uri, reftitle=claim.statement
                )
                reference.replace_self(link)
            else:
                reference.replace_self(nodes.Text(claim.id))


def check_places(app, env) -> None:
    """Warn of claims whose page or anchor the book lacks."""
    app.bookext_anchors = {}
    for claim in app.bookext_claims.values():
        if claim.page not in env.found_docs:
            problem = f"expected a page, got {claim.page!r}"
        elif claim.anchor.lower() not in _anchors(env, claim.page):
            problem = f"expected an anchor on the page {claim.page}, got {claim.anchor!r}"
        else:
            continue
        logger.warning("claims.yml: claim %s: %s", claim.id, problem, type="book", subtype="claim")


def setup(app) -> dict[str, bool]:
    """Register the role, the directive and the checks."""
    app.add_node(ClaimReference)
    app.add_role("claim", ClaimRole())
    app.add_directive("claims-ledger", ClaimsLedger)
    app.add_post_transform(ResolveClaims)
    app.connect("builder-inited", read_registry)
    app.connect("env-check-consistency", check_places)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
