"""Derivatives along tangents: :func:`jvp`, :func:`linearize` and :func:`jacfwd`.

For y = f(x), one backward pass with a cotangent u gives J' u, which is linear in u; its derivative
with respect to u along t is J t. So each of these costs one backward pass that is recorded, once,
and one through that record for each tangent.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import fastgrad as fg
from fastgrad import _core
from fastgrad._core import Tensor
from fastgrad.func.jacobians import _check_differentiable, one_hot_vectors
from fastgrad.func.levels import Argnums, Call, named_like
from fastgrad.utils.pytree import tree_flatten, tree_unflatten

__all__ = ["jacfwd", "jvp", "linearize"]

_engine = _core._grad


class _Pushed:
    """A recorded call whose Jacobian can be multiplied with tangents."""

    def __init__(self, call: Call) -> None:
        self._call = call
        # Values at which J' u is recorded do not matter; outputs without a gradient take no part.
        self._outputs = [y for y in call.outputs if y.requires_grad]
        with fg.enable_grad():
            self._cotangents = [fg.zeros_like(y).requires_grad_() for y in self._outputs]
            pulled: Sequence[Tensor] = []
            if self._outputs and call.inputs:
                pulled = _engine(
                    self._outputs, call.inputs, self._cotangents, True, True, True, True
                )
        self._pulled = pulled

    def along(self, tangents: Sequence[Tensor | None]) -> list[Tensor]:
        """Return the tangents of the outputs; None is an input that does not move."""
        moving = [
            (g, t) for g, t in zip(self._pulled, tangents) if t is not None and g.requires_grad
        ]
        tracked = self._call.tracked or any(t.requires_grad for _, t in moving)
        found: Sequence[Tensor] = [fg.zeros_like(y) for y in self._outputs]
        if moving:
            create = tracked and fg.is_grad_enabled()
            pulled, given = [g for g, _ in moving], [t for _, t in moving]
            found = _engine(pulled, self._cotangents, given, True, create, True, True)
        left = iter(found)
        return [next(left) if y.requires_grad else fg.zeros_like(y) for y in self._call.outputs]


def _tangents_of(call: Call, tangents: Any, structure: Any) -> list[Tensor]:
    """Return tangents, one per input, as tensors."""
    leaves, spec = tree_flatten(tangents)
    if spec != structure:
        raise RuntimeError(
            "jvp(f, primals, tangents): Expected primals and tangents to have the same python "
            "structure. For example, if primals is a tuple of 3 tensors, tangents also must be. "
            f"Got primals with structure {structure} and tangents with structure {spec}"
        )
    found = []
    for t, x in zip(leaves, call.inputs):
        t = t if isinstance(t, Tensor) else fg.as_tensor(t, dtype=x.dtype)
        if t.shape != x.shape:
            raise RuntimeError(
                "Trying to set a forward gradient that has a different size than that of the "
                f"original Tensor, this is not supported. Tensor is of size {list(x.shape)} while "
                f"the given forward gradient is of size {list(t.shape)}."
            )
        found.append(t)
    return found


def jvp(
    func: Callable[..., Any],
    primals: tuple[Any, ...],
    tangents: tuple[Any, ...],
    *,
    strict: bool = False,
    has_aux: bool = False,
) -> Any:
    """Evaluate ``func`` and its derivative along tangents.

    For y = f(x) and a tangent t of the shape of x, the derivative is J t with J_ij = dy_i/dx_j. The
    operations of ``func`` must be differentiable twice.

    Args:
        func: Returns a tensor or a tree of tensors; with ``has_aux`` a pair of it and any object.
        primals: Its arguments, a tuple.
        tangents: Directions, in structure and shapes of ``primals``.
        strict: Accepted as PyTorch accepts it: outputs that do not depend on the arguments have
            zeros for a tangent.
        has_aux: Whether ``func`` returns a pair.

    Returns:
        ``(output, tangent)``, with ``has_aux`` ``(output, tangent, aux)``.

    Raises:
        RuntimeError: If arguments are not tuples of the same structure and shapes, or an output is
            not floating.

    Example:
        >>> import fastgrad as fg
        >>> fg.func.jvp(lambda x: x**2, (fg.tensor([1.0, 2.0]),), (fg.tensor([1.0, 10.0]),))
        (tensor([1., 4.]), tensor([ 2., 40.]))
    """
    for name, given in (("primals", primals), ("tangents", tangents)):
        if not isinstance(given, tuple):
            raise RuntimeError(
                f"jvp(f, primals, tangents): Expected {name} to be a tuple. E.g. it should be "
                "valid to call f(*primals)."
            )
    if not primals:
        raise RuntimeError("jvp(f, primals, tangents): Expected at least one primal.")
    everything = tuple(range(len(primals)))
    call = Call("jvp", func, primals, {}, everything, has_aux, _check_differentiable)
    directions = _tangents_of(call, tangents, tree_flatten(primals)[1])
    pushed = tree_unflatten(_Pushed(call).along(directions), call.out_spec)
    call.close()
    output = call.value()
    return (output, pushed, call.aux) if has_aux else (output, pushed)


def linearize(func: Callable[..., Any], *primals: Any) -> tuple[Any, Callable[..., Any]]:
    """Evaluate ``func`` and return its derivative as a function of tangents.

    Args:
        func: As for :func:`jvp`.
        *primals: Its arguments.

    Returns:
        ``(output, jvp_fn)``; ``jvp_fn(*tangents)`` is what :func:`jvp` gives, without another call
        of ``func``.

    Raises:
        RuntimeError: As for :func:`jvp`.

    Example:
        >>> import fastgrad as fg
        >>> y, push = fg.func.linearize(fg.sin, fg.tensor(0.0))
        >>> y, push(fg.tensor(2.0))
        (tensor(0.), tensor(2.))
    """
    if not primals:
        raise RuntimeError("linearize(f, *primals): Expected at least one primal.")
    everything = tuple(range(len(primals)))
    call = Call("linearize", func, primals, {}, everything, False, _check_differentiable)
    pushed, structure = _Pushed(call), tree_flatten(primals)[1]
    call.close()

    def jvp_fn(*tangents: Any) -> Any:
        given = _tangents_of(call, tangents, structure)
        return tree_unflatten(pushed.along(given), call.out_spec)

    return call.value(), jvp_fn


def jacfwd(
    func: Callable[..., Any],
    argnums: Argnums = 0,
    has_aux: bool = False,
    *,
    chunk_size: int | None = None,
    randomness: str = "error",
) -> Callable[..., Any]:
    """Return a function that computes the Jacobian of ``func``, column by column.

    The same numbers as :func:`jacrev`, for functions of few inputs and many outputs: one pass for
    each element of the input. The operations of ``func`` must be differentiable twice.

    Args:
        func: As for :func:`jacrev`.
        argnums: As for :func:`jacrev`.
        has_aux: Whether ``func`` returns a pair.
        chunk_size: How many columns PyTorch computes at once; they come one by one here.
        randomness: Accepted as PyTorch accepts it; ``func`` is called once.

    Returns:
        As :func:`jacrev`.

    Raises:
        RuntimeError: As :func:`jacrev`.
        ValueError: If ``chunk_size`` is not positive.

    Example:
        >>> import fastgrad as fg
        >>> fg.func.jacfwd(lambda x: fg.stack([x, x**2, x**3]))(fg.tensor(2.0))
        tensor([ 1.,  4., 12.])
    """
    if chunk_size is not None and chunk_size <= 0:
        raise ValueError("jacfwd: `chunk_size` should be greater than 0.")

    def jacobian_of(*args: Any, **kwargs: Any) -> Any:
        call = Call("jacfwd", func, args, kwargs, argnums, has_aux, _check_differentiable)
        pushed = _Pushed(call)
        parts: list[list[Tensor]] = [[] for _ in call.outputs]
        for i, x in enumerate(call.inputs):
            columns = []
            for e in one_hot_vectors(x.numel(), x) if x.numel() else ():
                tangents: list[Tensor | None] = [None] * len(call.inputs)
                tangents[i] = e
                columns.append(pushed.along(tangents))
            for k, y in enumerate(call.outputs):
                shape = (*y.shape, *x.shape)
                if not columns:
                    parts[k].append(fg.zeros(shape, dtype=y.dtype))
                    continue
                parts[k].append(fg.stack([column[k] for column in columns], -1).reshape(shape))
        call.close()
        trees = [tree_unflatten(part, call.spec) for part in parts]
        result = tree_unflatten(trees, call.out_spec)
        return (result, call.aux) if has_aux else result

    return named_like(func, jacobian_of)
