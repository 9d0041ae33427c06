"""What is known of Python's own classes, members and names: for `fastgrad._examine`."""

from __future__ import annotations

import collections
import sys
import types
from typing import Any

from fastgrad import _core
from fastgrad._code import PURE_MODULES, is_standard, root_of

IMPURE_BUILTINS = frozenset(
    [
        "print",
        "input",
        "open",
        "exec",
        "eval",
        "compile",
        "globals",
        "locals",
        "vars",
        "breakpoint",
        "__import__",
        "id",
        "exit",
        "quit",
    ]
)
ATOMS: tuple[type, ...] = (
    type(None),
    bool,
    int,
    float,
    complex,
    str,
    bytes,
    type(...),
    type(NotImplemented),
    range,
    slice,
    types.CodeType,
    types.GetSetDescriptorType,
    types.MemberDescriptorType,
    types.WrapperDescriptorType,
    types.MethodDescriptorType,
    types.ClassMethodDescriptorType,
    types.MethodWrapperType,
    types.GenericAlias,
    types.UnionType,
    type(_core.sin),
    type(collections.namedtuple("_Fields", "field").field),  # type: ignore[attr-defined]
)
# Functions that tell a float from what stands for it while it is recorded.
TYPE_BUILTINS = frozenset({"type", "id"})
EXACT_ATOMS = frozenset(ATOMS)
IMMUTABLE = (tuple, frozenset, *ATOMS)  # or of a subclass of the user's
# Members of classes that a call of an instance does not reach; the first are called with the class.
MAKERS = frozenset({"__init__", "__new__", "__post_init__"})
UNWATCHED = frozenset(
    [
        "__dict__",
        "__weakref__",
        "__doc__",
        "__dataclass_fields__",
        "__dataclass_params__",
        "__orig_bases__",
        "__parameters__",
        "__type_params__",
        "__module__",
        "__annotations__",
        "__del__",
        "__reduce__",
        "__getstate__",
        "__setstate__",
        "__init_subclass__",
        "__class_getitem__",
    ]
)
# Modules of ours with hooks that concern every optimiser or module.
HOOK_MODULES = ("fastgrad.optim.optimizer", "fastgrad.nn.modules.hooks")
# Members of optimisers that have nothing to do with their state, and functions that may read all.
WITHOUT_STATE = frozenset({"zero_grad", "param_groups", "defaults"})
OWN_STATE = frozenset({"state", "_closure"})
WHOLE_OBJECT = frozenset({"getattr", "vars", "copy", "deepcopy", "__dict__"})
# With one of these, code can ask for attributes by names that do not stand in it.
BY_ANY_NAME = frozenset({"getattr", "vars", "__dict__", "__getattribute__"})
# With one of these, code can tell that an attribute is missing.
ASKS_WHETHER = BY_ANY_NAME | {"hasattr", "AttributeError", "Exception", "BaseException"}
# Classes in C whose instances keep something that is looked at here. Instances of subclasses of
# other ones keep something that nobody sees.
SEEN_THROUGH: tuple[type, ...] = (
    object,
    list,
    dict,
    set,
    frozenset,
    tuple,
    BaseException,
    collections.OrderedDict,
    collections.defaultdict,
)
# Members of NumPy that draw random numbers or read files.
IMPURE_OF_NUMPY = frozenset({"random", "loadtxt", "genfromtxt", "fromfile", "memmap"})
# Functions of the library that tell what has been set, which no guard looks at.
SETTINGS = frozenset(
    {
        "are_deterministic_algorithms_enabled",
        "get_deterministic_debug_mode",
        "get_float32_matmul_precision",
        "get_num_interop_threads",
        "get_num_threads",
        "is_autocast_enabled",
        "is_deterministic_algorithms_warn_only_enabled",
    }
)
# Classes of the standard library that are nothing but their attributes.
PLAIN_CLASSES = frozenset({("types", "SimpleNamespace"), ("argparse", "Namespace")})


def is_optimizer(value: Any) -> bool:
    module = sys.modules.get("fastgrad.optim.optimizer")  # without it there is none
    return module is not None and isinstance(value, module.Optimizer)


def is_pure(module: str) -> bool:
    """Whether what the module has does the same thing at every call, or is followed."""
    root = root_of(module)
    return root in PURE_MODULES or not is_standard(root)


def may_be_called(cls: type) -> bool:
    """Whether a class is no `Path` or `datetime`, which look at the world outside."""
    name = (cls.__module__, cls.__qualname__)
    return is_pure(cls.__module__) or name in PLAIN_CLASSES or issubclass(cls, BaseException)


def is_array(value: Any) -> bool:
    numpy = sys.modules.get("numpy")
    return numpy is not None and isinstance(value, numpy.ndarray)
