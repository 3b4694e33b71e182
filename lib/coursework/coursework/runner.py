"""The untrusted side: starts once for a submission, and runs each question in a process of its own.

It is a script of the sandbox, not a module to import. What it imports before the first question, it
imports once: every question's process begins as a copy of this one, before any line of a student
has run. It never judges, and knows no expected value; a question's arguments reach the process of
that question only.

Standard input is one JSON object: `imports`, `cells`, `seconds`, and for each question the file
descriptors of its job and of the pipe for its answers.
"""

import contextlib
import ctypes
import importlib
import json
import os
import resource
import shutil
import signal
import sys
import time
import warnings

PR_SET_DUMPABLE = 4  # 0: no other process may read this one's memory or its file descriptors
PR_SET_CHILD_SUBREAPER = 36  # 1: orphans among its descendants become its children


def say(pipe: int, **message) -> None:
    """Write one line to the grader."""
    line = b"\n" + json.dumps(message).encode() + b"\n"
    while line:
        line = line[os.write(pipe, line) :]


def answer(job: dict, request: dict, pipe: int) -> None:
    """Run the cells, then the calls of one question, and say what came of each."""
    import execution
    import values

    module, seconds = execution.fresh_module(), request["seconds"]
    say(pipe, started=True)
    errors = execution.run_cells(request["cells"], module, seconds["cell"])
    say(pipe, cells={str(number): text for number, text in errors.items()})
    errors = execution.run_cells(job["checks"], module, seconds["cell"], "check")
    missing = [name for name in job["functions"] if not callable(vars(module).get(name))]
    say(pipe, checks={str(number): text for number, text in errors.items()}, missing=missing)
    failed = set()
    for number, (case, function, packed) in enumerate(job["calls"]):
        if case in failed:  # its other calls could earn nothing any more
            continue
        try:
            arguments = tuple(values.unpack_argument(one) for one in packed)
            result = execution.call(module, function, arguments, seconds["call"])
            with execution.limit(seconds["call"]):  # an array may be computed only when it is read
                value = values.pack_result(result)
            say(pipe, call=number, value=value)
        except BaseException as error:
            failed.add(case)
            say(pipe, call=number, error=execution.describe(error))


def become_the_question(job_file: int, pipe: int, seconds: dict) -> dict:
    """Close what belongs to others, set the limits of one question, and read its job."""
    for number in (0, 1, 2):
        os.dup2(os.open(os.devnull, os.O_RDWR), number)
    for name in os.listdir("/proc/self/fd"):
        if int(name) > 2 and int(name) not in (job_file, pipe):
            with contextlib.suppress(OSError):
                os.close(int(name))
    cpu = seconds["question"]
    resource.setrlimit(resource.RLIMIT_CPU, (cpu, cpu + 2))  # a signal that says so, then the end
    with os.fdopen(job_file, "rb") as stream:
        job = json.load(stream)
    ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 1, 0, 0, 0)
    return job


def wait(child: int, seconds: float) -> str:
    """Wait for a question's process, and say how it ended."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            code = os.waitstatus_to_exitcode(status)
            if code == -signal.SIGXCPU:
                return "time"
            return "done" if code == 0 else ("exit" if code > 0 else "signal")
        time.sleep(0.005)
    return "time"


def others() -> bool:
    """Whether this user has other processes, even ended ones that nobody has waited for yet."""
    for name in os.listdir("/proc"):
        if name.isdigit() and int(name) not in (1, os.getpid()):
            with contextlib.suppress(OSError), open(f"/proc/{name}/status") as stream:
                said = dict(line.split(":", 1) for line in stream if ":" in line)
                if str(os.getuid()) == said["Uid"].split()[0]:
                    return True
    return False


def wipe(scratch: str) -> None:
    """End every process that a question left behind, and delete its files."""
    while True:
        with contextlib.suppress(ProcessLookupError):
            os.kill(-1, signal.SIGKILL)  # all that this user may end, but not this process itself
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        if not others():
            break
    for entry in os.scandir(scratch):
        if entry.is_dir(follow_symlinks=False):
            shutil.rmtree(entry.path, ignore_errors=True)
        else:
            with contextlib.suppress(OSError):
                os.unlink(entry.path)


def main() -> None:
    """Import, then serve one question after another."""
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    import execution  # noqa: F401
    import values  # noqa: F401

    del sys.path[0]
    scratch = os.getcwd()
    if os.geteuid() == 0:
        sys.exit("this must not run as root: it ends all processes of its user")
    if sys.argv[1:] == ["probe"]:
        sys.exit(print("works"))
    ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    request = json.load(sys.stdin)
    sys.path[:0] = request["paths"]
    for name in request["imports"]:
        with contextlib.suppress(Exception):
            importlib.import_module(name)
    warnings.filterwarnings("ignore", message=r"os\.fork\(\) was called")
    for job_file, pipe in request["questions"]:
        child = os.fork()
        if child == 0:
            status = 1
            try:
                answer(become_the_question(job_file, pipe, request["seconds"]), request, pipe)
                status = 0
            finally:
                os._exit(status)
        os.close(job_file)
        ended = wait(child, request["seconds"]["wall"])
        wipe(scratch)
        with contextlib.suppress(OSError):
            say(pipe, ended=ended)
        os.close(pipe)


if __name__ == "__main__":
    main()
