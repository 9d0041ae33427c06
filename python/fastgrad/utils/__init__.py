"""Checkpointing, loading of data, handles of hooks, trees of tensors."""

from __future__ import annotations

import sys as _sys
from typing import Any

from fastgrad.utils import checkpoint, hooks, pytree

# PyTorch's name for it, which scripts import from although it is private.
_sys.modules.setdefault(f"{__name__}._pytree", pytree)
_pytree = pytree

__all__ = ["checkpoint", "data", "hooks", "pytree"]


def __getattr__(name: str) -> Any:
    if name == "data":  # not everybody loads data
        import importlib

        return importlib.import_module("fastgrad.utils.data")
    raise AttributeError(f"module 'fastgrad.utils' has no attribute {name!r}")
