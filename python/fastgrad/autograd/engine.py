"""Gradients on request: :func:`backward` and :func:`grad`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar, overload

import fastgrad as fg
from fastgrad import _core
from fastgrad._core import Tensor

__all__ = ["backward", "grad"]

_Key = TypeVar("_Key")


def _roots(tensors: Any) -> list[Tensor]:
    """Return what is differentiated as a list of tensors."""
    items = list(tensors.values()) if isinstance(tensors, Mapping) else tensors
    items = list(items) if isinstance(items, Sequence) and not isinstance(items, str) else [items]
    for item in items:
        if not isinstance(item, Tensor):
            raise TypeError(f"Expected output to be a fastgrad.Tensor, got {type(item).__name__}.")
    return items


def _seeds(gradients: Any, count: int) -> list[Tensor | None]:
    """Return one gradient, or None, per root."""
    if gradients is None:
        return [None] * count
    if isinstance(gradients, Mapping):
        gradients = gradients.values()
    seeds = [gradients] if isinstance(gradients, Tensor) else list(gradients)
    if len(seeds) != count:
        raise RuntimeError(f"got {count} tensors and {len(seeds)} gradients")
    for seed in seeds:
        if seed is not None and not isinstance(seed, Tensor):
            raise TypeError(
                f"gradients can be either Tensors or None, but got {type(seed).__name__}"
            )
    return seeds


def _wanted(inputs: Any, caller: str) -> list[Tensor]:
    """Return the tensors to differentiate with respect to."""
    items = [inputs] if isinstance(inputs, Tensor) else list(inputs)
    if not items:
        raise RuntimeError(f"`inputs` argument to `{caller}()` cannot be empty.")
    for item in items:
        if not isinstance(item, Tensor):
            raise RuntimeError(f"all inputs have to be Tensors, but got {type(item).__name__}")
    return items


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
    roots = _roots(tensors)
    seeds = _seeds(grad_tensors, len(roots))
    leaves = [] if inputs is None else _wanted(inputs, "backward")
    retain = create_graph if retain_graph is None else retain_graph
    _core._backward(roots, seeds, retain, create_graph, leaves)


@overload
def grad(
    outputs: Any,
    inputs: Mapping[_Key, Tensor],
    grad_outputs: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
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
    if materialize_grads:
        if allow_unused is False:
            raise ValueError(
                "Expected allow_unused to be True or not passed when materialize_grads=True, but "
                "got: allow_unused=False."
            )
        allow_unused = True
    roots = _roots(outputs)
    seeds = _seeds(grad_outputs, len(roots))
    keys = list(inputs) if isinstance(inputs, Mapping) else None
    wanted = _wanted(inputs.values() if isinstance(inputs, Mapping) else inputs, "grad")
    retain = create_graph if retain_graph is None else retain_graph

    def run(seeds: Sequence[Tensor | None], retain: bool) -> tuple[Tensor | None, ...]:
        gradients: tuple[Tensor | None, ...] = _core._grad(
            roots, wanted, seeds, retain, create_graph, bool(allow_unused), materialize_grads
        )
        return gradients

    result = _batched(run, roots, seeds, retain) if is_grads_batched else run(seeds, retain)
    return result if keys is None else dict(zip(keys, result, strict=True))


def _batched(
    run: Any, roots: list[Tensor], seeds: list[Tensor | None], retain: bool
) -> tuple[Tensor | None, ...]:
    """Run once per entry of the first dimension of the seeds; stack the results."""
    for root, seed in zip(roots, seeds, strict=True):
        if seed is None or seed.shape[1:] != root.shape:
            raise RuntimeError(
                "If `is_grads_batched=True`, we interpret the first dimension of each grad_output "
                "as the batch dimension. The sizes of the remaining dimensions are expected to "
                f"match the shape of corresponding output, {tuple(root.shape)}, but grad_output "
                f"has the shape {None if seed is None else tuple(seed.shape)}."
            )
    count = min(int(seed.shape[0]) for seed in seeds if seed is not None)
    runs = [
        run([seed[i] for seed in seeds if seed is not None], retain or i < count - 1)
        for i in range(count)
    ]
    return tuple(
        None if any(g is None for g in column) else fg.stack(column)
        for column in zip(*runs, strict=True)
    )
