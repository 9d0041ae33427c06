"""Gradients on request: :func:`backward` and :func:`grad`."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar, overload

import fastgrad as fg
from fastgrad import _core
from fastgrad._core import Tensor

__all__ = ["backward", "grad"]

_Key = TypeVar("_Key")


def backward(
    tensors: Any,
    grad_tensors: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    inputs: Any = None,
) -> None:
    """Add the gradient of ``sum(tensors * grad_tensors)`` to ``.grad`` of the leaves.

    Args:
        tensors: A tensor or several: the roots of the graph.
        grad_tensors: One tensor of the same shape per root; None stands for 1, for roots with one
            element.
        retain_graph: Whether the graph can be used again; by default if ``create_graph``.
        create_graph: Whether the gradients can be differentiated in turn.
        inputs: Only these tensors get a gradient; by default all leaves the roots depend on.

    Raises:
        RuntimeError: If a root does not require grad, has no gradient and more than one element,
            or a shape does not fit; or the graph has been freed.

    Example:
        >>> import fastgrad as fg
        >>> x = fg.tensor([1.0, 2.0], requires_grad=True)
        >>> fg.autograd.backward([x * 2, x * 3], [fg.ones(2), fg.ones(2)])
        >>> x.grad
        tensor([5., 5.])
    """
    _core._backward(tensors, grad_tensors, retain_graph, create_graph, inputs)


@overload
def grad(
    outputs: Any,
    inputs: Mapping[_Key, Tensor],
    grad_outputs: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    only_inputs: bool = True,
    allow_unused: bool | None = None,
    is_grads_batched: bool = False,
    materialize_grads: bool = False,
) -> dict[_Key, Tensor]: ...
@overload
def grad(
    outputs: Any,
    inputs: Tensor | Iterable[Tensor],
    grad_outputs: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    only_inputs: bool = True,
    allow_unused: bool | None = None,
    is_grads_batched: bool = False,
    materialize_grads: bool = False,
) -> tuple[Tensor, ...]: ...
def grad(
    outputs: Any,
    inputs: Any,
    grad_outputs: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    only_inputs: bool = True,
    allow_unused: bool | None = None,
    is_grads_batched: bool = False,
    materialize_grads: bool = False,
) -> Any:
    """Return the gradient of ``sum(outputs * grad_outputs)`` with respect to ``inputs``.

    Args:
        outputs: A tensor or several: the roots of the graph.
        inputs: A tensor, several, or a dict of them.
        grad_outputs: One tensor of the same shape per output; None stands for 1, for outputs with
            one element.
        retain_graph: Whether the graph can be used again; by default if ``create_graph``.
        create_graph: Whether the result can be differentiated in turn.
        only_inputs: Deprecated and ignored: gradients go to the inputs only.
        allow_unused: Whether an input that the outputs do not depend on gives None; otherwise it
            is an error.
        is_grads_batched: Whether ``grad_outputs`` have an additional first dimension, over which
            the result is computed and stacked.
        materialize_grads: Whether such an input gives zeros instead.

    Returns:
        A tuple with one tensor or None per input; a dict, if ``inputs`` is one.

    Raises:
        RuntimeError: As for :func:`backward`; also if an input is not used.
        ValueError: If ``materialize_grads`` meets ``allow_unused=False``.

    Example:
        >>> import fastgrad as fg
        >>> x = fg.tensor(3.0, requires_grad=True)
        >>> (dy,) = fg.autograd.grad(x**2, x, create_graph=True)
        >>> fg.autograd.grad(dy, x)
        (tensor(2.),)
    """
    if not only_inputs:
        warnings.warn(
            "only_inputs argument is deprecated and is ignored now (defaults to True). To "
            "accumulate gradient for other parts of the graph, use autograd.backward",
            FutureWarning,
            stacklevel=2,
        )
    arguments = (retain_graph, create_graph, allow_unused, materialize_grads)
    run = _batched if is_grads_batched else _core._grad
    gradients = run(outputs, inputs, grad_outputs, *arguments)
    if isinstance(inputs, (Tensor, tuple, list)):
        return gradients
    return dict(zip(inputs, gradients, strict=True)) if isinstance(inputs, Mapping) else gradients


def _batched(
    outputs: Any, inputs: Any, grad_outputs: Any, retain_graph: bool | None, *options: Any
) -> tuple[Tensor | None, ...]:
    """Run once per entry of the first dimension of the seeds; stack the results."""
    roots = [outputs] if isinstance(outputs, Tensor) else list(outputs)
    seeds = [grad_outputs] if isinstance(grad_outputs, Tensor) else list(grad_outputs or [])
    seeds += [None] * (len(roots) - len(seeds))
    for root, seed in zip(roots, seeds, strict=True):
        if seed is None or seed.shape[1:] != root.shape:
            raise RuntimeError(
                "If `is_grads_batched=True`, we interpret the first dimension of each grad_output "
                "as the batch dimension. The sizes of the remaining dimensions are expected to "
                f"match the shape of corresponding output, {tuple(root.shape)}, but grad_output "
                f"has the shape {None if seed is None else tuple(seed.shape)}."
            )
    count = min(int(seed.shape[0]) for seed in seeds if seed is not None)
    retain = options[0] if retain_graph is None else retain_graph
    runs = [
        _core._grad(roots, inputs, [seed[i] for seed in seeds], retain or i < count - 1, *options)
        for i in range(count)
    ]
    return tuple(_stacked(column) for column in zip(*runs, strict=True))


def _stacked(gradients: Sequence[Tensor | None]) -> Tensor | None:
    """Stack the gradients of one input, unless it was not used."""
    present = [g for g in gradients if g is not None]
    return fg.stack(present) if len(present) == len(gradients) else None
