"""What a compiled function takes from outside its own code: watched, or a reason not to replay."""

from __future__ import annotations

import builtins
import functools
import os
import warnings
from collections.abc import Callable
from datetime import datetime
from os import getenv
from os.path import exists
from pathlib import Path
from typing import Any

import pytest

import fastgrad as fg
from compiled import same

scale = 2.0


class Two:
    __slots__ = ("mark",)

    def factor(self) -> float:
        return 2.0


class Three:
    __slots__ = ("mark",)

    def factor(self) -> float:
        return 3.0


def scaled(f: Callable[..., fg.Tensor]) -> Callable[..., fg.Tensor]:
    @functools.wraps(f)
    def inner(x: fg.Tensor) -> fg.Tensor:
        return f(x) * scale

    return inner


scaled_sin = scaled(fg.sin)


class Text:
    def __str__(self) -> str:
        return str(scale)


def set_scale(value: float) -> None:
    global scale
    scale = value


def check_change(
    f: Callable[[fg.Tensor], fg.Tensor], change: Callable[[], Any], replays: int
) -> None:
    """Compares before and after a change; `replays` before it."""
    compiled = fg.compile(f)
    x = fg.tensor([1.0, 2.0])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _ in range(3):
            assert same(compiled(x), f(x))
        assert compiled.stats()["replays"] == replays
        change()
        for _ in range(2):
            assert same(compiled(x), f(x))


def test_a_global_of_a_function_that_wraps_one_of_the_library() -> None:
    try:
        check_change(lambda x: scaled_sin(x), lambda: set_scale(3.0), 2)
    finally:
        set_scale(2.0)


def test_text_of_objects() -> None:
    text = Text()
    for f in (
        lambda x: x * float(f"{text}"),
        lambda x: x * float(str(text)),
        lambda x: x * float("%s" % text),  # noqa: UP031
    ):
        try:
            check_change(f, lambda: set_scale(3.0), 2)
        finally:
            set_scale(2.0)


def test_names_that_somebody_puts_among_the_builtins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(builtins, "_factor", 2.0, raising=False)
    check_change(
        lambda x: x * _factor,  # type: ignore[name-defined]  # noqa: F821
        lambda: monkeypatch.setattr(builtins, "_factor", 3.0),
        2,
    )


def test_other_bases_of_a_class() -> None:
    class First:
        def factor(self) -> float:
            return 2.0

    class Second:
        def factor(self) -> float:
            return 3.0

    class Child(First):
        pass

    child = Child()

    def change() -> None:
        Child.__bases__ = (Second,)

    check_change(lambda x: x * child.factor(), change, 2)


def test_another_class_of_an_object_with_slots() -> None:
    thing = Two()
    thing.mark = 1  # type: ignore[attr-defined]

    def change() -> None:
        thing.__class__ = Three  # type: ignore[assignment]

    check_change(lambda x: x * thing.factor(), change, 2)


def test_functions_and_classes_that_look_at_the_world(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "flag"
    path = os.fspath(file)
    monkeypatch.setenv("FASTGRAD_TEST_FACTOR", "2")
    check_change(
        lambda x: x * float(getenv("FASTGRAD_TEST_FACTOR", "1")),
        lambda: monkeypatch.setenv("FASTGRAD_TEST_FACTOR", "3"),
        0,
    )
    check_change(lambda x: x * 2 if exists(path) else x, file.touch, 0)
    check_change(lambda x: x * 2 if Path(path).exists() else x, file.unlink, 0)

    compiled = fg.compile(lambda x: x * datetime.now().microsecond)
    with pytest.warns(UserWarning, match="it uses datetime.datetime"):
        compiled(fg.ones(2))


def test_whether_autocast_is_on() -> None:
    compiled = fg.compile(lambda x: x * 2 if fg.is_autocast_enabled("cpu") else x)
    x = fg.ones(1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for on in (False, True, False, True):
            with fg.autocast("cpu", enabled=on):
                assert compiled(x).item() == 1 + on


def test_guards_whose_check_calls_the_function() -> None:
    depth = 0

    class Key:
        """An object whose hash calls the compiled function, which looks at the object."""

        def __hash__(self) -> int:
            nonlocal depth
            if compiled is not None and depth == 0:
                depth += 1
                compiled(fg.ones(2))
                depth -= 1
            return 7

    compiled: Any = None
    keys = {Key()}
    compiled = fg.compile(lambda x: x * len(keys))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for k in range(6):
            assert compiled(fg.full((2,), float(k))).tolist() == [k, k]
            if k == 3:
                keys.add(object())  # type: ignore[arg-type]
                keys.pop()
                keys.pop()
                keys.add(Key())


def test_exceptions_of_a_function_of_numbers_that_has_changed_something() -> None:
    calls = []

    @fg.compile
    def f(x: fg.Tensor, s: float, fails: bool) -> fg.Tensor:
        y = x * s
        if fails:
            calls.append(len([s]))
            raise KeyError("as asked")
        return y

    x = fg.ones(2)
    for s in (1.0, 2.0, 3.0):
        assert f(x, s, False).tolist() == [s, s]
    for s in (4.0, 5.0):
        with pytest.raises(KeyError, match="as asked"):
            f(x, s, True)
    assert len(calls) == 2


def test_functions_of_the_library_that_somebody_replaces(monkeypatch: pytest.MonkeyPatch) -> None:
    f = fg.nn.functional
    check_change(lambda x: f.relu(x), lambda: monkeypatch.setattr(f, "relu", lambda x: x * 7), 2)
    linear = fg.nn.Linear(2, 2)
    check_change(
        lambda x: linear(x).detach(),
        lambda: monkeypatch.setattr(fg.nn.Linear, "forward", lambda self, x: x * 7),
        2,
    )
