"""Random number generation: seeds, states, and their protection.

The numbers that a generator makes depend on its seed and position alone, not on the number of
threads.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from fastgrad._core import (
    default_generator,
    get_rng_state,
    initial_seed,
    manual_seed,
    seed,
    set_rng_state,
)

__all__ = [
    "default_generator",
    "fork_rng",
    "get_rng_state",
    "initial_seed",
    "manual_seed",
    "seed",
    "set_rng_state",
]


@contextmanager
def fork_rng(
    devices: Iterable[Any] | None = None, enabled: bool = True, device_type: str = "cpu"
) -> Iterator[None]:
    """Leaves the default generator's state at the end as it was at the start.

    Args:
        devices: Accepted for PyTorch's sake; there is one generator, that of the CPU.
        enabled: Whether to do anything.
        device_type: Accepted for PyTorch's sake.

    Example:
        >>> import fastgrad as fg
        >>> state = fg.get_rng_state()
        >>> with fg.random.fork_rng():
        ...     _ = fg.rand(3)
        >>> fg.equal(fg.get_rng_state(), state)
        True
    """
    del devices, device_type
    if not enabled:
        yield
        return
    state = get_rng_state()
    try:
        yield
    finally:
        set_rng_state(state)
