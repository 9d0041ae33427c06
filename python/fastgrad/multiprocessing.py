"""Python's `multiprocessing`, and what PyTorch adds to it that scripts call.

Tensors go to other processes by value; threads share them as they are.

Example:
    >>> fg.multiprocessing.cpu_count() > 0
    True
"""

from __future__ import annotations

import multiprocessing as _python
from collections.abc import Callable
from multiprocessing import *  # noqa: F403
from typing import Any


def spawn(
    fn: Callable[..., None],
    args: tuple[Any, ...] = (),
    nprocs: int = 1,
    join: bool = True,
    daemon: bool = False,
    start_method: str = "spawn",
) -> list[Any] | None:
    """Runs `fn(i, *args)` in processes i = 0, 1, ...

    Args:
        fn: A function of a module, which the processes import.
        args: What it is called with after the number.
        nprocs: How many processes.
        join: Whether to wait for them; otherwise they are returned.
        daemon: Whether they end with this process.
        start_method: How they are started.

    Raises:
        RuntimeError: One of them failed.
    """
    context = _python.get_context(start_method)
    started: list[Any] = []
    for i in range(nprocs):
        process: Any = context.Process(target=fn, args=(i, *args), daemon=daemon)  # type: ignore[attr-defined]
        process.start()
        started.append(process)
    if not join:
        return started
    for process in started:
        process.join()
    failed = [i for i, process in enumerate(started) if process.exitcode]
    if failed:
        raise RuntimeError(f"[spawn] processes {failed} failed; see what they printed")
    return None


def set_sharing_strategy(new_strategy: str) -> None:
    """Accepts how PyTorch would share memory between processes; tensors are copied."""


def get_all_sharing_strategies() -> set[str]:
    """Returns the ways to share memory between processes that PyTorch knows on Linux."""
    return {"file_descriptor", "file_system"}
