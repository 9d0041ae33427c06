"""Data sets, orders in which they are read, and batches of them, as in `torch.utils.data`.

Example:
    >>> from fastgrad.utils.data import DataLoader, TensorDataset
    >>> data = TensorDataset(fg.rand(10, 3), fg.arange(10))
    >>> [len(y) for x, y in DataLoader(data, batch_size=4, shuffle=True)]
    [4, 4, 2]
"""

from __future__ import annotations

from fastgrad.utils.data.collate import default_collate, default_convert
from fastgrad.utils.data.dataloader import DataLoader, WorkerInfo, get_worker_info
from fastgrad.utils.data.dataset import (
    ChainDataset,
    ConcatDataset,
    Dataset,
    IterableDataset,
    StackDataset,
    Subset,
    TensorDataset,
    random_split,
)
from fastgrad.utils.data.distributed import DistributedSampler
from fastgrad.utils.data.sampler import (
    BatchSampler,
    RandomSampler,
    Sampler,
    SequentialSampler,
    SubsetRandomSampler,
    WeightedRandomSampler,
)

__all__ = [
    "BatchSampler",
    "ChainDataset",
    "ConcatDataset",
    "DataLoader",
    "Dataset",
    "DistributedSampler",
    "IterableDataset",
    "RandomSampler",
    "Sampler",
    "SequentialSampler",
    "StackDataset",
    "Subset",
    "SubsetRandomSampler",
    "TensorDataset",
    "WeightedRandomSampler",
    "WorkerInfo",
    "default_collate",
    "default_convert",
    "get_worker_info",
    "random_split",
]
