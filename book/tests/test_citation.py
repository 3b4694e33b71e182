"""How the book is cited: one entry, with the addresses that one setting gives."""

import shutil

import pytest
import yaml

from bookext import citation
from bookext.edition import ROOT
from bookext.repository import Publication

NOWHERE = Publication.from_settings("", "", {})
FORK = Publication.from_settings("teacher/book", "", {})


@pytest.fixture
def root(tmp_path):
    """A copy of the three files that speak of citation."""
    for name in ("CITATION.cff", "README.md", "_config.yml"):
        shutil.copy(ROOT / name, tmp_path)
    return tmp_path


def test_the_files_say_what_the_settings_say():
    for path, text in citation.written().items():
        assert path.read_text("utf-8") == text, f"{path.name} is not up to date: `make citation`"


def test_an_entry_has_the_address_of_the_site_and_else_none():
    assert "url" not in citation.entry(NOWHERE)
    assert "  url     = {https://teacher.github.io/book/},\n" in citation.entry(FORK)
    elsewhere = Publication.from_settings("teacher/book", "https://a.example/b", {})
    assert "  url     = {https://a.example/b/},\n" in citation.entry(elsewhere)


def test_an_entry_is_complete():
    assert citation.entry(FORK, "1.2.0").splitlines() == [
        "@misc{promptattentionbook,",
        "  author  = {{The prompt-attention book maintainers}},",
        "  title   = {What attention does in prompt-tuning},",
        "  year    = {2026},",
        "  version = {1.2.0},",
        "  url     = {https://teacher.github.io/book/},",
        "}",
    ]


def test_one_setting_reaches_every_file_and_leaves_them_again(root):
    before = {path: path.read_text("utf-8") for path in citation.written(root)}
    settings = (root / "_config.yml").read_text("utf-8")
    (root / "_config.yml").write_text(settings.replace('  url: ""', "  url: teacher/book"), "utf-8")
    for _ in range(2):  # the second time nothing is left to do
        for path, text in citation.written(root).items():
            path.write_text(text, "utf-8")
        known = yaml.safe_load((root / "CITATION.cff").read_text("utf-8"))
        assert known["url"] == "https://teacher.github.io/book/"
        assert known["repository-code"] == "https://github.com/teacher/book"
        readme = (root / "README.md").read_text("utf-8")
        assert readme.count("url     = {https://teacher.github.io/book/},") == 1
    (root / "_config.yml").write_text(settings, "utf-8")
    assert citation.written(root) == before


def test_the_environment_does_not_reach_the_files(root, monkeypatch):
    before = citation.written(root)
    monkeypatch.setenv("GITHUB_REPOSITORY", "teacher/book")
    assert citation.written(root) == before


def test_a_readme_without_the_entry_is_refused():
    with pytest.raises(ValueError, match="expected one BibTeX entry promptattentionbook, got 0"):
        citation.with_entry("# Title\n", NOWHERE)
