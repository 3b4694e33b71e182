"""A resolved page as plain Markdown that Colab and Jupyter render.

Numbers, references and citations are those of the page, for they come from the same document tree.
A node that is not known here is an error, so that nothing is dropped in silence.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator

from docutils import nodes
from sphinx.util.math import get_node_equation_number

from . import latex

_SPECIAL = re.compile(r"([\\*_`$~])")
_BLOCK_START = re.compile(r"^(\s*)([#>+-]|\d+[.)])(?=\s)", re.MULTILINE)
_SPACES = re.compile(r"(\s*)(.*?)(\s*)", re.DOTALL)
# What holds nothing that a reader sees.
_SILENT = (nodes.comment, nodes.target, nodes.substitution_definition, nodes.system_message)


class UnknownNodeError(ValueError):
    """A part of a page that has no form in a notebook yet."""


class MarkdownWriter:
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

    # --- lines of text -------------------------------------------------------------------------

    def inline(self, node: nodes.Node) -> str:
        """Return what stands in a line."""
        method = self._method("inline", node)
        if method is None:
            raise UnknownNodeError(f"{self.page}: no notebook form for {_name(node)} in a line")
        return method(node)

    def line(self, node: nodes.Element) -> str:
        """Return the children of a node as one text; its lines stay lines."""
        return "".join(self.inline(child) for child in node.children).strip()

    def _method(self, prefix: str, node: nodes.Node):
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

    # --- blocks --------------------------------------------------------------------------------

    def blocks(self, node: nodes.Node) -> Iterator[str]:
        """Yield the blocks that a node becomes; between two of them stands an empty line."""
        if isinstance(node, _SILENT):
            yield from self.anchors(node)
            return
        method = self._method("blocks", node)
        if method is None:
            raise UnknownNodeError(f"{self.page}: no notebook form for {_name(node)} as a block")
        yield from method(node)

    def text(self, items: list[nodes.Node]) -> str:
        """Return several nodes as one text."""
        return "\n\n".join(block for item in items for block in self.blocks(item) if block)

    def anchors(self, node: nodes.Element) -> Iterator[str]:
        """Yield a block with a node's anchor, if it needs one."""
        if anchor := self.anchor(node):
            yield anchor

    def anchor(self, node: nodes.Element) -> str:
        """Return an empty element for each name by which a link of the page finds a node."""
        names = [name for name in node["ids"] if name in self.targets]
        return "".join(f'<a id="{name}" name="{name}"></a>' for name in names)

    def blocks_paragraph(self, node: nodes.Element) -> Iterator[str]:
        yield from self.anchors(node)
        yield _BLOCK_START.sub(r"\1\\\2", self.line(node))

    def blocks_math_block(self, node: nodes.Element) -> Iterator[str]:
        yield from self.anchors(node)
        number = get_node_equation_number(self, node) if node.get("number") else ""
        yield latex.display(node.astext(), number)

    def blocks_literal_block(self, node: nodes.Element) -> Iterator[str]:
        language = node.get("language", "none")
        opening = "```" if language in ("none", "default") else f"```{language}"
        yield f"{opening}\n{node.astext().rstrip()}\n```"

    blocks_doctest_block = blocks_literal_block

    def blocks_title(self, node: nodes.Element) -> Iterator[str]:
        depth, parent = 0, node.parent
        while parent is not None:
            depth += isinstance(parent, nodes.section)
            parent = parent.parent
        yield f"{'#' * max(depth, 1)} {self._section_number(node.parent)}{self.line(node)}"

    def _section_number(self, section: nodes.Element) -> str:
        numbers = self.builder.env.toc_secnumbers.get(self.page, {})
        names = [f"#{name}" for name in section["ids"]]
        if isinstance(section.parent, nodes.document):
            names.append("")
        for name in names:
            if name in numbers:
                return ".".join(map(str, numbers[name])) + ". "
        return ""

    def blocks_bullet_list(self, node: nodes.Element) -> Iterator[str]:
        yield "\n".join(_indented(self.text(item.children), "- ") for item in node.children)

    def blocks_enumerated_list(self, node: nodes.Element) -> Iterator[str]:
        start = node.get("start", 1)
        yield "\n".join(
            _indented(self.text(item.children), f"{number}. ")
            for number, item in enumerate(node.children, start)
        )

    def blocks_definition_list(self, node: nodes.Element) -> Iterator[str]:
        for item in node.children:
            term, *rest = item.children
            yield f"**{self.line(term)}**"
            for definition in rest:
                yield self.text(definition.children)

    def blocks_block_quote(self, node: nodes.Element) -> Iterator[str]:
        yield _quoted(self.text(node.children))

    def blocks_attribution(self, node: nodes.Element) -> Iterator[str]:
        yield f"— {self.line(node)}"

    def blocks_transition(self, node: nodes.Element) -> Iterator[str]:
        yield "---"

    def blocks_raw(self, node: nodes.Element) -> Iterator[str]:
        yield self.inline_raw(node)

    def blocks_rubric(self, node: nodes.Element) -> Iterator[str]:
        yield f"**{self.line(node)}**"

    def blocks_table(self, node: nodes.Element) -> Iterator[str]:
        for title in node.findall(nodes.title):
            yield self.caption("table", node, title)
        rows = [
            [" ".join(self.text(entry.children).split()).replace("|", r"\|") for entry in row]
            for row in node.findall(nodes.row)
        ]
        rule = ["---"] * len(rows[0])
        has_head = next(iter(node.findall(nodes.thead)), None) is not None
        head = [rows[0], rule] if has_head else [[""] * len(rows[0]), rule, rows[0]]
        yield "\n".join(f"| {' | '.join(row)} |" for row in head + rows[1:])

    def blocks_container(self, node: nodes.Element) -> Iterator[str]:
        yield from self.anchors(node)
        for child in node.children:
            yield from self.blocks(child)

    blocks_section = blocks_compound = blocks_container

    def blocks_image(self, node: nodes.Element) -> Iterator[str]:
        yield from self.anchors(node)
        yield self.inline_image(node)

    def blocks_figure(self, node: nodes.Element) -> Iterator[str]:
        for child in node.children:
            if isinstance(child, nodes.caption):
                yield self.caption("figure", node, child)
            else:
                yield from self.blocks(child)

    blocks_legend = blocks_container

    def caption(self, kind: str, node: nodes.Element, caption: nodes.Element) -> str:
        number = self.number(kind, node)
        form = self.builder.config.numfig_format[kind]
        label = f"**{form % number}.** " if number else ""
        return self.anchor(node) + label + self.line(caption)

    # --- boxes ---------------------------------------------------------------------------------

    def blocks_Admonition(self, node: nodes.Element) -> Iterator[str]:
        title, body = self._box(node)
        if "dropdown" in node["classes"]:
            yield from self.anchors(node)
            yield f"<details><summary><b>{_plain(title)}</b></summary>"
            yield self.text(body)
            yield "</details>"
        else:
            yield _quoted(f"{self.anchor(node)}**{title}**\n\n{self.text(body)}")

    blocks_admonition = blocks_Admonition

    def blocks_proof_node(self, node: nodes.Element) -> Iterator[str]:
        # Holds one admonition, whose first paragraph opens with the word itself.
        for box in (child.deepcopy() for child in node.children):
            text = next(box.findall(nodes.Text))
            text.parent.replace(text, nodes.Text(text.astext().removeprefix("Proof. ")))
            box.insert(0, nodes.title("", "Proof"))
            box["ids"] = []
            yield from self.blocks_Admonition(box)

    def _box(self, node: nodes.Element) -> tuple[str, list[nodes.Node]]:
        """Return the title and the content of a theorem, exercise, solution or admonition."""
        children = list(node.children)
        title = ""
        if children and isinstance(children[0], nodes.title):
            title = self.line(children.pop(0))
        if "countertype" in node:  # sphinx-proof
            kind = node.get("realtype", node["countertype"]).title()
            label = f"{kind} {self.number(node['countertype'], node)}".strip()
            title = f"{label} {title}".strip()
        elif type(node).__name__ == "exercise_enumerable_node":
            label = self.builder.config.numfig_format["exercise"] % self.number("exercise", node)
            title = f"{label} {title}".strip()
        elif not title:
            title = type(node).__name__.removesuffix("_node").title()
        # Boxes hold their content in one section that has no title.
        body = []
        for child in children:
            body += child.children if isinstance(child, nodes.section) else [child]
        return title, body


def _name(node: nodes.Node) -> str:
    return f"{type(node).__name__} {node.astext()[:60]!r}"


def _wrapped(text: str, mark: str) -> str:
    return f"{mark}{text}{mark}" if text else ""


def _indented(text: str, mark: str) -> str:
    return mark + text.replace("\n", "\n" + " " * len(mark)).replace(" " * len(mark) + "\n", "\n")


def _quoted(text: str) -> str:
    return "\n".join(f"> {line}".rstrip() for line in text.split("\n"))


def _plain(text: str) -> str:
    """Return Markdown as it may stand inside an HTML element, without links and emphasis."""
    return re.sub(r"\*+|`", "", re.sub(r"\[(.*?)\]\([^)]*\)", r"\1", text))
