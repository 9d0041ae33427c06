"""Orders in which a data set is read."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence, Sized
from typing import Any, Generic, TypeVar

from fastgrad import _core
from fastgrad._core import Generator

T_co = TypeVar("T_co", covariant=True)

_DRAWN_AT_ONCE = 1024


class Sampler(Generic[T_co]):
    """The base of samplers; a subclass defines `__iter__`, which yields indices.

    Example:
        >>> class Backwards(fg.utils.data.Sampler):
        ...     def __iter__(self):
        ...         return iter([2, 1, 0])
        >>> list(fg.utils.data.DataLoader("abc", sampler=Backwards(), batch_size=None))
        ['c', 'b', 'a']
    """

    def __iter__(self) -> Iterator[T_co]:
        raise NotImplementedError


class SequentialSampler(Sampler[int]):
    """Indices from 0 on.

    Args:
        data_source: The data set.

    Example:
        >>> list(fg.utils.data.SequentialSampler("abc"))
        [0, 1, 2]
    """

    def __init__(self, data_source: Sized) -> None:
        self.data_source = data_source

    def __iter__(self) -> Iterator[int]:
        return iter(range(len(self.data_source)))

    def __len__(self) -> int:
        return len(self.data_source)


def _order(count: int, generator: Generator | None) -> list[int]:
    order: Any = _core.randperm(count, generator=generator).tolist()
    result: list[int] = order
    return result


class RandomSampler(Sampler[int]):
    """Indices in random order.

    Args:
        data_source: The data set.
        replacement: Draws each index independently of the others.
        num_samples: How many; the data set's length if not given.
        generator: Where the random numbers come from.

    Raises:
        TypeError: If `replacement` is not a bool.
        ValueError: If the number is not a positive integer.

    Example:
        >>> sorted(fg.utils.data.RandomSampler("abc"))
        [0, 1, 2]
    """

    def __init__(
        self,
        data_source: Sized,
        replacement: bool = False,
        num_samples: int | None = None,
        generator: Generator | None = None,
    ) -> None:
        self.data_source, self.replacement = data_source, replacement
        self._num_samples, self.generator = num_samples, generator
        if not isinstance(replacement, bool):
            raise TypeError(
                f"replacement should be a boolean value, but got replacement={replacement}"
            )
        if not isinstance(self.num_samples, int) or self.num_samples < 0:
            raise ValueError(
                "num_samples should be a non-negative integer value, but got "
                f"num_samples={self.num_samples}"
            )

    @property
    def num_samples(self) -> int:
        """How many indices there are."""
        return len(self.data_source) if self._num_samples is None else self._num_samples

    def __iter__(self) -> Iterator[int]:
        count, wanted = len(self.data_source), self.num_samples
        while wanted > 0:
            if self.replacement:  # by blocks: scripts that never stop ask for 10**10
                size = min(wanted, _DRAWN_AT_ONCE)
                drawn: Any = _core.randint(count, (size,), generator=self.generator).tolist()
                wanted -= size
                yield from drawn
                continue
            order = _order(count, self.generator)[:wanted]
            wanted -= len(order)
            yield from order

    def __len__(self) -> int:
        return self.num_samples


class SubsetRandomSampler(Sampler[int]):
    """Some indices in random order.

    Args:
        indices: Which.
        generator: Where the random numbers come from.

    Example:
        >>> sorted(fg.utils.data.SubsetRandomSampler([7, 3]))
        [3, 7]
    """

    def __init__(self, indices: Sequence[int], generator: Generator | None = None) -> None:
        self.indices, self.generator = indices, generator

    def __iter__(self) -> Iterator[int]:
        for i in _order(len(self.indices), self.generator):
            yield self.indices[i]

    def __len__(self) -> int:
        return len(self.indices)


class WeightedRandomSampler(Sampler[int]):
    """Indices drawn with given probabilities.

    Args:
        weights: Probabilities, up to a factor.
        num_samples: How many.
        replacement: Whether an index can be drawn again.
        generator: Where the random numbers come from.

    Raises:
        ValueError: If an argument is not of the right kind.

    Example:
        >>> list(fg.utils.data.WeightedRandomSampler([0.0, 1.0], 3))
        [1, 1, 1]
    """

    def __init__(
        self,
        weights: Sequence[float],
        num_samples: int,
        replacement: bool = True,
        generator: Generator | None = None,
    ) -> None:
        if not isinstance(num_samples, int) or isinstance(num_samples, bool) or num_samples <= 0:
            raise ValueError(
                f"num_samples should be a positive integer value, but got num_samples={num_samples}"
            )
        if not isinstance(replacement, bool):
            raise ValueError(
                f"replacement should be a boolean value, but got replacement={replacement}"
            )
        self.weights = _core.as_tensor(weights, dtype=_core.double)
        if self.weights.dim() != 1:
            raise ValueError(
                "weights should be a 1d sequence but given weights have shape "
                f"{tuple(self.weights.shape)}"
            )
        self.num_samples, self.replacement, self.generator = num_samples, replacement, generator

    def __iter__(self) -> Iterator[int]:
        drawn: Any = _core.multinomial(
            self.weights, self.num_samples, self.replacement, generator=self.generator
        ).tolist()
        return iter(drawn)

    def __len__(self) -> int:
        return self.num_samples


class BatchSampler(Sampler[list[int]]):
    """Batches of the indices of another sampler.

    Args:
        sampler: The other one.
        batch_size: Size of a batch.
        drop_last: Leaves a last batch out that is not full.

    Raises:
        ValueError: If an argument is not of the right kind.

    Example:
        >>> list(fg.utils.data.BatchSampler(range(5), 2, drop_last=False))
        [[0, 1], [2, 3], [4]]
    """

    def __init__(self, sampler: Iterable[int], batch_size: int, drop_last: bool) -> None:
        if not isinstance(batch_size, int) or isinstance(batch_size, bool) or batch_size <= 0:
            raise ValueError(
                f"batch_size should be a positive integer value, but got batch_size={batch_size}"
            )
        if not isinstance(drop_last, bool):
            raise ValueError(f"drop_last should be a boolean value, but got drop_last={drop_last}")
        self.sampler, self.batch_size, self.drop_last = sampler, batch_size, drop_last

    def __iter__(self) -> Iterator[list[int]]:
        rest = iter(self.sampler)
        while batch := list(itertools.islice(rest, self.batch_size)):
            if len(batch) == self.batch_size or not self.drop_last:
                yield batch

    def __len__(self) -> int:
        count = len(self.sampler)  # type: ignore[arg-type]
        return count // self.batch_size if self.drop_last else -(-count // self.batch_size)
