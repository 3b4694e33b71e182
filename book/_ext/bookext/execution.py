"""How the chapters are run: what their kernels see, when a kept result is still valid, progress."""

import hashlib
import os
import platform
import threading
import time
from importlib import metadata
from pathlib import Path

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
    """Says which page is being read and for how long, from a thread beside Sphinx's own."""

    def __init__(self, say=logger.info, interval: float = SECONDS_BETWEEN_LINES):
        self.say = say
        self.interval = interval
        self._ended = None

    def begin(self, page: str) -> None:
        """Start to report on a page; a page before it that never ended is given up."""
        self.end()
        self._page, self._started, self._ended = page, time.monotonic(), threading.Event()
        threading.Thread(
            target=self._report, args=(page, self._started, self._ended), daemon=True
        ).start()

    def end(self) -> float:
        """Stop reporting; return the seconds since the page began, or zero when none has."""
        if self._ended is None:
            return 0.0
        self._ended.set()
        self._ended = None
        return time.monotonic() - self._started

    def _report(self, page, started, ended):
        while not ended.wait(self.interval):
            self.say(f"[run] {page}: {time.monotonic() - started:.0f} s so far")


def setup(app):
    """Connect the above to Sphinx's events."""
    progress = Progress()

    def begin(app, page, source):
        progress.begin(page)

    def end(app, doctree):
        seconds = progress.end()
        ran = app.env.nb_metadata.get(app.env.docname, {}).get("exec_data")
        if ran:
            result = "done" if ran["succeeded"] else "FAILED"
            logger.info(f"[run] {app.env.docname}: {result} after {seconds:.0f} s")

    app.connect("config-inited", prepare)
    app.connect("source-read", begin)
    app.connect("doctree-read", end)
    app.connect("build-finished", lambda app, exception: progress.end())
