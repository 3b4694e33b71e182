"""The boxes of a page, as Markdown: theorems and proofs, exercises and solutions, admonitions.

A box is a quotation under its title. What the page folds is folded: `<details>` does so in Colab
and in Jupyter.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from docutils import nodes

from .blocks import BlockWriter, quoted


class BoxWriter(BlockWriter):
    """Writes the boxes of one page, and all that stands between them."""

    def blocks_Admonition(self, node: nodes.Element) -> Iterator[str]:
        title, body = self._box(node)
        if "dropdown" in node["classes"]:
            yield from self.anchors(node)
            yield f"<details><summary><b>{_plain(title)}</b></summary>"
            yield self.text(body)
            yield "</details>"
        else:
            yield quoted(f"{self.anchor(node)}**{title}**\n\n{self.text(body)}")

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


def _plain(text: str) -> str:
    """Return Markdown as it may stand inside an HTML element, without links and emphasis."""
    return re.sub(r"\*+|`", "", re.sub(r"\[(.*?)\]\([^)]*\)", r"\1", text))
