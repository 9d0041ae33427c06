"""Which kernel computes attention, for scripts that choose one: there is one, for every choice.

Example:
    >>> from fastgrad.nn.attention import SDPBackend, sdpa_kernel
    >>> q = fg.ones(1, 2, 4)
    >>> with sdpa_kernel(SDPBackend.MATH):
    ...     fg.nn.functional.scaled_dot_product_attention(q, q, q).shape
    fastgrad.Size([1, 2, 4])
"""

from __future__ import annotations

import contextlib
import enum
from collections.abc import Iterator
from typing import Any


class SDPBackend(enum.IntEnum):
    """PyTorch's kernels of attention."""

    ERROR = -1
    MATH = 0
    FLASH_ATTENTION = 1
    EFFICIENT_ATTENTION = 2
    CUDNN_ATTENTION = 3
    OVERRIDEABLE = 4


@contextlib.contextmanager
def sdpa_kernel(backends: Any, set_priority: bool = False) -> Iterator[None]:
    """Chooses kernels for what is computed within the `with` block; the result is the same.

    Args:
        backends: One of `SDPBackend`, or several.
        set_priority: Accepted as PyTorch accepts it.
    """
    chosen = [backends] if isinstance(backends, SDPBackend) else list(backends)
    if not all(isinstance(backend, SDPBackend) for backend in chosen):
        raise AssertionError(
            f"[sdpa_kernel] expected a SDPBackend or a list of them, got {backends!r}"
        )
    yield
