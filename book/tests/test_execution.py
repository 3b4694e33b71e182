"""The execution of chapters: when a kept result is valid, what kernels see, progress."""

import gc
import os
import subprocess
import sys
import time
import warnings
from pathlib import Path
from types import SimpleNamespace

import pytest
from jupyter_cache import get_cache

from bookext import execution


@pytest.fixture
def library(tmp_path):
    folder = tmp_path / "lib" / "prompt_attention"
    folder.mkdir(parents=True)
    (folder / "data.py").write_text("x = 1\n")
    return folder


def test_digest_is_the_same_for_the_same_library(library):
    first = execution.digest(library)
    os.utime(library / "data.py", (0, 0))
    (library / "__pycache__").mkdir()
    (library / "__pycache__" / "data.pyc").write_bytes(b"compiled")
    assert execution.digest(library) == first


def change(library):
    (library / "data.py").write_text("x = 2\n")


def rename(library):
    (library / "data.py").rename(library / "models.py")


def add(library):
    (library / "book.mplstyle").write_text("figure.dpi: 100\n")


def remove(library):
    (library / "data.py").unlink()


@pytest.mark.parametrize("edit", [change, rename, add, remove])
def test_digest_changes_with_the_library(library, edit):
    before = execution.digest(library)
    edit(library)
    assert execution.digest(library) != before


def test_the_installed_xla_takes_the_settings(tmp_path):
    """It ends the process at a flag that it does not know."""
    settings = execution.kernel_environment(tmp_path)
    code = "import jax; print(jax.jit(lambda x: x + 1)(1))"
    settings = os.environ | settings
    run = subprocess.run([sys.executable, "-c", code], env=settings, capture_output=True, text=True)
    assert run.stdout.strip() == "2", run.stderr


@pytest.mark.parametrize(
    ("version", "chosen"), [("0.7.2", 1), ("0.10.1", 1), ("0.11.0", 0), ("0.12.0.1", 0), ("1.0", 0)]
)
def test_only_a_version_with_two_makers_of_loops_is_told_which(version, chosen, monkeypatch):
    monkeypatch.setattr(execution.metadata, "version", lambda name: version)
    assert len(execution.quick_to_compile()) == chosen


def test_digest_changes_with_a_package_version(library, monkeypatch):
    before = execution.digest(library)
    version = execution.metadata.version
    monkeypatch.setattr(
        execution.metadata, "version", lambda name: "0" if name == "jaxlib" else version(name)
    )
    assert execution.digest(library) != before


def test_prepare_keys_the_cache_and_respects_what_is_set(library, tmp_path, monkeypatch):
    for name in execution.kernel_environment(tmp_path):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("JAX_PLATFORMS", "cuda")
    app = SimpleNamespace(outdir=tmp_path / "_build" / "html", srcdir=tmp_path / "book")
    config = SimpleNamespace(nb_execution_mode="cache", nb_execution_cache_path="")
    execution.prepare(app, config)
    cache = tmp_path.resolve() / "_build" / ".jupyter_cache" / execution.digest(library)
    assert config.nb_execution_cache_path == str(cache)
    assert os.environ["JAX_PLATFORMS"] == "cuda"
    assert os.environ["JAX_COMPILATION_CACHE_DIR"].endswith("_build/.jax_cache")


PAGE = """---
jupytext:
  text_representation:
    format_name: myst
kernelspec:
  display_name: Python 3
  name: python3
---

# {title}

```{{code-cell}} ipython3
{code}
```
"""
STAMP = "import time; start = time.time(); time.sleep(1); print(start, time.time())"


def build_of(folder, **code):
    """What `run_ahead` needs to see of a build whose pages have this code, and a page of prose."""
    for title, lines in code.items():
        (folder / f"{title}.md").write_text(PAGE.format(title=title, code=lines))
    (folder / "prose.md").write_text("# Prose\n")
    off = "---\nmystnb:\n  execution_mode: 'off'\n"
    (folder / "off.md").write_text(PAGE.replace("---\n", off, 1).format(title="Off", code="off"))
    config = SimpleNamespace(
        nb_execution_mode="cache",
        nb_execution_cache_path=str(folder / "cache"),
        nb_execution_timeout=60,
        nb_execution_allow_errors=False,
    )
    env = SimpleNamespace(doc2path=lambda page: str(folder / f"{page}.md"))
    return SimpleNamespace(config=config), env, [*code, "prose", "off"]


def kept(folder):
    """The printed text of each page in the cache."""
    cache = get_cache(str(folder / "cache"))
    found = {}
    for record in cache.list_cache_records():
        notebook = cache.get_cache_bundle(record.pk).nb
        printed = [o.text for cell in notebook.cells for o in cell.get("outputs", [])]
        found[Path(record.uri).stem] = "".join(printed)
    return found


@pytest.fixture
def kernels():
    """What runs kernels in threads leaves sockets and event loops to the garbage collector."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        yield
        gc.collect()


@pytest.mark.skipif(os.cpu_count() < 2, reason="needs two cores")
@pytest.mark.usefixtures("kernels")
def test_pages_run_side_by_side_and_once(tmp_path):
    build = build_of(tmp_path, first=STAMP, second=STAMP + "  # of another page")
    execution.run_ahead(*build)
    ran = kept(tmp_path)
    (start, end), (other_start, other_end) = (map(float, text.split()) for text in ran.values())
    assert start < other_end
    assert other_start < end
    execution.run_ahead(*build)
    assert kept(tmp_path) == ran


@pytest.mark.usefixtures("kernels")
def test_a_page_that_changed_runs_again_and_one_that_fails_is_not_kept(tmp_path, monkeypatch):
    lines = []
    monkeypatch.setattr(execution.Progress.__init__, "__defaults__", (lines.append, 60.0))
    build = build_of(tmp_path, right="print(1)", wrong="1 / 0")
    execution.run_ahead(*build)
    ended = sorted(line.partition(" after")[0] for line in lines)
    assert ended == ["[run] right: done", "[run] wrong: FAILED"]
    assert kept(tmp_path) == {"right": "1\n"}
    execution.run_ahead(*build_of(tmp_path, right="print(2)"))
    assert kept(tmp_path) == {"right": "2\n"}


def test_progress_names_pages_until_they_end():
    lines = []
    with execution.Progress(say=lines.append, interval=0.02) as progress:
        progress.begin("data")
        progress.begin("models")
        time.sleep(0.2)
        progress.end("data", "done")
        said = len(lines)
        time.sleep(0.2)
        progress.end("models", "FAILED")
    assert lines[0].startswith("[run] so far: data 0 s, models 0 s")
    assert lines[said - 1] == "[run] data: done after 0 s"
    assert said >= 3
    assert not any("data" in line for line in lines[said + 1 :])
    assert lines[-1] == "[run] models: FAILED after 0 s"
    ended = len(lines)
    time.sleep(0.1)
    assert len(lines) == ended
