"""Python objects that change between two calls of a compiled function: see compiled_scenarios."""

from __future__ import annotations

import abc
import argparse
import collections
import enum
import functools
import sys
import types
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np
import pytest

import fastgrad as fg
from compiled_scenarios import Scenario, Scenarios, Wrap, run_scenario

pytestmark = pytest.mark.filterwarnings("ignore:.*runs uncompiled")
scenarios = Scenarios()
replayed = scenarios.replayed


def around(xp: Any, f: Any, *changes: Callable[[], Any]) -> list[Any]:
    """Calls f twice, and once after each change."""
    seen = [f(xp.ones(3)), f(xp.ones(3))]
    for change in changes:
        change()
        seen.append(f(xp.ones(3)))
    return seen


def module_with(**members: Any) -> types.ModuleType:
    module = types.ModuleType("settings_of_a_user")
    vars(module).update(members)
    return module


def put(holder: Any, key: Any, value: Any) -> Callable[[], None]:
    """Sets an item, or an attribute."""
    if isinstance(key, str) and not isinstance(holder, dict):
        return functools.partial(setattr, holder, key, value)
    return functools.partial(holder.__setitem__, key, value)


@replayed(1)
def module_in_a_closure(xp: Any, wrap: Wrap) -> Any:
    settings = module_with(rate=2.0)
    return around(xp, wrap(lambda x: x * settings.rate), put(settings, "rate", 3.0))


@replayed(1)
def module_in_an_attribute(xp: Any, wrap: Wrap) -> Any:
    holder = types.SimpleNamespace(settings=module_with(rate=2.0))
    f = wrap(lambda x: x * holder.settings.rate)
    return around(xp, f, put(holder.settings, "rate", 3.0))


@replayed(1)
def module_handed_to_a_helper(xp: Any, wrap: Wrap) -> Any:
    settings = module_with(rate=2.0)

    def scaled(x: Any, by: Any) -> Any:
        return x * by.rate

    return around(xp, wrap(lambda x: scaled(x, settings)), put(settings, "rate", 3.0))


@replayed(1)
def module_among_the_arguments(xp: Any, wrap: Wrap) -> Any:
    settings = module_with(rate=2.0)
    f = wrap(lambda x, by: x * by.rate)
    return around(xp, lambda x: f(x, settings), put(settings, "rate", 3.0))


@replayed(1)
def module_as_a_default(xp: Any, wrap: Wrap) -> Any:
    settings = module_with(rate=2.0)

    def f(x: Any, by: Any = settings) -> Any:
        return x * by.rate

    return around(xp, wrap(f), put(settings, "rate", 3.0))


@replayed(1)
def module_asked_by_name(xp: Any, wrap: Wrap) -> Any:
    settings = module_with(rate=2.0)
    names = ["rate"]
    f = wrap(lambda x: x * getattr(settings, names[0]))
    return around(xp, f, put(settings, "rate", 3.0))


@replayed(1)
def module_with_a_getattr(xp: Any, wrap: Wrap) -> Any:
    rates = [2.0]
    settings = module_with(__getattr__=lambda name: rates[0])
    return around(xp, wrap(lambda x: x * settings.anything), put(rates, 0, 3.0))


@replayed(0)
def settings_of_the_library(xp: Any, wrap: Wrap) -> Any:
    f = wrap(lambda x: x * (2.0 if xp.are_deterministic_algorithms_enabled() else 1.0))
    try:
        return around(xp, f, lambda: xp.use_deterministic_algorithms(True))
    finally:
        xp.use_deterministic_algorithms(False)


@replayed(1)
def import_inside(xp: Any, wrap: Wrap) -> Any:
    sys.modules["settings_of_a_user"] = settings = module_with(rate=2.0)

    def f(x: Any) -> Any:
        from settings_of_a_user import rate  # type: ignore[import-not-found]

        return x * rate

    return around(xp, wrap(f), put(settings, "rate", 3.0))


@replayed(2)
def functions_with_attributes(xp: Any, wrap: Wrap) -> Any:
    def scaled(x: Any) -> Any:
        return x * (scaled.factor if hasattr(scaled, "factor") else 1.0)  # type: ignore[attr-defined]

    f = wrap(lambda x: scaled(x))
    return around(xp, f, put(scaled, "factor", 2.0), lambda: None, put(scaled, "factor", 3.0))


@replayed(1)
def functions_changed(xp: Any, wrap: Wrap) -> Any:
    def double(x: Any, by: float = 2.0) -> Any:
        return x * by

    def square(x: Any, by: float = 2.0) -> Any:
        return x * x * by

    f = wrap(lambda x: double(x + 1))
    changes = put(double, "__defaults__", (5.0,)), put(double, "__code__", square.__code__)
    return around(xp, f, *changes)


@replayed(0)
def random_numbers_of_numpy(xp: Any, wrap: Wrap) -> Any:
    from numpy.random import rand, seed

    seed(0)
    new, old = np.random.default_rng(0), np.random.RandomState(0)
    functions = [
        wrap(lambda x: x * xp.tensor(new.normal(size=3))),
        wrap(lambda x: x * old.rand()),
        wrap(lambda x: x * rand()),
        wrap(lambda x: x * np.random.rand()),
    ]
    return [around(xp, f, lambda: None) for f in functions]


@replayed(4)
def subclasses_of_containers(xp: Any, wrap: Wrap) -> Any:
    class List(list):  # type: ignore[type-arg]
        pass

    class Set(set):  # type: ignore[type-arg]
        pass

    class Dict(dict):  # type: ignore[type-arg]
        pass

    class Deque(collections.deque):  # type: ignore[type-arg]
        pass

    class Array(np.ndarray):  # type: ignore[type-arg]
        pass

    a, b, c, d = List([1.0]), Set([1.0]), Dict(k=1.0), Deque([1.0])
    array = np.ones(3).view(Array)
    return [
        around(xp, wrap(lambda x: x * a[0]), put(a, 0, 5.0), lambda: a.append(6.0)),
        around(xp, wrap(lambda x: x * len(b)), lambda: b.add(7)),
        around(xp, wrap(lambda x: x * c["k"]), put(c, "k", 5.0)),
        around(xp, wrap(lambda x: x * d[0]), put(d, 0, 5.0)),
        around(xp, wrap(lambda x: x * xp.tensor(np.asarray(array))), put(array, 0, 5.0)),
    ]


@replayed(2)
def methods_of_values(xp: Any, wrap: Wrap) -> Any:
    scale = [2.0]

    class Pair(NamedTuple):
        rate: float

        def scaled(self) -> float:
            return self.rate * scale[0]

    class Kind(enum.IntEnum):
        ONE = 1

        def scaled(self) -> float:
            return self.value * scale[0]

    f, g = wrap(lambda x: x * Pair(3.0).scaled()), wrap(lambda x: x * Kind.ONE.scaled())
    seen = around(xp, f, put(scale, 0, 5.0))
    return seen + around(xp, g, put(scale, 0, 7.0))


@replayed(3)
def order_of_a_dictionary(xp: Any, wrap: Wrap) -> Any:
    plain = {"a": xp.ones(2), "b": xp.zeros(1)}
    ordered = collections.OrderedDict(plain)
    joined = wrap(lambda d: xp.cat(list(d.values())))
    return [
        around(
            xp,
            wrap(lambda x: xp.cat(list(plain.values())) * x),
            lambda: plain.update(a=plain.pop("a")),
        ),
        around(
            xp,
            wrap(lambda x: xp.cat(list(ordered.values())) * x),
            lambda: ordered.move_to_end("a"),
        ),
        around(xp, lambda x: joined(ordered) * x, lambda: ordered.move_to_end("a")),
    ]


@replayed(4)
def what_the_library_calls(xp: Any, wrap: Wrap) -> Any:
    scale = [2.0]

    class Scaled(xp.autograd.Function):  # type: ignore[name-defined, misc]
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            return x * scale[0]

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return g * scale[0]

    class Module(xp.nn.Module):  # type: ignore[name-defined, misc]
        def forward(self, x: Any) -> Any:
            return x * self.helper()

        def helper(self) -> float:
            return scale[0]

    def gradient(x: Any) -> Any:
        x = x.detach().requires_grad_()
        return xp.autograd.grad(Scaled.apply(x).sum(), x)

    module = Module()
    functions = [Scaled.apply, gradient, module, xp.nn.Sequential(module)]
    functions += [lambda x: Scaled.apply(x), lambda x: module(x)]
    return [
        around(xp, wrap(f), put(scale, 0, 3.0 + k), put(scale, 0, 0.5))
        for k, f in enumerate(functions)
    ]


@replayed(2)
def attributes_of_tensors(xp: Any, wrap: Wrap) -> Any:
    p = xp.ones(3)
    f = wrap(lambda x: x * (p.scale if hasattr(p, "scale") else 1.0))
    g = wrap(lambda x: x * getattr(x, "scale", 1.0))
    q = xp.ones(3)
    seen = around(xp, f, put(p, "scale", 5.0), lambda: None, put(p, "scale", 6.0))
    return [*seen, *around(xp, lambda x: g(q), put(q, "scale", 5.0))]


@replayed(3)
def objects_of_settings(xp: Any, wrap: Wrap) -> Any:
    @dataclass
    class Settings:
        rate: float = 0.1
        more: dict[str, float] = field(default_factory=lambda: {"a": 1.0})

    a, b, c = Settings(), types.SimpleNamespace(rate=1.0), argparse.Namespace(rate=1.0)
    return [
        around(xp, wrap(lambda x: x * a.rate + a.more["a"]), put(a, "rate", 3.0)),
        around(xp, wrap(lambda x: x * a.more["a"]), put(a.more, "a", 3.0)),
        around(xp, wrap(lambda x: x * b.rate), put(b, "rate", 3.0)),
        around(xp, wrap(lambda x: x * c.rate), put(c, "rate", 3.0)),
    ]


@replayed(6)
def classes(xp: Any, wrap: Wrap) -> Any:
    class Meta(type):
        base = 2.0

        @property
        def rate(cls) -> float:
            return Meta.base

    class WithMeta(metaclass=Meta):
        pass

    class First:
        rate = 2.0

        def scale(self) -> float:
            return 2.0

    class Second(First):
        def scale(self) -> float:
            return 3.0

        def __getattr__(self, name: str) -> float:
            return table[name]

    table = {"missing": 1.0}
    one, two = First(), Second()
    one.own = 1.0  # type: ignore[attr-defined]
    return [
        around(xp, wrap(lambda x: x * WithMeta.rate), put(Meta, "base", 3.0)),
        around(
            xp, wrap(lambda x: x * Second.rate), put(First, "rate", 3.0), put(Second, "rate", 4.0)
        ),
        around(xp, wrap(lambda x: x * two.missing), put(table, "missing", 3.0)),
        around(xp, wrap(lambda x: x * one.own), put(one, "__dict__", {"own": 3.0})),  # type: ignore[attr-defined]
        around(xp, wrap(lambda x: x * one.scale()), put(one, "__class__", Second)),
        around(
            xp,
            wrap(lambda x: x * two.scale()),
            put(Second, "scale", lambda self: 5.0),
            put(two, "scale", lambda: 6.0),
        ),
    ]


@replayed(1)
def generic_classes(xp: Any, wrap: Wrap) -> Any:
    rates = [2.0]
    kind = TypeVar("kind")

    class Base(abc.ABC, Generic[kind]):
        @abc.abstractmethod
        def rate(self) -> float: ...

        def scaled(self, x: Any) -> Any:
            return x * self.rate()

    class Derived(Base[int]):
        def rate(self) -> float:
            return rates[0]

    return around(xp, wrap(Derived().scaled), put(rates, 0, 3.0))


@replayed(2)
def defaults_and_partial(xp: Any, wrap: Wrap) -> Any:
    def scaled(x: Any, by: list[float] = [2.0], plus: float = 1.0) -> Any:  # noqa: B006
        return x * by[0] + plus

    part = functools.partial(scaled, plus=2.0)
    return [
        around(xp, wrap(scaled), put(scaled.__defaults__[0], 0, 4.0)),  # type: ignore[index]
        around(xp, wrap(part), put(part.keywords, "plus", 4.0)),
    ]


@replayed(0)
def what_every_call_changes(xp: Any, wrap: Wrap) -> Any:
    class Counter(xp.nn.Module):  # type: ignore[name-defined, misc]
        def __init__(self) -> None:
            super().__init__()
            self.calls, self.even = 0, False

        def forward(self, x: Any) -> Any:
            self.calls += 1
            self.even = not self.even
            return x * self.calls * (2.0 if self.even else 3.0)

    def counted(x: Any, calls: list[int] = [0]) -> Any:  # noqa: B006
        calls[0] += 1
        return x * calls[0]

    nothing = [lambda: None] * 4
    return around(xp, wrap(Counter()), *nothing), around(xp, wrap(counted), *nothing)


calls = 0


@replayed(3)
def attributes_called_like_globals(xp: Any, wrap: Wrap) -> Any:
    global calls
    things = types.SimpleNamespace(sys=2.0, calls=1.0)
    f = wrap(lambda x: x * things.sys * things.calls)
    seen = []
    for _ in range(4):
        calls += 1
        seen.append(f(xp.ones(2)))
    things.sys = 3.0
    return [*seen, f(xp.ones(2))]


@replayed(1)
def compiled_inside_compiled(xp: Any, wrap: Wrap) -> Any:
    scale = [2.0]
    inner = wrap(lambda x: x * scale[0])
    return [*around(xp, wrap(lambda x: inner(x) + 1), put(scale, 0, 3.0)), inner(xp.ones(3))]


@pytest.mark.parametrize(("run", "replays"), scenarios.cases)
def test_scenario(run: Scenario, replays: int) -> None:
    run_scenario(run, replays)


def test_modules_with_the_names_of_pythons_own(tmp_path: Path) -> None:
    # A user's test.py is no part of Python, whatever sys.stdlib_module_names says.
    path = tmp_path / "this.py"
    path.write_text("rate = 2.0\ndef scaled(x):\n    return x * rate\n")
    sys.path.insert(0, str(tmp_path))
    old = sys.modules.pop("this", None)
    try:
        import this

        f = fg.compile(lambda x: this.scaled(x), fullgraph=True)
        x = fg.ones(2)
        assert f(x).tolist() == f(x).tolist() == [2.0, 2.0]
        this.rate = 3.0
        assert f(x).tolist() == [3.0, 3.0]
    finally:
        sys.path.remove(str(tmp_path))
        del sys.modules["this"]
        if old is not None:
            sys.modules["this"] = old


def test_import_of_a_module_that_is_not_there_yet(tmp_path: Path) -> None:
    package = tmp_path / "package_of_a_user"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "rates.py").write_text("rate = 2.0\n")
    (package / "steps.py").write_text(
        "def f(x):\n    from . import rates\n    from .rates import rate\n    return x * rate\n"
    )
    sys.path.insert(0, str(tmp_path))
    try:
        from package_of_a_user import steps  # type: ignore[import-not-found]

        f = fg.compile(steps.f, fullgraph=True)
        x = fg.ones(2)
        for _ in range(3):
            assert f(x).tolist() == [2.0, 2.0]
        sys.modules["package_of_a_user.rates"].rate = 3.0  # type: ignore[attr-defined]
        assert f(x).tolist() == [3.0, 3.0]
        assert f.stats()["replays"] == 1  # type: ignore[attr-defined]
    finally:
        sys.path.remove(str(tmp_path))
