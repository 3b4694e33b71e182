"""The autograder for Gradescope: one zip that holds the grader, the assignment and the secret.

Gradescope runs every submission in a container of its own, as root and without the rights that
bubblewrap needs, so `setpriv` confines the code there: the container is the other wall. Expected
values and the secret are files of root's that no other user may read.
"""

import io
import json
import zipfile
from importlib import metadata
from pathlib import Path

from coursework import cases, grade, report, source
from coursework.sandbox import CODE, Sandbox, package_folder
from coursework.source import Assignment

SOURCE = "/autograder/source"
PACKAGES = ("jax", "numpy", "scipy", "jupytext", "nbformat", "tqdm")
SCIENCE = ("flax", "optax", "matplotlib", "jaxtyping", "scikit-learn", "optimistix")

SETUP = """\
#!/usr/bin/env bash
# Gradescope runs this once, when it builds the container.
set -euo pipefail
apt-get update
apt-get install -y --no-install-recommends python3 python3-venv util-linux
python3 -m venv /opt/coursework
/opt/coursework/bin/python -m pip install --no-cache-dir -r {source}/requirements.txt
chmod -R go-rwx {source}
chmod go+x /autograder {source}
chmod -R go+rX {source}/code
"""

RUN = """\
#!/usr/bin/env bash
# Gradescope runs this for each submission. Whatever happens, there is a results.json.
mkdir -p /autograder/results
chmod go-rwx /autograder/results /autograder/submission
cat > /autograder/results/results.json <<'END'
{fallback}
END
cd /
PYTHONPATH={source}/code timeout 560 /opt/coursework/bin/python -m coursework.gradescope || true
"""

FALLBACK = {
    "score": 0,
    "output": "The grader did not come to its end. This is not your fault: tell your teacher.",
    "visibility": "visible",
    "tests": [],
}


def requirements() -> str:
    """The installed versions of what graded code and the grader import."""
    found = []
    for name in (*PACKAGES, *SCIENCE):
        try:
            found.append(f"{name}=={metadata.version(name)}")
        except metadata.PackageNotFoundError:
            continue
    return "\n".join(found) + "\n"


def write_zip(assignment: Assignment, secret: bytes, file: Path) -> None:
    """Write the autograder of one assignment; the zip is secret, like the assignment's sources."""
    content = {
        "setup.sh": SETUP.format(source=SOURCE),
        "run_autograder": RUN.format(source=SOURCE, fallback=json.dumps(FALLBACK)),
        "requirements.txt": requirements(),
        "assignment.txt": assignment.name + "\n",
        "secret.txt": secret.decode(),
    }
    for name in (f"{assignment.name}.md", "hidden.py"):
        text = (assignment.folder / name).read_text("utf8")
        content[f"assignments/{assignment.name}/{name}"] = text
    for folder in (CODE, *(package_folder(name) for name in assignment.packages)):
        for path in sorted(folder.rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                content[f"code/{folder.name}/{path.relative_to(folder).as_posix()}"] = (
                    path.read_bytes()
                )
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, text in content.items():
            entry = zipfile.ZipInfo(
                name
            )  # with a fixed date, so that equal content is an equal zip
            entry.external_attr = 0o100755 << 16
            packed.writestr(entry, text)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(buffer.getvalue())


def main(root: Path = Path("/autograder")) -> None:
    """Grade the one submission of a container and write its `results.json`."""
    folder = root / "source"
    name = (folder / "assignment.txt").read_text().strip()
    assignment = source.read(folder / "assignments" / name)
    hidden = cases.load(assignment, (folder / "secret.txt").read_bytes())
    notebooks = sorted((root / "submission").glob("*.ipynb"))
    written = dict(FALLBACK)
    if len(notebooks) == 1:
        sandbox = Sandbox(name="setpriv", packages=assignment.packages)
        sandbox.require()
        result = grade.grade(notebooks[0], notebooks[0].stem, assignment, hidden, sandbox)
        written = report.gradescope(result)
    else:
        written["output"] = f"Hand in one notebook (.ipynb), not {len(notebooks)}."
    (root / "results" / "results.json").write_text(json.dumps(written), "utf8")


if __name__ == "__main__":
    main()
