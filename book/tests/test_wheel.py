"""The wheel that notebooks install: named by its content, the same each time."""

import zipfile

import pytest

from bookext import edition, wheel
from bookext.repository import Publication


@pytest.fixture
def library(tmp_path):
    package = tmp_path / "lib" / "prompt_attention"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text('"""A library."""\n\n__version__ = "1.2.0"\n')
    (package / "data.py").write_text("x = 1\n")
    (tmp_path / "lib" / "pyproject.toml").write_text(
        '[build-system]\nrequires = ["flit_core"]\nbuild-backend = "flit_core.buildapi"\n'
        '[project]\nname = "prompt-attention"\nrequires-python = ">=3.11"\n'
        'dynamic = ["version", "description"]\n'
        '[tool.flit.module]\nname = "prompt_attention"\n'
    )
    return tmp_path / "lib"


def test_the_version_changes_with_the_content_and_with_nothing_else(library):
    first = wheel.library_version(library)
    assert first.startswith("1.2.0+sha")
    (library / "prompt_attention" / "__pycache__").mkdir()
    (library / "prompt_attention" / "__pycache__" / "data.pyc").write_bytes(b"compiled")
    assert wheel.library_version(library) == first
    (library / "prompt_attention" / "data.py").write_text("x = 2\n")
    assert wheel.library_version(library) != first


@pytest.mark.filterwarnings("ignore")
def test_the_wheel_has_that_version_and_is_the_same_each_time(library, tmp_path):
    one, two = (wheel.build_wheel(tmp_path / name, library) for name in ("one", "two"))
    version = wheel.library_version(library)
    assert one.name == wheel.wheel_name(version)
    assert one.read_bytes() == two.read_bytes()
    with zipfile.ZipFile(one) as archive:
        source = archive.read("prompt_attention/__init__.py").decode()
        assert f'__version__ = "{version}"' in source
        assert "prompt_attention/data.py" in archive.namelist()
    assert '__version__ = "1.2.0"' in (library / "prompt_attention" / "__init__.py").read_text()


def test_a_library_without_a_version_is_refused(library):
    (library / "prompt_attention" / "__init__.py").write_text("")
    with pytest.raises(ValueError, match="expected __version__"):
        wheel.library_version(library)


@pytest.fixture
def sources(tmp_path):
    """A repository that has all that notebooks are made of, and some files that they are not."""
    names = ("book/data.md", "lib/prompt_attention/risk.py", "lib/coursework/coursework/build.py")
    names += ("assignments/data/data.md", "book/tests/a.py", "book/assignments/data.md")
    for name in (*(name for name in edition.SOURCES if "." in name), *names):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("one")
    return tmp_path


@pytest.mark.parametrize(
    ("changed", "counts"),
    [
        ("book/data.md", True),
        ("assignments/data/data.md", True),
        ("lib/coursework/coursework/build.py", True),
        ("requirements.lock", True),
        ("book/tests/a.py", False),
        ("book/assignments/data.md", False),
    ],
)
def test_an_edition_changes_with_what_its_notebooks_are_made_of(sources, changed, counts):
    first = edition.edition("1.2.0", "", sources)
    (sources / changed).write_text("two")
    assert (edition.edition("1.2.0", "", sources) != first) is counts


def test_a_fork_has_editions_of_its_own(sources):
    ours, theirs = (
        Publication.from_settings(name, "", {}).addresses for name in ("owner/book", "fork/book")
    )
    assert edition.edition("1", ours, sources) == edition.edition("1", ours, sources)
    assert edition.edition("1", ours, sources) != edition.edition("1", theirs, sources)
