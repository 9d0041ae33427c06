"""`fastgrad.save_program` and `fastgrad.load_program`: recordings of compiled functions in files.

The files are those of `fastgrad.save`, with a dictionary as docs/internals/program-files.md
describes it: numbers, names and arrays, and no code. C++ makes it
(`cpp/bindings/compile_store.cpp`) and checks it from the ground up when it comes back
(`cpp/program/check.h`).
"""

from __future__ import annotations

import os
from typing import IO, Any

from fastgrad import _core, serialization
from fastgrad._core import CompiledFunction, Tensor
from fastgrad.serialization import LoadError

__all__ = ["Program", "load_program", "save_program"]

_FORMAT = "fastgrad program"
_VERSION = 1
_MAX_DEPTH = 64


def _same_value(a: Any, b: Any) -> bool:
    if type(a) is float and type(b) is float:
        return a.hex() == b.hex()  # -0.0 is not 0.0, and NaN is NaN
    return a is b or (type(a) is type(b) and a == b)


def _flatten(form: dict[str, Any], value: Any, name: str, tensors: list[Tensor]) -> None:
    """Collects the tensors of an argument, which must have the form that was saved."""
    kind, items = form["kind"], form.get("items", [])
    if kind == "tensor":
        if not isinstance(value, Tensor):
            raise TypeError(f"program: {name} must be a Tensor, got {type(value).__name__}")
        tensors.append(value)
        return
    if kind == "value":
        if not _same_value(form.get("value"), value):
            raise ValueError(
                f"program: {name} was {form.get('value')!r} when the function was recorded, "
                f"got {value!r}; save the function after a call with that value"
            )
        return
    wanted = {"tuple": tuple, "list": list, "dict": dict}[kind]
    children: list[Any] = []
    if isinstance(value, wanted):
        children = list(value.values()) if isinstance(value, dict) else list(value)
    if not isinstance(value, wanted) or len(children) != len(items):
        raise TypeError(f"program: {name} must be a {kind} of {len(items)} items, got {value!r}")
    if isinstance(value, dict) and not all(map(_same_value, form["value"], value)):
        raise TypeError(f"program: {name} must have the keys {form['value']}")
    for number, (part, item) in enumerate(zip(items, children, strict=True)):
        _flatten(part, item, f"{name}[{number}]", tensors)


def _build(form: dict[str, Any], tensors: list[Tensor]) -> Any:
    """Makes a result of the form that was saved."""
    kind = form["kind"]
    if kind == "tensor":
        return tensors[form["value"]]
    if kind == "value":
        return form.get("value")
    items = [_build(part, tensors) for part in form.get("items", [])]
    if kind == "dict":
        return dict(zip(form["value"], items, strict=True))
    return tuple(items) if kind == "tuple" else items


def _check_tree(form: Any, count: int | None, depth: int = 0) -> int:
    """Returns how many tensors a tree from a file has; `count` limits their numbers."""
    if not isinstance(form, dict) or depth > _MAX_DEPTH:
        raise LoadError("a structure is no dictionary, or too deep")
    kind, items = form.get("kind"), form.get("items", [])
    if kind == "tensor":
        number = form.get("value")
        if count is not None and (type(number) is not int or not 0 <= number < count):
            raise LoadError(f"there is no result {number!r}")
        return 1
    if kind == "value":
        return 0
    if kind not in ("tuple", "list", "dict") or not isinstance(items, list):
        raise LoadError(f"there is no structure {kind!r}")
    if kind == "dict":
        keys = form.get("value")
        if not isinstance(keys, tuple) or len(keys) != len(items):
            raise LoadError("a dictionary has other keys than items")
        try:
            hash(keys)
        except TypeError as error:
            raise LoadError("a dictionary has keys of a wrong type") from error
    return sum(_check_tree(item, count, depth + 1) for item in items)


class Program:
    """A recorded function that came from a file; `load_program` makes it.

    It is called as the function was: with arguments of the same structure, shapes and element
    types. What the function had captured (the parameters of a model, the state of an optimiser)
    is kept by the program itself, with the values at the time of saving; a training step goes on
    where it was.

    Example:
        >>> import os, tempfile
        >>> double = fg.compile(lambda x: 2 * x)
        >>> y = double(fg.ones(3))
        >>> path = os.path.join(tempfile.mkdtemp(), "double.fgp")
        >>> fg.save_program(double, path)
        >>> fg.load_program(path)(fg.arange(3.0))
        tensor([0., 2., 4.])
    """

    def __init__(self, form: dict[str, Any]) -> None:
        if not isinstance(form, dict) or form.get("format") != _FORMAT:
            raise LoadError("this is no file of save_program")
        if form.get("version") != _VERSION:
            raise LoadError(f"this is version {form.get('version')} of the format; know {_VERSION}")
        arguments, positional = form.get("arguments"), form.get("positional")
        keywords = form.get("keywords")
        if (
            not isinstance(arguments, list)
            or not isinstance(keywords, list)
            or type(positional) is not int
            or not all(isinstance(name, str) for name in keywords)
            or positional < 0
            or positional + len(keywords) != len(arguments)
        ):
            raise LoadError("the arguments are malformed")
        try:
            self._stored = _core._StoredProgram(form)
        except (ValueError, TypeError, IndexError, RuntimeError, MemoryError) as error:
            raise LoadError(f"the program does not verify: {error}") from error
        if sum(_check_tree(tree, None) for tree in arguments) != len(form["inputs"]):
            raise LoadError("the arguments have another number of tensors than the program")
        _check_tree(form.get("result"), len(form["task"]["results"]))
        self._form = form

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Runs the program; arguments and results have the structure of the recorded call."""
        form = self._form
        if len(args) != form["positional"] or list(kwargs) != form["keywords"]:
            raise TypeError(
                f"program: takes {form['positional']} positional arguments and the keywords "
                f"{form['keywords']}, got {len(args)} and {list(kwargs)}"
            )
        tensors: list[Tensor] = []
        names = [f"argument {k}" for k in range(len(args))] + form["keywords"]
        for tree, value, name in zip(
            form["arguments"], [*args, *kwargs.values()], names, strict=True
        ):
            _flatten(tree, value, name, tensors)
        return _build(form["result"], self._stored.run(tensors))

    @property
    def state(self) -> list[Tensor]:
        """The tensors that the program keeps: what the function had captured."""
        return self._stored.state()

    def graph(self) -> str:
        """Returns the instructions, one per line."""
        return self._stored.graph()

    def dot(self) -> str:
        """Returns the instructions as a graph, in Graphviz' language."""
        return self._stored.dot()

    def explain(self) -> str:
        """Returns what runs together, what does not, and why."""
        return self._stored.explain()

    def _store(self) -> dict[str, Any]:
        numbers = [number for number, _ in self._form["state"]]
        return {**self._form, "state": [list(p) for p in zip(numbers, self.state, strict=True)]}

    def __repr__(self) -> str:
        task = self._form["task"]
        return f"<program of {len(task['instructions'])} instructions>"


def save_program(
    program: CompiledFunction | Program | Any, f: str | os.PathLike[str] | IO[bytes]
) -> None:
    """Saves the recording of a compiled function that ran last.

    The file holds the instructions, the values of everything that the function had captured, and
    the structure of its arguments and results; it holds no code. A file that exists is replaced in
    one step.

    A program is one path through the function: the shapes, the branches and the Python values of
    the last call. Calling the loaded program where another branch would be taken is an error.

    Args:
        program: A function of `fastgrad.compile` that has been called, or a loaded `Program`.
        f: A path, or a file open for writing.

    Raises:
        RuntimeError: If the function has not been recorded, or uses an operation for which files
            have no form.
        TypeError: If `program` is something else.

    Example:
        >>> import io
        >>> w = fg.tensor([1.0, 2.0])
        >>> scaled = fg.compile(lambda x: x * w)
        >>> y = scaled(fg.ones(2))
        >>> file = io.BytesIO()
        >>> fg.save_program(scaled, file)
        >>> fg.load_program(file)(fg.tensor([3.0, 4.0]))
        tensor([3., 8.])
    """
    if not isinstance(program, (CompiledFunction, Program)):
        raise TypeError(
            f"save_program: expected a function of fastgrad.compile or a loaded program, got "
            f"{type(program).__name__}"
        )
    form = {"format": _FORMAT, "version": _VERSION, **program._store()}
    serialization.save(form, f)


def load_program(f: str | os.PathLike[str] | IO[bytes]) -> Program:
    """Loads what `save_program` saved.

    Nothing in the file is executed before it has been checked: every name, size, type, bound and
    order of its instructions. What does not verify is rejected.

    Args:
        f: A path, or a file open for reading.

    Returns:
        The program, to be called as the function was. Its results have no history: save a function
        that computes gradients itself where they are needed.

    Raises:
        fastgrad.serialization.LoadError: If the file is damaged, or no program.

    Example:
        >>> import io
        >>> square = fg.compile(lambda x: x * x)
        >>> y = square(fg.ones(()))
        >>> file = io.BytesIO()
        >>> fg.save_program(square, file)
        >>> fg.load_program(file)(fg.tensor(3.0))
        tensor(9.)
    """
    return Program(serialization.load(f))
