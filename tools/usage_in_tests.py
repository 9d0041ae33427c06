"""Finds which public names the tests use, by reading their syntax trees.

A name counts as used where a test writes it as an attribute (`fg.linalg.solve`, `x.sum`), names it
in a string, as tables of operations do (`"linalg.solve"`, `"sin cos".split()`), or uses the syntax
that calls a special method (`a @ b`, `x[i] = y`, `len(x)`).
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

BINARY: dict[type[ast.operator], str] = {
    ast.Add: "add",
    ast.Sub: "sub",
    ast.Mult: "mul",
    ast.Div: "truediv",
    ast.FloorDiv: "floordiv",
    ast.Mod: "mod",
    ast.Pow: "pow",
    ast.MatMult: "matmul",
    ast.LShift: "lshift",
    ast.RShift: "rshift",
    ast.BitAnd: "and",
    ast.BitOr: "or",
    ast.BitXor: "xor",
}
UNARY: dict[type[ast.unaryop], str] = {ast.USub: "neg", ast.UAdd: "pos", ast.Invert: "invert"}
COMPARE: dict[type[ast.cmpop], str] = {
    ast.Eq: "eq",
    ast.NotEq: "ne",
    ast.Lt: "lt",
    ast.LtE: "le",
    ast.Gt: "gt",
    ast.GtE: "ge",
    ast.In: "contains",
    ast.NotIn: "contains",
}
BUILTINS = {"len", "iter", "bool", "float", "int", "complex", "format", "repr", "hash", "abs"}
DOTTED_NAME = re.compile(r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*$")


def attribute_path(node: ast.expr) -> str:
    """Returns the dotted names of an attribute access: `f(x).linalg.solve` gives `linalg.solve`."""
    names: list[str] = []
    while isinstance(node, ast.Attribute):
        names.append(node.attr)
        node = node.value
    return ".".join(reversed(names))


def names_in_string(node: ast.Constant, split: bool) -> Iterator[str]:
    """Yields the dotted names of a string: all of its words if it is split, else itself."""
    if isinstance(node.value, str):
        words = node.value.split() if split else [node.value]
        yield from (word for word in words if DOTTED_NAME.match(word))


def special_methods(node: ast.AST) -> Iterator[str]:
    """Yields the special methods that a piece of syntax calls."""
    if isinstance(node, ast.BinOp):
        reflected = isinstance(node.left, ast.Constant)
        yield f"__{'r' if reflected else ''}{BINARY[type(node.op)]}__"
    elif isinstance(node, ast.AugAssign):
        yield f"__i{BINARY[type(node.op)]}__"
    elif isinstance(node, ast.UnaryOp) and type(node.op) in UNARY:
        yield f"__{UNARY[type(node.op)]}__"
    elif isinstance(node, ast.Compare):
        yield from (f"__{COMPARE[type(op)]}__" for op in node.ops if type(op) in COMPARE)
    elif isinstance(node, ast.Subscript):
        yield "__getitem__" if isinstance(node.ctx, ast.Load) else "__setitem__"
    elif isinstance(node, ast.For | ast.comprehension):
        yield "__iter__"
    elif (
        isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in BUILTINS
    ):
        yield f"__{node.func.id}__"


def names_in_source(source: str) -> set[str]:
    """Returns every name that a test module uses, dotted paths with all of their tails."""
    tree = ast.parse(source)
    docstrings = {
        id(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    split = {
        id(node.func.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "split"
    }
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            found.add(attribute_path(node))
        elif isinstance(node, ast.Constant) and id(node) not in docstrings:
            found.update(names_in_string(node, id(node) in split))
        found.update(special_methods(node))
    return found


def names_used(folder: Path) -> dict[str, set[str]]:
    """Maps each name to the test modules below `folder` that use it."""
    usage: dict[str, set[str]] = {}
    for path in sorted(folder.rglob("*.py")):
        module = path.relative_to(folder).with_suffix("").as_posix()
        for name in names_in_source(path.read_text(encoding="utf-8")):
            usage.setdefault(name, set()).add(module)
    return usage
