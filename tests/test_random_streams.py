"""Every sampler draws from the stream it is told to, and only from it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from reference import fg


@pytest.fixture(autouse=True)
def _seeded() -> None:
    fg.manual_seed(1234)


SAMPLERS: dict[str, Callable[..., Any]] = {
    "rand": lambda **kw: fg.rand(5, **kw),
    "randn": lambda **kw: fg.randn(5, **kw),
    "randint": lambda **kw: fg.randint(0, 100, (5,), **kw),
    "randperm": lambda **kw: fg.randperm(20, **kw),
    "normal": lambda **kw: fg.normal(0.0, 1.0, (5,), **kw),
    "bernoulli": lambda **kw: fg.bernoulli(fg.full((40,), 0.5), **kw),
    "multinomial": lambda **kw: fg.multinomial(fg.ones(50), 5, **kw),
    "uniform_": lambda **kw: fg.empty(5).uniform_(**kw),
    "normal_": lambda **kw: fg.empty(5).normal_(**kw),
}


@pytest.mark.parametrize("name", SAMPLERS)
class TestReproducible:
    def test_same_seed_same_numbers(self, name: str) -> None:
        draw = SAMPLERS[name]
        fg.manual_seed(7)
        first, second = draw().tolist(), draw().tolist()
        fg.manual_seed(7)
        assert draw().tolist() == first and first != second
        fg.manual_seed(8)
        assert draw().tolist() != first

    def test_state_can_be_saved(self, name: str) -> None:
        draw = SAMPLERS[name]
        state = fg.get_rng_state()
        first = draw().tolist()
        fg.set_rng_state(state)
        assert draw().tolist() == first

    def test_generator_of_its_own(self, name: str) -> None:
        draw = SAMPLERS[name]
        first = draw(generator=fg.Generator().manual_seed(3)).tolist()
        before = fg.get_rng_state().tolist()
        assert draw(generator=fg.Generator().manual_seed(3)).tolist() == first
        assert fg.get_rng_state().tolist() == before, "the default generator was used"
