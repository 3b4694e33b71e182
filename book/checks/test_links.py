"""Every link and every button of the built site leads somewhere.

Inside the site by existence, outside it by form: a build needs no network.
"""

import re
from functools import cache
from pathlib import Path
from urllib.parse import unquote, urljoin, urlsplit
from xml.etree import ElementTree

import nbformat
import pytest
from bs4 import BeautifulSoup

from bookext.edition import edition
from bookext.repository import Publication
from bookext.wheel import base_version, library_version, wheel_name

SITE = Path(__file__).parents[2] / "_build" / "html"
# The theme's own templates are no pages.
PAGES = sorted(
    path.relative_to(SITE).as_posix()
    for path in SITE.rglob("*.html")
    if "_static" not in path.parts
)
NOTEBOOKS = sorted((SITE / "notebooks").rglob("*.ipynb"))
PUBLICATION = Publication.from_environment()
EDITION = edition(base_version(), PUBLICATION.addresses)
HERE = "https://site.invalid" + PUBLICATION.path
# What a button of the theme may do instead of leading somewhere.
_ACTIONS = ("onclick", "data-bs-toggle", "form", "commandfor")
_ACTIVE_CLASSES = {"search-button", "search-button-field", "search-button__button"}
_ACTIVE_CLASSES |= {"theme-switch-button", "pst-navbar-icon", "sidebar-toggle", "btn-close"}
_ACTIVE_CLASSES |= {"primary-toggle", "secondary-toggle", "explorable-reset"}
_ACTIVE_IDS = {"pst-back-to-top"}


def test_the_site_was_built():
    assert "index.html" in PAGES, "run `make book` first"
    assert len(NOTEBOOKS) > 3


@cache
def soup(page):
    return BeautifulSoup((SITE / page).read_text("utf-8"), "html.parser")


@cache
def names(page):
    """Return the anchors of a page."""
    return {tag[key] for tag in soup(page).find_all(True) for key in ("id", "name") if tag.get(key)}


def addresses(page):
    """Yield every address that a page names, as absolute ones; the site's own start with HERE."""
    base = HERE if page == "404.html" else urljoin(HERE, page)
    for tag in soup(page).find_all(True):
        for key in ("href", "src", "data-canonical", "action"):
            if tag.get(key) is not None:
                yield tag, urljoin(base, tag[key]), tag[key]


def problem_with(address, written):
    """Say what is wrong with an address, or nothing."""
    if written.startswith(("data:", "mailto:", "javascript:")):
        return "" if written.startswith(("data:image/", "mailto:")) else "runs a script"
    if address.startswith(HERE):
        path, fragment = unquote(urlsplit(address[len(HERE) :]).path), urlsplit(address).fragment
        path = path + "index.html" if not path or path.endswith("/") else path
        if not (SITE / path).is_file():
            return "leads to no file"
        if fragment and path.endswith(".html") and unquote(fragment) not in names(path):
            return "leads to no place on its page"
        return ""
    return problem_outside(address)


def problem_outside(address):
    """Say what is wrong with the form of an address outside the site, or nothing."""
    parts = urlsplit(address)
    if parts.scheme != "https" or not re.fullmatch(r"([\w-]+\.)+[a-z]{2,}", parts.netloc):
        return "has no form of an address"
    if re.search(r"\s|OWNER|None|undefined|//", parts.path):
        return "holds a place that was not filled"
    if PUBLICATION.base_url and address.startswith(PUBLICATION.base_url):
        return problem_with(HERE + address.removeprefix(PUBLICATION.base_url), "")
    if parts.netloc in ("colab.research.google.com", "raw.githubusercontent.com"):
        return problem_published(address)
    if parts.netloc == "github.com" and PUBLICATION.source_url:
        own = address.removeprefix(PUBLICATION.source_url)
        if own != address and not re.fullmatch(
            r"|/edit/main/book/[\w/-]+\.md|/issues/new\?.*", own
        ):
            return "is none of the repository's pages"
        if found := re.fullmatch(r"/edit/main/(.*)", own):
            return "" if has_source(found[1]) else "edits no file"
    return ""


def has_source(path):
    """Say whether the repository has a file; pages of assignments are written by the build."""
    return (SITE.parents[1] / path).is_file() and not path.startswith("book/assignments/")


def problem_published(address):
    """Say whether what the branch of notebooks holds is what this build made."""
    for notebook in NOTEBOOKS:
        page = notebook.relative_to(SITE / "notebooks").with_suffix("").as_posix()
        if address == PUBLICATION.colab_url(page, EDITION):
            return ""
    wheels = [PUBLICATION.wheel_url(path.name) for path in (SITE / "notebooks").rglob("*.whl")]
    return "" if address in wheels else "is nothing that this build publishes"


@pytest.mark.parametrize("page", PAGES)
def test_every_link_of_a_page_leads_somewhere(page):
    found = {written: problem_with(address, written) for _, address, written in addresses(page)}
    assert {written: problem for written, problem in found.items() if problem} == {}
    assert len(found) > 5


@pytest.mark.parametrize("page", PAGES)
def test_every_button_does_something(page):
    for button in soup(page).find_all("button"):
        active = any(button.get(action) for action in _ACTIONS)
        known = _ACTIVE_CLASSES & set(button.get("class", [])) or button.get("id") in _ACTIVE_IDS
        assert active or known or button.get("type") == "submit", str(button)
    for link in soup(page).select("a.btn, a.dropdown-item"):
        assert link.get("href", "#") != "#", str(link)


@pytest.mark.parametrize("page", PAGES)
def test_outside_links_are_offered_only_where_a_repository_is_known(page):
    text = str(soup(page))
    own = PUBLICATION.source_url
    assert ("colab.research.google.com" in text) <= bool(own)
    edits = soup(page).select(".btn-source-edit-button")
    source = Path("book", page).with_suffix(".md").as_posix()
    assert bool(edits) == (bool(own) and has_source(source))


def test_every_page_with_code_has_its_notebook_and_its_buttons():
    for notebook in NOTEBOOKS:
        page = notebook.relative_to(SITE / "notebooks").with_suffix("").as_posix()
        (download,) = soup(f"{page}.html").select("a.btn-download-notebook-button")
        assert ((SITE / f"{page}.html").parent / download["href"]).resolve() == notebook.resolve()
        opened = [link["href"] for link in soup(f"{page}.html").select("a.btn-launch-colab-button")]
        expected = PUBLICATION.colab_url(page, EDITION)
        assert opened == ([expected] if expected else [])


def test_canonical_addresses_and_sitemap_name_the_same_pages():
    listed = SITE / "sitemap.xml"
    if not PUBLICATION.base_url:
        assert not listed.exists()
        assert all(soup(page).select("link[rel=canonical]") == [] for page in PAGES)
        return
    found = {element.text for element in ElementTree.parse(listed).iter() if element.text}
    contents = {str(path.relative_to(SITE)) for path in SITE.glob("*.html")}
    pages = {
        page for page in contents if (SITE.parents[1] / "book" / page).with_suffix(".md").is_file()
    }
    assert found >= {PUBLICATION.base_url + page for page in pages}
    for page in pages:
        (canonical,) = soup(page).select("link[rel=canonical]")
        assert canonical["href"] == PUBLICATION.base_url + page


def test_the_page_for_lost_addresses_works_from_everywhere():
    for tag, address, written in addresses("404.html"):
        if address.startswith(HERE) and not written.startswith("#") and tag.name != "form":
            assert written.startswith(("/", "http")), str(tag)


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_link_of_a_notebook_leads_somewhere(notebook):
    cells = nbformat.read(notebook, 4).cells
    formula = re.compile(r"\$\$.*?\$\$|\$[^$]*\$", re.DOTALL)
    text = "\n".join(formula.sub("", cell.source) for cell in cells[1:])
    anchors = set(re.findall(r'<a id="([^"]+)" name="\1">', text))
    targets = re.findall(r"\]\(([^()\s]*(?:\([^()]*\)[^()\s]*)*)\)", text)
    assert targets or not PUBLICATION.base_url
    for target in targets:
        if target.startswith("#"):
            assert target[1:] in anchors, target
        elif not target.startswith("data:image/png;base64,"):
            assert problem_outside(target) == "", target


def test_the_wheel_of_the_site_is_the_library_as_it_stands():
    (wheel,) = (SITE / "notebooks" / "wheels").glob("*.whl")
    assert wheel.name == wheel_name(library_version())
    first = (SITE / "notebooks" / "first-cell.py").read_text("utf-8")
    assert f'WHEEL = "{PUBLICATION.wheel_url(wheel.name)}"' in first


def test_the_page_of_citations_names_this_site_and_this_version():
    text = soup("cite.html").get_text()
    assert f"version = {{{base_version()}}}" in text
    named = PUBLICATION.base_url or PUBLICATION.source_url
    assert f"url     = {{{named}}}" in text if named else "url     =" not in text
