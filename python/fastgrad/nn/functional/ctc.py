"""The loss of connectionist temporal classification: labels without their places in a sequence."""

from __future__ import annotations

from typing import Any

from fastgrad import _core
from fastgrad._checks import check_tensors
from fastgrad._core import Tensor

# Stands for log 0: below every sum of log-probabilities, and its gradients are 0 and not NaN.
_NEVER = -1e30


def _padded(targets: Tensor, lengths: Tensor) -> Tensor:
    """Returns targets given one after the other as rows, filled up with 0."""
    if targets.dim() == 2:
        return targets.long()
    if (lengths < 0).any() or lengths.sum() != targets.numel():
        raise RuntimeError(
            f"[ctc_loss] target_lengths must sum to the number of targets, {targets.numel()}, "
            f"got {lengths.tolist()}"
        )
    if targets.numel() == 0:
        return targets.new_zeros((lengths.numel(), 0), dtype=_core.int64)
    most = _core.nn.functional.one_hot(lengths).size(1) - 1  # a number that recordings can watch
    places = _core.arange(most)
    starts = lengths.cumsum(0) - lengths
    inside = places < lengths.unsqueeze(1)
    which = (starts.unsqueeze(1) + places).clamp(max=targets.numel() - 1)
    return _core.where(inside, targets.long()[which], 0)


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

    Gradients are those of this number with respect to `log_probs`. (PyTorch's differ by a term
    that the gradient of `log_softmax` removes.)

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
        RuntimeError: If the sizes do not fit.

    Example:
        >>> log_probs = fg.full((3, 1, 2), 0.5).log()
        >>> fg.nn.functional.ctc_loss(log_probs, fg.tensor([[1]]), (3,), (1,)).exp()
        tensor(1.3333)
    """
    check_tensors("ctc_loss", log_probs=log_probs, targets=targets)
    if reduction not in ("mean", "sum", "none"):
        raise ValueError(f"{reduction} is not a valid value for reduction")
    single = log_probs.dim() == 2
    if single:
        log_probs = log_probs.unsqueeze(1)
        targets = targets.reshape(1, -1)
    steps, batch, labels = log_probs.shape
    inputs = _core.as_tensor(input_lengths).long().reshape(-1)
    lengths = _core.as_tensor(target_lengths).long().reshape(-1)
    if inputs.numel() != batch or lengths.numel() != batch:
        raise RuntimeError(
            f"[ctc_loss] input_lengths and target_lengths must be of size batch_size, {batch}, "
            f"got {inputs.numel()} and {lengths.numel()}"
        )
    if not 0 <= blank < labels:
        raise RuntimeError(f"[ctc_loss] blank must be in label range, 0 to {labels - 1}")
    if batch and (inputs.min() < 0 or inputs.max() > steps):
        raise RuntimeError(
            f"[ctc_loss] Expected input_lengths to have value at most {steps}, "
            f"got {inputs.tolist()}"
        )
    rows = _padded(targets, lengths)
    loss = -_log_likelihood(log_probs, rows, inputs, lengths, blank)
    impossible = loss > -0.5 * _NEVER
    loss = _core.where(impossible, 0.0 if zero_infinity else float("inf"), loss)
    if reduction == "mean":
        return (loss / lengths.clamp(min=1).to(loss.dtype)).mean()
    if reduction == "sum":
        return loss.sum()
    return loss.squeeze(0) if single else loss


def _log_likelihood(
    log_probs: Tensor, rows: Tensor, inputs: Tensor, lengths: Tensor, blank: int
) -> Tensor:
    """The forward recursion over time, of the labels with blanks around them."""
    steps, batch, _ = log_probs.shape
    width = 2 * rows.size(1) + 1
    spread = _core.full((batch, width), blank, dtype=_core.int64)
    spread[:, 1::2] = rows
    # What comes before a place: the one two places back, the one before it, itself. A step may skip
    # the blank between two labels that differ.
    barred = _core.zeros((batch, width, 3), dtype=log_probs.dtype)
    barred[:, :, 0] = _NEVER
    barred[:, 3::2, 0].masked_fill_(rows[:, 1:] != rows[:, :-1], 0.0)
    emitted = log_probs.gather(2, spread.expand(steps, batch, width)).unbind(0)
    never = _core.full((batch, 2), _NEVER, dtype=log_probs.dtype)
    alpha = _core.where(_core.arange(width) < 2, emitted[0], _NEVER)
    alphas = [alpha]
    for seen in emitted[1:]:
        reached = _core.cat([never, alpha], 1).unfold(1, 3, 1) + barred
        alpha = seen + reached.logsumexp(2)
        alphas.append(alpha)
    # Sequences of length 0 are explained by nothing: probability 1 of no labels.
    start = _core.where(_core.arange(width) == 0, 0.0, _NEVER).to(log_probs.dtype)
    history = _core.stack([start.expand(batch, width), *alphas])
    last = history.gather(0, inputs.reshape(1, -1, 1).expand(1, batch, width))[0]
    end = last.gather(1, (2 * lengths).unsqueeze(1))
    label = last.gather(1, (2 * lengths - 1).clamp(min=0).unsqueeze(1))
    label = _core.where(lengths.unsqueeze(1) > 0, label, _NEVER)
    return _core.cat([end, label], 1).logsumexp(1)
