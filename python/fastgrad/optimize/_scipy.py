"""SciPy, which is an optional extra."""

from __future__ import annotations

import importlib
from typing import Any


def scipy_optimize() -> Any:
    """Returns the module `scipy.optimize`.

    Raises:
        ImportError: If SciPy is not installed; it says how to get it.
    """
    try:
        return importlib.import_module("scipy.optimize")
    except ImportError as error:
        raise ImportError(
            "fastgrad.optimize needs SciPy, which is an optional extra: "
            "pip install 'fastgrad[scipy]'"
        ) from error
