"""Switches of the libraries behind PyTorch, so that scripts can set and ask them.

fastgrad has its own kernels, which give the same bits on every run: the switches are kept and
change nothing.

Example:
    >>> fg.backends.cudnn.deterministic = True
    >>> fg.backends.mps.is_available()
    False
"""

from __future__ import annotations

from fastgrad.backends import cuda, cudnn, mkl, mkldnn, mps, openmp

__all__ = ["cuda", "cudnn", "mkl", "mkldnn", "mps", "openmp"]
