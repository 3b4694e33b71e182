"""The command `coursework`."""

import argparse
import os
import secrets
import sys
from pathlib import Path

from coursework import __doc__ as purpose
from coursework import build, cases, check, gradescope, leaks, report, runs, source
from coursework.sandbox import NAMES, Sandbox, SandboxError

# Inputs drawn from this are the same for everybody: for an author's check only.
CHECK_SECRET = b"an author's check"
LEAST_SECRET = 16
MOST_WORKERS = 256


def _build(arguments: argparse.Namespace) -> int:
    first_cell = arguments.first_cell.read_text("utf8") if arguments.first_cell else ""
    for name in arguments.assignments:
        assignment = source.read(source.find(name))
        print(build.write(assignment, arguments.output, first_cell))
    return 0


def _check(arguments: argparse.Namespace) -> int:
    found = 0
    for name in arguments.assignments:
        assignment = source.read(source.find(name))
        for fault in check.faults(assignment, CHECK_SECRET):
            found += 1
            print(f"{assignment.name}: {fault}", file=sys.stderr)
    return int(found > 0)


def _scan(arguments: argparse.Namespace) -> int:
    assignments = [source.read(source.find(name)) for name in arguments.assignments]
    found = leaks.find(arguments.published, assignments, arguments.public)
    for place in found:
        print(place, file=sys.stderr)
    return int(bool(found))


def _secret(file: Path) -> bytes:
    try:
        secret = file.read_bytes().strip()
    except FileNotFoundError:
        raise ValueError(f"no course secret in {file}: make one with `coursework secret`") from None
    if len(secret) < LEAST_SECRET:
        raise ValueError(f"{file}: a course secret has at least {LEAST_SECRET} characters")
    return secret


def _make_secret(arguments: argparse.Namespace) -> int:
    with open(arguments.secret, "x", opener=lambda name, flags: os.open(name, flags, 0o600)) as new:
        new.write(secrets.token_hex(32) + "\n")
    print(f"{arguments.secret}: keep it, keep it apart from the students, and grade with it always")
    return 0


def _grade(arguments: argparse.Namespace) -> int:
    assignment = source.read(source.find(arguments.assignment))
    secret = _secret(arguments.secret)
    hidden = cases.load(assignment, secret)
    submissions = runs.find_submissions(arguments.submissions)
    output = arguments.output / assignment.name
    sandbox = Sandbox(name=arguments.sandbox, packages=assignment.packages)
    if sandbox.name != NAMES[0]:
        print(f"coursework: --sandbox {sandbox.name} is weaker than {NAMES[0]}", file=sys.stderr)
    results = runs.grade_all(
        submissions, assignment, hidden, secret, sandbox, output, arguments.workers
    )
    report.write_all(results, submissions, assignment, output)
    print("\n".join(report.histogram(results)))
    print(output)
    failed = [result.name for result in results if result.problem.startswith(runs.GRADER_FAILED)]
    for name in failed:
        print(f"coursework: {name} was not graded; grade again", file=sys.stderr)
    return int(bool(failed))


def _gradescope(arguments: argparse.Namespace) -> int:
    assignment = source.read(source.find(arguments.assignment))
    secret = _secret(arguments.secret)
    cases.load(assignment, secret)
    file = arguments.output / f"{assignment.name}-autograder.zip"
    gradescope.write_zip(assignment, secret, file)
    print(file)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="coursework", description=purpose)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    command = commands.add_parser("build", help="write student notebooks")
    command.add_argument("assignments", nargs="+", metavar="ASSIGNMENT", help=_ASSIGNMENT)
    command.add_argument("--output", type=Path, default=Path("_build/coursework"), metavar="DIR")
    command.add_argument(
        "--first-cell", type=Path, metavar="FILE", help="code that the notebook begins with"
    )
    command.set_defaults(run=_build)

    command = commands.add_parser("check", help="check an author's sources and planted answers")
    command.add_argument("assignments", nargs="+", metavar="ASSIGNMENT", help=_ASSIGNMENT)
    command.set_defaults(run=_check)

    command = commands.add_parser("scan", help="look for hidden lines in what is published")
    command.add_argument("published", type=Path, metavar="FOLDER")
    command.add_argument("assignments", nargs="*", metavar="ASSIGNMENT", help=_ASSIGNMENT)
    command.add_argument(
        "--public",
        action="append",
        default=[],
        type=Path,
        metavar="PATH",
        help="sources that may be published: their lines are no secret",
    )
    command.set_defaults(run=_scan)

    command = commands.add_parser("secret", help="make the secret that hidden inputs come from")
    _add_secret(command)
    command.set_defaults(run=_make_secret)

    command = commands.add_parser("grade", help="grade notebooks that students handed in")
    command.add_argument("submissions", type=Path, metavar="SUBMISSIONS", help=_SUBMISSIONS)
    command.add_argument("--assignment", required=True, metavar="NAME", help=_ASSIGNMENT)
    _add_secret(command)
    command.add_argument("--output", type=Path, default=Path("_build/grades"), metavar="DIR")
    command.add_argument("--sandbox", choices=NAMES, default=NAMES[0], help=_SANDBOX)
    cores = len(os.sched_getaffinity(0))
    command.add_argument("--workers", type=_at_least_one, default=cores, metavar="N")
    command.set_defaults(run=_grade)

    command = commands.add_parser("gradescope", help="write the autograder zip for Gradescope")
    command.add_argument("assignment", metavar="ASSIGNMENT", help=_ASSIGNMENT)
    _add_secret(command)
    command.add_argument("--output", type=Path, default=Path("_build/gradescope"), metavar="DIR")
    command.set_defaults(run=_gradescope)
    return parser


def _at_least_one(text: str) -> int:
    number = int(text)
    if not 1 <= number <= MOST_WORKERS:
        raise argparse.ArgumentTypeError(f"expected 1 to {MOST_WORKERS}, got {number}")
    return number


def _add_secret(command: argparse.ArgumentParser) -> None:
    file = Path("coursework.secret")
    command.add_argument("--secret", type=Path, default=file, metavar="FILE", help=f"({file})")


_SUBMISSIONS = "a notebook, or a folder with notebooks"
_SANDBOX = (
    "bubblewrap, the default; or setpriv, a weaker one for containers in which nothing else runs: "
    "another user and limits, but the same file system and network"
)
_ASSIGNMENT = "a folder with a source, or the name of one in assignments/"


def main(arguments: list[str] | None = None) -> int:
    """Run one command; return the exit status: 0 fine, 1 something is wrong, 2 cannot be done."""
    parsed = _parser().parse_args(arguments)
    try:
        return parsed.run(parsed)
    except (ValueError, OSError, SandboxError) as error:
        print(f"coursework: {error}", file=sys.stderr)
        return 2
