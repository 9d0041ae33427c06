"""Modules as functions of their parameters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fastgrad import _core
from fastgrad._core import Tensor


def functional_call(
    module: Any,
    parameter_and_buffer_dicts: Mapping[str, Tensor] | Sequence[Mapping[str, Tensor]],
    args: Any = None,
    kwargs: Mapping[str, Any] | None = None,
    *,
    tie_weights: bool = True,
    strict: bool = False,
) -> Any:
    """Calls a module with tensors in the place of its parameters and buffers.

    Args:
        module: The module; after the call it is as it was, also if the call raises an error.
        parameter_and_buffer_dicts: Tensors by name, or several such dictionaries. Tensors that are
            not named remain.
        args: The arguments, or the only argument.
        kwargs: The named arguments.
        tie_weights: A tensor with several names is replaced at all of them.
        strict: Raises an error if a name is missing or not known.

    Returns:
        What the module returns.

    Raises:
        ValueError: If a tensor with several names, or a name, gets different values.
        RuntimeError: If `strict` and the names differ.

    Example:
        >>> m = fg.nn.Linear(1, 1, bias=False)
        >>> loss = lambda w: fg.func.functional_call(m, {"weight": w}, fg.ones(1, 1)).square().sum()
        >>> fg.func.grad(loss)(fg.tensor([[3.0]]))
        tensor([[6.]])
    """
    # Only who has modules pays for importing them.
    from fastgrad.nn.utils import stateless

    if isinstance(parameter_and_buffer_dicts, Mapping):
        tensors = dict(parameter_and_buffer_dicts)
    else:
        tensors = {}
        for part in parameter_and_buffer_dicts:
            repeated = [name for name in part if name in tensors]
            if repeated:
                raise ValueError(
                    f"{repeated} appeared in multiple dictionaries; behavior of functional call is "
                    "ambiguous"
                )
            tensors.update(part)
    if args is None:
        args = ()
    elif not isinstance(args, tuple):
        args = (args,)
    with stateless._reparametrize_module(module, tensors, tie_weights, strict):
        return module(*args, **(kwargs or {}))


def stack_module_state(models: Sequence[Any]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Returns the parameters and buffers of several modules of one kind, each stacked.

    Args:
        models: The modules, all in the same mode.

    Returns:
        Two dictionaries by name: parameters, which are leaves that require gradients, and buffers.

    Raises:
        RuntimeError: If there is no module, or modes or classes differ.

    Example:
        >>> params, buffers = fg.func.stack_module_state([fg.nn.Linear(2, 3) for _ in range(4)])
        >>> params["weight"].shape
        fastgrad.Size([4, 3, 2])
    """
    if not models:
        raise RuntimeError("stack_module_state: Expected at least one model, got 0.")
    if len({model.training for model in models}) > 1:
        raise RuntimeError(
            "stack_module_state: Expected all models to have the same training/eval mode."
        )
    if len({type(model) for model in models}) > 1:
        raise RuntimeError("stack_module_state: Expected all models to be of the same class.")
    params = [dict(model.named_parameters()) for model in models]
    buffers = [dict(model.named_buffers()) for model in models]
    stacked = {name: _core.stack([own[name] for own in params]).detach() for name in params[0]}
    for name, tensor in stacked.items():
        tensor.requires_grad_(params[0][name].requires_grad)
    return stacked, {
        name: _core.stack([own[name] for own in buffers]).detach() for name in buffers[0]
    }
