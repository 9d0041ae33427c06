"""The bilinear map of the last dimensions."""

from __future__ import annotations

from fastgrad._checks import check_tensors
from fastgrad._core import Tensor


def bilinear(input1: Tensor, input2: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Returns y_k = x1ᵀ A_k x2 + b_k.

    Args:
        input1: x1, (..., in1).
        input2: x2, (..., in2).
        weight: A, (out, in1, in2).
        bias: b, (out), or none.

    Raises:
        RuntimeError: If the sizes do not fit.

    Example:
        >>> from fastgrad.nn import functional as F
        >>> F.bilinear(fg.ones(1, 2), fg.ones(1, 3), fg.ones(4, 2, 3))
        tensor([[6., 6., 6., 6.]])
    """
    check_tensors("bilinear", input1=input1, input2=input2, weight=weight)
    if weight.dim() != 3:
        raise RuntimeError(f"bilinear(): expected a weight of 3 dimensions, got {weight.dim()}")
    if input1.dim() != input2.dim() or input1.shape[:-1] != input2.shape[:-1]:
        raise RuntimeError(
            "bilinear(): input batch dimensions do not match: got "
            f"{tuple(input1.shape)} and {tuple(input2.shape)}"
        )
    if input1.size(-1) != weight.size(1) or input2.size(-1) != weight.size(2):
        raise RuntimeError(
            "bilinear(): input sizes do not match the weight: got "
            f"{input1.size(-1)} and {input2.size(-1)} for {tuple(weight.shape)}"
        )
    out, in1, in2 = weight.shape
    # x1 A for all k at once, then the product with x2 of each row.
    rows = input1.reshape(-1, in1)
    left = rows.matmul(weight.permute(1, 0, 2).reshape(in1, out * in2)).reshape(-1, out, in2)
    result = left.bmm(input2.reshape(-1, in2, 1)).reshape(*input1.shape[:-1], out)
    return result if bias is None else result + bias
