"""Random numbers in compiled functions: those of the function itself, and the generators after."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import fastgrad as fg
from compiled import same, vec

nn, F = fg.nn, fg.nn.functional
generator = fg.Generator().manual_seed(3)


def run(
    f: Callable[..., Any], calls: list[tuple[Any, ...]], generators: tuple[fg.Generator, ...] = ()
) -> Any:
    """Calls f from fixed seeds; what it returned, and the generators' next numbers."""
    fg.manual_seed(7)
    for i, g in enumerate(generators):
        g.manual_seed(i)
    results = [f(*args) for args in calls]
    return results, fg.rand(3), [fg.rand(3, generator=g) for g in generators]


def check(
    f: Callable[..., Any], *calls: tuple[Any, ...], generators: tuple[fg.Generator, ...] = ()
) -> None:
    compiled = fg.compile(f, fullgraph=True)
    for _ in range(2):
        assert same(run(compiled, list(calls), generators), run(f, list(calls), generators))
    assert compiled.stats()["replays"] >= len(calls), compiled.stats()


class TestDropout:
    def test_forward(self) -> None:
        x = fg.ones(5, 6)
        check(lambda x: F.dropout(x, 0.4) + F.dropout(x * 2, 0.9, training=True), (x,), (x,))

    @pytest.mark.parametrize("dtype", [fg.float32, fg.float64, fg.float16])
    def test_gradients_inside(self, dtype: Any) -> None:
        def f(x: fg.Tensor) -> Any:
            y = (F.dropout(x, 0.5) * F.dropout(x.exp(), 0.3)).sum()
            return y.detach(), fg.autograd.grad(y, x)

        x = fg.linspace(-1, 1, 11).to(dtype).requires_grad_()
        check(f, (x,), (x,))

    def test_second_derivatives_inside(self) -> None:
        def f(x: fg.Tensor) -> Any:
            (g,) = fg.autograd.grad((F.dropout(x, 0.5) ** 3).sum(), x, create_graph=True)
            return fg.autograd.grad((g * g).sum(), x)

        x = fg.linspace(-1, 1, 11, requires_grad=True)
        check(f, (x,), (x,))

    def test_compiled_backward(self) -> None:
        layer = fg.compile(lambda x: F.dropout(x.sin(), 0.5), fullgraph=True)

        def f(call: Any) -> Any:
            x = fg.linspace(-1, 1, 11, requires_grad=True)
            (call(x) ** 2).sum().backward()
            return x.grad

        for _ in range(3):
            assert same(
                run(lambda: f(layer), [(), ()]), run(lambda: f(layer.__wrapped__), [(), ()])
            )
        assert layer.stats()["replays"] >= 5

    @pytest.mark.parametrize(
        "module",
        [
            nn.Dropout(0.5),
            nn.Dropout1d(0.5),
            nn.AlphaDropout(0.3),
            nn.FeatureAlphaDropout(0.3),
            nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.2), nn.ReLU(), nn.Dropout(0.7)),
            nn.RReLU(),
        ],
    )
    def test_modules(self, module: Any) -> None:
        x = fg.linspace(-1, 1, 24).reshape(2, 3, 4)
        check(lambda x: module(x), (x,), (x * 2,))

    @pytest.mark.parametrize("causal", [False, True])
    @pytest.mark.parametrize("masked", [False, True])
    def test_attention(self, causal: bool, masked: bool) -> None:
        if causal and masked:
            pytest.skip("PyTorch takes one of the two")
        mask = fg.ones(5, 5).tril() > 0 if masked else None

        def f(q: fg.Tensor, k: fg.Tensor, v: fg.Tensor) -> Any:
            y = F.scaled_dot_product_attention(
                q, k, v, attn_mask=mask, dropout_p=0.4, is_causal=causal
            )
            return y.detach(), fg.autograd.grad((y**2).sum(), [q, k, v])

        fg.manual_seed(0)
        qkv = tuple(fg.randn(2, 2, 5, 4, requires_grad=True) for _ in range(3))
        check(f, qkv, qkv)

    def test_second_derivative_of_attention(self) -> None:
        def f(q: fg.Tensor) -> Any:
            y = F.scaled_dot_product_attention(q, q, q, dropout_p=0.4)
            (g,) = fg.autograd.grad((y**2).sum(), q, create_graph=True)
            return fg.autograd.grad(g.sum(), q)

        fg.manual_seed(0)
        q = fg.randn(1, 4, 3, requires_grad=True)
        check(f, (q,), (q,))

    def test_whole_training_step(self) -> None:
        def train(compiled: bool) -> Any:
            fg.manual_seed(0)
            model = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.5), nn.Linear(8, 1))
            opt = fg.optim.Adam(model.parameters(), lr=0.01)

            def step(x: fg.Tensor) -> fg.Tensor:
                opt.zero_grad()
                loss = (model(x) ** 2).mean()
                loss.backward()
                opt.step()
                return loss.detach()

            f = fg.compile(step, fullgraph=True) if compiled else step
            losses = [f(fg.randn(6, 4)) for _ in range(8)]
            model.eval()
            losses.append(f(fg.randn(6, 4)))
            model.train()
            losses += [f(fg.randn(6, 4)) for _ in range(2)]
            assert not compiled or f.stats()["replays"] >= 6
            return losses, [p.detach() for p in model.parameters()], fg.rand(2)

        assert same(train(True), train(False))


class TestGenerators:
    def test_captured_and_given(self) -> None:
        own = fg.Generator()

        def f(x: fg.Tensor, g: fg.Generator) -> Any:
            y = fg.empty(4)
            y.normal_(generator=own)
            return (
                x + y + fg.rand(4, generator=g) + fg.randn(4, generator=generator) + fg.randn(4),
                fg.randperm(6, generator=own),
                fg.bernoulli(fg.full((9,), 0.5), generator=g),
                fg.randint(0, 100, (3,), generator=generator),
            )

        g = fg.Generator()
        calls = [(fg.ones(4), g), (fg.zeros(4), g)]
        check(f, *calls, generators=(own, generator, g))

    def test_another_generator(self) -> None:
        f = fg.compile(lambda g: fg.rand(2, generator=g), fullgraph=True)
        a, b = fg.Generator().manual_seed(1), fg.Generator().manual_seed(2)
        for _ in range(3):
            for g in (a, b):
                state = g.get_state()
                expected = fg.rand(2, generator=g)
                g.set_state(state)
                assert same(f(g), expected)

    def test_failed_guards_put_numbers_back(self) -> None:
        own = fg.Generator()

        def f(x: fg.Tensor) -> Any:
            y = fg.rand(3, generator=own) + F.dropout(fg.ones(3), 0.5)
            if (x > 0).all():
                return y * 2
            return y - fg.rand(3, generator=own)

        check(f, (vec(1.0),), (vec(-1.0),), (vec(2.0),), (vec(-3.0),), generators=(own,))

    def test_one_that_the_function_makes(self) -> None:
        f = fg.compile(lambda: fg.rand(2, generator=fg.Generator()))
        with pytest.warns(UserWarning, match="made itself"):
            first = f()
        assert same(first, f())

    def test_shuffling_in_a_step(self) -> None:
        data = fg.arange(10.0)
        own = fg.Generator()

        def f() -> Any:
            return data[fg.randperm(10, generator=own)[:4]].sum()

        compiled = fg.compile(f)
        for _ in range(3):
            assert same(run(compiled, [()] * 5, (own,)), run(f, [()] * 5, (own,)))
