"""What does not compute gradients but changes how they are computed: checkpointing."""

from __future__ import annotations

from fastgrad.utils import checkpoint

__all__ = ["checkpoint"]
