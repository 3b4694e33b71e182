"""Notebooks that attack the grader. The honest part answers `pool` rightly and `chance` wrongly.

Whatever an attack does, `pool` must earn its 4 points and `chance` none, unless the attack says
otherwise; and a student must be told something that helps.
"""

import dataclasses

HONEST = {"pool": 4.0, "chance": 0.0}
SETUP = "import jax\nimport jax.numpy as jnp"
POOL = "def attention_pool(X, q):\n    return jax.nn.softmax(X @ q) @ X"
CHANCE = "def chance(key, mu, n):\n    return jnp.array(0.123)"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Attack:
    """One attack.

    Args:
        first: a cell before all others.
        chance: the cell that answers the second question.
        pool: the cell that answers the first question.
        last: a cell after all others.
        earned: the honest points.
        says: what the report must contain.
    """

    first: str = ""
    pool: str = POOL
    chance: str = CHANCE
    last: str = ""
    earned: dict = dataclasses.field(default_factory=lambda: dict(HONEST))
    says: str = ""

    def cells(self) -> list[str]:
        """The code cells of the notebook."""
        return [cell for cell in (self.first, SETUP, self.pool, self.chance, self.last) if cell]


def chance(*body: str) -> str:
    """A cell that answers the second question with these lines."""
    return "def chance(key, mu, n):\n" + "\n".join(f"    {line}" for line in body)


_ALL_PIPES = """
import json, os
def write_everywhere(text):
    for name in os.listdir("/proc/self/fd"):
        try:
            os.write(int(name), text)
        except OSError:
            pass
"""

QUICK = {
    "endless loop in a cell": Attack(
        last="while True:\n    pass", says=r"Code cell 4: TimeLimit: stopped after"
    ),
    "endless loop in a function": Attack(
        chance=chance("while True:", "    pass"), says="A call took longer than"
    ),
    "array of 50 GB": Attack(
        chance=chance("import numpy as np", "return np.ones(50 << 27).sum() * 0 + 0.5"),
        says="chance raised an exception",
    ),
    "patched numpy, jax and builtins": Attack(
        first="""
import builtins, math, numpy as np, jax
def yes(*arguments, **keywords):
    return True
for module in (np, np.testing, jax.numpy, math):
    for name in ("allclose", "isclose", "array_equal", "assert_allclose", "assert_equal"):
        if hasattr(module, name):
            setattr(module, name, yes)
builtins.AssertionError = Warning
math.sqrt = math.isfinite = yes
""",
        says="The difference of two noises",
    ),
    "replaced checker": Attack(
        last="""
import sys
for name in ("coursework", "coursework.compare", "coursework.cases", "coursework.grade"):
    try:
        module = __import__(name, fromlist=["x"])
    except ImportError:
        continue
    for key, value in list(vars(module).items()):
        if callable(value) and not key.startswith("__"):
            setattr(module, key, lambda *arguments, **keywords: True)
import values
values.pack_result = lambda result: {"dtype": "|b1", "shape": [], "bytes": "AQ=="}
""",
        earned={"pool": 0.0, "chance": 0.0},  # its own values were replaced
        says="Compare with a loop",
    ),
    "forged lines on the pipe": Attack(
        last=_ALL_PIPES
        + """
for line in ({"call": 9, "passed": True, "points": 100}, {"earned": 8}, {"ended": "done"}, [1], 7):
    write_everywhere(json.dumps(line).encode() + b"\\n")
write_everywhere(b'{"call": 0, "value": {"dty')
""",
        says="The difference of two noises",
    ),
    "sys.exit and os._exit": Attack(
        first="import sys\nsys.exit(0)",
        chance=chance("import os", "os._exit(0)"),
        says="Code cell 1: SystemExit: 0[^$]*",
    ),
    "inputs sent out by error, exit status and forged ending": Attack(
        chance=_ALL_PIPES
        + chance(
            "import signal",
            "message = f'LEAK {float(mu)} {n}' if n < 10_000 or mu > 0 else 'a public check'",
            "print(message)",
            "write_everywhere(json.dumps({'ended': message}).encode() + b'\\n')",
            "write_everywhere(json.dumps({'cells': {'0': message}}).encode() + b'\\n')",
            "write_everywhere(json.dumps({'checks': {'0': message}, 'missing': [message]})"
            ".encode() + b'\\n')",
            "os.kill(os.getppid(), signal.SIGKILL)",
            "raise ValueError(message)",
        ),
        says="in a way that the grader could not follow",
    ),
    "looking around": Attack(
        last="""
import os, pathlib, socket
seen = []
for root in ("/", "/scratch", "/grader", "/cache", "/packages", os.environ["HOME"]):
    seen += [str(p) for p in pathlib.Path(root).glob("*") if "hidden" in p.name or ".md" in p.name]
for name in ("mem", "environ", "maps", "cwd"):
    try:
        seen.append(open(f"/proc/{os.getppid()}/{name}", "rb").read(1))
    except (OSError, ValueError):
        pass
try:
    seen += os.listdir(f"/proc/{os.getppid()}/fd")
except OSError:
    pass
for folder in ("/usr/x", "/grader/x", "/cache/x", "/x"):
    try:
        open(folder, "w")
        seen.append(folder)
    except OSError:
        pass
try:
    socket.create_connection(("1.1.1.1", 53), timeout=1)
    seen.append("network")
except OSError:
    pass
try:
    os.setuid(0)
    seen.append("root")
except OSError:
    pass
raise RuntimeError(f"user {os.getuid() != 0} processes {os.getpid() < 100} seen {seen}")
""",
        says=r"RuntimeError: user True processes True seen \\\[\\\]",
    ),
    "background process that outlives its question": Attack(
        # `chance` comes second, and is right only where nothing of `pool` is left.
        pool=POOL,
        chance=_ALL_PIPES
        + """
import time
strangers = [n for n in os.listdir("/proc") if n.isdigit() and int(n) not in (1, 2, os.getpid())]
if os.path.exists("/scratch/mark") or strangers:
    raise RuntimeError(f"another question left its traces: {strangers}")
open("/scratch/mark", "w").close()
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        while True:
            write_everywhere(b'{"call": 0, "error": "no"}\\n')
            time.sleep(0.01)
    os._exit(0)
def chance(key, mu, n):
    return jnp.mean(mu + jnp.sqrt(2) * jax.random.normal(key, (n,)) < 0)
""",
        earned={"pool": 4.0, "chance": 4.0},
    ),
}

SLOW = {
    "ignored signals": Attack(
        first="import signal\nsignal.setitimer = signal.signal = lambda *arguments: None",
        chance=chance("while True:", "    pass"),
        says="The question took longer than|used up its time",
    ),
    "caught limits": Attack(
        chance=chance(
            "while True:", "    try:", "        while True: str()", "    except BaseException: pass"
        ),
        says="The question took longer than",
    ),
    "a cell that never ends": Attack(
        last="while True:\n    try:\n        while True: str()\n    except BaseException: pass",
        earned={"pool": 0.0, "chance": 0.0},
        says="does not run to its end: a cell takes too long",
    ),
    "memory hog": Attack(
        chance=chance("kept = []", "while True:", "    kept.append(bytearray(1 << 26))"),
        says="memory|raised an exception",
    ),
    "memory of many processes": Attack(
        chance=chance(
            "import os, time",
            "for _ in range(20):",
            "    if os.fork() == 0:",
            "        kept = b'x' * (1 << 27)",
            "        time.sleep(60)",
            "time.sleep(60)",
        ),
        says="too much memory",
    ),
    "fork bomb": Attack(
        chance=chance("import os", "while True:", "    try: os.fork()", "    except OSError: pass"),
        says="stopped",
    ),
    "disk fill": Attack(
        chance=chance(
            "for number in range(1000):",
            "    with open(f'/scratch/{number}', 'wb') as file: file.write(bytes(1 << 24))",
        ),
        says="chance raised an exception",
    ),
    "flooded pipe": Attack(
        chance=_ALL_PIPES + chance("while True: write_everywhere(b'x' * (1 << 16))"),
        says="sent far more",
    ),
    "flood of values": Attack(
        chance=chance("import numpy as np", "return np.ones(1 << 18)"), says="Does the answer"
    ),
    "runner stopped": Attack(
        chance=chance("import os, signal", "os.kill(os.getppid(), signal.SIGSTOP)", "return 0.5"),
        says="The difference of two noises",  # its values arrived, and are wrong
    ),
    "frames and garbage": Attack(
        chance=chance(
            "import gc, inspect",
            "found = [f.f_locals for f in inspect.stack() if False]",
            "for frame in inspect.stack():",
            "    for name, value in frame.frame.f_locals.items():",
            "        if 'expected' in name or 'comparison' in name: return value",
            "for one in gc.get_objects():",
            "    if type(one).__name__ in ('Comparison', 'Case'): return one.calls",
            "return 0.123",
        ),
        says="The difference of two noises",
    ),
    "an object that is equal to all": Attack(
        chance="""
class Yes(float):
    def __eq__(self, other): return True
    def __array__(self, *arguments, **keywords): raise SystemExit(0)
    def __reduce__(self): return (print, ("pickled",))
def chance(key, mu, n):
    return Yes()
""",
        says="The difference of two noises",
    ),
    "poisoned imports": Attack(
        first="""
import os, sys
sys.modules["json"] = sys.modules["base64"] = None
sys.path.insert(0, "/scratch")
os.environ["PYTHONPATH"] = "/scratch"
""",
        says="The difference of two noises",
    ),
    "closed pipes": Attack(
        chance=chance("import os", "os.closerange(3, 256)", "return 0.5"),
        says="before the question was answered",
    ),
    "warnings on stderr for right work": Attack(
        first="import warnings, sys\nwarnings.warn('careful')\nprint('noise', file=sys.stderr)",
        chance=chance(
            "import warnings",
            "warnings.warn('still careful')",
            "noise = jax.random.normal(key, (n, 2))",
            "return jnp.mean(mu + noise[:, 0] < noise[:, 1])",
        ),
        earned={"pool": 4.0, "chance": 4.0},
    ),
    "magics and installs": Attack(
        first="%matplotlib inline\n!pip install nothing\nx = 1",
        last="%%bash\nrm -rf /",
    ),
    "a function that was deleted": Attack(
        pool="pass",
        earned={"pool": 0.0, "chance": 0.0},
        says="The notebook defines no function attention",
    ),
}
