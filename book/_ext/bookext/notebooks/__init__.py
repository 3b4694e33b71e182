"""A notebook from every page that has code: the file behind the page's buttons.

The page's download button gives it, and the Colab button opens it, where a repository is known.
"""

from pathlib import Path

import nbformat
from sphinx.util import logging

from ..edition import edition
from ..repository import WHEELS
from ..wheel import base_version, build_wheel
from .first_cell import first_cell_of
from .page import notebook

logger = logging.getLogger(__name__)

FOLDER = "notebooks"
FIRST_CELL = "first-cell.py"


def has_code(app, page: str) -> bool:
    """Say whether a page is run by a kernel."""
    return "kernelspec" in app.env.metadata.get(page, {})


def prepare(app) -> None:
    """Find out once what all notebooks of this build share."""
    app.bookext_edition = edition(base_version(), app.bookext_publication.addresses)
    app.bookext_first_cell = first_cell_of(app.bookext_publication)


def write_notebook(app, pagename, templatename, context, doctree) -> None:
    """Write a page's notebook, and lead the page's buttons to it."""
    buttons = context.get("header_buttons", [])
    offered = []
    if doctree is not None and has_code(app, pagename):
        try:
            made = notebook(app, pagename, doctree, app.bookext_first_cell)
            app.emit("notebook-made", pagename, made)
        except ValueError as error:
            logger.warning(
                "notebook: %s", error, location=pagename, type="book", subtype="notebook"
            )
            return
        path = Path(app.outdir, FOLDER, f"{pagename}.ipynb")
        path.parent.mkdir(parents=True, exist_ok=True)
        nbformat.write(made, path)
        offered.append(_download_button(context["pathto"](f"{FOLDER}/{pagename}.ipynb", 1)))
        if url := app.bookext_publication.colab_url(pagename, app.bookext_edition):
            buttons.insert(0, _colab_button(url))
    for group in buttons:
        if group["label"] == "download-buttons":
            # The theme offers the page's source, which no notebook program reads.
            printing = [button for button in group["buttons"] if button["type"] == "javascript"]
            group["buttons"] = offered + printing


def _download_button(url: str) -> dict[str, str]:
    return {
        "type": "link",
        "url": url,
        "text": ".ipynb",
        "icon": "fas fa-code",
        "tooltip": "Download this page as a notebook",
        "label": "download-notebook-button",
    }


def _colab_button(url: str) -> dict[str, str]:
    return {
        "type": "link",
        "url": url,
        "text": "Colab",
        "icon": "_static/images/logo_colab.png",
        "tooltip": "Open this page in Colab",
        "label": "launch-colab-button",
    }


def write_shared_files(app, exception) -> None:
    """Write the wheel that the notebooks install, and their first cell, next to them."""
    if exception is None and app.builder.format == "html":
        folder = Path(app.outdir, FOLDER)
        build_wheel(folder / WHEELS)
        (folder / FIRST_CELL).write_text(app.bookext_first_cell + "\n", "utf-8")


def setup(app) -> dict[str, bool]:
    """Connect the above to Sphinx's events, and add one: a page's notebook may still be changed."""
    app.add_event("notebook-made")
    app.connect("builder-inited", prepare)
    # After the theme has made its buttons.
    app.connect("html-page-context", write_notebook, priority=800)
    app.connect("build-finished", write_shared_files)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
