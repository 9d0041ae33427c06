"""Which release this is, and which kinds of devices it was built for.

Example:
    >>> fg.version.cuda is None
    True
"""

from __future__ import annotations

from typing import Final

import fastgrad

__version__: Final[str] = fastgrad.__version__
cuda: Final[None] = None
hip: Final[None] = None
xpu: Final[None] = None
