"""Builds the pages as the stock theme shows them, for `make bench-site` to compare with.

The same text, figures and outputs, with Jupyter Book's own extensions and MathJax, and without the
parts of ``bookext`` that make the pages light.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
BUILT = ROOT / "_build"
STOCK = BUILT / "stock"
LEFT_OUT = ("icons", "mathematics", "page", "previews", "search")


def settings() -> dict:
    """Return the book's configuration with what Jupyter Book loads by itself."""
    book = yaml.safe_load((ROOT / "_config.yml").read_text("utf-8"))
    book["sphinx"]["config"]["extensions"].remove("bookext")
    book["sphinx"]["config"]["extensions"] += ["sphinx_thebe", "stock"]
    book["sphinx"]["local_extensions"] = {"stock": str(ROOT / "site")}
    return book


def setup(app) -> dict[str, bool]:
    """Load ``bookext`` without its light parts; MathJax gets the macros that KaTeX has."""
    sys.path.insert(0, str(ROOT / "book" / "_ext"))
    import bookext
    from bookext.mathematics import mathjax_macros

    bookext.SUBMODULES = tuple(name for name in bookext.SUBMODULES if name not in LEFT_OUT)
    bookext.load_no_more_than_asked = lambda app, config: None
    app.setup_extension("bookext")
    app.connect("config-inited", lambda app, config: _use_mathjax(config, mathjax_macros()))
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _use_mathjax(config, macros: dict[str, object]) -> None:
    config.mathjax3_config = {"tex": {"macros": macros}}
    config.mathjax_path = "mathjax/tex-mml-chtml.js"  # bench.mjs puts it there


def main() -> None:
    """Build into ``_build/stock``, from what the chapters computed for the book's own build."""
    (STOCK / "_build").mkdir(parents=True, exist_ok=True)
    for cache in (".jupyter_cache", ".jax_cache"):
        link = STOCK / "_build" / cache
        if not link.is_symlink():
            link.symlink_to(BUILT / cache)
    config = STOCK / "_config.yml"
    config.write_text(yaml.safe_dump(settings()), "utf-8")
    command = [
        Path(sys.executable).with_name("jupyter-book"),
        "build",
        ROOT / "book",
        "--config",
        config,
    ]
    command += ["--toc", ROOT / "_toc.yml", "--path-output", STOCK]
    built = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    if built.returncode:
        sys.exit(f"{built.stdout}{built.stderr}")


if __name__ == "__main__":
    main()
