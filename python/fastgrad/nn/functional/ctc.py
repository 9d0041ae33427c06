"""The loss of connectionist temporal classification: labels without their places in a sequence."""

from __future__ import annotations

from typing import Any

from fastgrad import _core
from fastgrad._checks import check_tensors
from fastgrad._core import Tensor


def ctc_loss(
    log_probs: Tensor,
    targets: Tensor,
    input_lengths: Any,
    target_lengths: Any,
    blank: int = 0,
    reduction: str = "mean",
    zero_infinity: bool = False,
) -> Tensor:
    """Returns minus the logarithm of the probability of label sequences, over all alignments.

    Gradients are those of this number with respect to `log_probs`, and 0 for sequences that cannot
    be aligned. (PyTorch's differ by a term that the gradient of `log_softmax` removes.)

    Args:
        log_probs: (T, N, C) or (T, C), logarithms of the probabilities of the C labels.
        targets: The labels: (N, S), or one sequence after the other.
        input_lengths: How much of T each sequence uses.
        target_lengths: How many labels each has.
        blank: The label that stands between labels and is left out of them.
        reduction: `"mean"` (each divided by its length), `"sum"` or `"none"`.
        zero_infinity: Makes 0 of what cannot be aligned, instead of infinity.

    Raises:
        ValueError: If the reduction is not known.
        RuntimeError: If the sizes do not fit, or a label is out of range.

    Example:
        >>> log_probs = fg.full((3, 1, 2), 0.5).log()
        >>> fg.nn.functional.ctc_loss(log_probs, fg.tensor([[1]]), (3,), (1,)).exp()
        tensor(1.3333)
    """
    check_tensors("ctc_loss", log_probs=log_probs, targets=targets)
    return _core._ctc_loss(
        log_probs,
        targets,
        _core.as_tensor(input_lengths),
        _core.as_tensor(target_lengths),
        blank,
        reduction,
        zero_infinity,
    )
