"""Gradients of scalar functions: :func:`grad` and what returns the value too."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastgrad import _core
from fastgrad._core import Tensor
from fastgrad.func.levels import (
    OWN,
    RETIRED,
    Argnums,
    Call,
    named_like,
    not_differentiable,
    reach,
)
from fastgrad.utils.pytree import tree_unflatten

__all__ = ["grad", "grad_and_value", "value_and_grad"]

_engine = _core._grad
_is_grad_enabled = _core.is_grad_enabled
_zeros_like = _core.zeros_like


def _check_scalar(output: Any) -> None:
    """Raise unless what a function returned can have a gradient."""
    if not isinstance(output, Tensor):
        raise RuntimeError(
            f"grad(f)(*args): Expected f(*args) to return a Tensor, got {type(output)}"
        )
    if output.dim() != 0:
        raise RuntimeError(
            "grad(f)(*args): Expected f(*args) to return a scalar Tensor, got tensor with "
            f"{output.dim()} dims (its shape is {tuple(output.shape)}). Maybe you wanted to use "
            "the vjp or jacrev APIs instead, or to return f(*args).sum()?"
        )
    if not output.dtype.is_floating_point:
        raise RuntimeError(
            "grad(f)(*args): Expected f(*args) to return a real floating Tensor, got dtype "
            f"{output.dtype}"
        )


def check_scalar_outputs(outputs: list[Any]) -> None:
    """Raise unless a function returned one real scalar tensor."""
    if len(outputs) != 1:
        raise RuntimeError(
            f"grad(f)(*args): Expected f(*args) to return a Tensor, got {len(outputs)} of them"
        )
    _check_scalar(outputs[0])


def _of_one_tensor(
    func: Callable[..., Any], x: Tensor, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[Tensor, Tensor]:
    """Return value and gradient with respect to the first argument; see Note [Levels].

    What :class:`Call` does for trees, without the parts that a single tensor does not need.
    """
    own: Tensor
    tracked = x.requires_grad
    if tracked:
        own = x.view_as(x)
    else:
        own = x.detach()
        try:
            own.requires_grad_()
        except RuntimeError:
            raise not_differentiable("grad", x) from None
    value = func(own, *args[1:], **kwargs)
    if type(value) is not Tensor or value.dim() != 0:
        _check_scalar(value)
    if not value.requires_grad:
        _check_scalar(value)
        return value, _zeros_like(x)
    if tracked:
        return value, _engine(value, own, None, True, True, True, True)[0]
    leaves = reach(value, (own,))
    if leaves == OWN:
        value.backward()  # fills the leaf, which is the only one
        return value.detach(), _zeros_like(x) if own.grad is None else own.grad
    if leaves == RETIRED:
        return value.detach(), _engine(value, own, None, True, False, True, True)[0]
    gradient = _engine(value, own, None, True, True, True, True)[0]
    own.requires_grad_(False)
    return value, gradient


def _of_tree(
    func: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    argnums: Argnums,
    has_aux: bool,
) -> tuple[Any, Any, Any]:
    """Return value, gradient and what else the function returned."""
    call = Call("grad", func, args, kwargs, argnums, has_aux, check_scalar_outputs)
    gradients = call.pull(None, call.tracked, call.tracked)
    call.close()
    return call.value(), tree_unflatten(gradients, call.spec), call.aux


def _is_plain(args: tuple[Any, ...]) -> bool:
    """Whether the first argument can take the short way."""
    return bool(args) and type(args[0]) is Tensor and _is_grad_enabled()


def grad(
    func: Callable[..., Any], argnums: Argnums = 0, has_aux: bool = False
) -> Callable[..., Any]:
    """Return a function that computes the gradient of ``func``.

    The gradient of f: R^n -> R is the vector of the df/dx_i. Transforms nest: ``grad(grad(f))`` is
    the second derivative. ``func`` may be written with NumPy's functions.

    Args:
        func: Returns a tensor without dimensions; with ``has_aux`` a pair of it and anything else.
        argnums: Which positional arguments to differentiate: an index or a tuple of indices. They
            are tensors, arrays or floats, or trees of such (see :mod:`fastgrad.utils.pytree`).
        has_aux: Whether ``func`` returns a pair.

    Returns:
        A function of the arguments of ``func`` that returns the gradient in the structure of the
        argument, or a tuple if ``argnums`` is one; with ``has_aux`` the pair ``(gradient, aux)``.

    Raises:
        RuntimeError: If ``func`` returns something else, an input is not floating, or ``argnums``
            does not fit; all when the returned function is called.

    Example:
        >>> import fastgrad as fg
        >>> df = fg.func.grad(lambda x: x**3)
        >>> df(fg.tensor(2.0)), fg.func.grad(df)(2.0)
        (tensor(12.), tensor(12.))
        >>> def loss(params, x):
        ...     return ((params["w"] * x + params["b"]) ** 2).sum()
        >>> fg.func.grad(loss)({"w": 2.0, "b": 1.0}, fg.tensor([1.0, 2.0]))
        {'w': tensor(26.), 'b': tensor(16.)}
    """

    def gradient(*args: Any, **kwargs: Any) -> Any:
        if simple and _is_plain(args):
            return _of_one_tensor(func, args[0], args, kwargs)[1]
        _, result, aux = _of_tree(func, args, kwargs, argnums, has_aux)
        return (result, aux) if has_aux else result

    simple = argnums == 0 and type(argnums) is int and not has_aux
    return named_like(func, gradient)


def value_and_grad(
    func: Callable[..., Any], argnums: Argnums = 0, has_aux: bool = False
) -> Callable[..., tuple[Any, Any]]:
    """Return a function that computes both the value and the gradient of ``func``.

    Args:
        func: As for :func:`grad`.
        argnums: As for :func:`grad`.
        has_aux: Whether ``func`` returns a pair.

    Returns:
        A function that returns ``(value, gradient)``; with ``has_aux``
        ``((value, aux), gradient)``.

    Raises:
        RuntimeError: As for :func:`grad`.

    Example:
        >>> import fastgrad as fg
        >>> fg.func.value_and_grad(lambda x: (x**2).sum())(fg.tensor([1.0, 2.0]))
        (tensor(5.), tensor([2., 4.]))
    """

    def value_and_gradient(*args: Any, **kwargs: Any) -> tuple[Any, Any]:
        if simple and _is_plain(args):
            return _of_one_tensor(func, args[0], args, kwargs)
        value, result, aux = _of_tree(func, args, kwargs, argnums, has_aux)
        return ((value, aux), result) if has_aux else (value, result)

    simple = argnums == 0 and type(argnums) is int and not has_aux
    return named_like(func, value_and_gradient)


def grad_and_value(
    func: Callable[..., Any], argnums: Argnums = 0, has_aux: bool = False
) -> Callable[..., tuple[Any, Any]]:
    """Return a function that computes both the gradient and the value of ``func``.

    Args:
        func: As for :func:`grad`.
        argnums: As for :func:`grad`.
        has_aux: Whether ``func`` returns a pair.

    Returns:
        A function that returns ``(gradient, value)``; with ``has_aux``
        ``(gradient, (value, aux))``.

    Raises:
        RuntimeError: As for :func:`grad`.

    Example:
        >>> import fastgrad as fg
        >>> fg.func.grad_and_value(lambda x: (x**2).sum())(fg.tensor([1.0, 2.0]))
        (tensor([2., 4.]), tensor(5.))
    """
    both = value_and_grad(func, argnums, has_aux)

    def gradient_and_value(*args: Any, **kwargs: Any) -> tuple[Any, Any]:
        value, gradient = both(*args, **kwargs)
        return gradient, value

    return named_like(func, gradient_and_value)
