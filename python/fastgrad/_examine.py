"""What a function depends on in the world of Python: the guards of `fastgrad.compile`.

Numbers in globals, closures and attributes decide what is recorded. :func:`examine` finds
everything that a function can reach and lists it as guards; whatever it does not understand keeps
the function from being compiled, so that a replay is never wrong.
"""

from __future__ import annotations

import builtins
import functools
import gc
import sys
import types
import weakref
from typing import Any

from fastgrad._code import (
    PURE_MODULES,
    TEXT_MEMBERS,
    compares_identity,
    globals_in,
    home_of,
    imports,
    is_library,
    is_standard,
    names_in,
    root_of,
)
from fastgrad._core import CompiledFunction, Generator, Tensor
from fastgrad._known import (
    ASKS_WHETHER,
    BY_ANY_NAME,
    EXACT_ATOMS,
    HOOK_MODULES,
    IMMUTABLE,
    IMPURE_BUILTINS,
    IMPURE_OF_NUMPY,
    MAKERS,
    OWN_STATE,
    PLAIN_CLASSES,
    SEEN_THROUGH,
    SETTINGS,
    TYPE_BUILTINS,
    UNWATCHED,
    WHOLE_OBJECT,
    WITHOUT_STATE,
    is_array,
    is_optimizer,
    is_pure,
    may_be_called,
)

__all__ = ["examine"]

_MAX_OBJECTS = 20_000
_EMPTY = object()


class _Refusal(Exception):
    """Something that guards cannot watch."""


class _Walk:
    """Lists guards and tensors of everything that is reached from some objects."""

    def __init__(self) -> None:
        self.guards: list[tuple[str, Any, int, list[tuple[Any, ...]]]] = []
        self.tensors: list[Tensor] = []
        self.generators: list[Generator] = []
        self.optimizers: list[tuple[Any, str]] = []  # looked at when all names are known
        self.looks_at_types = False  # or might ask whether two objects are the same one
        self.seen: dict[int, Any] = {}
        self.entries: dict[int, list[tuple[Any, ...]]] = {}  # of dictionaries of modules
        self.modules: dict[int, tuple[types.ModuleType, str]] = {}  # of the user's
        self.classes: set[int] = set()  # that have been examined
        # Of the library and of Python: watched for somebody who puts other functions there.
        self.libraries: dict[int, types.ModuleType] = {}
        self.numpy = False  # it is reached
        self.queue: list[tuple[Any, str]] = []
        # Without attributes: watched if the code can tell.
        self.bare: list[tuple[Any, str]] = []
        # Names that code has used, and members of classes that wait for theirs to be.
        self.used: set[str] = set()
        self.waiting: dict[str, list[tuple[Any, str]]] = {}
        self.made: set[int] = set()  # classes that may be called

    def add(self, value: Any, label: str) -> None:
        if type(value) not in EXACT_ATOMS:
            self.queue.append((value, label))

    def run(self) -> None:
        while self.queue or self.optimizers:
            if not self.queue:
                self.optimizer(*self.optimizers.pop())
                continue
            value, label = self.queue.pop()
            if isinstance(value, types.ModuleType):
                self.module(value, label)
            elif id(value) not in self.seen:
                self.seen[id(value)] = value
                if len(self.seen) > _MAX_OBJECTS:
                    raise _Refusal(f"more than {_MAX_OBJECTS} Python objects are reached")
                self.visit(value, label)
        if self.used & ASKS_WHETHER:
            for value, label in self.bare:
                self.watch("dict", value.__dict__, [(f"the attributes of {label}", "")], 0)

    def watch(self, kind: str, holder: Any, entries: list[tuple[Any, ...]], size: int = -1) -> None:
        self.guards.append((kind, holder, size, entries))

    def visit(self, value: Any, label: str) -> None:
        kind = type(value)
        if isinstance(value, Tensor):
            self.tensors.append(value)
            self.attributes(value, label)
            if kind is not Tensor:
                self.cls(kind)
        elif isinstance(value, dict):
            self.dictionary(value, label)
            if kind.__module__ not in ("builtins", "collections"):
                self.instance(value, label)
        elif isinstance(value, list):
            items = [(f"{label}[{i}]", 0, item) for i, item in enumerate(value)]
            self.watch("list", value, items)
            for item_label, _, item in items:
                self.add(item, item_label)
            if kind is not list:
                self.instance(value, label)
        elif isinstance(value, set):
            self.watch("set", value, [(label, 0, item) for item in value])
            for item in value:
                self.add(item, label)
            if kind is not set:
                self.instance(value, label)
        elif isinstance(value, IMMUTABLE):
            if isinstance(value, (tuple, frozenset)):
                for i, item in enumerate(value):
                    self.add(item, f"{label}[{i}]")
            if not is_library(kind.__module__):
                self.attributes(value, label)
                self.cls(kind)
        elif isinstance(value, types.FunctionType):
            self.function(value, label)
        elif isinstance(value, types.MethodType):
            self.add(value.__self__, label)
            self.add(value.__func__, label)
        elif isinstance(value, types.BuiltinFunctionType):
            self.builtin(value, label)
        elif isinstance(value, CompiledFunction):
            self.add(value.__wrapped__, label)
        elif isinstance(value, functools.partial):
            self.add(value.func, label)
            self.add(value.args, label)
            self.add(value.keywords, label)
        elif isinstance(value, type):
            if not may_be_called(value):
                raise _Refusal(f"it uses {value.__module__}.{value.__qualname__}")
            self.cls(value, made=True)
        elif is_optimizer(value):
            self.cls(kind)
            self.optimizers.append((value, label))
        elif isinstance(value, Generator):
            self.generators.append(value)
        elif isinstance(value, weakref.ref):
            self.add(value(), label)
        elif isinstance(value, property):
            for f in (value.fget, value.fset, value.fdel):
                self.add(f, label)
        elif isinstance(value, (staticmethod, classmethod)):
            self.add(value.__func__, label)
        elif isinstance(value, functools.cached_property):
            self.add(value.func, label)
        elif root_of(kind.__module__) == "numpy" or is_array(value):
            self.array(value, label)
        else:
            self.instance(value, label)

    def dictionary(self, value: dict[Any, Any], label: str) -> None:
        entries = []
        for key, item in value.items():
            item_label = f"{label}[{key!r}]" if isinstance(key, (str, int)) else f"{label}[...]"
            entries.append((item_label, key, item))
            self.add(key, label)
            self.add(item, item_label)
        self.watch("dict", value, entries, len(entries))

    def function(self, f: types.FunctionType, label: str) -> None:
        self.watch(
            "function",
            f,
            [
                (f"the code of {label}", 0, f.__code__),
                (f"the defaults of {label}", 0, f.__defaults__),
                (f"the defaults of {label}", 0, f.__kwdefaults__),
            ],
        )
        self.add(f.__defaults__, label)
        self.add(f.__kwdefaults__, label)
        for name, cell in zip(f.__code__.co_freevars, f.__closure__ or ()):
            try:
                value = cell.cell_contents
            except ValueError:
                self.watch("cell", cell, [(name, 0)])
                continue
            self.watch("cell", cell, [(name, 0, value)])
            self.add(value, name)
        home = home_of(f)
        if not is_pure(home):
            raise _Refusal(f"it uses {home}.{f.__qualname__}")
        if not is_library(home):
            self.attributes(f, label)
            self.code(f.__code__, f.__globals__)

    def code(self, code: types.CodeType, space: dict[str, Any]) -> None:
        """Follows the global names of a function of the user's."""
        self.use(frozenset(names_in(code)))
        names = globals_in(code)
        if names & TYPE_BUILTINS or compares_identity(code):
            self.looks_at_types = True
        for name in names:
            self.entry(space, name, name)
            if name in space:
                self.add(space[name], name)
            elif name in IMPURE_BUILTINS:
                raise _Refusal(f"it uses {name}()")
            else:
                self.entry(builtins.__dict__, name, name)
                self.add(builtins.__dict__.get(name), name)
        for name, level, members in imports(code):
            if level:
                package = str(space.get("__package__") or space.get("__name__", ""))
                parents = package.split(".")[: 1 - level or None]
                name = ".".join([*parents, name] if name else parents)
            for module in [name, *(f"{name}.{member}" for member in members)]:
                self.imported(module)

    def imported(self, name: str) -> None:
        """Follows an import inside a function; that of a module not there yet changes something."""
        for end in [*(i for i, c in enumerate(name) if c == "."), len(name)]:
            self.entry(sys.modules, name[:end], name[:end])
            self.add(sys.modules.get(name[:end]), name[:end])

    def use(self, names: frozenset[str]) -> None:
        """Follows the members of classes and modules that code with these names may reach."""
        fresh = set(names) - self.used
        self.used |= fresh
        everything = bool(fresh & BY_ANY_NAME)
        for name in list(self.waiting) if everything else fresh & self.waiting.keys():
            for value, label in self.waiting.pop(name):
                self.add(value, label)
        for name in fresh & SETTINGS:
            raise _Refusal(f"it uses {name}()")
        for name in fresh & IMPURE_OF_NUMPY if self.numpy else ():
            raise _Refusal(f"it uses numpy.{name}")
        for module, label in list(self.modules.values()):
            self.members(module, label, fresh)
        for library in list(self.libraries.values()):
            self.functions_of(library, fresh)

    def entry(self, space: dict[str, Any], key: str, label: str) -> None:
        """Watches one entry of a module's dictionary, or that there is none."""
        entries = self.entries.get(id(space))
        if entries is None:
            entries = self.entries[id(space)] = []
            self.watch("dict", space, entries)
        if all(entry[1] != key for entry in entries):
            entries.append((label, key, space[key]) if key in space else (label, key))

    def module(self, module: types.ModuleType, label: str) -> None:
        root = root_of(module.__name__)
        if root == "numpy":
            self.numpy = True
            for name in self.used & IMPURE_OF_NUMPY:
                raise _Refusal(f"it uses numpy.{name}")
            if module.__name__.startswith("numpy.random"):
                raise _Refusal("it uses numpy.random")
        if id(module) in self.modules or id(module) in self.libraries:
            return
        if root in PURE_MODULES and is_library(root):
            self.libraries[id(module)] = module
            self.functions_of(module, self.used)
            return
        if is_standard(root):
            raise _Refusal(f"it uses the module {module.__name__}")
        self.modules[id(module)] = (module, label)
        self.add(module.__dict__.get("__getattr__"), f"{label}.__getattr__")
        self.members(module, label, self.used)

    def functions_of(self, library: types.ModuleType, names: set[str]) -> None:
        for name in names & library.__dict__.keys():
            self.entry(library.__dict__, name, f"{library.__name__}.{name}")

    def members(self, module: types.ModuleType, label: str, names: set[str]) -> None:
        """Follows the names in a module of the user's; all but modules if any may be meant."""
        space = module.__dict__
        for name in names & space.keys():
            self.entry(space, name, f"{label}.{name}")
            self.add(space[name], f"{label}.{name}")
        if not names & BY_ANY_NAME:
            return
        for name, value in space.items():
            if not (name.startswith("__") or isinstance(value, types.ModuleType)):
                self.entry(space, name, f"{label}.{name}")
                self.add(value, f"{label}.{name}")

    def builtin(self, value: Any, label: str) -> None:
        owner = value.__self__
        if owner is None or isinstance(owner, types.ModuleType):
            module = getattr(value, "__module__", None) or getattr(owner, "__name__", None)
            if root_of(module) not in PURE_MODULES and not str(module).startswith("_operator"):
                raise _Refusal(f"it uses {module}.{value.__name__}")
            if root_of(module) == "builtins" and value.__name__ in IMPURE_BUILTINS:
                raise _Refusal(f"it uses {value.__name__}()")
        else:
            self.add(owner, label)

    def cls(self, cls: type, made: bool = False) -> None:
        """Watches a class of the user's; `made`: it may be called, too."""
        if type(cls) is not type and not is_library(type(cls).__module__):
            self.cls(type(cls))
        inherited = [base for base in cls.__mro__ if root_of(base.__module__) == "fastgrad"]
        for base in cls.__mro__:
            if is_library(base.__module__):
                if "forward" in base.__dict__ and id(base) not in self.classes:
                    self.classes.add(id(base))
                    entry = (f"{base.__name__}.forward", "forward", base.__dict__["forward"])
                    self.watch("class", base, [entry])
                continue
            if made and id(base) not in self.made:
                self.made.add(id(base))
                for key in MAKERS & base.__dict__.keys():
                    self.add(base.__dict__[key], f"{base.__name__}.{key}")
            if id(base) in self.classes:
                continue
            self.classes.add(id(base))
            self.seen[id(base)] = base
            entries = []
            for key, value in base.__dict__.items():
                if key in UNWATCHED:
                    continue
                label = f"{base.__name__}.{key}"
                entries.append((label, key, value))
                if key in MAKERS:
                    continue
                # Python calls operators, and the library its own methods, such as forward().
                by_others = key not in TEXT_MEMBERS and (
                    (key.startswith("__") and key.endswith("__"))
                    or any(hasattr(library, key) for library in inherited)
                )
                if by_others or key in self.used or self.used & BY_ANY_NAME:
                    self.add(value, label)
                else:
                    self.waiting.setdefault(key, []).append((value, label))
            self.watch("class", base, entries, len(base.__dict__))
            self.watch("bases", base, [(f"the bases of {base.__name__}", 0, base.__mro__)])

    def attributes(self, value: Any, label: str) -> None:
        if not hasattr(value, "__dict__"):
            return
        if not value.__dict__:
            self.bare.append((value, label))
            return
        self.members_of(value, label)

    def members_of(self, value: Any, label: str, without: frozenset[str] = frozenset()) -> None:
        space = value.__dict__
        self.seen[id(space)] = space
        entries = [(f"{label}.{k}", k, v) for k, v in space.items() if k not in without]
        self.watch("instance", value, entries, len(space))
        for item_label, _, item in entries:
            self.add(item, item_label)

    def instance(self, value: Any, label: str) -> None:
        cls = type(value)
        slots = []
        for base in cls.__mro__:
            names = base.__dict__.get("__slots__", ())
            slots += [names] if isinstance(names, str) else list(names)
        slots = [name for name in slots if name not in ("__dict__", "__weakref__")]
        for base in cls.__mro__:
            if (
                isinstance(base.__dict__.get("__new__"), types.BuiltinFunctionType)
                and base not in SEEN_THROUGH
                and root_of(base.__module__) != "fastgrad"
                and base is not types.SimpleNamespace
                and not issubclass(base, BaseException)
            ):
                raise _Refusal(
                    f"{label} is a {base.__module__}.{base.__qualname__}, which may change"
                )
        root = root_of(cls.__module__)
        if root == "fastgrad" or root == "enum":
            if not hasattr(value, "__dict__") and not slots:
                return  # a type of the core: dtype, device, generator, function
        elif (cls.__module__, cls.__qualname__) in PLAIN_CLASSES:
            pass
        elif is_standard(root) or not (hasattr(value, "__dict__") or slots):
            raise _Refusal(f"{label} is a {cls.__module__}.{cls.__qualname__}, which may change")
        if hasattr(value, "__dict__"):
            self.members_of(value, label)
        entries = []
        for name in slots:
            if name.startswith("__") and not name.endswith("__"):
                name = f"_{cls.__name__.lstrip('_')}{name}"
            item = getattr(value, name, _EMPTY)
            entries.append((f"{label}.{name}", name) + (() if item is _EMPTY else (item,)))
            self.add(item if item is not _EMPTY else None, f"{label}.{name}")
        if entries:
            self.watch("attribute", value, entries)
        self.cls(cls)

    def optimizer(self, value: Any, label: str) -> None:
        """Watches an optimiser: its state only if the code does more with it than `zero_grad()`.

        The closure of LBFGS does not, while every step changes numbers in the state.
        """
        if self.used & (set(dir(value)) - WITHOUT_STATE | WHOLE_OBJECT):
            self.instance(value, label)
            return
        self.members_of(value, label, without=OWN_STATE)

    def array(self, value: Any, label: str) -> None:
        """Watches the bytes of a NumPy array; other objects of NumPy by their attributes."""
        import numpy as np

        if not isinstance(value, np.ndarray):
            immutable = (np.generic, np.dtype, np.ufunc, type(np.mean))
            if not isinstance(value, immutable):
                self.instance(value, label)
            return
        if value.dtype.hasobject or value.nbytes > 1 << 20 or not value.flags.c_contiguous:
            raise _Refusal(f"{label} is a NumPy array that is too large to compare at every call")
        self.watch("bytes", value, [(label, 0, value.tobytes())])
        self.attributes(value, label)
        self.cls(type(value))


def examine(
    function: Any, arguments: list[Any]
) -> tuple[list[Any], list[Tensor], str | None, list[Generator], bool]:
    """Looks at everything that a function can reach.

    Args:
        function: What is compiled.
        arguments: Of the call.

    Returns:
        Guards, captured tensors, why the function cannot be compiled or None, random generators,
        and whether floats among the arguments may be replaced while it is recorded.
    """
    walk = _Walk()
    for name in HOOK_MODULES:
        for key, value in vars(sys.modules.get(name, builtins)).items():
            if key.startswith("_global_"):
                walk.add(value, key)
    try:
        walk.add(function, getattr(function, "__name__", "the function"))
        for i, argument in enumerate(arguments):
            _add_argument(walk, argument, f"argument {i}")
        walk.run()
    except _Refusal as refusal:
        return [], [], str(refusal), [], False
    return walk.guards, walk.tensors, None, walk.generators, not walk.looks_at_types


def put_numbers(stand_ins: list[Any]) -> None:
    """Puts the floats where a function that was recorded has left stand-ins for them."""
    for stand_in in stand_ins:
        number = float(stand_in)
        for holder in gc.get_referrers(stand_in):
            if holder is stand_ins:
                continue
            if isinstance(holder, types.CellType):
                holder.cell_contents = number
                continue
            space = holder if isinstance(holder, (dict, list)) else getattr(holder, "__dict__", {})
            for key, item in list(space.items() if isinstance(space, dict) else enumerate(space)):
                if item is stand_in:
                    space[key] = number


def _add_argument(walk: _Walk, value: Any, label: str) -> None:
    # Tensors and plain containers among the arguments are matched by C++.
    if isinstance(value, Tensor):
        if getattr(value, "__dict__", None):
            raise _Refusal(f"{label} is a tensor with Python attributes of its own")
    elif isinstance(value, tuple) or type(value) is list:
        if isinstance(value, tuple) and type(value) is not tuple:
            walk.add(type(value), label)
        for item in value:
            _add_argument(walk, item, label)
    elif type(value) is dict:
        for item in value.values():
            _add_argument(walk, item, label)
    else:
        walk.add(value, label)
