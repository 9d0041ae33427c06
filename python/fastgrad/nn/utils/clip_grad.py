"""Limits on gradients."""

from __future__ import annotations

import warnings
from collections.abc import Iterable

from fastgrad import _core
from fastgrad._core import Tensor
from fastgrad.autograd.grad_mode import no_grad


def _tensors(parameters: Tensor | Iterable[Tensor]) -> list[Tensor]:
    return [parameters] if isinstance(parameters, Tensor) else list(parameters)


def get_total_norm(
    tensors: Tensor | Iterable[Tensor],
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Tensor:
    """Returns the norm of all tensors taken together, as if they were one vector.

    Args:
        tensors: The tensors.
        norm_type: Order of the norm; may be infinite.
        error_if_nonfinite: Raises an error if the result is not finite.
        foreach: As in PyTorch; has no effect.

    Raises:
        RuntimeError: If the norm is not finite and that is asked for.

    Example:
        >>> fg.nn.utils.get_total_norm([fg.tensor([3.0]), fg.tensor([4.0])])
        tensor(5.)
    """
    given = _tensors(tensors)
    norm_type = float(norm_type)
    if not given:
        return _core.tensor(0.0)
    with no_grad():
        norms = [_core.linalg.vector_norm(tensor, norm_type) for tensor in given]
        total = _core.linalg.vector_norm(_core.stack(norms), norm_type)
    if error_if_nonfinite and not total.isfinite():
        raise RuntimeError(
            f"The total norm of order {norm_type} for gradients from `parameters` is non-finite, "
            "so it cannot be clipped. To disable this error and scale the gradients by the "
            "non-finite norm anyway, set `error_if_nonfinite=False`"
        )
    return total


def clip_grads_with_norm_(
    parameters: Tensor | Iterable[Tensor],
    max_norm: float,
    total_norm: Tensor,
    foreach: bool | None = None,
) -> None:
    """Scales all gradients by max_norm / total_norm where that is less than 1, in place.

    Args:
        parameters: Whose gradients.
        max_norm: The norm that they may have.
        total_norm: The norm that they have.
        foreach: As in PyTorch; has no effect.

    Example:
        >>> p = fg.ones(1, requires_grad=True)
        >>> (p * 4).sum().backward()
        >>> fg.nn.utils.clip_grads_with_norm_(p, 2.0, fg.tensor(4.0))
        >>> p.grad
        tensor([2.0000])
    """
    grads = [p.grad for p in _tensors(parameters) if p.grad is not None]
    if not grads:
        return
    with no_grad():
        scale = (float(max_norm) / (total_norm + 1e-6)).clamp(max=1.0)
        for grad in grads:
            grad.mul_(scale)


def clip_grad_norm_(
    parameters: Tensor | Iterable[Tensor],
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Tensor:
    """Scales all gradients, in place, so that their norm taken together is at most max_norm.

    Args:
        parameters: Whose gradients.
        max_norm: The norm that they may have.
        norm_type: Order of the norm; may be infinite.
        error_if_nonfinite: Raises an error if the norm is not finite.
        foreach: As in PyTorch; has no effect.

    Returns:
        The norm before.

    Raises:
        RuntimeError: If the norm is not finite and that is asked for.

    Example:
        >>> p = fg.ones(1, requires_grad=True)
        >>> (p * 4).sum().backward()
        >>> fg.nn.utils.clip_grad_norm_([p], 2.0)
        tensor(4.)
        >>> p.grad
        tensor([2.0000])
    """
    params = _tensors(parameters)
    grads = [p.grad for p in params if p.grad is not None]
    total = get_total_norm(grads, norm_type, error_if_nonfinite, foreach)
    clip_grads_with_norm_(params, max_norm, total, foreach)
    return total


def clip_grad_value_(
    parameters: Tensor | Iterable[Tensor], clip_value: float, foreach: bool | None = None
) -> None:
    """Brings every element of the gradients between -clip_value and clip_value, in place.

    Args:
        parameters: Whose gradients.
        clip_value: The limit.
        foreach: As in PyTorch; has no effect.

    Example:
        >>> p = fg.ones(1, requires_grad=True)
        >>> (p * 4).sum().backward()
        >>> fg.nn.utils.clip_grad_value_(p, 0.5)
        >>> p.grad
        tensor([0.5000])
    """
    limit = float(clip_value)
    with no_grad():
        for param in _tensors(parameters):
            if param.grad is not None:
                param.grad.clamp_(-limit, limit)


def clip_grad_norm(
    parameters: Tensor | Iterable[Tensor],
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Tensor:
    """Does what `clip_grad_norm_` does, under PyTorch's old name for it."""
    warnings.warn(
        "`nn.utils.clip_grad_norm` is now deprecated in favor of `nn.utils.clip_grad_norm_`.",
        FutureWarning,
        stacklevel=2,
    )
    return clip_grad_norm_(parameters, max_norm, norm_type, error_if_nonfinite, foreach)
