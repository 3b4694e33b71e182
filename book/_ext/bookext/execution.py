"""How the chapters are run: side by side, what kernels see, when a kept result is still valid."""

import hashlib
import os
import platform
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata
from pathlib import Path

from jupyter_cache import get_cache
from jupyter_cache.executors import load_executor
from myst_nb.core.read import is_myst_markdown_notebook
from sphinx.util import logging

logger = logging.getLogger(__name__)

# A page's numbers and pictures can change with any of these.
PACKAGES = (
    "diffrax",
    "flax",
    "jax",
    "jaxlib",
    "matplotlib",
    "numpy",
    "optax",
    "scikit-learn",
    "scipy",
)
SECONDS_BETWEEN_LINES = 10.0


def digest(library: Path, packages: tuple[str, ...] = PACKAGES) -> str:
    """Return a short name for what the chapters import: library files, package versions."""
    state = hashlib.sha256()
    for file in sorted(library.rglob("*")):
        if file.is_file() and "__pycache__" not in file.parts:
            content = file.read_bytes()
            name = file.relative_to(library).as_posix()
            state.update(f"{name} {len(content)}\n".encode() + content)
    state.update(f"python {platform.python_version()}\n".encode())
    for package in packages:
        state.update(f"{package} {metadata.version(package)}\n".encode())
    return state.hexdigest()[:16]


def quick_to_compile() -> dict[str, str]:
    """Return the setting with which XLA compiles a chapter in two thirds of the time.

    It chooses the older of XLA's two makers of loops. Where there is one only, as from jaxlib
    0.11.2 on, XLA refuses to start with it.
    """
    major, minor = (int(part) for part in metadata.version("jaxlib").split(".")[:2])
    if not (0, 7) <= (major, minor) <= (0, 10):
        return {}
    return {"XLA_FLAGS": "--xla_cpu_use_fusion_emitters=false"}


def kernel_environment(build: Path) -> dict[str, str]:
    """Return what a kernel's environment must say; what the reader has set already goes first."""
    return {
        "JAX_PLATFORMS": "cpu",
        "JAX_COMPILATION_CACHE_DIR": str(build / ".jax_cache"),
        # Without these two only slow compilations are kept; a chapter has hundreds of fast ones.
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
        # XLA writes an error to stderr when it loads a program that it compiled itself on this very
        # machine ("prefer-no-gather is not supported"), and stderr output fails the build. Errors
        # that matter arrive as exceptions.
        "TF_CPP_MIN_LOG_LEVEL": "3",
        **quick_to_compile(),
    }


def prepare(app, config):
    """Choose the execution cache by what the chapters import, and set the kernels' environment.

    By itself the cache compares a page's cells only, and outlives a change of the library.
    """
    build = Path(app.outdir).resolve().parent
    if config.nb_execution_mode == "cache":
        library = Path(app.srcdir).resolve().parent / "lib" / "prompt_attention"
        config.nb_execution_cache_path = str(build / ".jupyter_cache" / digest(library))
    for name, value in kernel_environment(build).items():
        os.environ.setdefault(name, value)


class Progress:
    """Says which pages are running and for how long, from a thread beside the others."""

    def __init__(self, say=logger.info, interval: float = SECONDS_BETWEEN_LINES):
        self.say = say
        self.interval = interval
        self._started: dict[str, float] = {}
        self._ended = threading.Event()

    def __enter__(self) -> "Progress":
        threading.Thread(target=self._report, daemon=True).start()
        return self

    def __exit__(self, *raised) -> None:
        self._ended.set()

    def begin(self, page: str) -> None:
        """Start to report on a page."""
        self._started[page] = time.monotonic()

    def end(self, page: str, result: str) -> None:
        """Say how a page ended, and report on it no more."""
        seconds = time.monotonic() - self._started.pop(page)
        self.say(f"[run] {page}: {result} after {seconds:.0f} s")

    def _report(self):
        while not self._ended.wait(self.interval):
            now = time.monotonic()
            running = [f"{page} {now - start:.0f} s" for page, start in dict(self._started).items()]
            if running:
                self.say(f"[run] so far: {', '.join(running)}")


def run_ahead(app, env, docnames: list[str]) -> None:
    """Run the pages that have no valid result, one on each processor core, before Sphinx reads.

    Sphinx alone would run each page when it comes to it. What is run here goes to the same cache by
    jupyter-cache's own executor; a page that fails is not kept, so that Sphinx runs it once more
    and reports the failure where it belongs.
    """
    if app.config.nb_execution_mode != "cache":
        return
    cache = get_cache(app.config.nb_execution_cache_path)
    known = {}
    for page in docnames:
        file = Path(env.doc2path(page))
        if file.suffix == ".md" and is_myst_markdown_notebook(file.read_text("utf8")):
            read_as = {"type": "plugin", "name": "myst_nb_md"}
            known[cache.add_nb_to_project(str(file), read_data=read_as).pk] = page
    stale = [
        record.pk
        for record in cache.list_unexecuted(filter_pks=list(known))
        if _is_run(cache.get_project_notebook(record.pk).nb)
    ]
    # The longest first, so that no core is left alone with it at the end.
    stale.sort(key=lambda pk: -Path(env.doc2path(known[pk])).stat().st_size)
    options = {
        "timeout": app.config.nb_execution_timeout,
        "allow_errors": app.config.nb_execution_allow_errors,
    }

    def execute(pk):
        progress.begin(known[pk])
        result = load_executor("local-serial", cache).run_and_cache(filter_pks=[pk], **options)
        progress.end(known[pk], "done" if result.succeeded else "FAILED")

    with Progress() as progress, ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(execute, stale))


def _is_run(notebook) -> bool:
    """Say whether a page leaves it to the book whether it is run; an assignment is not."""
    return "execution_mode" not in notebook.metadata.get("mystnb", {})


def setup(app):
    """Connect the above to Sphinx's events."""
    app.connect("config-inited", prepare)
    app.connect("env-before-read-docs", run_ahead)
