"""Sequences of different lengths: padded, or packed without padding.

Note [Packed sequences]
A packed sequence holds, for each step of time, the elements of those sequences that are that long,
one step after the other. Sequences are sorted by falling length, so that the elements of a step
belong to the first `batch_sizes[t]` sequences. `sorted_indices` says where each of them stood in
the caller's batch, `unsorted_indices` the way back; both are None when the caller's batch was
sorted and said so.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from fastgrad import _core
from fastgrad._core import Tensor


class _Fields(NamedTuple):
    data: Tensor
    batch_sizes: Tensor
    sorted_indices: Tensor | None
    unsorted_indices: Tensor | None


def invert_permutation(permutation: Tensor | None) -> Tensor | None:
    """Returns the permutation that undoes another one.

    Example:
        >>> fg.nn.utils.rnn.invert_permutation(fg.tensor([2, 0, 1]))
        tensor([1, 2, 0])
    """
    return None if permutation is None else permutation.argsort()


class PackedSequence(_Fields):
    """Sequences without padding; see Note [Packed sequences].

    Args:
        data: The elements, step by step.
        batch_sizes: Number of sequences of each step.
        sorted_indices: The order of the sequences.
        unsorted_indices: The way back.

    Example:
        >>> packed = fg.nn.utils.rnn.pack_sequence([fg.tensor([1, 2, 3]), fg.tensor([4, 5])])
        >>> packed.data, packed.batch_sizes
        (tensor([1, 4, 2, 5, 3]), tensor([2, 2, 1]))
    """

    __slots__ = ()

    def __new__(
        cls,
        data: Tensor,
        batch_sizes: Tensor | None = None,
        sorted_indices: Tensor | None = None,
        unsorted_indices: Tensor | None = None,
    ) -> PackedSequence:
        """Makes a packed sequence of its parts."""
        if batch_sizes is None:
            raise ValueError("PackedSequence needs batch_sizes; use pack_padded_sequence")
        if unsorted_indices is None:
            unsorted_indices = invert_permutation(sorted_indices)
        return super().__new__(cls, data, batch_sizes, sorted_indices, unsorted_indices)

    def to(self, *args: Any, **kwargs: Any) -> PackedSequence:
        """Returns the sequences with their elements converted."""
        return self._replace(data=self.data.to(*args, **kwargs))

    def double(self) -> PackedSequence:
        """Returns the sequences in float64."""
        return self.to(_core.float64)

    def float(self) -> PackedSequence:
        """Returns the sequences in float32."""
        return self.to(_core.float32)


def pack_padded_sequence(
    input: Tensor,
    lengths: Tensor | Sequence[int],
    batch_first: bool = False,
    enforce_sorted: bool = True,
) -> PackedSequence:
    """Returns padded sequences without their padding.

    Args:
        input: (T, B, ...), or (B, T, ...) if `batch_first`.
        lengths: Length of each sequence.
        batch_first: Which dimension is the batch.
        enforce_sorted: Raises an error if the lengths rise; otherwise sequences are sorted.

    Raises:
        RuntimeError: If a length is not positive, or rises though it must not, or their number is
            not that of the sequences.

    Example:
        >>> padded = fg.tensor([[1, 2, 3], [4, 5, 0]])
        >>> fg.nn.utils.rnn.pack_padded_sequence(padded, [3, 2], batch_first=True).data
        tensor([1, 4, 2, 5, 3])
    """
    sizes = [int(n) for n in (lengths.tolist() if isinstance(lengths, Tensor) else lengths)]
    order: Tensor | None = None
    if batch_first:
        input = input.transpose(0, 1)
    if input.numel() == 0:
        raise RuntimeError("Cannot pack empty tensors.")
    if len(sizes) != input.size(1):
        raise RuntimeError(
            f"Expected `len(lengths)` to be equal to batch_size, but got {len(sizes)} "
            f"(batch_size={input.size(1)})"
        )
    if not enforce_sorted:
        ranked = sorted(range(len(sizes)), key=lambda i: -sizes[i])
        order = _core.tensor(ranked)
        sizes = [sizes[i] for i in ranked]
        input = input.index_select(1, order)
    if sizes[-1] <= 0 or min(sizes) <= 0:
        raise RuntimeError(
            "Length of all samples has to be greater than 0, but found an element in 'lengths' "
            "that is <= 0"
        )
    if sizes != sorted(sizes, reverse=True):
        raise RuntimeError(
            "`lengths` array must be sorted in decreasing order when `enforce_sorted` is True. You "
            "can pass `enforce_sorted=False` to pack_padded_sequence and/or pack_sequence to "
            "sidestep this requirement if you do not need ONNX exportability."
        )
    if sizes[0] > input.size(0):
        raise RuntimeError(
            f"Expected lengths of at most {input.size(0)}, the padded length, but got {sizes[0]}"
        )
    batch_sizes = [sum(n > t for n in sizes) for t in range(sizes[0])]
    data = _core.cat([input[t, :n] for t, n in enumerate(batch_sizes)])
    return PackedSequence(data, _core.tensor(batch_sizes), order)


def pad_packed_sequence(
    sequence: PackedSequence,
    batch_first: bool = False,
    padding_value: float = 0.0,
    total_length: int | None = None,
) -> tuple[Tensor, Tensor]:
    """Returns packed sequences with padding, in the order in which they were given.

    Args:
        sequence: Packed sequences.
        batch_first: Returns (B, T, ...) instead of (T, B, ...).
        padding_value: What stands behind the end of a sequence.
        total_length: T, if it is to be larger than the longest length.

    Returns:
        The padded sequences and their lengths.

    Raises:
        ValueError: If `total_length` is too small.

    Example:
        >>> rnn = fg.nn.utils.rnn
        >>> packed = rnn.pack_sequence([fg.tensor([1, 2, 3]), fg.tensor([4, 5])])
        >>> rnn.pad_packed_sequence(packed, batch_first=True)
        (tensor([[1, 2, 3],
                [4, 5, 0]]), tensor([3, 2]))
    """
    sizes: list[int] = sequence.batch_sizes.tolist()
    steps = len(sizes) if total_length is None else total_length
    if steps < len(sizes):
        raise ValueError(
            "Expected total_length to be at least the length of the longest sequence in input, but "
            f"got total_length={total_length} and max sequence length being {len(sizes)}"
        )
    data = sequence.data
    # Every element is one row of the packed data; padding is one more row behind them.
    pad = data.new_full((1, *data.shape[1:]), padding_value)
    rows: list[list[int]] = [[data.size(0)] * sizes[0] for _ in range(steps)]
    start = 0
    for t, n in enumerate(sizes):
        rows[t][:n] = range(start, start + n)
        start += n
    lengths = _core.tensor([sum(n > i for n in sizes) for i in range(sizes[0])])
    index = _core.tensor(rows).reshape(steps, sizes[0])
    if sequence.unsorted_indices is not None:
        index = index.index_select(1, sequence.unsorted_indices)
        lengths = lengths[sequence.unsorted_indices]
    padded = _core.cat([data, pad])[index.t() if batch_first else index]
    return padded, lengths


def pad_sequence(
    sequences: Sequence[Tensor],
    batch_first: bool = False,
    padding_value: float = 0.0,
    padding_side: str = "right",
) -> Tensor:
    """Returns sequences as one tensor, shorter ones filled up.

    Args:
        sequences: Tensors that differ in their first dimension only.
        batch_first: Returns (B, T, ...) instead of (T, B, ...).
        padding_value: What they are filled up with.
        padding_side: `"right"` or `"left"`.

    Raises:
        RuntimeError: If the shapes do not fit, or the side is not known.

    Example:
        >>> fg.nn.utils.rnn.pad_sequence([fg.tensor([1, 2]), fg.tensor([3])], batch_first=True)
        tensor([[1, 2],
                [3, 0]])
    """
    given = list(sequences.unbind(0)) if isinstance(sequences, Tensor) else list(sequences)
    if not given:
        raise RuntimeError("received an empty list of sequences")
    if padding_side not in ("left", "right"):
        raise RuntimeError(f"padding_side should be one of 'left' or 'right', got {padding_side!r}")
    longest = max(sequence.size(0) for sequence in given)
    rows = []
    for sequence in given:
        missing = longest - sequence.size(0)
        if missing:
            fill = sequence.new_full((missing, *sequence.shape[1:]), padding_value)
            parts = [sequence, fill] if padding_side == "right" else [fill, sequence]
            sequence = _core.cat(parts)
        rows.append(sequence)
    return _core.stack(rows, 0 if batch_first else 1)


def unpad_sequence(
    padded_sequences: Tensor, lengths: Tensor, batch_first: bool = False
) -> list[Tensor]:
    """Returns the sequences of a padded tensor.

    Args:
        padded_sequences: (T, B, ...), or (B, T, ...) if `batch_first`.
        lengths: Length of each.
        batch_first: Which dimension is the batch.

    Example:
        >>> padded = fg.tensor([[1, 2], [3, 0]])
        >>> fg.nn.utils.rnn.unpad_sequence(padded, fg.tensor([2, 1]), batch_first=True)
        [tensor([1, 2]), tensor([3])]
    """
    rows = padded_sequences if batch_first else padded_sequences.transpose(0, 1)
    return [row[: int(n)] for row, n in zip(rows, lengths)]


def pack_sequence(sequences: Sequence[Tensor], enforce_sorted: bool = True) -> PackedSequence:
    """Returns sequences packed.

    Args:
        sequences: Tensors that differ in their first dimension only.
        enforce_sorted: Raises an error if the lengths rise; otherwise sequences are sorted.

    Example:
        >>> fg.nn.utils.rnn.pack_sequence([fg.tensor([1, 2]), fg.tensor([3])]).data
        tensor([1, 3, 2])
    """
    lengths = [sequence.size(0) for sequence in sequences]
    return pack_padded_sequence(pad_sequence(sequences), lengths, enforce_sorted=enforce_sorted)


def unpack_sequence(packed_sequences: PackedSequence) -> list[Tensor]:
    """Returns the sequences that were packed.

    Example:
        >>> rnn = fg.nn.utils.rnn
        >>> rnn.unpack_sequence(rnn.pack_sequence([fg.tensor([1, 2]), fg.tensor([3])]))
        [tensor([1, 2]), tensor([3])]
    """
    padded, lengths = pad_packed_sequence(packed_sequences, batch_first=True)
    return unpad_sequence(padded, lengths, batch_first=True)
