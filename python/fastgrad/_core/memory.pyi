# Made by tools/make_stubs.py; do not edit.
from typing import Any

from fastgrad._core import (
    _int,
)

def stats() -> Any: ...
def empty_cache() -> None: ...
def set_limit(nbytes: _int | None) -> None: ...
