"""The blocks of a page, as Markdown: paragraphs, formulas, lists, tables, figures."""

from __future__ import annotations

import re
from collections.abc import Iterator

from docutils import nodes
from sphinx.util.math import get_node_equation_number

from . import latex
from .lines import LineWriter, UnknownNodeError, described

_BLOCK_START = re.compile(r"^(\s*)([#>+-]|\d+[.)])(?=\s)", re.MULTILINE)
# What holds nothing that a reader sees.
_SILENT = (nodes.comment, nodes.target, nodes.substitution_definition, nodes.system_message)


class BlockWriter(LineWriter):
    """Writes the blocks of one page."""

    def blocks(self, node: nodes.Node) -> Iterator[str]:
        """Yield the blocks that a node becomes; between two of them stands an empty line."""
        if isinstance(node, _SILENT):
            yield from self.anchors(node)
            return
        method = self.method("blocks", node)
        if method is None:
            where = f"for {described(node)} as a block"
            raise UnknownNodeError(f"{self.page}: no notebook form {where}")
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
        yield quoted(self.text(node.children))

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


def quoted(text: str) -> str:
    """Return a text as a quotation."""
    return "\n".join(f"> {line}".rstrip() for line in text.split("\n"))


def _indented(text: str, mark: str) -> str:
    return mark + text.replace("\n", "\n" + " " * len(mark)).replace(" " * len(mark) + "\n", "\n")
