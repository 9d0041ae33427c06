"""The caller's structure of the unknowns, and the flat vector that SciPy works on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from fastgrad import _core
from fastgrad._core import Tensor
from fastgrad.utils.pytree import TreeSpec, _node, tree_flatten, tree_unflatten

Vector: TypeAlias = npt.NDArray[np.float64]


def _is_array_like(x: Any) -> bool:
    """Whether a list or tuple is a nest of numbers, which SciPy takes as an array."""
    if isinstance(x, (list, tuple)):
        return not hasattr(x, "_fields") and all(_is_array_like(item) for item in x)
    return isinstance(x, (float, int, np.number)) and not isinstance(x, bool)


class Structure:
    """Takes the unknowns apart into a vector of float64 and puts them together again.

    Args:
        x: An array, a number, a list of numbers, a tensor, or a tree of these. Integers count as
            float64.
        name: What `x` is called in errors.

    Raises:
        TypeError: If a leaf is neither, or complex.

    Example:
        >>> from fastgrad.optimize.structure import Structure
        >>> structure = Structure({"a": fg.ones(2), "b": 3})
        >>> structure.flat
        array([1., 1., 3.])
        >>> structure.restore(structure.flat + 1)
        {'a': tensor([2., 2.]), 'b': 4.0}
    """

    def __init__(self, x: Any, name: str = "x0") -> None:
        if isinstance(x, (list, tuple)) and _is_array_like(x):
            x = np.asarray(x)
        leaves, self._spec = tree_flatten(x)
        self._shapes: list[tuple[int, ...]] = []
        self._dtypes: list[Any] = []
        self._makers: list[Callable[[Vector], Any]] = []
        parts = [self._add(leaf, name) for leaf in leaves]
        self.flat: Vector = np.concatenate(parts) if parts else np.zeros(0)
        sizes = [len(part) for part in parts]
        self._ends = np.cumsum(sizes).tolist()
        # One float64 vector needs no views.
        self._is_flat = (
            self._spec.is_leaf() and len(self._shapes[0]) == 1 and self._dtypes[0] is _core.float64
        )

    def _add(self, leaf: Any, name: str) -> Vector:
        """Notes what a leaf is; returns its elements."""
        if isinstance(leaf, Tensor):
            dtype = leaf.dtype if leaf.dtype.is_floating_point else _core.float64
            values = leaf.detach().numpy() if not leaf.dtype.is_complex else np.zeros(0, complex)
        else:
            dtype = _core.float64
            try:
                values = np.asarray(leaf)
            except Exception:
                values = np.zeros(0, object)
        if values.dtype.kind not in "biuf":
            raise TypeError(
                f"{name} holds real arrays, tensors and numbers, or trees of them, got "
                f"{type(leaf).__name__}" + (f" of {values.dtype}" if hasattr(leaf, "dtype") else "")
            )
        shape = values.shape
        if isinstance(leaf, Tensor):
            self._makers.append(lambda part: _core.tensor(part.reshape(shape), dtype=dtype))
        elif isinstance(leaf, np.ndarray):
            self._makers.append(lambda part: part.reshape(shape).copy())
        else:
            self._makers.append(lambda part: float(part[0]))
        self._shapes.append(shape)
        self._dtypes.append(dtype)
        return np.array(values, dtype=np.float64).ravel()

    def tensors(self, flat: Tensor) -> Any:
        """Returns a float64 vector in the structure, as views that gradients pass.

        Args:
            flat: As many elements as the unknowns have.
        """
        if self._is_flat:
            return flat
        parts, begin = [], 0
        for end, shape, dtype in zip(self._ends, self._shapes, self._dtypes):
            parts.append(flat[begin:end].view(shape).to(dtype))
            begin = end
        return tree_unflatten(parts, self._spec)

    def unflattener(self) -> Callable[[Tensor], Any]:
        """Returns :meth:`tensors` as a function that refers to what it needs and nothing else."""
        if self._is_flat:
            return lambda flat: flat
        spec = self._spec
        pieces = tuple(zip([0, *self._ends], self._ends, self._shapes, self._dtypes))
        makers = tuple(_makers_of(spec))  # a default: fastgrad.compile follows what it finds there

        def tensors(flat: Tensor, makers: tuple[Any, ...] = makers) -> Any:
            parts = [flat[begin:end].view(shape).to(dtype) for begin, end, shape, dtype in pieces]
            return tree_unflatten(parts, spec)

        return tensors

    def restore(self, flat: Vector) -> Any:
        """Returns a vector in the structure, as arrays, tensors and numbers as the caller's were.

        Args:
            flat: As many elements as the unknowns have.
        """
        parts, begin = [], 0
        for end, make in zip(self._ends, self._makers):
            parts.append(make(np.asarray(flat[begin:end], dtype=np.float64)))
            begin = end
        return tree_unflatten(parts, self._spec)

    def flatten(self, tree: Any, name: str) -> Vector:
        """Returns what the caller gave in this structure, or flat already, as a vector.

        Args:
            tree: In the structure of the unknowns; a leaf may be one number for all its elements.
            name: What it is called in errors.
        """
        if not isinstance(tree, Tensor) and _is_array_like(tree):
            tree = np.asarray(tree)
        if isinstance(tree, (np.ndarray, Tensor, float, int)):
            values = _as_array(tree)
            if values.ndim == 0:
                return np.full(self.flat.shape, float(values))
            if values.size != self.flat.size:
                raise ValueError(
                    f"{name} has {values.size} elements, but there are {self.flat.size} unknowns"
                )
            return values.ravel()
        parts = self._spec.flatten_up_to(tree)
        vectors = [
            np.broadcast_to(_as_array(part), shape).ravel()
            for part, shape in zip(parts, self._shapes)
        ]
        return np.concatenate(vectors) if vectors else np.zeros(0)


def _makers_of(spec: TreeSpec) -> Iterator[Any]:
    """Yields the functions that make the containers of a structure."""
    if not spec.is_leaf():
        yield _node(spec.type)
    for child in spec.children:
        yield from _makers_of(child)


def _as_array(x: Any) -> Vector:
    return np.asarray(x.detach() if isinstance(x, Tensor) else x, dtype=np.float64)


def flat_result(name: str, result: Any) -> Tensor:
    """Returns what a function returned as one vector, with its history.

    Args:
        name: Of the function that asks, for errors.
        result: A tensor, an array, a number, or a tree of these.

    Raises:
        TypeError: If a leaf is something else or complex.

    Example:
        >>> from fastgrad.optimize.structure import flat_result
        >>> flat_result("root", (fg.ones(2), 3.0))
        tensor([1., 1., 3.], dtype=fastgrad.float64)
    """
    leaves = [result] if isinstance(result, Tensor) else tree_flatten(result)[0]
    parts = []
    for leaf in leaves:
        if not isinstance(leaf, Tensor):
            values = np.asarray(leaf)
            if values.dtype.kind not in "biuf":
                raise TypeError(
                    f"[{name}] expected the function to return tensors or real numbers, got "
                    f"{type(leaf).__name__}"
                )
            leaf = _core.tensor(values)
        if leaf.dtype.is_complex:
            raise TypeError(
                f"[{name}] expected the function to return real numbers, got {leaf.dtype}"
            )
        parts.append(leaf.reshape(-1).to(_core.float64))
    return parts[0] if len(parts) == 1 else _core.cat(parts)
