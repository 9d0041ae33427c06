"""Comparison of compiled functions with the functions themselves, to the last bit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import fastgrad as fg


def same(a: Any, b: Any) -> bool:
    """Whether two results agree bit for bit, with types, shapes and requires_grad."""
    if isinstance(a, fg.Tensor):
        return (
            isinstance(b, fg.Tensor)
            and a.dtype == b.dtype
            and a.shape == b.shape
            and a.stride() == b.stride()
            and a.requires_grad == b.requires_grad
            and a.detach().numpy().tobytes() == b.detach().numpy().tobytes()
        )
    if isinstance(a, (list, tuple)):
        return type(a) is type(b) and len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[k], b[k]) for k in a)
    return bool(a == b)


def check(fn: Callable[..., Any], *calls: tuple[Any, ...], replays: int | None = None) -> Any:
    """Calls fn and its compiled form with each tuple of arguments and compares."""
    compiled = fg.compile(fn, fullgraph=True)
    for args in calls:
        assert same(compiled(*args), fn(*args)), f"{compiled.stats()}\n{compiled.graph()}"
    if replays is not None:
        assert compiled.stats()["replays"] == replays, compiled.stats()
    return compiled


def vec(*values: float, grad: bool = False) -> fg.Tensor:
    return fg.tensor(list(values), requires_grad=grad)
