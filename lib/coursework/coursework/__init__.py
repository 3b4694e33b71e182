"""From one source to a student notebook, a page, and a grade that cannot be faked."""

from coursework.cases import Key, Made, case
from coursework.compare import close, estimate, exactly, holds

__all__ = ["Key", "Made", "case", "close", "estimate", "exactly", "holds"]
__version__ = "0.1.0"
