"""Runs one notebook as a Colab session would. Called by simulate.py, inside the sandbox.

Arguments: the notebook, the folder with the library's wheel and the packages that Colab lacks,
the most seconds that it may take. Prints one JSON object: what went wrong, how long it took, which
packages have changed and which were added. A notebook that takes too long is ended.
"""

import functools
import http.server
import json
import os
import re
import subprocess
import sys
import threading
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, DeadKernelError

PORT = 8765
_COLOUR = re.compile(r"\x1b\[[\d;]*m")
# Colab's kernel has loaded these before the first cell runs.
STARTUP = """
import sys, types
import numpy, matplotlib
google = sys.modules.setdefault("google", types.ModuleType("google"))
google.__path__ = getattr(google, "__path__", [])
google.colab = types.ModuleType("google.colab")
google.colab.__path__ = []
sys.modules["google.colab"] = google.colab
for name in ("output", "files", "drive", "userdata"):
    module = types.ModuleType("google.colab." + name)
    setattr(google.colab, name, module)
    sys.modules[module.__name__] = module
"""


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves a folder and says nothing."""

    def log_message(self, *arguments):
        """Print no line for a request."""


def serve(folder: Path) -> None:
    """Serve a folder on loopback for as long as this program runs."""
    handler = functools.partial(Quiet, directory=str(folder))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", PORT), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()


def installed() -> dict[str, str]:
    """Return the version of every package that pip sees."""
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "list", "--format=json"]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return {package["name"]: package["version"] for package in json.loads(listed)}


def prepare_session(folder: Path) -> None:
    """Set the environment of the kernel: what Colab has, an index on loopback, nothing else."""
    startup = folder / "ipython" / "profile_default" / "startup"
    startup.mkdir(parents=True)
    (startup / "00-colab.py").write_text(STARTUP)
    os.environ |= {
        "IPYTHONDIR": str(folder / "ipython"),
        "COLAB_RELEASE_TAG": "simulation",
        "JAX_PLATFORMS": "cpu",
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
        "PIP_INDEX_URL": f"http://127.0.0.1:{PORT}/simple",
        "PYTHONNOUSERSITE": "1",
    }


def run(notebook: Path, seconds: float) -> str:
    """Run all cells in the working folder; return what went wrong, or nothing."""
    content = nbformat.read(notebook, 4)
    reached = [""]

    def stop() -> None:
        cell = reached[-1] or "the kernel did not start"
        report(problem=f"took more than {seconds:.0f} s, and was at this cell:\n{cell}")
        os._exit(0)  # with it the sandbox ends, and the kernel

    def reach(cell: nbformat.NotebookNode, **index: int) -> None:
        reached.append(cell.source)

    client = NotebookClient(content, timeout=None, kernel_name="python3", on_cell_start=reach)
    watch = threading.Timer(seconds, stop)
    watch.daemon = True
    watch.start()
    try:
        client.execute()
    except (CellExecutionError, DeadKernelError) as error:
        return f"{type(error).__name__}: {_COLOUR.sub('', str(error))}"
    finally:
        watch.cancel()
    for cell in content.cells:
        for output in cell.get("outputs", []):
            if output.output_type == "stream" and output.name == "stderr":
                return f"a cell wrote to stderr: {output.text}\n\n{cell.source}"
    return ""


def report(problem: str, seconds: float = 0.0, **packages: object) -> None:
    """Print what happened, on one line that simulate.py looks for."""
    found = {"problem": problem, "seconds": seconds, "changed": {}, "added": [], **packages}
    print("REPORT " + json.dumps(found), flush=True)


def main() -> None:
    """Run the notebook and print what happened."""
    notebook, packages, seconds = Path(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3])
    prepare_session(Path("/tmp"))
    serve(packages)
    before, started = installed(), time.monotonic()
    problem = run(notebook, seconds)
    taken = time.monotonic() - started
    after = installed()
    changed = {
        name: (version, after.get(name))
        for name, version in before.items()
        if after.get(name) != version
    }
    added = sorted(set(after) - set(before))
    report(problem, taken, changed=changed, added=added)


if __name__ == "__main__":
    main()
