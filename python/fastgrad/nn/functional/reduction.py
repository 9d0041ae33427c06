"""The last step of every loss: none, mean or sum."""

from __future__ import annotations

import warnings

from fastgrad._core import Tensor


def check_reduction(reduction: str) -> None:
    """Fails where the reduction is none of the three.

    Raises:
        ValueError: If it is not.

    Example:
        >>> from fastgrad.nn.functional.reduction import check_reduction
        >>> check_reduction("sum")
    """
    if reduction not in ("none", "mean", "sum"):
        raise ValueError(f"{reduction} is not a valid value for reduction")


def reduced(loss: Tensor, reduction: str) -> Tensor:
    """Returns the losses, their mean or their sum.

    Raises:
        ValueError: If the reduction is none of the three.

    Example:
        >>> from fastgrad.nn.functional.reduction import reduced
        >>> reduced(fg.tensor([1.0, 3.0]), "mean")
        tensor(2.)
    """
    check_reduction(reduction)
    if reduction == "none":
        return loss
    return loss.mean() if reduction == "mean" else loss.sum()


def legacy(size_average: bool | None, reduce: bool | None, reduction: str) -> str:
    """Returns the reduction that PyTorch's old arguments ask for.

    Example:
        >>> from fastgrad.nn.functional.reduction import legacy
        >>> legacy(None, None, "sum")
        'sum'
    """
    if size_average is None and reduce is None:
        return reduction
    kind = "mean" if size_average is None or size_average else "sum"
    if reduce is False:
        kind = "none"
    warnings.warn(
        f"size_average and reduce args will be deprecated, please use reduction='{kind}' instead.",
        stacklevel=3,
    )
    return kind
