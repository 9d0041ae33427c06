"""What code objects say about a function, and whose code it is: for `fastgrad._examine`."""

from __future__ import annotations

import dis
import functools
import os
import sys
import types
from typing import Any

# Modules whose functions do the same thing at every call, and which nobody changes.
PURE_MODULES = frozenset(
    [
        "fastgrad",
        "math",
        "cmath",
        "operator",
        "functools",
        "itertools",
        "typing",
        "collections",
        "dataclasses",
        "enum",
        "abc",
        "contextlib",
        "numbers",
        "copy",
        "types",
        "numpy",
        "builtins",
        "warnings",
        "inspect",
        "weakref",
        "__future__",
        "typing_extensions",
        "fractions",
        "decimal",
        "string",
        "re",
        "textwrap",
        "bisect",
        "heapq",
        "statistics",
    ]
)


def root_of(module: Any) -> str:
    return module.partition(".")[0] if isinstance(module, str) else ""


@functools.cache
def is_standard(root: str) -> bool:
    """Whether a module is Python's own, and not the user's `test.py` or `code.py`."""
    if root not in sys.stdlib_module_names:
        return False
    origin = getattr(getattr(sys.modules.get(root), "__spec__", None), "origin", None)
    if origin is None or origin in ("built-in", "frozen"):
        return True
    home = os.path.dirname(os.__file__) + os.sep
    return origin.startswith(home) and "-packages" not in origin[len(home) :].split(os.sep)[0]


def is_library(module: str | None) -> bool:
    root = root_of(module)
    return is_standard(root) or (root in PURE_MODULES and root not in sys.stdlib_module_names)


def home_of(function: types.FunctionType) -> str:
    """Returns the name of the module that a function's code stands in.

    Its `__module__` may be another one: `functools.wraps` copies that of the wrapped function.
    """
    name = function.__globals__.get("__name__")
    return name if isinstance(name, str) else ""


# Members of classes that make text of an object.
TEXT_MEMBERS = frozenset({"__str__", "__repr__"})
_TEXT_BUILTINS = frozenset({"str", "repr", "ascii", "format"})
_FORMATS = {number for name, number in dis.opmap.items() if name.startswith(("FORMAT_", "CONVERT"))}


def _makes_text(code: types.CodeType) -> bool:
    return (
        not _TEXT_BUILTINS.isdisjoint(code.co_names)
        or not _FORMATS.isdisjoint(code.co_code[::2])
        or any(isinstance(c, str) and "%" in c for c in code.co_consts)
    )


def names_in(code: types.CodeType) -> set[str]:
    """Returns every global and attribute name of a code object and of those inside it.

    Where the code makes text of objects, the members that do so are among them.
    """
    found = set(code.co_names)
    if "hasattr" in found or "getattr" in found:
        found.update(c for c in code.co_consts if isinstance(c, str) and c.isidentifier())
    if _makes_text(code):
        found |= TEXT_MEMBERS
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            found |= names_in(constant)
    return found


_IS, _CONSTANT = dis.opmap["IS_OP"], dis.opmap["LOAD_CONST"]
_IMPORT, _EXTENDED = dis.opmap["IMPORT_NAME"], dis.opmap["EXTENDED_ARG"]
# What looks a name up among the globals, with the bits of its operand that are flags.
_BY_NAME = {
    number: int(name == "LOAD_GLOBAL" and sys.version_info >= (3, 11))
    for name, number in dis.opmap.items()
    if name in ("LOAD_NAME", "STORE_NAME") or "GLOBAL" in name
}


def compares_identity(code: types.CodeType) -> bool:
    """Whether the code, or code inside it, says `is` of anything but a constant such as None."""
    before = 0
    for op in code.co_code[::2]:
        if op == _IS and before != _CONSTANT:
            return True
        if op:  # the rest are caches
            before = op
    return any(
        compares_identity(inner) for inner in code.co_consts if isinstance(inner, types.CodeType)
    )


def globals_in(code: types.CodeType) -> set[str]:
    """Returns the names of the globals and builtins of a code object and of those inside it."""
    found: set[str] = set()
    operand = 0
    for op, byte in zip(code.co_code[::2], code.co_code[1::2]):
        operand = operand << 8 | byte
        if op == _EXTENDED:
            continue
        if op in _BY_NAME:
            found.add(code.co_names[operand >> _BY_NAME[op]])
        operand = 0
    for inner in code.co_consts:
        if isinstance(inner, types.CodeType):
            found |= globals_in(inner)
    return found


def imports(code: types.CodeType) -> list[tuple[str, int, tuple[str, ...]]]:
    """Returns what the code, or code inside it, imports: module, level, names taken from it."""
    found: list[tuple[str, int, tuple[str, ...]]] = []
    if _IMPORT in code.co_code[::2]:
        steps = [i for i in dis.get_instructions(code) if i.opname != "EXTENDED_ARG"]
        for k, i in enumerate(steps):
            if i.opname == "IMPORT_NAME":  # after two constants
                found.append((i.argval, steps[k - 2].argval, steps[k - 1].argval or ()))
    for inner in code.co_consts:
        if isinstance(inner, types.CodeType):
            found += imports(inner)
    return found
