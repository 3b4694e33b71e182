"""Grading many submissions: in parallel, with a progress bar, resumable, and on record."""

import dataclasses
import hashlib
import json
import os
import platform
import queue
import shutil
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from importlib import metadata
from pathlib import Path

from tqdm import tqdm

from coursework import __version__, check, grade
from coursework.cases import Case
from coursework.grade import CaseResult, QuestionResult, Result
from coursework.sandbox import Sandbox, SandboxError
from coursework.source import Assignment

PACKAGES = ("jax", "jaxlib", "flax", "optax", "numpy", "scipy", "prompt-attention")
GRADER_FAILED = "The grader failed"


def find_submissions(folder: Path) -> dict[str, Path]:
    """The notebooks below a folder, or one notebook itself, by name.

    Raises:
        ValueError: there are none.
    """
    if folder.is_file():
        return {folder.stem: folder}
    found = {}
    for path in sorted(folder.rglob("*.ipynb")):
        if ".ipynb_checkpoints" not in path.parts:
            found[path.relative_to(folder).with_suffix("").as_posix().replace("/", "__")] = path
    if not found:
        raise ValueError(f"no notebooks (*.ipynb) in {folder}")
    return found


def versions() -> dict[str, str]:
    """What the values may depend on."""
    found = {"python": platform.python_version(), "coursework": __version__}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def fingerprint(assignment: Assignment, secret: bytes, sandbox: Sandbox) -> dict:
    """What a grade depends on besides the submission; it is used again only if all is equal."""
    files = (f"{assignment.name}.md", "hidden.py")
    content = b"".join((assignment.folder / name).read_bytes() for name in files)
    return {
        "assignment": hashlib.sha256(content).hexdigest(),
        "secret": hashlib.sha256(b"fingerprint of " + secret).hexdigest()[:16],
        "sandbox": sandbox.name,
        "limits": dataclasses.asdict(sandbox.limits),
        "versions": versions(),
    }


def rehearse(assignment: Assignment, cases: Sequence[Case], sandbox: Sandbox) -> None:
    """Grade the author's own solution, which also fills the cache of compiled programs.

    Raises:
        SandboxError: it does not earn all points: then no student could.
    """
    user = sandbox.user()
    if user is not None:
        os.chown(sandbox.cache, user, user)
    cells = check.code_cells(assignment)
    fields = grade.grade_cells(cells, assignment, cases, sandbox, writable_cache=True)
    for question in fields["questions"]:
        for case in question.cases:
            if case.earned < case.points:
                raise SandboxError(
                    f"{assignment.name}: the author's own solution fails case {case.name} in the "
                    f"sandbox: {case.message}"
                )


def _record(result: Result, depends_on: dict) -> dict:
    return {"result": dataclasses.asdict(result), "depends_on": depends_on}


def _restored(file: Path, digest: str, depends_on: dict) -> Result | None:
    try:
        kept = json.loads(file.read_text("utf8"))
        if kept["depends_on"] != depends_on or not digest or kept["result"]["digest"] != digest:
            return None
        fields = kept["result"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    questions = tuple(
        QuestionResult(**{**one, "cases": tuple(CaseResult(**case) for case in one["cases"])})
        for one in fields.pop("questions")
    )
    cells = {int(number): text for number, text in fields.pop("cells").items()}
    checks = tuple(fields.pop("checks"))
    return Result(questions=questions, cells=cells, checks=checks, **fields)


def _digest(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest() if not path.is_symlink() else ""
    except OSError:
        return ""


def _write(file: Path, content: dict) -> None:
    """Write all or nothing: a stopped run leaves no half of a file."""
    new = file.with_suffix(".new")
    new.write_text(json.dumps(content, indent=1) + "\n", "utf8")
    new.replace(file)


def grade_all(
    submissions: dict[str, Path],
    assignment: Assignment,
    cases: Sequence[Case],
    secret: bytes,
    sandbox: Sandbox,
    output: Path,
    workers: int,
) -> list[Result]:
    """Grade every submission, or take its grade from an earlier run that it has not outlived.

    Writes `records/<name>.json` for each as soon as it is graded, and `run.json` at the end.

    Raises:
        SandboxError: the sandbox does not work here, or the author's own solution fails in it.
    """
    started = time.strftime("%Y-%m-%dT%H:%M:%S%z")
    sandbox.require()
    depends_on = json.loads(json.dumps(fingerprint(assignment, secret, sandbox)))
    records = output / "records"
    records.mkdir(parents=True, exist_ok=True)
    results, left = {}, {}
    for name, path in submissions.items():
        kept = _restored(records / f"{name}.json", _digest(path), depends_on)
        if kept is None:
            left[name] = path
        else:
            results[name] = kept
    if left:
        results |= _grade_rest(left, assignment, cases, sandbox, records, depends_on, workers)
    _write(
        output / "run.json",
        {
            "assignment": assignment.name,
            "started": started,
            "ended": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
            "graded": sorted(left),
            "taken_from_an_earlier_run": sorted(set(submissions) - set(left)),
            "depends_on": depends_on,
            "submissions": {name: results[name].digest for name in submissions},
        },
    )
    return [results[name] for name in submissions]


def _grade_rest(left, assignment, cases, sandbox, records, depends_on, workers) -> dict:
    cache = records.parent / "cache"
    shutil.rmtree(cache, ignore_errors=True)
    cache.mkdir(mode=0o755)
    sandbox = dataclasses.replace(sandbox, cache=cache.resolve(), packages=assignment.packages)
    rehearse(assignment, cases, sandbox)
    free, results = queue.SimpleQueue(), {}
    for number in range(workers):
        free.put(dataclasses.replace(sandbox, worker=number))

    def one(name: str, path: Path) -> Result:
        mine = free.get()
        try:
            result = grade.grade(path, name, assignment, cases, mine)
        except Exception as error:  # a fault of the grader's: this file is marked, the rest goes on
            tqdm.write(f"{name}: {type(error).__name__}: {error}", file=sys.stderr)
            problem = f"{GRADER_FAILED} ({type(error).__name__}). Tell your teacher."
            questions = grade.no_points(assignment, cases, f"{GRADER_FAILED}.")
            return Result(name=name, digest="", problem=problem, questions=questions)
        finally:
            free.put(mine)
        _write(records / f"{name}.json", _record(result, depends_on))
        return result

    with ThreadPoolExecutor(workers) as pool, tqdm(total=len(left), unit="file") as bar:
        futures = {pool.submit(one, name, path): name for name, path in left.items()}
        try:
            for future in as_completed(futures):
                results[futures[future]] = future.result()
                bar.set_postfix_str(futures[future][:30], refresh=False)
                bar.update()
        except KeyboardInterrupt:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    shutil.rmtree(cache, ignore_errors=True)
    return results
