"""The trusted side of the pipe: starts a sandbox, gives it jobs, and believes nothing it says.

All that comes back is values and words; who sent them does not matter, because nobody in the
sandbox knows which values are right.
"""

import contextlib
import dataclasses
import json
import os
import select
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from coursework import values
from coursework.compare import Value
from coursework.sandbox import Sandbox, SandboxError

LONGEST_MESSAGE = 400  # characters
ENDINGS = ("done", "time", "exit", "signal")  # what the runner may say of how a process ended
GRACE = 10.0  # seconds that the runner has to end a question that ran out of time
PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Job:
    """What one question's process has to do after the cells.

    Args:
        checks: cells of public checks, to be run.
        functions: names that the notebook should define.
        calls: number of the case, function and arguments of each call; the first error of a case
            ends its calls.
    """

    checks: Sequence[str] = ()
    functions: Sequence[str] = ()
    calls: Sequence[tuple[int, str, tuple]] = ()

    def packed(self) -> bytes:
        """The job as JSON."""
        calls = [
            (case, function, [values.pack_argument(one) for one in arguments])
            for case, function, arguments in self.calls
        ]
        job = {"checks": list(self.checks), "functions": list(self.functions), "calls": calls}
        return json.dumps(job).encode()


@dataclasses.dataclass(kw_only=True)
class Answer:
    """What came back from one question's process.

    Args:
        ended: one of `ENDINGS`, or "memory", "output", or "lost" when the runner did not say. Few
            words, so that none carries a hidden input out.
        started: whether the process came to life, which it says before any foreign code runs.
        cells: errors of cells by position; None if the cells did not end.
        checks: errors of check cells by position.
        missing: names that the notebook does not define.
        values: what the calls returned, by position.
        errors: what the calls raised, by position.
    """

    ended: str = "lost"
    started: bool = False
    cells: dict[int, str] | None = None
    checks: dict[int, str] = dataclasses.field(default_factory=dict)
    missing: list[str] = dataclasses.field(default_factory=list)
    values: dict[int, Value] = dataclasses.field(default_factory=dict)
    errors: dict[int, str] = dataclasses.field(default_factory=dict)


def clean(text) -> str:
    """A message that may be shown: printable characters only, and not too many."""
    text = str(text)[: 4 * LONGEST_MESSAGE]
    text = "".join(c if c.isprintable() else " " for c in text)
    return text if len(text) <= LONGEST_MESSAGE else text[: LONGEST_MESSAGE - 3] + "..."


def _by_position(found) -> dict[int, str]:
    return {int(number): clean(text) for number, text in list(found.items())[:500]}


def read_answer(received: bytes) -> Answer:
    """Make sense of what came through the pipe; lines that make none are skipped."""
    answer = Answer()
    for line in received.split(b"\n"):
        try:
            message = json.loads(line)
            if "cells" in message and answer.cells is None:
                answer.cells = _by_position(message["cells"])
            elif "started" in message:
                answer.started = True
            elif "checks" in message:
                answer.checks = _by_position(message["checks"])
                answer.missing = [clean(name) for name in list(message["missing"])[:100]]
            elif "value" in message:
                answer.values[int(message["call"])] = values.unpack_result(message["value"])
            elif "error" in message:
                answer.errors[int(message["call"])] = clean(message["error"])
            elif "ended" in message:
                answer.ended = message["ended"] if message["ended"] in ENDINGS else "lost"
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError, OverflowError):
            continue
    return answer


def usage(root: int) -> tuple[int, int]:
    """Resident bytes and number of all processes that descend from `root`."""
    parents, sizes = {}, {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            with contextlib.suppress(OSError):
                fields = Path("/proc", name, "stat").read_text().rpartition(")")[2].split()
                parents[int(name)], sizes[int(name)] = int(fields[1]), int(fields[21]) * PAGE
    children = {}
    for process, parent in parents.items():
        children.setdefault(parent, []).append(process)
    found, todo = [], [root]
    while todo:
        process = todo.pop()
        found.append(process)
        todo += children.get(process, [])
    return sum(sizes.get(process, 0) for process in found), len(found)


class _Running:
    """One started sandbox with a pipe for each job."""

    def __init__(self, sandbox, imports, cells, jobs, writable_cache):
        self.sandbox, self.pipes, inherited = sandbox, [], []
        self.folder = Path(tempfile.mkdtemp(prefix="coursework-"))
        self.folder.chmod(0o711)
        scratch = self.folder / "scratch"
        scratch.mkdir(mode=0o700)
        user = sandbox.user()
        if user is not None:
            os.chown(scratch, user, user)
        questions = []
        for job in jobs:
            file = self._file(job.packed())
            read_end, write_end = os.pipe()
            self.pipes.append(read_end)
            inherited += [file, write_end]
            questions.append((file, write_end))
        limits = sandbox.limits
        seconds = {name: getattr(limits, name) for name in ("cell", "call", "question", "wall")}
        request = {"imports": imports, "paths": sandbox.package_paths(), "cells": cells}
        request |= {"seconds": seconds, "questions": questions}
        stdin = self._file(json.dumps(request).encode())
        try:
            self.process = subprocess.Popen(
                sandbox.command(scratch, writable_cache),
                stdin=stdin,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=inherited,
                cwd=scratch,
                start_new_session=True,
            )
        finally:
            for number in (stdin, *inherited):
                os.close(number)

    def _file(self, content: bytes) -> int:
        """A file descriptor to read `content` from; nobody can open the file again."""
        file, path = tempfile.mkstemp(dir=self.folder)
        os.write(file, content)
        os.close(file)
        file = os.open(path, os.O_RDONLY)
        os.unlink(path)
        return file

    def receive(self, number: int) -> tuple[bytes, str]:
        """Read one job's pipe to its end; also say why reading ended before it, or nothing."""
        limits, received, size = self.sandbox.limits, [], 0
        end, look = time.monotonic() + limits.start, 0.0
        while True:
            now = time.monotonic()
            if now > end:
                return b"".join(received), "time"
            if now > look:
                look = now + 0.25
                memory, processes = usage(self.process.pid)
                if memory > limits.memory or processes > limits.processes:
                    return b"".join(received), "memory"
            if select.select([self.pipes[number]], [], [], 0.05)[0]:
                part = os.read(self.pipes[number], 1 << 16)
                if not part:
                    return b"".join(received), ""
                if not received:
                    end = time.monotonic() + limits.wall + GRACE
                received.append(part)
                size += len(part)
                if size > limits.output:
                    return b"", "output"

    def close(self) -> None:
        """End every process of the sandbox, and forget its files."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        if self.sandbox.name == "setpriv":  # no namespace whose end would take them along
            self.sandbox.end_all_processes()
        self.process.wait()
        for pipe in self.pipes:
            os.close(pipe)
        shutil.rmtree(self.folder, ignore_errors=True)


def run(
    sandbox: Sandbox,
    imports: Sequence[str],
    cells: Sequence[str],
    jobs: Sequence[Job],
    *,
    writable_cache: bool = False,
) -> list[Answer]:
    """Run the cells and each job in a process of its own.

    A job that breaks out of its limits, or ends what serves the jobs, costs itself only: the
    others go on in a new sandbox. But when cells do not end, they would not end for any job, and
    the rest is not tried.

    Raises:
        SandboxError: a sandbox did not come to life, for which no student is to blame.
    """
    answers: list[Answer] = []
    while len(answers) < len(jobs):
        left = jobs[len(answers) :]
        running = _Running(sandbox, list(imports), list(cells), left, writable_cache)
        try:
            for number in range(len(left)):
                received, cut = running.receive(number)
                answer = read_answer(received)
                answer.ended = cut or answer.ended
                if not answer.started and answer.ended != "output":
                    if number == 0:
                        raise SandboxError("a sandbox ended before it ran anything")
                    break  # the job before it did harm: begin with this one in a new sandbox
                answers.append(answer)
                if answer.cells is None and answer.ended in ("time", "memory", "output"):
                    answers += [dataclasses.replace(answer) for _ in jobs[len(answers) :]]
                    return answers
                if cut or answer.ended == "lost":
                    break
        finally:
            running.close()
    return answers
