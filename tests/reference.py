"""The module under test, the PyTorch it is measured against, and the bridge between them.

`fg` is fastgrad, or whatever `FASTGRAD_TEST_MODULE` names: with `FASTGRAD_TEST_MODULE=torch` the
suite runs against PyTorch itself, which shows that a test states PyTorch's behaviour and not a
guess at it. `torch` is the reference, or None where the `reference` extra is not installed; a test
that needs it carries the mark `needs_torch`.
"""

from __future__ import annotations

import importlib
import math
import os
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pytest

MODULE_NAME = os.environ.get("FASTGRAD_TEST_MODULE", "fastgrad")
fg: Any = importlib.import_module(MODULE_NAME)

torch: Any
try:
    import torch  # type: ignore[no-redef]
except ImportError:
    torch = None
else:
    # Comparisons are of values, never of speed, and the test workers share the cores.
    torch.set_num_threads(1)

UNDER_TORCH = fg is torch
needs_torch = pytest.mark.skipif(torch is None, reason="needs the reference extra (torch)")
only_fastgrad = pytest.mark.skipif(
    MODULE_NAME != "fastgrad", reason="states where fastgrad deliberately differs from PyTorch"
)

FLOATING = ("float64", "float32", "float16", "bfloat16")
COMPLEX = ("complex64", "complex128")
INTEGRAL = ("int64", "int32", "int16", "int8", "uint8", "bool")
# What a float result may differ by: two libraries round the same formula differently.
TOLERANCE: dict[str, tuple[float, float]] = {
    "float64": (1e-9, 1e-10),
    "float32": (1e-5, 1e-5),
    "float16": (2e-3, 1e-3),
    "bfloat16": (1.6e-2, 1e-2),
    "complex128": (1e-9, 1e-10),
    "complex64": (1e-5, 1e-5),
}


def dtype_name(dtype: Any) -> str:
    """Returns the bare name of a dtype of either library: `float32`."""
    return str(dtype).rsplit(".", 1)[-1]


def dtype_in(module: Any, dtype: Any) -> Any:
    """Returns `module`'s dtype of the same name as `dtype`, a dtype of either library or a name."""
    return getattr(module, dtype_name(dtype))


def is_tensor(value: Any) -> bool:
    return isinstance(value, fg.Tensor) or (torch is not None and isinstance(value, torch.Tensor))


def _is_dtype(value: Any) -> bool:
    return isinstance(value, fg.dtype) or (torch is not None and isinstance(value, torch.dtype))


def _is_device(value: Any) -> bool:
    return isinstance(value, fg.device) or (torch is not None and isinstance(value, torch.device))


def tree_map(fn: Callable[[Any], Any], tree: Any) -> Any:
    """Applies `fn` to every leaf of nested lists, tuples, named tuples, dicts and slices."""
    if isinstance(tree, tuple) and hasattr(tree, "_fields"):
        return type(tree)(*(tree_map(fn, leaf) for leaf in tree))
    if isinstance(tree, list | tuple):  # torch.Size and torch.return_types become plain tuples
        leaves = [tree_map(fn, leaf) for leaf in tree]
        return leaves if isinstance(tree, list) else tuple(leaves)
    if isinstance(tree, dict):
        return {key: tree_map(fn, leaf) for key, leaf in tree.items()}
    if isinstance(tree, slice):
        return slice(fn(tree.start), fn(tree.stop), fn(tree.step))
    return fn(tree)


def leaves(tree: Any) -> list[Any]:
    """Returns the leaves of a tree in the order in which `tree_map` meets them."""
    found: list[Any] = []
    tree_map(found.append, tree)
    return found


def tensors(tree: Any) -> list[Any]:
    """Returns the tensors of a tree, of either library."""
    return [leaf for leaf in leaves(tree) if is_tensor(leaf)]


def to_numpy(value: Any) -> np.ndarray:
    """Returns a tensor's values as an array; bfloat16, which NumPy lacks, comes as float32."""
    value = value.detach()
    if dtype_name(value.dtype) == "bfloat16":
        value = value.float()
    if torch is not None and isinstance(value, torch.Tensor):
        return np.asarray(value.numpy(force=True))  # PyTorch's lazily negated and zero tensors
    return np.asarray(value.numpy())


def _strided_copy(array: np.ndarray) -> np.ndarray:
    """Copies an array into fresh memory with the same strides, expanded (0) ones included."""
    if array.size == 0 or array.flags.c_contiguous:
        return array.copy()
    if any(stride < 0 for stride in array.strides):
        return array.copy()
    reach = sum((n - 1) * stride for n, stride in zip(array.shape, array.strides, strict=True))
    memory = np.zeros(reach // array.itemsize + 1, array.dtype)
    copy = np.lib.stride_tricks.as_strided(memory, array.shape, array.strides)
    copy[...] = array
    return copy


def tensor_in(module: Any, value: Any) -> Any:
    """Returns a leaf of `module` with the values, dtype, strides and requires_grad of `value`."""
    array = to_numpy(value)
    moved = module.from_numpy(_strided_copy(array))
    if dtype_name(value.dtype) == "bfloat16":
        moved = moved.to(module.bfloat16)
    return moved.requires_grad_() if value.requires_grad else moved


def _convert(module: Any, tree: Any) -> Any:
    seen: dict[int, Any] = {}

    def leaf(value: Any) -> Any:
        if is_tensor(value):
            # One tensor passed twice stays one tensor: its gradient is the sum.
            if id(value) not in seen:
                seen[id(value)] = tensor_in(module, value)
            return seen[id(value)]
        if _is_dtype(value):
            return dtype_in(module, value)
        if _is_device(value):
            return module.device(str(value))
        return value

    return tree_map(leaf, tree)


def to_fg(tree: Any) -> Any:
    """Copies a tree of arguments into the module under test; tensors become leaves."""
    return _convert(fg, tree)


def to_torch(tree: Any) -> Any:
    """Copies a tree of arguments into PyTorch; tensors become leaves."""
    return _convert(torch, tree)


def assert_same_tensor(
    actual: Any,
    expected: Any,
    *,
    rtol: float | None = None,
    atol: float | None = None,
    check_dtype: bool = True,
    what: str = "result",
) -> None:
    """Asserts equal shape, dtype and values; `actual` and `expected` may be of either library.

    NaN equals NaN and integers compare exactly. Tolerances default to those of the dtype.
    """
    assert is_tensor(actual), f"{what}: expected a tensor, got {type(actual).__name__}"
    assert tuple(actual.shape) == tuple(expected.shape), (
        f"{what}: expected shape {tuple(expected.shape)}, got {tuple(actual.shape)}"
    )
    name = dtype_name(expected.dtype)
    if check_dtype:
        assert dtype_name(actual.dtype) == name, (
            f"{what}: expected dtype {name}, got {dtype_name(actual.dtype)}"
        )
    a, e = to_numpy(actual), to_numpy(expected)
    if name in INTEGRAL:
        np.testing.assert_array_equal(a, e, err_msg=what)
        return
    default_rtol, default_atol = TOLERANCE[name]
    np.testing.assert_allclose(
        a,
        e,
        rtol=default_rtol if rtol is None else rtol,
        atol=default_atol if atol is None else atol,
        equal_nan=True,
        err_msg=what,
    )


def assert_same(actual: Any, expected: Any, *, what: str = "result", **tolerance: Any) -> None:
    """Asserts that two results agree: tensors, numbers, dtypes, and any nesting of them."""
    if is_tensor(expected):
        assert_same_tensor(actual, expected, what=what, **tolerance)
    elif isinstance(expected, list | tuple):
        assert isinstance(actual, list | tuple), (
            f"{what}: expected {type(expected).__name__}, got {type(actual).__name__}"
        )
        assert len(actual) == len(expected), (
            f"{what}: expected {len(expected)} parts, got {len(actual)}"
        )
        for i, (a, e) in enumerate(zip(actual, expected, strict=True)):
            assert_same(a, e, what=f"{what}[{i}]", **tolerance)
    elif isinstance(expected, dict):
        assert list(actual) == list(expected), f"{what}: expected keys {list(expected)}"
        for key in expected:
            assert_same(actual[key], expected[key], what=f"{what}[{key!r}]", **tolerance)
    elif _is_dtype(expected):
        assert dtype_name(actual) == dtype_name(expected), f"{what}: {actual} is not {expected}"
    elif isinstance(expected, float) and isinstance(actual, float):
        same = math.isclose(actual, expected, rel_tol=1e-6, abs_tol=1e-9)
        assert same or (math.isnan(actual) and math.isnan(expected)), f"{what}: {actual}"
    else:
        assert type(actual) is type(expected), (
            f"{what}: expected {type(expected).__name__}, got {type(actual).__name__}"
        )
        assert actual == expected, f"{what}: expected {expected!r}, got {actual!r}"


def same_class(error: BaseException, expected: BaseException) -> bool:
    """Whether an error is of the class PyTorch raises.

    PyTorch raises NotImplementedError, a RuntimeError, for dtypes without a kernel; which ops lack
    one is its own affair, so any RuntimeError or TypeError says that as well.
    """
    if type(expected) is NotImplementedError:
        return isinstance(error, RuntimeError | TypeError)
    return isinstance(error, type(expected))


def differentiable(values: Iterable[Any]) -> list[Any]:
    """Returns those of `values` that are tensors which require grad."""
    return [value for value in values if is_tensor(value) and value.requires_grad]
