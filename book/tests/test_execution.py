"""The execution of chapters: when a kept result is valid, what kernels see, progress."""

import os
import time
from types import SimpleNamespace

import pytest

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


def test_progress_names_the_page_until_it_ends():
    lines = []
    progress = execution.Progress(say=lines.append, interval=0.02)
    progress.begin("data")
    time.sleep(0.2)
    assert progress.end() >= 0.2
    said = len(lines)
    assert said >= 2
    assert all(line.startswith("[run] data: ") for line in lines)
    time.sleep(0.1)
    assert len(lines) <= said + 1


def test_progress_gives_up_a_page_that_never_ended():
    lines = []
    progress = execution.Progress(say=lines.append, interval=0.02)
    progress.begin("broken")
    progress.begin("next")
    time.sleep(0.1)
    progress.end()
    assert any("next" in line for line in lines)
    assert sum("broken" in line for line in lines) <= 1
    assert progress.end() == 0.0
