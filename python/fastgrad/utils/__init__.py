"""What does not compute gradients itself: checkpointing, handles of hooks, trees of tensors."""

from __future__ import annotations

from fastgrad.utils import checkpoint, hooks, pytree

__all__ = ["checkpoint", "hooks", "pytree"]
