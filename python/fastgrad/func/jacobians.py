"""Derivatives of functions with many outputs, and second derivatives."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import fastgrad as fg
from fastgrad import _core
from fastgrad._core import Tensor
from fastgrad.func.gradient import check_scalar_outputs
from fastgrad.func.levels import Argnums, Call, named_like
from fastgrad.utils.pytree import tree_flatten, tree_unflatten

__all__ = ["hessian", "hvp", "jacobian", "jacrev", "vjp"]

_engine = _core._grad


def _check_tensors(outputs: list[Any]) -> None:
    for y in outputs:
        if not isinstance(y, Tensor):
            raise RuntimeError(
                "vjp(f, *primals): expected f(*primals) to return only tensors, got unsupported "
                f"type {type(y)}"
            )


def _check_differentiable(outputs: list[Any]) -> None:
    _check_tensors(outputs)
    for y in outputs:
        if not (y.dtype.is_floating_point or y.dtype.is_complex):
            raise RuntimeError(
                "vjp(f, ...): All outputs of f must be floating-point or complex Tensors, got "
                f"Tensor with dtype {y.dtype}"
            )


def _cotangents(call: Call, tree: Any) -> list[Tensor]:
    """Return cotangents, one per output, as tensors."""
    try:
        leaves = call.out_spec.flatten_up_to(tree)
        if any(tree_flatten(leaf)[1].type is not None for leaf in leaves):
            raise ValueError
    except ValueError:
        raise RuntimeError(
            "Expected pytree structure of cotangents to be the same as pytree structure of outputs "
            f"to the function. cotangents: {tree_flatten(tree)[1]}, primal output: {call.out_spec}"
        ) from None
    found = []
    for v, y in zip(leaves, call.outputs):
        v = v if isinstance(v, Tensor) else fg.as_tensor(v, dtype=y.dtype)
        if v.shape != y.shape:
            raise RuntimeError(
                f"Mismatch in shape: a cotangent has a shape of {tuple(v.shape)} and its output "
                f"has a shape of {tuple(y.shape)}."
            )
        found.append(v)
    return found


def vjp(func: Callable[..., Any], *primals: Any, has_aux: bool = False) -> Any:
    """Evaluate ``func`` and return the function that multiplies a vector by its Jacobian.

    For y = f(x) and a cotangent v of the shape of y, this is v' J with J_ij = dy_i/dx_j.

    Args:
        func: Returns a tensor or a tree of tensors; with ``has_aux`` a pair of it and any object.
        *primals: Its arguments, all of which are differentiated: tensors, arrays or floats, or
            trees of such.
        has_aux: Whether ``func`` returns a pair.

    Returns:
        ``(output, vjp_fn)``, with ``has_aux`` ``(output, vjp_fn, aux)``.
        ``vjp_fn(cotangents, retain_graph=True, create_graph=None)`` takes cotangents in the
        structure of the output and returns a tuple with one gradient per primal.

    Raises:
        RuntimeError: If ``func`` returns something else, an input is not floating, or cotangents
            do not have structure and shapes of the output.

    Example:
        >>> import fastgrad as fg
        >>> y, pullback = fg.func.vjp(lambda x: x**2, fg.tensor([1.0, 2.0]))
        >>> y, pullback(fg.tensor([1.0, 10.0]))
        (tensor([1., 4.]), (tensor([ 2., 40.]),))
    """
    everything = tuple(range(len(primals)))
    if primals:
        call = Call("vjp", func, primals, {}, everything, has_aux, _check_tensors)
    else:
        call = Call("vjp", lambda _: func(), ((),), {}, (0,), has_aux, _check_tensors)
    call.close()

    def vjp_fn(cotangents: Any, retain_graph: bool = True, create_graph: bool | None = None) -> Any:
        given = _cotangents(call, cotangents)
        if create_graph is None:
            create_graph = fg.is_grad_enabled() and (
                call.tracked or any(v.requires_grad for v in given)
            )
        if not primals:
            return ()
        call.reopen()
        try:
            gradients = call.pull(given, retain_graph, create_graph)
        finally:
            call.close()
        return tree_unflatten(gradients, call.spec)

    output = call.value()
    return (output, vjp_fn, call.aux) if has_aux else (output, vjp_fn)


def one_hot_vectors(n: int, like: Tensor) -> Any:
    """Yield the unit vectors, in the shape of ``like``; they share memory."""
    line = fg.zeros(2 * n - 1, dtype=like.dtype, device=like.device)
    line[n - 1] = 1
    flat = like.dim() == 1
    for i in range(n - 1, -1, -1):
        e = line.narrow(0, i, n)
        yield e if flat else e.reshape(like.shape)


def _taken_gradient(x: Tensor) -> Tensor:
    """Return the ``.grad`` of a leaf, which is left without one."""
    gradient = x.grad
    if gradient is None:
        return fg.zeros_like(x)
    x.grad = None
    return gradient


def jacobian_of_output(
    y: Tensor, inputs: Sequence[Tensor], create_graph: bool, alone: bool
) -> list[Tensor]:
    """Return the Jacobian of ``y`` with respect to each input, in shape y.shape + x.shape.

    Args:
        y: An output.
        inputs: Leaves or aliases.
        create_graph: Whether the result can be differentiated in turn.
        alone: Whether the inputs are leaves, and ``y`` depends on no others: a plain backward then
            does what would otherwise need a search for the inputs in the graph.
    """
    if not y.requires_grad or y.numel() == 0:
        return [fg.zeros((*y.shape, *x.shape), dtype=x.dtype, device=x.device) for x in inputs]
    if y.dim() == 0:
        return list(_engine(y, inputs, None, True, create_graph, True, True))
    if not create_graph:
        recorded = _core._jacobian_rows(y, inputs)
        if recorded is not None:
            if y.dim() == 1:
                return list(recorded)
            return [rows.reshape(y.shape + x.shape) for rows, x in zip(recorded, inputs)]
    rows: list[Sequence[Tensor]] = []
    for e in one_hot_vectors(y.numel(), y):
        if alone:
            y.backward(e, True)
            rows.append([_taken_gradient(x) for x in inputs])
        else:
            rows.append(_engine(y, inputs, e, True, create_graph, True, True))
    stacked = [_core.stack(column) for column in zip(*rows)]
    if y.dim() == 1:
        return stacked
    return [jacobian.reshape(y.shape + x.shape) for jacobian, x in zip(stacked, inputs)]


def jacrev(
    func: Callable[..., Any],
    argnums: Argnums = 0,
    *,
    has_aux: bool = False,
    chunk_size: int | None = None,
    _preallocate_and_copy: bool = False,
) -> Callable[..., Any]:
    """Return a function that computes the Jacobian of ``func``, row by row.

    J_ij = dy_i/dx_j, in shape ``y.shape + x.shape``: one backward pass per element of the output.

    Args:
        func: Returns a tensor or a tree of tensors; with ``has_aux`` a pair of it and any object.
        argnums: Which positional arguments to differentiate: an index or a tuple of indices. They
            are tensors, arrays or floats, or trees of such.
        has_aux: Whether ``func`` returns a pair.
        chunk_size: How many rows PyTorch computes at once; rows come one by one here.

    Returns:
        A function that returns a tree of the output's structure. In it stand, for each output, the
        Jacobians in the structure of the argument, or a tuple if ``argnums`` is one. With
        ``has_aux`` the function returns the pair ``(jacobian, aux)``.

    Raises:
        RuntimeError: If ``func`` returns something else, an input is not floating, or ``argnums``
            does not fit; all when the returned function is called.
        ValueError: If ``chunk_size`` is not positive.

    Example:
        >>> import fastgrad as fg
        >>> fg.func.jacrev(lambda x: x * x.sum())(fg.tensor([1.0, 2.0]))
        tensor([[4., 1.],
                [2., 5.]])
    """
    if chunk_size is not None and chunk_size <= 0:
        raise ValueError("jacrev: `chunk_size` should be greater than 0.")

    def jacobian_of(*args: Any, **kwargs: Any) -> Any:
        call = Call("jacrev", func, args, kwargs, argnums, has_aux, _check_differentiable)
        parts = [
            tree_unflatten(
                jacobian_of_output(y, call.inputs, call.tracked, call.alone()), call.spec
            )
            for y in call.outputs
        ]
        call.close()
        result = tree_unflatten(parts, call.out_spec)
        return (result, call.aux) if has_aux else result

    return named_like(func, jacobian_of)


def jacobian(
    func: Callable[..., Any], argnums: Argnums = 0, *, has_aux: bool = False
) -> Callable[..., Any]:
    """Return a function that computes the Jacobian of ``func``.

    Args:
        func: As for :func:`jacrev`.
        argnums: As for :func:`jacrev`.
        has_aux: Whether ``func`` returns a pair.

    Returns:
        What :func:`jacrev` returns.

    Raises:
        RuntimeError: As for :func:`jacrev`.

    Example:
        >>> import fastgrad as fg
        >>> fg.func.jacobian(lambda x, y: x * y, argnums=(0, 1))(fg.tensor([2.0]), 3.0)
        (tensor([[3.]]), tensor([2.]))
    """
    return jacrev(func, argnums, has_aux=has_aux)


def hessian(
    func: Callable[..., Any], argnums: Argnums = 0, *, has_aux: bool = False
) -> Callable[..., Any]:
    """Return a function that computes the second derivatives of ``func``.

    H_ij = d^2 y / (dx_i dx_j), in shape ``y.shape + x.shape + x.shape``; ``func`` need not be
    scalar.

    Args:
        func: As for :func:`jacrev`.
        argnums: As for :func:`jacrev`.
        has_aux: Whether ``func`` returns a pair.

    Returns:
        A function that returns the Hessian: for trees and several arguments a tree of trees of
        blocks, as the Jacobian of a Jacobian is. With ``has_aux`` it returns ``(hessian, aux)``.

    Raises:
        RuntimeError: As for :func:`jacrev`.

    Example:
        >>> import fastgrad as fg
        >>> fg.func.hessian(lambda x: x[0] ** 2 * x[1])(fg.tensor([1.0, 2.0]))
        tensor([[4., 2.],
                [2., 0.]])
    """
    return jacrev(jacrev(func, argnums, has_aux=has_aux), argnums, has_aux=has_aux)


def hvp(func: Callable[..., Any], primals: Any, tangents: Any, *, has_aux: bool = False) -> Any:
    """Return the value of ``func`` and the product of its Hessian with a vector.

    H v is the derivative of the gradient along v; it costs a few evaluations of ``func``, not n.

    Args:
        func: Returns a tensor without dimensions; with ``has_aux`` a pair of it and anything else.
        primals: A tuple of its arguments: tensors, arrays or floats, or trees of such.
        tangents: A tuple of vectors of the same structure and shapes.
        has_aux: Whether ``func`` returns a pair.

    Returns:
        ``(value, product)``, with ``has_aux`` ``(value, product, aux)``. The product has the
        structure of the argument if there is one, and is a tuple if there are several.

    Raises:
        RuntimeError: If ``func`` returns something else, or an input is not floating.
        TypeError: If primals or tangents are not tuples.
        ValueError: If they do not have the same structure and shapes.

    Example:
        >>> import fastgrad as fg
        >>> x, v = fg.tensor([1.0, 2.0]), fg.tensor([1.0, 0.0])
        >>> fg.func.hvp(lambda x: x[0] ** 2 * x[1], (x,), (v,))
        (tensor(2.), tensor([4., 2.]))
    """
    for name, given in (("primals", primals), ("tangents", tangents)):
        if not isinstance(given, tuple | list):
            raise TypeError(
                f"[func.hvp] expected {name} to be a tuple of arguments, got {type(given)}; write "
                "hvp(f, (x,), (v,))."
            )
    argnums = tuple(range(len(primals))) if len(primals) != 1 else 0
    call = Call("hvp", func, tuple(primals), {}, argnums, has_aux, check_scalar_outputs)
    directions = _tangents(call, tuple(tangents), argnums)
    products = _products(call, directions)
    call.close()
    result = tree_unflatten(products, call.spec)
    return (call.value(), result, call.aux) if has_aux else (call.value(), result)


def _tangents(call: Call, tangents: tuple[Any, ...], argnums: Argnums) -> list[Tensor]:
    """Return one tangent per input."""
    tree = tangents if isinstance(argnums, tuple) else (tangents or (None,))[0]
    try:
        if not isinstance(argnums, tuple) and len(tangents) != 1:
            raise ValueError(f"expected one tangent, got {len(tangents)}")
        leaves = call.spec.flatten_up_to(tree)
    except ValueError as error:
        raise ValueError(f"[func.hvp] tangents do not match the primals: {error}") from None
    found = []
    for v, x in zip(leaves, call.inputs):
        v = v if isinstance(v, Tensor) else fg.as_tensor(v, dtype=x.dtype)
        if v.shape != x.shape:
            raise ValueError(
                f"[func.hvp] expected a tangent of shape {tuple(x.shape)}, that of its primal, got "
                f"{tuple(v.shape)}."
            )
        found.append(v)
    return found


def _products(call: Call, directions: list[Tensor]) -> Sequence[Tensor]:
    """Return H v by differentiating the gradient along v."""
    gradients = call.pull(None, True, True)
    tracked = call.tracked or (fg.is_grad_enabled() and any(v.requires_grad for v in directions))
    return call.pull(directions, tracked, tracked, gradients)
