r"""Text in a code cell's strings that only the book's own build understands.

A cell that computes a sentence may name macros and roles in it, `rf"{{eq}}`eq-odds` gives
$\norm{{q}}$"`. Outside the book both must be plain Markdown, in the string itself.
"""

import re
from collections.abc import Callable

from ..mathematics import MACROS
from .latex import expand

# Comments are skipped. Code must run on Python 3.11, so a string does not hold its own quotes.
_TOKEN = re.compile(
    r"""#[^\n]*|(?P<prefix>\b[rRfFbBuU]{1,2}|)(?P<quote>\"{3}|'{3}|"|')"""
    r"(?P<body>(?:\\.|(?!(?P=quote)).)*)(?P=quote)",
    re.DOTALL,
)
_FIELD = re.compile(r"\{\{|\}\}|\{[^{}]*(?:\{[^{}]*\}[^{}]*)*\}")
_ROLE = re.compile(r"\{(?P<name>[a-z][a-z:]*)\}`(?P<text>[^`]+)`")
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_MEANINGS = {"\\": "\\", "n": "\n", "'": "'", '"': '"', "\n": ""}
_MACRO = re.compile(r"\\[A-Za-z]+")


def plain_strings(code: str, resolve: Callable[[str, str], str]) -> str:
    """Return code whose strings hold neither a macro nor a role.

    Args:
        code: a cell's source.
        resolve: gives the Markdown for a role, from its name and its text.

    Raises:
        ValueError: a string that would have to change holds an escape other than a backslash,
            a quote or a new line.
    """
    return _TOKEN.sub(lambda match: _plain_string(match, resolve), code)


def _plain_string(match: re.Match[str], resolve: Callable[[str, str], str]) -> str:
    if match["quote"] is None:
        return match[0]
    raw, formatted = (letter in match["prefix"].lower() for letter in "rf")
    fields: list[str] = []

    def hide(field: re.Match[str]) -> str:
        if field[0] in ("{{", "}}"):
            return field[0][0]
        fields.append(field[0])
        return f"\0{len(fields) - 1}\0"

    text = match["body"] if raw else _ESCAPE.sub(_meaning, match["body"])
    text = _FIELD.sub(hide, text) if formatted else text
    plain_fields = [plain_strings(field, resolve) for field in fields]
    touched = _ROLE.search(text) or any(name in MACROS for name in _MACRO.findall(text))
    if not touched and plain_fields == fields:
        return match[0]
    text = expand(_ROLE.sub(lambda role: resolve(role["name"], role["text"]), text))
    text = text.replace("{", "{{").replace("}", "}}") if formatted else text
    text = text if raw else _escaped(text, match["quote"])
    text = re.sub(r"\0(\d+)\0", lambda field: plain_fields[int(field[1])], text)
    return f"{match['prefix']}{match['quote']}{text}{match['quote']}"


def _meaning(escape: re.Match[str]) -> str:
    if escape[1] not in _MEANINGS:
        # What is not known is kept as it is, for a string that need not change.
        return "\1" + escape[1]
    return _MEANINGS[escape[1]]


def _escaped(text: str, quote: str) -> str:
    """Return the inside of a string that is not raw."""
    if "\1" in text:
        raise ValueError(f"string {text!r}: expected no escapes but those of \\, n and quotes")
    text = text.replace("\\", "\\\\").replace(quote[0], "\\" + quote[0])
    return text if len(quote) == 3 else text.replace("\n", "\\n")
