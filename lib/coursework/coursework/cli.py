"""The command `coursework`."""

import argparse
import sys
from pathlib import Path

from coursework import __doc__ as purpose
from coursework import build, check, source

# Inputs drawn from this are the same for everybody: for an author's check only.
CHECK_SECRET = b"an author's check"


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
    return parser


_ASSIGNMENT = "a folder with a source, or the name of one in assignments/"


def main(arguments: list[str] | None = None) -> int:
    """Run one command; return the exit status: 0 fine, 1 something is wrong, 2 cannot be done."""
    parsed = _parser().parse_args(arguments)
    try:
        return parsed.run(parsed)
    except (ValueError, OSError) as error:
        print(f"coursework: {error}", file=sys.stderr)
        return 2
