"""Makes the stubs of the compiled core from its function table: `python tools/make_stubs.py`.

Writes python/fastgrad/_core/ (the core in the frame of tools/stubs/core.pyi.in, and its submodules)
and, in python/fastgrad/, __init__.pyi with everything the package offers and the stubs of the
modules whose names exist at run time only: linalg.pyi and return_types.pyi. `--check` writes
nothing and fails when a file is out of date.
"""

from __future__ import annotations

import argparse
import importlib
import keyword
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
CORE = "fastgrad._core"
PACKAGE = ROOT / "python" / "fastgrad"
FRAME = ROOT / "tools" / "stubs" / "core.pyi.in"
NOTICE = "# Made by tools/make_stubs.py; do not edit.\n"
TYPES = {
    "Tensor": "Tensor",
    "Number": "_Number | Tensor",
    "Tensor|Number": "Tensor | _Number",
    "int": "_int",
    "float": "_float",
    "bool": "_bool",
    "str": "_str",
    "int[]": "_Ints",
    "int[1]": "_int | _Ints",
    "int[*]": "_Ints",
    "Tensor[]": "Sequence[Tensor]",
    "Tensor[*]": "Sequence[Tensor]",
    "Any[*]": "Any",
    "dtype": "_DType",
    "device": "_Device",
    "layout": "_layout",
    "memory_format": "_MemoryFormat",
    "Generator": "Generator",
    "Any": "Any",
}
RETURNS = {
    **{name: TYPES[name] for name in ("Tensor", "int", "float", "bool", "str", "Any")},
    "None": "None",
    "Number": "Any",  # int, float or complex, as the element type says
    "Tensor[]": "tuple[Tensor, ...]",
    "Size": "Size",
    "dtype": "_dtype",
    "device": "_device",
    "Generator": "Generator",
}
# A tensor, or a tuple of tensors where one of the FLAGS is given as True.
BY_FLAG = "Tensor|Tensor[]"
FLAGS = ("as_tuple", "return_inverse", "return_counts", "return_indices")
# What a submodule's stub takes from the core's.
SUBMODULE_HEADER = """\
from collections.abc import Sequence
from typing import Any, Literal, overload

from fastgrad import return_types
from fastgrad._core import (
    Generator, Size, Tensor, _bool, _Device, _device, _DType, _dtype, _float, _int, _Ints, _layout,
    _Number, _str,
)
"""
OPERATORS = (
    "add",
    "sub",
    "mul",
    "truediv",
    "floordiv",
    "mod",
    "pow",
    "matmul",
    "lshift",
    "rshift",
    "and",
    "or",
    "xor",
)


@dataclass(frozen=True)
class Parameter:
    """One parameter of a signature; `variadic` ones also take their items unpacked."""

    name: str
    annotation: str
    optional: bool
    keyword_only: bool
    variadic: bool


@dataclass(frozen=True)
class Signature:
    """A parsed signature of the function table."""

    parameters: list[Parameter]
    returns: str

    def by_flag(self) -> Iterator[Signature]:
        """Yields what this is made of: itself, or one signature per flag, for none and for any."""
        if self.returns != BY_FLAG:
            yield self
            return
        off = {
            parameter: replace(parameter, annotation="Literal[False]")
            for parameter in self.parameters
            if parameter.name in FLAGS
        }
        yield Signature([off.get(parameter, parameter) for parameter in self.parameters], "Tensor")
        for flag in off:
            on = replace(flag, annotation="Literal[True]", optional=False, keyword_only=True)
            others = [parameter for parameter in self.parameters if parameter is not flag]
            cut = sum(not parameter.keyword_only for parameter in others)
            yield Signature([*others[:cut], on, *others[cut:]], RETURNS["Tensor[]"])
        yield Signature(self.parameters, "Any")  # flags that are known at run time

    def render(self, method: bool, unpacked: bool) -> str:
        """Returns the stub's parameter list and result."""
        parts = ["self"] if method else []
        star = False
        for parameter in self.parameters[1:] if method else self.parameters:
            if parameter.variadic and unpacked:
                item = "Tensor" if "Tensor" in parameter.annotation else "_int"
                parts.append(f"*{parameter.name}: {item}")
                star = True
                continue
            if parameter.keyword_only and not star:
                parts.append("*")
                star = True
            default = " = ..." if parameter.optional else ""
            parts.append(f"{parameter.name}: {parameter.annotation}{default}")
        return f"({', '.join(parts)}) -> {self.returns}"

    @property
    def variadic(self) -> bool:
        """Whether a parameter takes its items unpacked."""
        return any(parameter.variadic for parameter in self.parameters)

    def accepts(self, other: Signature) -> bool:
        """Whether every call that `other` takes is one that this signature takes as well."""
        if self.returns != other.returns or self.variadic or other.variadic:
            return False
        own = {parameter.name: parameter for parameter in self.parameters}
        theirs = {parameter.name: parameter for parameter in other.parameters}
        if any(not p.optional and (n not in theirs or theirs[n].optional) for n, p in own.items()):
            return False
        positional = [p.name for p in self.parameters if not p.keyword_only]
        required = [p.name for p in other.parameters if not p.keyword_only]
        return positional[: len(required)] == required and all(
            name in own
            and set(parameter.annotation.split(" | ")) <= set(own[name].annotation.split(" | "))
            for name, parameter in theirs.items()
        )


def split(text: str) -> list[str]:
    """Splits a parameter list at the commas outside of brackets."""
    return [part.strip() for part in re.split(r",(?![^(\[]*[)\]])", text) if part.strip()]


def parse_parameter(text: str, keyword_only: bool) -> Parameter:
    """Parses `int[1]? dim=None`."""
    declared, _, name = text.partition(" ")
    name, equals, _ = name.partition("=")
    annotation = TYPES[declared.rstrip("?")]
    if declared.endswith("?"):
        annotation += " | None"
    return Parameter(
        name=f"{name}_" if keyword.iskeyword(name) else name,
        annotation=annotation,
        optional=bool(equals),
        keyword_only=keyword_only,
        variadic=declared.rstrip("?").endswith("[*]"),
    )


class StubWriter:
    """Turns rows of the function table into stub functions.

    Args:
        return_types: The module of the types with which functions name their results.
    """

    def __init__(self, return_types: ModuleType) -> None:
        self.return_types = return_types

    def result(self, text: str, function: str) -> str:
        """Returns the annotation of what a function returns."""
        if text.endswith("?"):
            return f"{self.result(text[:-1], function)} | None"
        if not text.startswith("("):
            return BY_FLAG if text == BY_FLAG else RETURNS[text]
        items = [item.split(" ") for item in split(text[1:-1])]
        if any(len(item) == 1 for item in items):
            return f"tuple[{', '.join(RETURNS[item[0]] for item in items)}]"
        name = function.replace(".", "_")
        given = getattr(self.return_types, name).__match_args__
        if tuple(field for _, field in items) != given:
            raise ValueError(f"{function} is said to return {text}, but its type has {given}")
        return f"return_types.{name}"

    def parse(self, text: str, function: str) -> Signature:
        """Parses one signature of the table."""
        inside, _, returns = text.partition(" -> ")
        parameters: list[Parameter] = []
        keyword_only = False
        for part in split(inside[1:-1]):
            if part == "*":
                keyword_only = True
            else:
                parameters.append(parse_parameter(part, keyword_only))
        if returns == "Tensor" and "Tensor[]? out" in inside:
            raise ValueError(f"{function} fills several tensors but is said to return one: {text}")
        return Signature(parameters, self.result(returns, function))

    def function(self, row: dict[str, Any], method: bool) -> Iterator[str]:
        """Yields the lines of one function or method, one overload per way to call it."""
        name = row["name"].rsplit(".", 1)[-1]
        rendered: list[str] = []
        earlier: list[Signature] = []
        for text in row["signatures"]:
            signature = self.parse(text, row["name"].removesuffix("_"))
            called = Signature(signature.parameters[int(method) :], signature.returns)
            if any(other.accepts(called) for other in earlier):
                continue
            earlier.append(called)
            ways = (False, True) if signature.variadic else (False,)
            rendered += [
                part.render(method, unpacked) for part in signature.by_flag() for unpacked in ways
            ]
        # Unpacked items have no name: of two overloads that differ by it, the first one is met.
        unique: dict[str, str] = {}
        for signature_text in rendered:
            unique.setdefault(re.sub(r"\*\w+:", "*_:", signature_text), signature_text)
        rendered = list(unique.values())
        for signature_text in rendered:
            if len(rendered) > 1:
                yield "@overload"
            yield f"def {name}{signature_text}: ..."


def indent(lines: Iterable[str]) -> str:
    """Returns lines as the body of a class."""
    return "\n".join(f"    {line}" for line in lines)


def operators() -> Iterator[str]:
    """Yields the arithmetic operators, forwards, reflected and in place."""
    for name in OPERATORS:
        modulus = ", mod: Any = ..." if name == "pow" else ""
        for prefix in ("", "r"):
            yield f"def __{prefix}{name}__(self, other: Any{modulus}, /) -> Tensor: ..."
        if name != "matmul":
            # In place there is no modulus, which mypy holds against __pow__.
            ignored = "  # type: ignore[misc]" if modulus else ""
            yield f"def __i{name}__(self, other: Any, /) -> Self: ...{ignored}"


def submodules(core: ModuleType) -> list[str]:
    """Returns the names of the core's own submodules."""
    return sorted(
        name
        for name, found in vars(core).items()
        if isinstance(found, ModuleType) and found.__name__.startswith(f"{CORE}.")
    )


def return_types_stub(core: ModuleType) -> str:
    """Returns the stub of fastgrad.return_types: struct sequences of tensors."""
    header = "from _typeshed import structseq\nfrom typing import Final, final\n"
    lines = [NOTICE + header, "from fastgrad._core import Tensor\n"]
    for name, found in sorted(vars(core.return_types).items()):
        if not name.startswith("_"):
            fields = found.__match_args__
            items = ", ".join(["Tensor"] * len(fields))
            lines += ["@final", f"class {name}(structseq[Tensor], tuple[{items}]):"]
            lines.append(f"    __match_args__: Final = {fields!r}")
            for field in fields:
                lines += ["    @property", f"    def {field}(self) -> Tensor: ..."]
    return "\n".join(lines)


def reexport_stub(module: ModuleType, source: ModuleType) -> str:
    """Returns the stub of a module that takes its names from one of the core's at run time."""
    lines = [NOTICE]
    for name in sorted(module.__all__):
        inside = getattr(source, name, None) is getattr(module, name)
        lines.append(f"from {source.__name__ if inside else CORE} import {name} as {name}")
    return "\n".join([*lines, "", f"__all__ = {sorted(module.__all__)!r}", ""])


def core_stubs(core: ModuleType) -> dict[Path, str]:
    """Returns the stubs of the core and its submodules."""
    writer = StubWriter(core.return_types)
    functions: dict[str, list[str]] = {"": []}
    methods: list[str] = []
    text = FRAME.read_text(encoding="utf-8")
    methods_given = set(re.findall(r"^    def (\w+)", text.partition("class Tensor:")[2], re.M))
    written: dict[str, list[str]] = {}
    for row in core.op_table():
        if row["method"] and row["name"] not in methods_given:
            methods += writer.function(row, method=True)
        # Two bindings may register one function; with other signatures it is an error, which shows.
        if row["function"] and written.get(row["name"]) != row["signatures"]:
            written[row["name"]] = row["signatures"]
            path = row["name"].rpartition(".")[0]
            functions.setdefault(path, []).extend(writer.function(row, method=False))
    packages = {path.split(".")[0] for path in functions if "." in path}
    for package in packages:
        functions.setdefault(package, [])
    dtypes = [name for name, found in vars(core).items() if isinstance(found, core.dtype)]
    parts = {
        "@operators@": indent(operators()),
        "@methods@": indent(methods),
        "@dtypes@": "\n".join(f"{name}: dtype" for name in dtypes),
        "@submodules@": "\n".join(
            f"from fastgrad._core import {name} as {name}" for name in submodules(core)
        ),
        "@functions@": "\n".join(functions.pop("")),
    }
    for mark, part in parts.items():
        text = text.replace(mark, part)
    files = {PACKAGE / "_core" / "__init__.pyi": text}
    for path, lines in functions.items():
        place = PACKAGE.joinpath("_core", *path.split("."))
        name = place / "__init__.pyi" if path in packages else place.with_suffix(".pyi")
        files[name] = "\n".join([NOTICE + SUBMODULE_HEADER, *lines, ""])
    return files


def origin(name: str, found: Any, core: ModuleType) -> str | None:
    """Returns the stub line by which the package offers a name, or None for what is private."""
    if isinstance(found, ModuleType):
        if not found.__name__.startswith("fastgrad."):
            return None
        of_core = found.__name__ == f"{CORE}.{name}"
        return f"from {CORE if of_core else 'fastgrad'} import {name} as {name}"
    if found is None:
        return f"{name}: Final[None]"
    if getattr(core, name, None) is found:
        return f"from fastgrad._core import {name} as {name}"
    if getattr(core.Tensor, name, None) is found:
        return f"{name} = Tensor.{name}"
    if isinstance(found, str | int | float):
        return f"{name}: Final[builtins.{type(found).__name__}]"
    module = getattr(found, "__module__", "")
    if module.startswith("fastgrad."):
        return f"from {module} import {found.__name__} as {name}"
    return None


def package_stub(package: ModuleType, core: ModuleType) -> str:
    """Returns the stub of the package: every public name and where it comes from."""
    names = [name for name in dir(package) if not name.startswith("_")]
    public = {name: getattr(package, name) for name in names}
    public["__version__"] = package.__version__
    lines = [origin(name, found, core) for name, found in sorted(public.items())]
    imports = sorted(line for line in lines if line and line.startswith("from"))
    constants = [line for line in lines if line and not line.startswith("from")]
    header = "import builtins\nfrom typing import Final\n"
    return "\n".join([NOTICE + header, *imports, "", *constants, ""])


def formatted(text: str, path: Path) -> str:
    """Returns a stub as ruff formats it, unused imports removed."""
    for command in (("check", "--fix", "--quiet", "--select", "F401,I"), ("format", "--quiet")):
        done = subprocess.run(
            ["ruff", *command, "--stdin-filename", str(path), "-"],
            input=text,
            capture_output=True,
            text=True,
            cwd=ROOT,
        )
        if done.returncode != 0:
            raise RuntimeError(f"{path}: {done.stderr}")
        text = done.stdout
    return text


def stubs() -> dict[Path, str]:
    """Returns every stub file with its text."""
    package = importlib.import_module("fastgrad")
    core = importlib.import_module("fastgrad._core")
    files = {
        **core_stubs(core),
        PACKAGE / "__init__.pyi": package_stub(package, core),
        PACKAGE / "linalg.pyi": reexport_stub(package.linalg, core.linalg),
        PACKAGE / "return_types.pyi": return_types_stub(core),
    }
    return {path: formatted(text, path) for path, text in files.items()}


def main(argv: list[str]) -> int:
    """Writes or checks the stubs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="fail when a file is out of date")
    options = parser.parse_args(argv)
    stale = [
        (path, text)
        for path, text in stubs().items()
        if not path.exists() or path.read_text(encoding="utf-8") != text
    ]
    for path, text in stale:
        print(f"{path.relative_to(ROOT)} is out of date" + ("" if options.check else ": written"))
        if not options.check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    return int(options.check and bool(stale))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
