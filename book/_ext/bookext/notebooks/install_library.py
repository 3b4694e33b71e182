# @title Install the book's library
# Nothing is done if this version is here, or your own working copy of it. Otherwise pip adds the
# library and what it lacks, and must leave every package that is here at the version that it has.
import os
import subprocess
import sys
import tempfile
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

VERSION = "$version"
WHEEL = "$wheel"
# JAX keeps what it compiled, so that a session that is started again is ready sooner.
KEPT = {
    "JAX_COMPILATION_CACHE_DIR": str(Path.home() / ".cache" / "prompt-attention"),
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    "TF_CPP_MIN_LOG_LEVEL": "3",  # XLA complains of programs that it compiled itself
}


def quick_to_compile():
    """Later versions of XLA know one way to make loops; these have another, compiled sooner."""
    if find_spec("libtpu"):  # brings an XLA of its own, which may not know the setting
        return {}
    try:
        major, minor = metadata.version("jaxlib").split(".")[:2]
    except metadata.PackageNotFoundError:
        return {}
    older = (0, 7) <= (int(major), int(minor)) <= (0, 10)
    return {"XLA_FLAGS": "--xla_cpu_use_fusion_emitters=false"} if older else {}


for setting, value in (KEPT | quick_to_compile()).items():
    os.environ.setdefault(setting, value)


def library_is_here():
    try:
        found = metadata.distribution("prompt-attention")
    except metadata.PackageNotFoundError:
        return False
    origin = found.read_text("direct_url.json") or ""
    return found.version == VERSION or '"editable": true' in origin


def pip(*arguments):
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"pip {arguments[0]} failed:\n{done.stdout[-2000:]}{done.stderr}")
    return done.stdout


if not library_is_here():
    if not WHEEL:
        raise RuntimeError(
            "This notebook does not know where the library can be had. In a copy of the book's "
            "sources, run: pip install './lib[plot,sweeps]'"
        )
    here = pip("list", "--format=freeze").splitlines()
    keep = [line for line in here if not line.startswith("prompt-attention==")]
    with tempfile.TemporaryDirectory() as folder:
        constraints = Path(folder, "constraints.txt")
        constraints.write_text("\n".join(keep))
        library = f"prompt-attention[plot,sweeps] @ {WHEEL}"
        pip("install", "--constraint", str(constraints), library)
    if "prompt_attention" in sys.modules:
        raise RuntimeError("Restart the session: it has loaded another version of the library.")
