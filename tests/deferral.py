"""What the tests of deferred elementwise ops share: scenarios that run put off and at once.

core/deferred.h says what is put off and when it is computed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import fastgrad as fg
from fastgrad import _core

Scenario = Callable[[], Any]


@pytest.fixture(autouse=True)
def everything_is_put_off() -> Iterator[None]:
    old = _core._defer_from(1)
    yield
    _core._defer_from(old)


def bits(result: Any) -> list[bytes]:
    if isinstance(result, fg.Tensor):
        return [result.detach().numpy().tobytes()]
    if isinstance(result, np.ndarray):
        return [result.tobytes()]
    if isinstance(result, (tuple, list)):
        return [b for r in result for b in bits(r)]
    return [repr(result).encode()]


def assert_same_bits(scenario: Scenario, threads: int = 0) -> None:
    """Both ways with as many threads, or with as many as there are."""
    usual = fg.get_num_threads()
    fg.set_num_threads(threads or usual)
    old = _core._defer_from(1)
    try:
        fg.manual_seed(0)
        put_off = bits(scenario())
        _core._defer_from(0)
        fg.manual_seed(0)
        at_once = bits(scenario())
    finally:
        _core._defer_from(old)
        fg.set_num_threads(usual)
    assert put_off == at_once


def data(n: int = 1500, dtype: fg.dtype = fg.float32, requires_grad: bool = False) -> fg.Tensor:
    return fg.randn(n, dtype=dtype).requires_grad_(requires_grad)
