"""The modules of `fastgrad.nn`, by family."""

import sys as _sys

from fastgrad.nn.modules import tuples

# PyTorch's name for it, which layers of users import from.
_sys.modules.setdefault(f"{__name__}.utils", tuples)
