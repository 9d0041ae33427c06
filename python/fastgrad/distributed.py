"""What scripts for several processes ask for, answered for one.

`init_process_group` makes a group of this process alone, in which collective operations leave
tensors as they are; a larger world raises. A script that asks `is_initialized()` first runs as it
stands.

Example:
    >>> fg.distributed.is_initialized()
    False
    >>> fg.distributed.init_process_group("gloo", rank=0, world_size=1)
    >>> fg.distributed.get_rank(), fg.distributed.get_world_size()
    (0, 1)
    >>> fg.distributed.destroy_process_group()
"""

from __future__ import annotations

import os
from typing import Any

from fastgrad._core import Tensor

_initialized = False


class ReduceOp:
    """The names of reductions; over one process all of them return what they are given."""

    SUM = "sum"
    AVG = "avg"
    PRODUCT = "product"
    MIN = "min"
    MAX = "max"
    BAND = "band"
    BOR = "bor"
    BXOR = "bxor"


def is_available() -> bool:
    """Returns whether there can be a group: yes, of one process."""
    return True


def is_initialized() -> bool:
    """Returns whether there is a group."""
    return _initialized


def is_torchelastic_launched() -> bool:
    """Returns whether a launcher started this process, by its environment."""
    return "TORCHELASTIC_RUN_ID" in os.environ


def is_nccl_available() -> bool:
    """Returns whether NCCL can be used: not in this build."""
    return False


def is_gloo_available() -> bool:
    """Returns whether Gloo can be used: not in this build."""
    return False


def is_mpi_available() -> bool:
    """Returns whether MPI can be used: not in this build."""
    return False


def init_process_group(
    backend: str | None = None,
    init_method: str | None = None,
    timeout: Any = None,
    world_size: int = -1,
    rank: int = -1,
    **others: Any,
) -> None:
    """Makes a group of this process.

    Args:
        backend: Accepted and not used.
        init_method: Accepted and not used.
        timeout: Accepted and not used.
        world_size: 1; by default that of the environment variable WORLD_SIZE.
        rank: 0; by default that of the environment variable RANK.
        **others: Accepted and not used.

    Raises:
        RuntimeError: More than one process is asked for.
        ValueError: There is a group already.
    """
    global _initialized
    if _initialized:
        raise ValueError("trying to initialize the default process group twice!")
    size = world_size if world_size >= 0 else int(os.environ.get("WORLD_SIZE", "1"))
    place = rank if rank >= 0 else int(os.environ.get("RANK", "0"))
    if size != 1 or place != 0:
        raise RuntimeError(
            f"[init_process_group] this build has groups of one process, got world_size={size} "
            f"and rank={place}; start a single process"
        )
    _initialized = True


def destroy_process_group(group: Any = None) -> None:
    """Ends the group."""
    global _initialized
    _group()
    _initialized = False


def _group() -> None:
    if not _initialized:
        raise ValueError(
            "Default process group has not been initialized, please make sure to call "
            "init_process_group."
        )


def get_rank(group: Any = None) -> int:
    """Returns the number of this process, 0."""
    _group()
    return 0


def get_world_size(group: Any = None) -> int:
    """Returns the number of processes, 1."""
    _group()
    return 1


def get_backend(group: Any = None) -> str:
    """Returns the name of the backend."""
    _group()
    return "gloo"


def barrier(group: Any = None, async_op: bool = False, device_ids: Any = None) -> None:
    """Waits for the other processes, of which there are none."""
    _group()


def all_reduce(tensor: Tensor, op: Any = ReduceOp.SUM, group: Any = None, **_: Any) -> None:
    """Leaves the tensor as it is: it is the only one."""
    _group()


def reduce(tensor: Tensor, dst: int = 0, op: Any = ReduceOp.SUM, **_: Any) -> None:
    """Leaves the tensor as it is: it is the only one."""
    _group()


def broadcast(tensor: Tensor, src: int = 0, group: Any = None, **_: Any) -> None:
    """Leaves the tensor as it is: it comes from this process."""
    _group()


def all_gather(tensor_list: list[Tensor], tensor: Tensor, group: Any = None, **_: Any) -> None:
    """Copies the tensor into the list, which has one element."""
    _group()
    if len(tensor_list) != 1:
        raise ValueError(
            f"[all_gather] expected a list of one tensor, for one process, got {len(tensor_list)}"
        )
    tensor_list[0].copy_(tensor)


def all_gather_object(object_list: list[Any], obj: Any, group: Any = None) -> None:
    """Puts the object into the list, which has one element."""
    _group()
    object_list[0] = obj
