"""Prints the pages of the built site, in the order of the contents, to one PDF.

The site is served on loopback and printed by a headless Chromium; pdfunite puts the pages together.
"""

from __future__ import annotations

import functools
import http.server
import shutil
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "book" / "_ext"))

from bookext.wheel import base_version  # noqa: E402

SITE = ROOT / "_build" / "html"
BROWSERS = ("chromium", "google-chrome", "chromium-browser")


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves a folder and says nothing."""

    def log_message(self, *arguments):
        """Print no line for a request."""


def pages() -> list[str]:
    """Return the names of the pages in the order of the contents."""
    contents = yaml.safe_load((ROOT / "_toc.yml").read_text("utf-8"))
    chapters = [page["file"] for part in contents["parts"] for page in part["chapters"]]
    return [contents["root"], *chapters]


def find(*names: str) -> str:
    """Return the path of the first of these programs that is here, or end with their names."""
    found = next(filter(None, map(shutil.which, names)), None)
    if found is None:
        raise SystemExit(f"expected one of these programs: {', '.join(names)}")
    return found


def main() -> None:
    """Print and unite."""
    browser, unite = find(*BROWSERS), find("pdfunite")
    handler = functools.partial(Quiet, directory=str(SITE))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}"
    target = ROOT / "_build" / "release" / f"book-{base_version()}.pdf"
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        printed = []
        for number, page in enumerate(pages()):
            printed.append(Path(folder, f"{number}.pdf"))
            options = ("--headless", "--no-sandbox", "--disable-gpu", "--no-pdf-header-footer")
            quiet = ("--disable-background-networking", f"--user-data-dir={folder}/profile")
            print_to = f"--print-to-pdf={printed[-1]}"
            command = [browser, *options, *quiet, print_to, f"{address}/{page}.html"]
            subprocess.run(command, check=True, capture_output=True, timeout=300)
        subprocess.run([unite, *map(str, printed), str(target)], check=True)
    print(f"[pdf] {target.relative_to(ROOT)}: {target.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
