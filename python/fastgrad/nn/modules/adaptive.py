"""The loss of a softmax over many classes, frequent ones first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from fastgrad import _core
from fastgrad._core import Tensor
from fastgrad.nn import functional as F
from fastgrad.nn.modules.container import ModuleList, Sequential
from fastgrad.nn.modules.linear import Linear
from fastgrad.nn.modules.module import Module


class _ASMoutput(NamedTuple):
    output: Tensor
    loss: Tensor


class AdaptiveLogSoftmaxWithLoss(Module):
    """A softmax over classes sorted by frequency, where rare ones share clusters.

    The head decides between the frequent classes and the clusters; each cluster has a smaller
    projection of its own.

    Args:
        in_features: Size of the input.
        n_classes: Number of classes.
        cutoffs: Where clusters begin, ascending.
        div_value: By how much each cluster's projection is smaller than the one before.
        head_bias: Whether the head has a bias.
        device: Where the parameters are.
        dtype: Their element type.

    Example:
        >>> softmax = fg.nn.AdaptiveLogSoftmaxWithLoss(8, 20, cutoffs=[5, 10])
        >>> fg.allclose(softmax.log_prob(fg.ones(2, 8)).exp().sum(1), fg.ones(2))
        True
    """

    def __init__(
        self,
        in_features: int,
        n_classes: int,
        cutoffs: Sequence[int],
        div_value: float = 4.0,
        head_bias: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        given = list(cutoffs)
        if not given:
            raise ValueError("cutoffs should be a sequence of length larger than 0")
        if (
            given != sorted(given)
            or min(given) <= 0
            or max(given) > n_classes - 1
            or len(set(given)) != len(given)
            or any(int(c) != c for c in given)
        ):
            raise ValueError(
                "cutoffs should be a sequence of unique, positive integers sorted in an "
                "increasing order, where each value is between 1 and n_classes-1"
            )
        self.in_features, self.n_classes = in_features, n_classes
        self.cutoffs = [*given, n_classes]
        self.div_value, self.head_bias = div_value, head_bias
        self.shortlist_size = self.cutoffs[0]
        self.n_clusters = len(self.cutoffs) - 1
        self.head_size = self.shortlist_size + self.n_clusters
        options: dict[str, Any] = {"device": device, "dtype": dtype}
        self.head = Linear(in_features, self.head_size, bias=head_bias, **options)
        self.tail = ModuleList()
        for i in range(self.n_clusters):
            hidden = int(in_features // (div_value ** (i + 1)))
            size = self.cutoffs[i + 1] - self.cutoffs[i]
            self.tail.append(
                Sequential(
                    Linear(in_features, hidden, bias=False, **options),
                    Linear(hidden, size, bias=False, **options),
                )
            )

    def reset_parameters(self) -> None:
        """Draws the parameters anew."""
        for module in self.modules():
            if isinstance(module, Linear):
                module.reset_parameters()

    def forward(self, input_: Tensor, target_: Tensor) -> Any:
        """Returns the log-probabilities of the targets as `output`, and minus their mean as `loss`.

        Raises:
            RuntimeError: If sizes or targets do not fit.
        """
        if target_.dim() not in (0, 1):
            raise RuntimeError("0D or 1D target tensor expected, multi-target not supported")
        if input_.dim() != target_.dim() + 1 or (
            target_.dim() == 1 and input_.shape[0] != target_.shape[0]
        ):
            raise RuntimeError("Input and target should have the same size in the batch dimension.")
        single = target_.dim() == 0
        x = input_.unsqueeze(0) if single else input_
        target = target_.reshape(-1)
        if target.numel() and not 0 <= int(target.min()) <= int(target.max()) < self.n_classes:
            raise RuntimeError(
                f"Target values should be in [0, {self.n_classes - 1}], but values in range "
                f"[{int(target.min())}, {int(target.max())}] were found. "
            )
        output = _core.zeros(target.numel(), dtype=x.dtype)
        head = F.log_softmax(self.head(x), dim=1)
        # The class itself, or its cluster.
        column = target
        for i in range(self.n_clusters):
            low, high = self.cutoffs[i], self.cutoffs[i + 1]
            rows = ((target >= low) & (target < high)).nonzero().squeeze(1)
            if rows.numel() == 0:
                continue
            column = column.index_fill(0, rows, self.shortlist_size + i)
            part = F.log_softmax(self.tail[i](x.index_select(0, rows)), dim=1)
            inside = target.index_select(0, rows) - low
            output = output.index_copy(0, rows, part.gather(1, inside.unsqueeze(1)).squeeze(1))
        output = output + head.gather(1, column.unsqueeze(1)).squeeze(1)
        loss = (-output).mean()
        return _ASMoutput(output.squeeze(0) if single else output, loss)

    def _all(self, input: Tensor, head: Tensor) -> Tensor:
        """Returns the log-probabilities of all classes, given the head's output."""
        first = F.log_softmax(head, dim=1)
        parts = [first[:, : self.shortlist_size]]
        for i in range(self.n_clusters):
            cluster = F.log_softmax(self.tail[i](input), dim=1)
            parts.append(cluster + first[:, self.shortlist_size + i].unsqueeze(1))
        return _core.cat(parts, 1)

    def log_prob(self, input: Tensor) -> Tensor:
        """Returns the log-probabilities of all classes, (N, n_classes)."""
        return self._all(input, self.head(input))

    def predict(self, input: Tensor) -> Tensor:
        """Returns the most probable class of each row."""
        return self.log_prob(input).argmax(dim=1)
