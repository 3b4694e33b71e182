"""The first cell of every notebook: it installs the library where it is missing.

A build leaves it in ``_build/html/notebooks/first-cell.py``; for notebooks from elsewhere,
``first_cell_of(Publication.from_environment())`` gives it without a build.
"""

from pathlib import Path
from string import Template

from ..repository import Publication
from ..wheel import LIBRARY, library_version, wheel_name

TEMPLATE = Path(__file__).with_name("install_library.py")


def first_cell(version: str, wheel: str | None) -> str:
    """Return the code that installs one version of the library.

    Args:
        version: the version of the wheel, as `library_version` gives it.
        wheel: the wheel's address, or None where nobody publishes it; the cell then fails with a
            sentence that says what to do, unless the library is installed.
    """
    text = Template(TEMPLATE.read_text("utf-8"))
    return text.substitute(version=version, wheel=wheel or "").rstrip()


def first_cell_of(publication: Publication, library: Path = LIBRARY) -> str:
    """Return the first cell for the library as it stands, published as the setting says."""
    version = library_version(library)
    return first_cell(version, publication.wheel_url(wheel_name(version)))
