"""The book's own Sphinx extension: one small module for each thing that it adds."""

from importlib import import_module

SUBMODULES = (
    "execution",
    "signatures",
    "mathematics",
    "figures",
    "explorable",
    "records",
    "benchmarks",
    "claims",
    "claims_map",
    "orientation",
    "previews",
    "page",
    "search",
    "icons",
    "repository",
    "citation",
    "notebooks",
    "assignments",
)


def load_no_more_than_asked(app, config):
    """Undo Jupyter Book's habit of loading every script and style sheet of `_static` on every page.

    What a page needs, a submodule adds with `app.add_css_file` or `app.add_js_file`.
    """
    config.html_css_files = []
    config.html_js_files = []


def setup(app):
    """Register what the submodules add to Sphinx."""
    # Jupyter Book sets this value even when the extension that declares it is not loaded.
    app.add_config_value("comments_config", {}, "html")
    app.connect("config-inited", load_no_more_than_asked)
    for name in SUBMODULES:
        import_module(f"{__name__}.{name}").setup(app)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
