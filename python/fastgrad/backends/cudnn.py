"""Switches of cuDNN, which this build does not use."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator

enabled = True
benchmark = False
benchmark_limit = 10
deterministic = False
allow_tf32 = True


def is_available() -> bool:
    """Returns whether cuDNN is there: not in this build."""
    return False


def version() -> None:
    """Returns cuDNN's version: None, since it is not there."""


@contextlib.contextmanager
def flags(
    enabled: bool = False,
    benchmark: bool = False,
    benchmark_limit: int = 10,
    deterministic: bool = False,
    allow_tf32: bool = True,
) -> Iterator[None]:
    """Sets the switches within a `with` block.

    Example:
        >>> with fg.backends.cudnn.flags(enabled=False):
        ...     fg.backends.cudnn.enabled
        False
    """
    asked = dict(locals())
    module = sys.modules[__name__]
    before = {name: getattr(module, name) for name in asked}
    try:
        for name, value in asked.items():
            setattr(module, name, value)
        yield
    finally:
        for name, value in before.items():
            setattr(module, name, value)
