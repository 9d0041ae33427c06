"""The modules of `fastgrad.nn`, by family."""

from __future__ import annotations

import sys as _sys
from typing import Any

from fastgrad.nn.modules import batchnorm, images, tuples

# PyTorch's names, which layers of users import from.
_sys.modules.setdefault(f"{__name__}.utils", tuples)
_sys.modules.setdefault(f"{__name__}.instancenorm", batchnorm)
_sys.modules.setdefault(f"{__name__}.pixelshuffle", images)


def __getattr__(name: str) -> Any:
    if not name.startswith("_"):  # `from torch.nn.modules import Linear`
        from fastgrad import nn

        found = vars(nn).get(name)
        if isinstance(found, type):
            return found
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
