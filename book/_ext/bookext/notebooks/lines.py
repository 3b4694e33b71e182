"""What stands in a line of a page, as Markdown that Colab and Jupyter render.

Numbers, references and citations are those of the page, for they come from the same document tree.
A node that is not known is an error, here and for blocks, so that nothing is dropped in silence.
"""

from __future__ import annotations

import re
from collections.abc import Collection

from docutils import nodes

from . import latex

_SPECIAL = re.compile(r"([\\*_`$~])")
_SPACES = re.compile(r"(\s*)(.*?)(\s*)", re.DOTALL)


class UnknownNodeError(ValueError):
    """A part of a page that has no form in a notebook yet."""


class LineWriter:
    """Writes the nodes of one page.

    Args:
        builder: the builder of the site, which knows the numbers of figures and theorems.
        page: the page's name.
        targets: the names that the page's own links lead to; no other place needs an anchor.
    """

    def __init__(self, builder, page: str, targets: Collection[str] = ()):
        self.builder = builder
        self.page = page
        self.targets = targets

    def link(self, reference: nodes.Element) -> str:
        """Return the address for a reference of the page, or nothing for plain text."""
        raise NotImplementedError

    def picture(self, node: nodes.Element) -> str:
        """Return the address for an image of the page."""
        raise NotImplementedError

    def number(self, kind: str, node: nodes.Element) -> str:
        """Return the number that the page gives to a figure, a theorem or an exercise."""
        numbers = self.builder.env.toc_fignumbers.get(self.page, {}).get(kind, {})
        for name in node["ids"]:
            if name in numbers:
                return ".".join(map(str, numbers[name]))
        return ""

    def inline(self, node: nodes.Node) -> str:
        """Return what stands in a line."""
        method = self.method("inline", node)
        if method is None:
            raise UnknownNodeError(f"{self.page}: no notebook form for {described(node)} in a line")
        return method(node)

    def line(self, node: nodes.Element) -> str:
        """Return the children of a node as one text; its lines stay lines."""
        return "".join(self.inline(child) for child in node.children).strip()

    def method(self, prefix: str, node: nodes.Node):
        """Return the method for the nearest class of a node that has one, or None."""
        for cls in type(node).__mro__:
            if found := getattr(self, f"{prefix}_{cls.__name__}", None):
                return found
        return None

    def inline_Text(self, node: nodes.Text) -> str:
        text = node.astext().replace("&", "&amp;").replace("<", "&lt;")
        return _SPECIAL.sub(r"\\\1", text)

    def inline_emphasis(self, node: nodes.Element) -> str:
        return _wrapped(self.line(node), "*")

    def inline_strong(self, node: nodes.Element) -> str:
        return _wrapped(self.line(node), "**")

    def inline_literal(self, node: nodes.Element) -> str:
        text = node.astext()
        fence = "``" if "`" in text else "`"
        return f"{fence}{text}{fence}"

    def inline_math(self, node: nodes.Element) -> str:
        return latex.inline(node.astext())

    def inline_reference(self, node: nodes.Element) -> str:
        text, address = self.inline_inline(node), self.link(node)
        if not address or not text.strip():
            return text
        before, inside, after = _SPACES.fullmatch(text).groups()
        return f"{before}[{inside}]({address}){after}"

    def inline_inline(self, node: nodes.Element) -> str:
        return "".join(self.inline(child) for child in node.children)

    inline_number_reference = inline_reference
    inline_abbreviation = inline_title_reference = inline_inline

    def inline_image(self, node: nodes.Element) -> str:
        return f"![{self._alt(node)}]({self.picture(node)})"

    def inline_target(self, node: nodes.Element) -> str:
        return "".join(self.inline(child) for child in node.children)

    def inline_raw(self, node: nodes.Element) -> str:
        return node.astext() if "html" in node.get("format", "").split() else ""

    def inline_superscript(self, node: nodes.Element) -> str:
        return f"<sup>{self.line(node)}</sup>"

    def inline_subscript(self, node: nodes.Element) -> str:
        return f"<sub>{self.line(node)}</sub>"

    def _alt(self, node: nodes.Element) -> str:
        return " ".join(node.get("alt", "").split()).replace("[", "(").replace("]", ")")


def described(node: nodes.Node) -> str:
    """Return what an error calls a node: its class and how its text begins."""
    return f"{type(node).__name__} {node.astext()[:60]!r}"


def _wrapped(text: str, mark: str) -> str:
    return f"{mark}{text}{mark}" if text else ""
