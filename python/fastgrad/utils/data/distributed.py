"""The part of a data set that one of several processes reads."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sized
from typing import Any

from fastgrad import _core
from fastgrad.utils.data.sampler import Sampler


class DistributedSampler(Sampler[int]):
    """Every n-th index, from the number of the process on; all parts are as long.

    Args:
        dataset: The data set.
        num_replicas: How many processes there are; by default as many as the group has.
        rank: Which of them this is; by default its number in the group.
        shuffle: Whether to draw an order, the same in all processes, in every epoch.
        seed: Of that order.
        drop_last: Whether to leave out what does not fill all parts, instead of repeating the
            first indices.

    Example:
        >>> from fastgrad.utils.data.distributed import DistributedSampler
        >>> list(DistributedSampler("abcde", num_replicas=2, rank=1, shuffle=False))
        [1, 3, 0]
    """

    def __init__(
        self,
        dataset: Sized,
        num_replicas: int | None = None,
        rank: int | None = None,
        shuffle: bool = True,
        seed: int = 0,
        drop_last: bool = False,
    ) -> None:
        from fastgrad import distributed

        self.num_replicas = distributed.get_world_size() if num_replicas is None else num_replicas
        self.rank = distributed.get_rank() if rank is None else rank
        if not 0 <= self.rank < self.num_replicas:
            raise ValueError(
                f"Invalid rank {self.rank}, rank should be in the interval "
                f"[0, {self.num_replicas - 1}]"
            )
        self.dataset, self.shuffle, self.seed, self.drop_last = dataset, shuffle, seed, drop_last
        self.epoch = 0
        count = len(dataset)
        if drop_last and count % self.num_replicas:
            self.num_samples = math.ceil((count - self.num_replicas) / self.num_replicas)
        else:
            self.num_samples = math.ceil(count / self.num_replicas)
        self.total_size = self.num_samples * self.num_replicas

    def __iter__(self) -> Iterator[int]:
        indices: Any = list(range(len(self.dataset)))
        if self.shuffle:
            generator = _core.Generator()
            generator.manual_seed(self.seed + self.epoch)
            indices = _core.randperm(len(self.dataset), generator=generator).tolist()
        if self.drop_last:
            indices = indices[: self.total_size]
        while indices and len(indices) < self.total_size:
            indices += indices[: self.total_size - len(indices)]
        return iter(indices[self.rank : self.total_size : self.num_replicas])

    def __len__(self) -> int:
        return self.num_samples

    def set_epoch(self, epoch: int) -> None:
        """Sets the number of the epoch, so that every epoch has an order of its own."""
        self.epoch = epoch
