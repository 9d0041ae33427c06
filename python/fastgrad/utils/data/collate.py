"""Batches of items: tensors, numbers and trees of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from fastgrad import _core
from fastgrad._core import Tensor


def default_convert(data: Any) -> Any:
    """Returns an item with its arrays as tensors.

    Example:
        >>> fg.utils.data.default_convert({"x": np.zeros(2)})
        {'x': tensor([0., 0.], dtype=fastgrad.float64)}
    """
    if isinstance(data, Tensor):
        return data
    if isinstance(data, (np.ndarray, np.generic)):
        return data if data.dtype.kind in "SUO" else _core.as_tensor(data)
    if isinstance(data, Mapping):
        return {key: default_convert(value) for key, value in data.items()}
    if isinstance(data, tuple) and hasattr(data, "_fields"):
        return type(data)(*(default_convert(value) for value in data))
    if isinstance(data, tuple):
        return [default_convert(value) for value in data]
    if isinstance(data, Sequence) and not isinstance(data, (str, bytes)):
        return [default_convert(value) for value in data]
    return data


def default_collate(batch: Sequence[Any]) -> Any:
    """Returns a batch of items: tensors and numbers stacked, trees of them part by part.

    Args:
        batch: Items of the same structure.

    Raises:
        RuntimeError: If items have different sizes.
        TypeError: If an item is neither tensor, array, number, string, dictionary nor list.

    Example:
        >>> fg.utils.data.default_collate([(fg.ones(1), 0), (fg.zeros(1), 1)])
        [tensor([[1.],
                [0.]]), tensor([0, 1])]
    """
    first = batch[0]
    if isinstance(first, Tensor):
        return _core.stack(list(batch))
    if isinstance(first, np.ndarray):
        if first.dtype.kind in "SUO":
            raise TypeError(
                "default_collate: batch must contain tensors, numpy arrays, numbers, dicts or "
                f"lists; found {first.dtype}"
            )
        return _core.stack([_core.as_tensor(item) for item in batch])
    if isinstance(first, np.generic):
        return _core.as_tensor(np.array(batch))
    if isinstance(first, float):
        return _core.tensor(batch, dtype=_core.float64)
    if isinstance(first, int):
        return _core.tensor(batch)
    if isinstance(first, (str, bytes)):
        return batch
    if isinstance(first, Mapping):
        return {key: default_collate([item[key] for item in batch]) for key in first}
    if isinstance(first, tuple) and hasattr(first, "_fields"):
        return type(first)(*(default_collate(part) for part in zip(*batch)))
    if isinstance(first, Sequence):
        if any(len(item) != len(first) for item in batch):
            raise RuntimeError("each element in list of batch should be of equal size")
        return [default_collate(part) for part in zip(*batch)]
    raise TypeError(
        "default_collate: batch must contain tensors, numpy arrays, numbers, dicts or lists; "
        f"found {type(first)}"
    )


def collate_rows(dataset: Any, function: Callable[..., Any]) -> Callable[[list[int]], Any] | None:
    """Returns how to take whole batches out of tensors at once, if that gives the same.

    Example:
        >>> from fastgrad.utils.data.collate import collate_rows
        >>> data = fg.utils.data.TensorDataset(fg.arange(4))
        >>> collate_rows(data, fg.utils.data.default_collate)([2, 0])
        [tensor([2, 0])]
    """
    from fastgrad.utils.data.dataset import TensorDataset

    if type(dataset) is not TensorDataset or function is not default_collate:
        return None

    def rows(indices: list[int]) -> Any:
        chosen = _core.tensor(indices)
        return [tensor.detach().index_select(0, chosen) for tensor in dataset.tensors]

    if any(tensor.requires_grad for tensor in dataset.tensors):
        return None
    return rows
