"""How to cite the book: one entry, which follows from CITATION.cff, the settings and the version.

The page of citations shows it with the address of the site that it is on. In the repository,
CITATION.cff and README.md cannot follow the environment; `python -m bookext.citation`, which
`make citation` calls, writes into them the addresses that follow from `_config.yml`.
"""

from __future__ import annotations

import re
from pathlib import Path

import yaml
from docutils import nodes
from sphinx.util.docutils import SphinxDirective

from .edition import ROOT
from .repository import Publication
from .wheel import base_version

KEY = "promptattentionbook"
_ADDRESSES = re.compile(r"^(?:url|repository-code): .*\n", re.MULTILINE)
_AFTER = re.compile(r"^type: .*\n", re.MULTILINE)
_ENTRY = re.compile(rf"(?<=^```bibtex\n)@misc\{{{KEY},$.*?^\}}$", re.MULTILINE | re.DOTALL)


def entry(publication: Publication, version: str = "", root: Path = ROOT) -> str:
    """Return the BibTeX entry of the book as published; without a version if none is given."""
    citation = yaml.safe_load((root / "CITATION.cff").read_text("utf-8"))
    settings = yaml.safe_load((root / "_config.yml").read_text("utf-8"))
    fields = {
        "author": "{" + " and ".join(author["name"] for author in citation["authors"]) + "}",
        "title": citation["title"],
        "year": settings["copyright"],
        "version": version,
        "url": publication.base_url or publication.source_url,
    }
    lines = [f"  {name:7} = {{{value}}}," for name, value in fields.items() if value]
    return "\n".join([f"@misc{{{KEY},", *lines, "}"])


def with_addresses(citation: str, publication: Publication) -> str:
    """Return the text of CITATION.cff with these addresses and no others."""
    known = {"url": publication.base_url, "repository-code": publication.source_url}
    lines = "".join(f"{name}: {address}\n" for name, address in known.items() if address)
    return _AFTER.sub(lambda line: line[0] + lines, _ADDRESSES.sub("", citation), count=1)


def with_entry(readme: str, publication: Publication, root: Path = ROOT) -> str:
    """Return the text of README.md with the entry for these addresses.

    Raises:
        ValueError: the text has no such entry, or several.
    """
    replaced, count = _ENTRY.subn(lambda _: entry(publication, root=root), readme)
    if count != 1:
        raise ValueError(f"README.md: expected one BibTeX entry {KEY}, got {count}")
    return replaced


def written(root: Path = ROOT) -> dict[Path, str]:
    """Return what CITATION.cff and README.md should hold, from `_config.yml` alone."""
    publication = Publication.from_environment(root / "_config.yml", {})
    citation, readme = root / "CITATION.cff", root / "README.md"
    return {
        citation: with_addresses(citation.read_text("utf-8"), publication),
        readme: with_entry(readme.read_text("utf-8"), publication, root),
    }


class BookCitation(SphinxDirective):
    """The book's entry, with the address of the site that is being built and its version."""

    def run(self) -> list[nodes.Node]:
        """Return the entry as a block of BibTeX."""
        text = entry(self.env.app.bookext_publication, base_version())
        return [nodes.literal_block(text, text, language="bibtex")]


def setup(app) -> dict[str, bool]:
    """Add the directive."""
    app.add_directive("book-citation", BookCitation)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


if __name__ == "__main__":
    for path, text in written().items():
        path.write_text(text, "utf-8")
