"""Finding and starting node, which two parts of the extension use at build time."""

from __future__ import annotations

import shutil
import subprocess

__all__ = ["find_node", "run_script"]


def find_node() -> str | None:
    """Return the path of the node executable, or None where there is none."""
    return shutil.which("node")


def run_script(script: str, *arguments: str) -> str:
    """Run one JavaScript file under node and return what it printed."""
    done = subprocess.run(
        [find_node() or "node", script, *arguments],
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"node {script} failed: {done.stderr.strip()}")
    return done.stdout
