"""Checks of the options that several optimisers have."""

from __future__ import annotations

from fastgrad._core import Tensor


def check_options(lr: float | Tensor, **options: float | Tensor) -> None:
    """Checks a learning rate and further options that must not be negative.

    Raises:
        ValueError: If one is negative or NaN, or a tensor has more than one element.

    Example:
        >>> from fastgrad.optim.options import check_options
        >>> check_options(0.1, weight_decay=-1.0)
        Traceback (most recent call last):
        ValueError: Invalid weight_decay value: -1.0
    """
    if isinstance(lr, Tensor) and lr.numel() != 1:
        raise ValueError("Tensor lr must be 1-element")
    if not lr >= 0.0:
        raise ValueError(f"Invalid learning rate: {lr}")
    for name, value in options.items():
        if not value >= 0.0:
            name = "epsilon" if name == "eps" else name
            raise ValueError(f"Invalid {name} value: {value}")


def check_betas(betas: tuple[float | Tensor, float | Tensor]) -> None:
    """Checks that both decay rates are in [0, 1).

    Example:
        >>> from fastgrad.optim.options import check_betas
        >>> check_betas((0.9, 1.0))
        Traceback (most recent call last):
        ValueError: Invalid beta parameter at index 1: 1.0
    """
    for i, beta in enumerate(betas):
        if not 0.0 <= beta < 1.0:
            raise ValueError(f"Invalid beta parameter at index {i}: {beta}")


def check_execution(foreach: bool | None, fused: bool | None, differentiable: bool) -> None:
    """Checks the options that tell PyTorch how to run a step, for those that contradict each other.

    A step is always one call into the core, whatever they say.

    Raises:
        RuntimeError: If `fused` meets `differentiable` or `foreach`.

    Example:
        >>> from fastgrad.optim.options import check_execution
        >>> check_execution(foreach=None, fused=True, differentiable=False)
    """
    if fused and differentiable:
        raise RuntimeError("`fused` does not support `differentiable`")
    if fused and foreach:
        raise RuntimeError("`fused` and `foreach` cannot be `True` together.")
