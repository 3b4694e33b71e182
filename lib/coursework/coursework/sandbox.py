"""How untrusted code is confined: the command that starts `runner.py`, and where it works."""

import dataclasses
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

CODE = Path(__file__).parent
RUN_IN_THE_SANDBOX = ("runner.py", "execution.py", "values.py")
NOBODY = 65534
APART = 64534  # first of the user ids of `setpriv`, which must belong to nobody else
NAMES = ("bubblewrap", "setpriv")


class SandboxError(RuntimeError):
    """The sandbox that was asked for does not work on this machine."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Limits:
    """What one submission may use; times in seconds, sizes in bytes.

    Args:
        cell: processor time of one cell.
        call: processor time of one call of a graded function.
        question: processor time of a question, its cells and calls together.
        wall: time of a question by the clock, for what waits and does not compute.
        start: time by the clock to import what the questions share.
        address_space: of one process.
        memory: of all processes of the sandbox together.
        processes: processes and threads.
        file: size of one file, and of the scratch folder.
        output: what a question may send to the grader.
    """

    cell: float = 20.0
    call: float = 20.0
    question: int = 60
    wall: float = 180.0
    start: float = 300.0
    address_space: int = 6 << 30
    memory: int = 3 << 30
    processes: int = 192
    file: int = 64 << 20
    output: int = 16 << 20


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sandbox:
    """A way to confine code.

    Args:
        name: "bubblewrap", or the weaker "setpriv": another user and limits, but the machine's own
            file system, network and processes.
        limits: what one submission may use.
        packages: importable packages outside the scientific stack that may be used.
        cache: folder of compiled programs, which students may read; None for none.
        worker: number of the worker that uses it, so that no two share a user id or a core.
    """

    name: str
    limits: Limits = Limits()
    packages: tuple[str, ...] = ()
    cache: Path | None = None
    worker: int = 0

    def user(self) -> int | None:
        """The id of the user that untrusted code runs as; None when that is whoever started it."""
        if os.geteuid() != 0:
            return None
        return (NOBODY if self.name == "bubblewrap" else APART) - self.worker

    def command(self, scratch: Path, writable_cache: bool = False) -> list[str]:
        """The command line that starts the runner, on one core."""
        inside = self.name == "bubblewrap"
        code = "/grader" if inside else str(CODE)
        python = [sys.executable, "-I", "-B", f"{code}/runner.py"]
        if inside:
            head = ["bwrap", *self._namespaces(), *self._file_system(writable_cache)]
            head += ["--die-with-parent", "--new-session", "--clearenv"]
            for name, value in self.environment("/scratch", writable_cache).items():
                head += ["--setenv", name, value]
        else:
            environment = self.environment(str(scratch), writable_cache)
            head = ["env", "-i", *(f"{name}={value}" for name, value in environment.items())]
        cores = sorted(os.sched_getaffinity(0))
        pinned = ["taskset", "-c", str(cores[self.worker % len(cores)])]
        return [*pinned, *head, *self._limits(), *self._drop(), *python]

    def environment(self, scratch: str, writable_cache: bool) -> dict[str, str]:
        """All that the runner's environment says."""
        said = {
            "PATH": "/usr/bin",
            "HOME": scratch,
            "TMPDIR": scratch,
            "LANG": "C.UTF-8",
            "JAX_PLATFORMS": "cpu",
            "MPLBACKEND": "Agg",
            "MPLCONFIGDIR": scratch,
            "OMP_NUM_THREADS": "1",
            "TF_CPP_MIN_LOG_LEVEL": "3",
        }
        if self.cache is not None:
            cache = "/cache" if self.name == "bubblewrap" else str(self.cache)
            never = "1e9"  # a student's process must not try to write
            said |= {
                "JAX_COMPILATION_CACHE_DIR": cache,
                "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0" if writable_cache else never,
                "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
            }
            if writable_cache:
                said["MPLCONFIGDIR"] = cache
        return said

    def end_all_processes(self) -> None:
        """End all that runs as the user of untrusted code, whom nobody else may use."""
        kill = "import os, signal; os.kill(-1, signal.SIGKILL)"
        subprocess.run(
            [*self._drop(), sys.executable, "-I", "-c", kill],
            check=False,
            cwd="/",
            stderr=subprocess.DEVNULL,
        )

    def package_paths(self) -> list[str]:
        """Folders that the runner adds to its import path."""
        if self.name == "bubblewrap":
            return ["/packages"] if self.packages else []
        return sorted({str(package_folder(name).parent) for name in self.packages})

    def _namespaces(self) -> list[str]:
        if os.geteuid() != 0:
            return ["--unshare-all", "--cap-drop", "ALL"]
        apart = [f"--unshare-{what}" for what in ("pid", "net", "ipc", "uts", "cgroup-try")]
        keep = ["CAP_SETUID", "CAP_SETGID"]  # given up by `setpriv`, before any foreign code
        return [*apart, "--cap-drop", "ALL", *(x for cap in keep for x in ("--cap-add", cap))]

    def _file_system(self, writable_cache: bool) -> list[str]:
        bound = ["--ro-bind", "/usr", "/usr"]
        for name in ("bin", "sbin", "lib", "lib64"):
            if Path("/", name).exists():
                bound += ["--symlink", f"usr/{name}", f"/{name}"]
        for folder in dict.fromkeys((sys.base_prefix, sys.prefix)):
            if not folder.startswith("/usr/"):
                bound += [*_parents(folder), "--ro-bind", folder, folder]
        for folder in ("/grader", "/packages", "/cache"):
            bound += ["--perms", "0755", "--dir", folder]
        for name in self.packages:
            bound += ["--ro-bind", str(package_folder(name)), f"/packages/{name}"]
        for name in RUN_IN_THE_SANDBOX:
            bound += ["--ro-bind", str(CODE / name), f"/grader/{name}"]
        if self.cache is not None:
            bound += ["--bind" if writable_cache else "--ro-bind", str(self.cache), "/cache"]
        bound += ["--proc", "/proc", "--dev", "/dev"]
        bound += ["--size", str(self.limits.file), "--perms", "1777", "--tmpfs", "/scratch"]
        return [*bound, "--remount-ro", "/", "--chdir", "/scratch"]

    def _limits(self) -> list[str]:
        limits = self.limits
        return [
            "prlimit",
            f"--as={limits.address_space}",
            f"--nproc={limits.processes}",
            f"--fsize={limits.file}",
            "--nofile=256",
            "--core=0",
            "--",
            "choom",
            "-n",
            "1000",
            "--",
        ]

    def _drop(self) -> list[str]:
        user = self.user()
        if user is None:
            return []
        ids = [f"--reuid={user}", f"--regid={user}", "--clear-groups"]
        return ["setpriv", *ids, "--no-new-privs", "--inh-caps=-all"]

    def require(self) -> None:
        """Make sure that the sandbox works here.

        Raises:
            SandboxError: it does not; the message says why, and what else there is.
        """
        if self.name == "setpriv" and os.geteuid() != 0:
            raise SandboxError("--sandbox setpriv changes the user, which only root can do")
        programs = ["prlimit", "choom", "taskset"]
        programs += ["bwrap"] if self.name == "bubblewrap" else []
        programs += ["setpriv"] if self.user() is not None else []
        for program in programs:
            if shutil.which(program) is None:
                package = "bubblewrap" if program == "bwrap" else "util-linux"
                raise SandboxError(f"{program} was not found: install the package {package}")
        with tempfile.TemporaryDirectory() as folder:
            probe = [*self.command(Path(folder)), "probe"]
            done = subprocess.run(
                probe, capture_output=True, text=True, timeout=60, check=False, cwd="/"
            )
        if done.stdout.strip() != "works":
            reason = (done.stderr.strip().splitlines() or ["no message"])[-1]
            raise SandboxError(
                f"--sandbox {self.name} does not work on this machine: {reason}. Grade where it "
                "does (as root, or where user namespaces are allowed), or choose the weaker "
                "--sandbox setpriv, which needs root and a machine that holds nothing of value"
            )


def _parents(folder: str) -> list[str]:
    made = []
    for parent in reversed(Path(folder).parents):
        if str(parent) not in ("/", "/usr"):
            made += ["--perms", "0755", "--dir", str(parent)]
    return made


def package_folder(name: str) -> Path:
    """Where an importable package lies.

    Raises:
        SandboxError: it is not installed.
    """
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise SandboxError(f"the assignment needs the package {name}, which is not installed")
    return Path(next(iter(spec.submodule_search_locations)))
