"""Value and gradient as NumPy sees them, and the check of a gradient."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from fastgrad import _core
from fastgrad._core import Tensor
from fastgrad.autograd.grad_mode import enable_grad
from fastgrad.optimize._scipy import scipy_optimize
from fastgrad.optimize.functions import FlatFunction
from fastgrad.optimize.replays import Replay
from fastgrad.optimize.structure import Structure, Vector


def value_and_grad(
    fun: Callable[..., Any], *, compile: bool = True
) -> Callable[..., tuple[float, Vector]]:
    """Returns a function of a NumPy array that computes value and gradient, for SciPy's `jac=True`.

    Neither the point nor the gradient is copied: the tensor that `fun` sees is the array's memory,
    and the gradient that comes back is the engine's.

    Args:
        fun: Takes a float64 tensor of the array's shape, and further arguments; returns a scalar.
        compile: As for :func:`fastgrad.optimize.minimize`.

    Returns:
        A function `(x, *args) -> (float, array)`.

    Raises:
        ValueError: If `fun` returns more than one value; when the returned function is called.
        TypeError: If `fun` does not return a tensor.

    Example:
        >>> import numpy as np
        >>> f = fg.optimize.value_and_grad(lambda x: (x**2).sum())
        >>> f(np.array([1.0, 2.0]))
        (5.0, array([2., 4.]))
    """
    from_numpy = _core.from_numpy
    task = _value_and_grad_task(fun)
    replay = Replay(task, compile)

    def compute(x: Any, *args: Any) -> tuple[float, Vector]:
        x = np.asarray(x, dtype=np.float64)
        point = from_numpy(x if x.flags.writeable else x.copy())
        # An array among the arguments would be compared, byte for byte, at every call.
        found = replay(point, *args) if all(type(a) in _REPLAYED for a in args) else None
        value, gradient = found or task(point, *args)
        return value.item(), gradient.numpy()

    return compute


# Types of further arguments that cost a replay nothing.
_REPLAYED = frozenset([Tensor, float, int, bool, str, type(None)])


def _value_and_grad_task(fun: Callable[..., Any]) -> Callable[..., tuple[Tensor, Tensor]]:
    def task(x: Tensor, *args: Any) -> tuple[Tensor, Tensor]:
        leaf = x.detach().requires_grad_()
        with enable_grad():
            value = fun(leaf, *args)
        if not isinstance(value, Tensor):
            raise TypeError(
                f"[value_and_grad] expected the function to return a tensor, got "
                f"{type(value).__name__}; compute with the tensor that it is given"
            )
        if value.numel() != 1:
            raise ValueError(
                "The user-provided objective function must return a scalar value. "
                f"[value_and_grad] got a tensor of shape {tuple(value.shape)}"
            )
        if not value.requires_grad:
            return value, _core.zeros_like(x)
        (gradient,) = _core._grad(value, leaf, None, False, False, True, True)
        return value.detach(), gradient

    return task


def check_grad(
    func: Callable[..., Any],
    grad: Callable[..., Any] | None,
    x0: Any,
    *args: Any,
    epsilon: float = 1.4901161193847656e-08,
    direction: str = "all",
    rng: Any = None,
) -> float:
    """Compares a gradient with finite differences.

    Args:
        func: Takes the unknowns, and `args`; returns a scalar.
        grad: The gradient to check, in the structure of the unknowns or flat; None for fastgrad's
            own of `func`.
        x0: Where: an array, a tensor, or a tree of them.
        *args: Further arguments of both.
        epsilon: The step of the differences.
        direction: `"all"` elements, or one `"random"` direction.
        rng: For the random direction: a `numpy.random.Generator` or a seed.

    Returns:
        The 2-norm of the difference between the gradient and forward differences.

    Raises:
        ImportError: If SciPy is not installed.

    Example:
        >>> fg.optimize.check_grad(lambda x: x.sin().sum(), None, [0.3, 1.1]) < 1e-6
        True
    """
    structure = Structure(x0)
    objective = FlatFunction("check_grad", func, structure, args)

    def gradient(x: Vector) -> Vector:
        if grad is None:
            return objective.gradient(x)
        found = grad(structure.tensors(_core.tensor(x)), *args)
        return structure.flatten(found, "the gradient")

    result = scipy_optimize().check_grad(
        objective.plain_value,
        gradient,
        structure.flat,
        epsilon=epsilon,
        direction=direction,
        **({} if rng is None else {"rng": rng}),
    )
    return float(result)
