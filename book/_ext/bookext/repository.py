"""Where the book is published: one setting from which every address and every button follows.

The repository is named by the environment's BOOK_REPOSITORY, else GITHUB_REPOSITORY, else by
``repository: url`` in ``_config.yml``. The site's address follows from it, unless BOOK_BASE_URL or
``html: baseurl`` gives another. With neither, the pages link to nothing outside themselves.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlsplit

import yaml

from .edition import ROOT

CONFIG = ROOT / "_config.yml"
BRANCH = "main"
NOTEBOOK_BRANCH = "notebooks"
WHEELS = "wheels"
NOT_IN_SITEMAP = ["404.html", "search.html", "genindex.html", "py-modindex.html"]
WRITTEN = "assignments/"  # pages that the build writes
_REPOSITORY = re.compile(r"(?:https://github\.com/)?([\w-]+/[\w.-]+?)(?:\.git)?/?")


@dataclass(frozen=True, kw_only=True)
class Publication:
    """A repository on GitHub, as owner/name, and the address of the site; both may be empty."""

    repository: str = ""
    base_url: str = ""  # ends with a slash unless it is empty

    @classmethod
    def from_settings(
        cls, repository: str, base_url: str, environ: Mapping[str, str] = os.environ
    ) -> Publication:
        """Choose between what `_config.yml` says and what the environment says.

        Raises:
            ValueError: the repository is not one on GitHub, or the address is none of the web.
        """
        chosen = environ.get("BOOK_REPOSITORY") or environ.get("GITHUB_REPOSITORY") or repository
        found = _REPOSITORY.fullmatch(chosen.strip())
        if chosen.strip() and found is None:
            raise ValueError(
                f"repository: expected owner/name or https://github.com/owner/name, got {chosen!r}"
            )
        name = found[1] if found else ""
        address = environ.get("BOOK_BASE_URL") or base_url or _pages_url(name)
        if address and not re.fullmatch(r"https?://[^\s/?#]+(/[^\s?#]*)?", address):
            raise ValueError(f"base URL: expected https://host/folder/, got {address!r}")
        return cls(repository=name, base_url=address and address.rstrip("/") + "/")

    @classmethod
    def from_environment(
        cls, config: Path = CONFIG, environ: Mapping[str, str] = os.environ
    ) -> Publication:
        """Read `_config.yml` and the environment, as a build does."""
        settings = yaml.safe_load(config.read_text("utf-8"))
        repository = settings.get("repository", {}).get("url") or ""
        base_url = settings.get("html", {}).get("baseurl") or ""
        return cls.from_settings(repository, base_url, environ)

    @property
    def addresses(self) -> str:
        """All that the setting says, in one line."""
        return f"{self.repository} {self.base_url}"

    @property
    def source_url(self) -> str:
        """The repository's address, or nothing."""
        return f"https://github.com/{self.repository}" if self.repository else ""

    @property
    def path(self) -> str:
        """The site's path on its host; / where the site has no address."""
        return urlsplit(self.base_url).path or "/"

    def page_url(self, page: str) -> str:
        """Return the address of a page of the site, or nothing."""
        return f"{self.base_url}{page}.html" if self.base_url else ""

    def colab_url(self, page: str, edition: str) -> str:
        """Return the address that opens a page's notebook in Colab, or nothing."""
        if not self.repository:
            return ""
        path = f"{self.repository}/blob/{NOTEBOOK_BRANCH}/{edition}/{page}.ipynb"
        return f"https://colab.research.google.com/github/{quote(path)}"

    def wheel_url(self, wheel: str) -> str:
        """Return the address of a wheel: on the branch of notebooks, else on the site, or nothing.

        Nothing is ever removed from that branch, so old notebooks find their wheel.
        """
        if self.repository:
            path = f"{self.repository}/{NOTEBOOK_BRANCH}/{WHEELS}/{wheel}"
            return f"https://raw.githubusercontent.com/{quote(path)}"
        return f"{self.base_url}notebooks/{WHEELS}/{quote(wheel)}" if self.base_url else ""


def _pages_url(repository: str) -> str:
    """Return the address that GitHub Pages gives a repository's site."""
    if not repository:
        return ""
    owner, name = repository.split("/")
    host = f"{owner.lower()}.github.io"
    return f"https://{host}/" if name.lower() == host else f"https://{host}/{name}/"


def publish(app, config) -> None:
    """Give the theme and Sphinx the addresses; take buttons away that would lead nowhere."""
    theme = config.html_theme_options
    publication = Publication.from_settings(
        theme.get("repository_url") or "", config.html_baseurl or ""
    )
    app.bookext_publication = publication
    config.html_baseurl = publication.base_url
    config.notfound_urls_prefix = publication.path
    theme["repository_url"] = publication.source_url
    theme["repository_branch"] = BRANCH
    theme["path_to_docs"] = Path(app.srcdir).name
    for button in ("repository", "edit_page", "issues"):
        theme[f"use_{button}_button"] = bool(publication.repository)
    if publication.base_url:
        app.setup_extension("sphinx_sitemap")
        config.sitemap_url_scheme = "{link}"
        config.sitemap_excludes = NOT_IN_SITEMAP


def drop_edit_button(app, pagename, templatename, context, doctree) -> None:
    """Take the edit button from a page that the build wrote: the repository has no such file."""
    if not pagename.startswith(WRITTEN):
        return
    for group in context.get("header_buttons", []):
        if "buttons" in group:
            group["buttons"] = [
                button for button in group["buttons"] if button.get("label") != "source-edit-button"
            ]


def setup(app) -> dict[str, bool]:
    """Load what the addresses are for."""
    app.setup_extension("notfound.extension")
    app.config.notfound_context = {
        "title": "Page not found",
        "body": "<h1>Page not found</h1>\n<p>No page of this book has the address that you asked "
        "for. The contents and the search lead to all that there is.</p>",
    }
    app.connect("config-inited", publish, priority=1)
    app.connect("html-page-context", drop_edit_button, priority=800)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
