"""The lock, the readable ranges and the library's floors say the same."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
LOCK = (ROOT / "requirements.lock").read_text()
WANTED = [
    Requirement(line.split("#")[0])
    for line in (ROOT / "requirements.txt").read_text().splitlines()
    if line.split("#")[0].strip()
]
LOCKED = [Requirement(line) for line in re.findall(r"^(\w[^\\\n]*==[^\\\n]*)", LOCK, re.MULTILINE)]


@pytest.mark.parametrize("wanted", WANTED, ids=lambda wanted: wanted.name)
def test_the_lock_satisfies_the_ranges(wanted):
    name = canonicalize_name(wanted.name)
    found = [locked for locked in LOCKED if canonicalize_name(locked.name) == name]
    assert found, "run `make lock`"
    for locked in found:
        (pin,) = locked.specifier
        assert wanted.specifier.contains(pin.version, prereleases=True), "run `make lock`"


def test_the_lock_names_no_host_and_no_gpu_package():
    assert "://" not in LOCK
    assert not re.search(r"^(nvidia|jax-cuda)", LOCK, re.MULTILINE)


def test_the_lock_has_a_hash_for_every_package():
    assert len(LOCKED) > 100
    entries = re.split(r"^(?=\w)", LOCK, flags=re.MULTILINE)[1:]
    assert all("--hash=sha256:" in entry for entry in entries)


def test_the_library_asks_for_no_other_versions_than_the_book():
    project = tomllib.loads((ROOT / "lib" / "pyproject.toml").read_text())["project"]
    ranges = {canonicalize_name(wanted.name): wanted.specifier for wanted in WANTED}
    for text in project["dependencies"]:
        needed = Requirement(text)
        assert set(needed.specifier) <= set(ranges[canonicalize_name(needed.name)]), text
        assert not any(limit.operator in ("<", "<=", "==", "~=") for limit in needed.specifier)
