"""Signatures on the reference page, as they stand in the library's source.

Autodoc prints what an annotation became at run time, `Float[jaxlib._jax.Array, 'n T d']`; a reader
wants what was written, `Float[Array, "n T d"]`.
"""

import ast
import dataclasses
import inspect
import re
import sys
import textwrap

from sphinx.ext.autodoc import PropertyDocumenter

PACKAGE = "prompt_attention"
CODE = re.compile(r"`+([^`]+)`+")


def parsed(thing) -> ast.AST | None:
    """Return the syntax tree of a function or a class, or None where there is no source."""
    try:
        return ast.parse(textwrap.dedent(inspect.getsource(thing))).body[0]
    except (OSError, TypeError):
        return None


def public_name(cls: type) -> str:
    """Return the full name of a class where the package offers it: as high up as it can be had."""
    parts = cls.__module__.split(".")
    for depth in range(1, len(parts) + 1):
        module = sys.modules.get(".".join(parts[:depth]))
        if getattr(module, cls.__qualname__, None) is cls:
            return f"{module.__name__}.{cls.__qualname__}"
    return f"{cls.__module__}.{cls.__qualname__}"


class Qualify(ast.NodeTransformer):
    """Give the package's own classes their full name, by which Sphinx finds them."""

    def __init__(self, module: str):
        self.names = vars(sys.modules[module])

    def visit_Name(self, node):
        """Replace the name of a class of the package."""
        found = self.names.get(node.id)
        if inspect.isclass(found) and found.__module__.startswith(PACKAGE + "."):
            node.id = public_name(found)
        return node

    def visit_Constant(self, node):
        """Drop the space that jaxtyping wants before a single dimension."""
        if isinstance(node.value, str):
            node.value = node.value.strip()
        return node

    def annotation(self, node: ast.expr) -> ast.expr:
        """Return a type as it should be read: without the quotes of a forward reference."""
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            node = ast.parse(node.value, mode="eval").body
        return self.visit(node)


def arguments(function: ast.FunctionDef, qualify: Qualify, bound: bool) -> str:
    """Return the parameters of a function, without the first one if it is bound."""
    parameters = function.args
    for parameter in ast.walk(parameters):
        if isinstance(parameter, ast.arg) and parameter.annotation:
            parameter.annotation = qualify.annotation(parameter.annotation)
    if bound:
        (parameters.posonlyargs or parameters.args).pop(0)
    return f"({ast.unparse(parameters)})"


def fields(cls: ast.ClassDef) -> list[ast.AnnAssign]:
    """Return the fields of a NamedTuple or a dataclass."""
    return [item for item in cls.body if isinstance(item, ast.AnnAssign)]


def constructor(cls: ast.ClassDef, qualify: Qualify, keyword_only: bool) -> str:
    """Return the parameters of a class: those of its `__init__`, else its fields."""
    for item in cls.body:
        if isinstance(item, ast.FunctionDef) and item.name == "__init__":
            return arguments(item, qualify, bound=True)
    parameters = ["*"] if keyword_only else []
    for field in fields(cls):
        text = f"{field.target.id}: {ast.unparse(qualify.annotation(field.annotation))}"
        parameters.append(text + (f" = {ast.unparse(field.value)}" if field.value else ""))
    return f"({', '.join(parameters)})"


def has_fields(thing) -> bool:
    """Return whether a class is a NamedTuple or a dataclass."""
    return inspect.isclass(thing) and (hasattr(thing, "_fields") or dataclasses.is_dataclass(thing))


def as_written(app, what, name, obj, options, signature, returned):
    """Return the signature and the returned type from the source (autodoc-process-signature)."""
    if inspect.isclass(obj):
        tree = parsed(obj)
        if not isinstance(tree, ast.ClassDef):
            return None
        keyword_only = dataclasses.is_dataclass(obj) and all(
            field.kw_only for field in dataclasses.fields(obj)
        )
        return constructor(tree, Qualify(obj.__module__), keyword_only), None
    tree = parsed(obj)
    if not isinstance(tree, ast.FunctionDef):
        return None
    qualify = Qualify(obj.__module__)
    static = any(getattr(d, "id", "") == "staticmethod" for d in tree.decorator_list)
    text = arguments(tree, qualify, bound=what == "method" and not static)
    return text, ast.unparse(qualify.annotation(tree.returns)) if tree.returns else None


def describe_fields(app, what, name, obj, options, lines):
    """Describe a class's fields by the comments beside them (autodoc-process-docstring)."""
    if not has_fields(obj):
        return
    source = textwrap.dedent(inspect.getsource(obj)).splitlines()
    for field in fields(parsed(obj)):
        comment = re.search(r"\s#:? (.+)$", source[field.end_lineno - 1])
        if comment:
            lines += [f"- ``{field.target.id}``: {comment[1]}"]


def skip_fields(app, what, name, obj, skip, options):
    """Leave fields out of the members: the signature has them (autodoc-skip-member)."""
    module = sys.modules.get(app.env.temp_data.get("autodoc:module") or "")
    owner = getattr(module, app.env.temp_data.get("autodoc:class") or "", None)
    if has_fields(owner) and name in inspect.get_annotations(owner):
        return True
    return None


class WrittenProperty(PropertyDocumenter):
    """A property with its type as it stands in the source."""

    def add_directive_header(self, sig):
        """Add the type below the header, where autodoc adds what the type became."""
        super().add_directive_header(sig)
        getter = self.object.fget
        tree = parsed(getter)
        if tree is not None and tree.returns:
            written = ast.unparse(Qualify(getter.__module__).annotation(tree.returns))
            self.add_line(f"   :type: {written}", self.get_sourcename())


def is_known(app, domain, node):
    """Let `-n` pass other packages' types and aliases (warn-missing-reference).

    The module, or one of the modules it is made of, must have the name. A build needs no network,
    so it is not a link.
    """
    home, name = node.get("py:module"), node["reftarget"].split(".")[0]
    if node.get("refdomain") != "py" or not home:
        return None
    parts = [m for key, m in sys.modules.items() if key == home or key.startswith(home + ".")]
    return True if any(name in vars(part) for part in parts) else None


def escaped(text: str) -> str:
    """Return plain text as markup that shows it; X' keeps its straight prime."""
    return re.sub(r"([\\*|]|_(?=\W|$))", r"\\\1", text).replace("'", r"\\'")


def as_plain_text(app, what, name, obj, options, lines):
    """Keep |R|, q* and `code` in docstrings from being markup (autodoc-process-docstring)."""
    if not name.startswith(PACKAGE):
        return
    example = False
    for number, line in enumerate(lines):
        example = line.lstrip().startswith(">>>") or (example and bool(line.strip()))
        if not example:
            pieces = CODE.split(line)
            pieces[::2] = [escaped(text) for text in pieces[::2]]
            pieces[1::2] = [f"``{code}``" for code in pieces[1::2]]
            lines[number] = "".join(pieces)
    if what in ("attribute", "data", "property"):
        # Nothing to see, but without it napoleon takes what stands before a colon for a type.
        lines.insert(0, "\\ ")


def setup(app):
    """Connect the above to autodoc."""
    app.setup_extension("sphinx.ext.autodoc")
    app.add_autodocumenter(WrittenProperty, override=True)
    app.connect("warn-missing-reference", is_known)
    app.connect("autodoc-process-signature", as_written)
    # Before napoleon, which turns the sections of a docstring into markup of its own.
    app.connect("autodoc-process-docstring", as_plain_text, priority=400)
    app.connect("autodoc-process-docstring", describe_fields)
    app.connect("autodoc-skip-member", skip_fields)
