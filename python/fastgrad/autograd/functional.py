"""Products and matrices of derivatives of a function, as PyTorch's ``autograd.functional``.

All take a function of tensors, and its inputs as a tensor or a tuple of tensors. With
``create_graph`` what they return can be differentiated in turn. With ``strict`` they raise where an
output or a derivative does not depend on an input, instead of returning zeros. :mod:`fastgrad.func`
does the same for trees of arguments and nests.

Example:
    >>> import fastgrad as fg
    >>> fg.autograd.functional.hessian(lambda x: (x**3).sum(), fg.tensor([1.0, 2.0]))
    tensor([[ 6.,  0.],
            [ 0., 12.]])
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import fastgrad as fg
from fastgrad import _core
from fastgrad._core import Tensor
from fastgrad.autograd.grad_mode import enable_grad
from fastgrad.func.jacobians import jacobian_of_output
from fastgrad.func.levels import OWN, reach

__all__ = ["hessian", "hvp", "jacobian", "jvp", "vhp", "vjp"]

_OUTPUTS = "outputs of the user-provided function"
_ALLOWED = "This is not allowed in strict mode"


def _as_tuple(value: Any, what: str, name: str) -> tuple[Tensor, ...]:
    """Return a tensor or a tuple of tensors as a tuple."""
    items = value if isinstance(value, tuple) else (value,)
    for i, item in enumerate(items):
        if isinstance(item, Tensor):
            continue
        found = f"value at index {i}" if isinstance(value, tuple) else f"given {what}"
        raise TypeError(
            f"The {what} given to {name} must be either a Tensor or a tuple of Tensors but the "
            f"{found} has type {type(item)}."
        )
    return items


def _like(results: Sequence[Any], template: Any) -> Any:
    """Return a tuple, or its only item where the user gave a bare tensor."""
    return tuple(results) if isinstance(template, tuple) else results[0]


def _own(x: Tensor, create_graph: bool) -> Tensor:
    """Return an input to differentiate with respect to."""
    if create_graph and x.requires_grad:
        return x.view_as(x)
    return x.detach().requires_grad_()


def _finished(tensors: Sequence[Tensor], create_graph: bool) -> list[Tensor]:
    return list(tensors) if create_graph else [t.detach() for t in tensors]


def _check_vector(v: Sequence[Tensor], like: Sequence[Tensor], single: bool) -> None:
    """Raise unless a vector has the structure and the shapes of what it multiplies."""
    if len(v) != len(like):
        if single:
            raise RuntimeError("The given v should contain a single Tensor.")
        raise RuntimeError(
            f"v is a tuple of invalid length: should be {len(like)} but got {len(v)}."
        )
    for i, (given, x) in enumerate(zip(v, like)):
        if given.shape != x.shape:
            entry = "v" if single else f"Entry {i} in v"
            raise RuntimeError(
                f"{entry} has invalid size: should be {x.shape} but got {given.shape}."
            )


class _Call(NamedTuple):
    """A function that has been called, and the vector for its derivative."""

    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    returned: Any

    def value(self, create_graph: bool) -> Any:
        return _like(_finished(self.outputs, create_graph), self.returned)


def _call(
    name: str, func: Callable[..., Any], inputs: Any, create_graph: bool, strict: bool
) -> _Call:
    own = tuple(_own(x, create_graph) for x in _as_tuple(inputs, "inputs", name))
    returned = func(*own)
    outputs = _as_tuple(returned, _OUTPUTS, name)
    for i, y in enumerate(outputs):
        if strict and not y.requires_grad:
            raise RuntimeError(
                f"Output {i} of the user-provided function does not require gradients. The outputs "
                "must be computed in a differentiable manner from the input when running in "
                "strict mode."
            )
    return _Call(own, outputs, returned)


def _single_output(name: str, call: _Call) -> Tensor:
    if isinstance(call.returned, tuple):
        raise RuntimeError(f"The function given to {name} should return a single Tensor")
    if call.returned.numel() != 1:
        raise RuntimeError(
            f"The Tensor returned by the function given to {name} should contain a single element"
        )
    output: Tensor = call.returned
    return output


def _vector(name: str, v: Any, like: Sequence[Tensor], template: Any, of: str) -> list[Tensor]:
    """Return the vector that the user gave, or ones where there is only one element."""
    single = not isinstance(template, tuple)
    if v is not None:
        given = _as_tuple(v, "v", name)
        _check_vector(given, like, single)
        return list(given)
    if not single or like[0].numel() != 1:
        raise RuntimeError(
            f"The vector v can only be None if the {of} a single Tensor with a single element."
        )
    return [fg.ones_like(like[0])]


def _pull(
    outputs: Sequence[Tensor],
    inputs: Sequence[Tensor],
    v: Sequence[Tensor] | None,
    create_graph: bool,
) -> list[Tensor | None]:
    """Return gradients; None where the outputs do not depend on the input."""
    kept = [i for i, y in enumerate(outputs) if y.requires_grad]
    if not kept:
        return [None] * len(inputs)
    seeds = None if v is None else [v[i] for i in kept]
    found: Sequence[Tensor | None] = _core._grad(
        [outputs[i] for i in kept], inputs, seeds, True, create_graph, True, False
    )
    return list(found)


_INDEPENDENT = {
    "back": "The output of the user-provided function is independent of input {}.",
    "forward": "The gradient with respect to the input is independent of entry {} in the "
    "grad_outputs when using the double backward trick to compute forward mode gradients.",
    "second": "The jacobian of the user-provided function is independent of input {}.",
}


def _with_zeros(
    gradients: Sequence[Tensor | None],
    like: Sequence[Tensor],
    strict: bool,
    create_graph: bool,
    stage: str,
) -> list[Tensor]:
    """Return zeros for absent gradients; in strict mode raise."""
    filled = []
    for i, (g, x) in enumerate(zip(gradients, like)):
        if g is None:
            if strict:
                raise RuntimeError(f"{_INDEPENDENT[stage].format(i)} {_ALLOWED}.")
            g = fg.zeros_like(x)
        elif strict and create_graph and not g.requires_grad:
            which = "hessian" if stage == "second" else "jacobian"
            raise RuntimeError(
                f"The {which} of the user-provided function is independent of input {i}. {_ALLOWED}"
                " when create_graph=True."
            )
        filled.append(g)
    return filled


def _check_gradients_vary(gradients: Sequence[Tensor]) -> None:
    for i, g in enumerate(gradients):
        if not g.requires_grad:
            raise RuntimeError(
                "While computing the hessian, found that the jacobian of the user-provided "
                f"function with respect to input {i} is independent of the input. {_ALLOWED}. You "
                "should ensure that your function is twice differentiable and that the jacobian "
                "depends on the inputs (this would be violated by a linear function for example)."
            )


def vjp(
    func: Callable[..., Any],
    inputs: Any,
    v: Any = None,
    create_graph: bool = False,
    strict: bool = False,
) -> tuple[Any, Any]:
    """Return the value of ``func`` and the product v' J of a vector and its Jacobian.

    Args:
        func: Takes the inputs and returns a tensor or a tuple of tensors.
        inputs: A tensor or a tuple of tensors.
        v: One tensor of the same shape per output; may be left out if there is one element.
        create_graph: Whether the results can be differentiated in turn.
        strict: Whether to raise where an output does not depend on an input.

    Returns:
        ``(output, product)``; the product has the structure of ``inputs``.

    Raises:
        TypeError: If inputs, outputs or ``v`` are not tensors.
        RuntimeError: If ``v`` does not fit; in strict mode also for independence.

    Example:
        >>> import fastgrad as fg
        >>> x, v = fg.tensor([1.0, 2.0]), fg.tensor([1.0, 10.0])
        >>> fg.autograd.functional.vjp(lambda x: x**2, x, v)
        (tensor([1., 4.]), tensor([ 2., 40.]))
    """
    with enable_grad():
        call = _call("vjp", func, inputs, create_graph, strict)
        vector = _vector("vjp", v, call.outputs, call.returned, "user-provided function returns")
        gradients = _with_zeros(
            _pull(call.outputs, call.inputs, vector, create_graph),
            call.inputs,
            strict,
            create_graph,
            "back",
        )
        result = _like(_finished(gradients, create_graph), inputs)
        return call.value(create_graph), result


def jvp(
    func: Callable[..., Any],
    inputs: Any,
    v: Any = None,
    create_graph: bool = False,
    strict: bool = False,
) -> tuple[Any, Any]:
    """Return the value of ``func`` and the product J v of its Jacobian and a vector.

    Computed as the derivative of u' J with respect to u, which costs two backward passes.

    Args:
        func: Takes the inputs and returns a tensor or a tuple of tensors.
        inputs: A tensor or a tuple of tensors.
        v: One tensor of the same shape per input; may be left out if there is one element.
        create_graph: Whether the results can be differentiated in turn.
        strict: Whether to raise where an output does not depend on an input.

    Returns:
        ``(output, product)``, both of the structure that ``func`` returned.

    Raises:
        TypeError: If inputs, outputs or ``v`` are not tensors.
        RuntimeError: If ``v`` does not fit; in strict mode also for independence.

    Example:
        >>> import fastgrad as fg
        >>> x, v = fg.tensor([1.0, 2.0]), fg.tensor([1.0, 10.0])
        >>> fg.autograd.functional.jvp(lambda x: x**2, x, v)
        (tensor([1., 4.]), tensor([ 2., 40.]))
    """
    with enable_grad():
        given = _as_tuple(inputs, "inputs", "jvp")
        of = "input to the user-provided function is"
        vector = _vector("jvp", v, given, inputs, of)
        call = _call("jvp", func, inputs, create_graph, strict)
        weights = [fg.zeros_like(y).requires_grad_() for y in call.outputs]
        pulled = _pull(call.outputs, call.inputs, weights, True)
        if strict:
            _with_zeros(pulled, call.inputs, strict, False, "back")
        pairs = [(g, u) for g, u in zip(pulled, vector) if g is not None]
        products = _with_zeros(
            _pull([g for g, _ in pairs], weights, [u for _, u in pairs], create_graph),
            call.outputs,
            strict,
            create_graph,
            "forward",
        )
        result = _like(_finished(products, create_graph), call.returned)
        return call.value(create_graph), result


def _hessian_product(
    name: str,
    func: Callable[..., Any],
    inputs: Any,
    v: Any,
    create_graph: bool,
    strict: bool,
) -> tuple[Any, Any]:
    """Return value and v' H, which is H v as well."""
    with enable_grad():
        given = _as_tuple(inputs, "inputs", name)
        of = "input to the user-provided function is"
        vector = _vector(name, v, given, inputs, of)
        call = _call(name, func, inputs, create_graph, strict)
        output = _single_output(name, call)
        gradients = _with_zeros(
            _pull([output], call.inputs, None, True), call.inputs, strict, False, "back"
        )
        if strict:
            _check_gradients_vary(gradients)
        products = _with_zeros(
            _pull(gradients, call.inputs, vector, create_graph),
            call.inputs,
            strict,
            create_graph,
            "second",
        )
        result = _like(_finished(products, create_graph), inputs)
        return call.value(create_graph), result


def vhp(
    func: Callable[..., Any],
    inputs: Any,
    v: Any = None,
    create_graph: bool = False,
    strict: bool = False,
) -> tuple[Any, Any]:
    """Return the value of ``func`` and the product v' H of a vector and its Hessian.

    Args:
        func: Takes the inputs and returns a tensor with one element.
        inputs: A tensor or a tuple of tensors.
        v: One tensor of the same shape per input; may be left out if there is one element.
        create_graph: Whether the results can be differentiated in turn.
        strict: Whether to raise where the gradient does not depend on an input.

    Returns:
        ``(output, product)``; the product has the structure of ``inputs``.

    Raises:
        TypeError: If inputs, outputs or ``v`` are not tensors.
        RuntimeError: If the output has more elements, or ``v`` does not fit; in strict mode also
            for independence.

    Example:
        >>> import fastgrad as fg
        >>> x, v = fg.tensor([1.0, 2.0]), fg.tensor([1.0, 0.0])
        >>> fg.autograd.functional.vhp(lambda x: x[0] ** 2 * x[1], x, v)
        (tensor(2.), tensor([4., 2.]))
    """
    return _hessian_product("vhp", func, inputs, v, create_graph, strict)


def hvp(
    func: Callable[..., Any],
    inputs: Any,
    v: Any = None,
    create_graph: bool = False,
    strict: bool = False,
) -> tuple[Any, Any]:
    """Return the value of ``func`` and the product H v of its Hessian and a vector.

    The Hessian is symmetric, so this is what :func:`vhp` returns.

    Args:
        func: Takes the inputs and returns a tensor with one element.
        inputs: A tensor or a tuple of tensors.
        v: One tensor of the same shape per input; may be left out if there is one element.
        create_graph: Whether the results can be differentiated in turn.
        strict: Whether to raise where the gradient does not depend on an input.

    Returns:
        ``(output, product)``; the product has the structure of ``inputs``.

    Raises:
        TypeError: If inputs, outputs or ``v`` are not tensors.
        RuntimeError: If the output has more elements, or ``v`` does not fit; in strict mode also
            for independence.

    Example:
        >>> import fastgrad as fg
        >>> x, v = fg.tensor([1.0, 2.0]), fg.tensor([1.0, 0.0])
        >>> fg.autograd.functional.hvp(lambda x: x[0] ** 2 * x[1], x, v)
        (tensor(2.), tensor([4., 2.]))
    """
    return _hessian_product("hvp", func, inputs, v, create_graph, strict)


def _check_strategy(strategy: str, create_graph: bool, strict: bool, vectorize: bool) -> None:
    """Raise where PyTorch refuses the options; they make no difference to the results here."""
    name = "fastgrad.autograd.functional.jacobian"
    if strategy not in ("forward-mode", "reverse-mode"):
        raise AssertionError(
            f'Expected strategy to be either "forward-mode" or "reverse-mode", got {strategy!r}.'
        )
    if strategy == "forward-mode":
        for option, given in (("create_graph", create_graph), ("strict", strict)):
            if given:
                error = NotImplementedError if option == "create_graph" else RuntimeError
                raise error(
                    f'{name}: `{option}=True` and `strategy="forward-mode"` are not supported '
                    f'together. Please either set `{option}=False` or `strategy="reverse-mode"`.'
                )
        if not vectorize:
            raise NotImplementedError(
                "Computing Jacobian using forward-AD or forward-over-reverse Hessian is only "
                "implemented for `vectorize=True`."
            )
    if vectorize and strict:
        raise RuntimeError(
            f"{name}: `strict=True` and `vectorized=True` are not supported together. Please "
            "either set `strict=False` or `vectorize=False`."
        )


def _check_dependence(call: _Call, create_graph: bool) -> None:
    """Raise where an output does not depend on an input, or its derivative is a constant."""
    for i, y in enumerate(call.outputs):
        gradients = _pull([y], call.inputs, [fg.ones_like(y)], create_graph)
        for j, g in enumerate(gradients):
            if g is None:
                raise RuntimeError(
                    f"Output {i} of the user-provided function is independent of input {j}. "
                    f"{_ALLOWED}."
                )
        _with_zeros(gradients, call.inputs, True, create_graph, "back")


def jacobian(
    func: Callable[..., Any],
    inputs: Any,
    create_graph: bool = False,
    strict: bool = False,
    vectorize: bool = False,
    strategy: str = "reverse-mode",
) -> Any:
    """Return the Jacobian of ``func``: J_ij = dy_i/dx_j.

    Args:
        func: Takes the inputs and returns a tensor or a tuple of tensors.
        inputs: A tensor or a tuple of tensors.
        create_graph: Whether the result can be differentiated in turn.
        strict: Whether to raise where an output does not depend on an input.
        vectorize: Whether PyTorch computes all rows at once; rows come one by one here.
        strategy: ``"reverse-mode"`` or, with ``vectorize``, ``"forward-mode"``; the result is the
            same, and computed by rows.

    Returns:
        A tensor of shape ``y.shape + x.shape``; a tuple of them if inputs or outputs are a tuple,
        of tuples over the inputs if both are.

    Raises:
        TypeError: If inputs or outputs are not tensors.
        RuntimeError: In strict mode, for independence; for options that exclude each other.
        NotImplementedError: For ``"forward-mode"`` without ``vectorize`` or with ``create_graph``.

    Example:
        >>> import fastgrad as fg
        >>> fg.autograd.functional.jacobian(lambda x: x * x.sum(), fg.tensor([1.0, 2.0]))
        tensor([[4., 1.],
                [2., 5.]])
    """
    _check_strategy(strategy, create_graph, strict, vectorize)
    with enable_grad():
        call = _call("jacobian", func, inputs, create_graph, strict)
        if strict:
            _check_dependence(call, create_graph)
        blocks = []
        for y in call.outputs:
            alone = not create_graph and reach(y, call.inputs) == OWN
            rows = jacobian_of_output(y, call.inputs, create_graph, alone)
            blocks.append(_like(_finished(rows, create_graph), inputs))
        return _like(blocks, call.returned)


def hessian(
    func: Callable[..., Any],
    inputs: Any,
    create_graph: bool = False,
    strict: bool = False,
    vectorize: bool = False,
    outer_jacobian_strategy: str = "reverse-mode",
) -> Any:
    """Return the Hessian of ``func``: H_ij = d^2 y / (dx_i dx_j).

    Args:
        func: Takes the inputs and returns a tensor with one element.
        inputs: A tensor or a tuple of tensors.
        create_graph: Whether the result can be differentiated in turn.
        strict: Whether to raise where the gradient does not depend on an input.
        vectorize: Whether PyTorch computes all rows at once; rows come one by one here.
        outer_jacobian_strategy: As ``strategy`` of :func:`jacobian`.

    Returns:
        A tensor of shape ``x.shape + x.shape``; a tuple of tuples of blocks if ``inputs`` is a
        tuple.

    Raises:
        TypeError: If inputs or the output are not tensors.
        RuntimeError: If the output has more than one element; otherwise as for :func:`jacobian`.
        NotImplementedError: As for :func:`jacobian`.

    Example:
        >>> import fastgrad as fg
        >>> fg.autograd.functional.hessian(lambda x: x[0] ** 2 * x[1], fg.tensor([1.0, 2.0]))
        tensor([[4., 2.],
                [2., 0.]])
    """
    _check_strategy(outer_jacobian_strategy, create_graph, strict, vectorize)
    _as_tuple(inputs, "inputs", "hessian")

    def gradients_of(*own: Tensor) -> Any:
        call = _call("hessian", func, own, True, strict)
        output = _single_output("hessian", call)
        gradients = [
            fg.zeros_like(x) if g is None else g
            for g, x in zip(_pull([output], call.inputs, None, True), call.inputs)
        ]
        if strict:
            _check_gradients_vary(gradients)
        return _like(gradients, inputs)

    return jacobian(gradients_of, inputs, create_graph, strict)
