"""Memory of tensors: what is in use, what is kept for re-use, and how much there may be.

Example:
    >>> import fastgrad as fg
    >>> before = fg.memory.stats()["allocated"]
    >>> x = fg.zeros(1000, 1000)
    >>> fg.memory.stats()["allocated"] - before >= x.nbytes
    True
"""

from __future__ import annotations

from fastgrad import _core

stats = _core.memory.stats
empty_cache = _core.memory.empty_cache
set_limit = _core.memory.set_limit

__all__ = ["empty_cache", "set_limit", "stats"]
