"""What does not compute gradients itself: checkpointing, and trees of tensors."""

from __future__ import annotations

from fastgrad.utils import checkpoint, pytree

__all__ = ["checkpoint", "pytree"]
