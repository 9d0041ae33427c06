"""Compiled functions whose indices, masks and divisors are others at every call.

Only what the code around depends on may keep a recording from being replayed: that indices are in
range, how many elements of a mask are set.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import pytest

import fastgrad as fg
from compiled import same

F = fg.nn.functional
ROWS, COLS = 7, 5


def table(grad: bool = True) -> fg.Tensor:
    fg.manual_seed(1)
    return fg.randn(ROWS, COLS, dtype=fg.float64).requires_grad_(grad)


def with_gradient(f: Callable[..., fg.Tensor]) -> Callable[..., Any]:
    def both(x: fg.Tensor, i: fg.Tensor) -> Any:
        y = f(x, i)
        (g,) = fg.autograd.grad((y * y.detach().cos()).sum(), x)
        return y.detach(), g

    return both


SHAPED: dict[str, tuple[Callable[..., fg.Tensor], tuple[int, ...], int]] = {
    # Of a table and an index: the function, the index's shape, how many rows it chooses from.
    "x[i]": (lambda x, i: x[i], (4,), ROWS),
    "x[i, j]": (lambda x, i: x[i[0], i[1] % COLS], (2, 4), ROWS),
    "x[:, i]": (lambda x, i: x[:, i], (3,), COLS),
    "x[i, None, 1:3]": (lambda x, i: x[i, None, 1:3], (2, 3), ROWS),
    "index_select": (lambda x, i: x.index_select(0, i), (6,), ROWS),
    "take": (lambda x, i: x.take(i), (3, 4), ROWS * COLS),
    "gather": (lambda x, i: x.gather(1, i), (ROWS, 3), COLS),
    "gather rows": (lambda x, i: x.gather(0, i), (4, COLS), ROWS),
    "take_along_dim": (lambda x, i: fg.take_along_dim(x, i, 1), (ROWS, 2), COLS),
    "take_along_dim flat": (lambda x, i: fg.take_along_dim(x, i), (5,), ROWS * COLS),
    "embedding": (lambda x, i: F.embedding(i, x), (2, 3), ROWS),
    "scatter": (
        lambda x, i: fg.zeros(ROWS, COLS).double().scatter(1, i, x[:, :3]),
        (ROWS, 3),
        COLS,
    ),
    "scatter number": (lambda x, i: x.scatter(1, i, 0.5), (ROWS, 2), COLS),
    "scatter_add": (lambda x, i: x.scatter_add(1, i, x * 2), (ROWS, COLS), COLS),
    "scatter_reduce": (lambda x, i: x.scatter_reduce(1, i, x * 2, "amax"), (ROWS, COLS), COLS),
    "scatter_reduce mean": (
        lambda x, i: x.scatter_reduce(1, i, x * 2, "mean", include_self=False),
        (ROWS, COLS),
        COLS,
    ),
    "index_add": (lambda x, i: x.index_add(0, i, x[:4] * 3), (4,), ROWS),
    "index_copy": (lambda x, i: x.index_copy(0, i, x[:1].expand(4, COLS) * 3), (4,), ROWS),
    "index_fill": (lambda x, i: x.index_fill(0, i, 1.5), (3,), ROWS),
    "index_put": (lambda x, i: x.index_put((i,), x[0] * 2), (4,), ROWS),
    "index_put accumulate": (
        lambda x, i: x.index_put((i,), x[:4] * 2, accumulate=True),
        (4,),
        ROWS,
    ),
    "put": (lambda x, i: x.put(i, x.reshape(-1)[:4] * 2, accumulate=True), (4,), ROWS * COLS),
    "x[i] = y": (lambda x, i: assigned(x, i), (4,), ROWS),
    "cross_entropy": (lambda x, i: F.cross_entropy(x, i), (ROWS,), COLS),
    "nll_loss": (lambda x, i: F.nll_loss(x.log_softmax(1), i, reduction="none"), (ROWS,), COLS),
    "one_hot": (lambda x, i: F.one_hot(i, COLS) * x, (ROWS,), COLS),
    "integer division": (lambda x, i: x[ROWS // (i + 1) % ROWS], (4,), ROWS),
    "bincount": (lambda x, i: x * fg.bincount(i, minlength=COLS), (20,), COLS),
}


def assigned(x: fg.Tensor, i: fg.Tensor) -> fg.Tensor:
    y = x * 2
    y[i] = x[:4] * 3
    y[i] += 1
    return y


def indices(shape: tuple[int, ...], size: int, seed: int) -> fg.Tensor:
    fg.manual_seed(100 + seed)
    return fg.randint(0, size, shape)


_ONLY_LONG = {
    "take", "take_along_dim", "take_along_dim flat", "index_copy", "index_fill", "put",
    "cross_entropy", "nll_loss", "one_hot",
}  # fmt: skip
TYPES = [(name, fg.int64) for name in SHAPED]
TYPES += [(name, fg.int32) for name in SHAPED if name not in _ONLY_LONG]


@pytest.mark.parametrize(("name", "dtype"), TYPES)
def test_any_indices_in_range_replay(name: str, dtype: Any) -> None:
    f, shape, size = SHAPED[name]
    function = with_gradient(f)
    compiled = fg.compile(function, fullgraph=True)
    x = table()
    for seed in range(6):  # with duplicates in most of them
        i = indices(shape, size, seed).to(dtype)
        assert same(compiled(x, i), function(x, i)), compiled.graph()
    assert compiled.stats()["recordings"] == 1, compiled.graph()
    assert compiled.stats()["replays"] == 5


@pytest.mark.parametrize(
    "name", [n for n in SHAPED if n not in ("x[i, j]", "integer division", "bincount")]
)
@pytest.mark.parametrize("wrong", [10**6, -(10**6)])
def test_out_of_range_raises_what_the_function_raises(name: str, wrong: int) -> None:
    f, shape, size = SHAPED[name]
    function = with_gradient(f)
    compiled = fg.compile(function, fullgraph=True)
    x = table()
    i = indices(shape, size, 0)
    for _ in range(2):
        compiled(x, i)
    bad = i.clone()
    bad.view(-1)[-1] = wrong
    with pytest.raises((IndexError, RuntimeError)) as expected:
        function(x, bad)
    with pytest.raises(type(expected.value)) as raised:
        compiled(x, bad)
    assert str(raised.value) == str(expected.value)
    assert same(compiled(x, i), function(x, i)) and compiled.active
    assert compiled.stats()["replays"] == 2


def test_large_index_tensors_replay() -> None:
    x = fg.randn(3, 20_000)

    def f(i: fg.Tensor) -> Any:
        return x.gather(1, i), x.scatter_add(1, i, x), x.take(i[0])

    compiled = fg.compile(f, fullgraph=True)
    for seed in range(3):
        i = indices((3, 20_000), 20_000, seed)
        assert same(compiled(i), f(i))
    assert compiled.stats()["replays"] == 2


def test_negative_indices_count_from_the_end() -> None:
    x = table(False)

    def f(i: fg.Tensor) -> Any:
        return x[i], x.take(i), fg.take_along_dim(x[:3], i[:, None], 1), x.index_fill(0, i, 0.0)

    compiled = fg.compile(f, fullgraph=True)
    for numbers in ([0, 1, 2], [-1, -2, 0], [-5, 4, -1]):
        i = fg.tensor(numbers)
        assert same(compiled(i), f(i))
    assert compiled.stats()["replays"] == 2


class TestNothingIsHalfDone:
    def test_a_step_with_an_index_out_of_range_changes_nothing(self) -> None:
        """Eager calls raise before the update; a replay must not have written anything either."""
        w = table()
        opt = fg.optim.SGD([w], lr=0.1, momentum=0.9)

        def step(i: fg.Tensor) -> fg.Tensor:
            opt.zero_grad()
            loss = w[i].square().sum()
            loss.backward()
            opt.step()
            return loss.detach()

        compiled = fg.compile(step, fullgraph=True)
        for seed in range(4):
            compiled(indices((3,), ROWS, seed))
        before = w.detach().clone(), w.grad.clone(), opt.state[w]["momentum_buffer"].clone()
        with pytest.raises(IndexError):
            compiled(fg.tensor([0, 1, ROWS]))
        assert w.grad is None  # as the function leaves it: zero_grad() comes first
        assert same((w.detach(), opt.state[w]["momentum_buffer"]), (before[0], before[2]))
        compiled(indices((3,), ROWS, 9))

    def test_writes_before_the_check_are_those_of_the_function(self) -> None:
        def f(x: fg.Tensor, i: fg.Tensor) -> fg.Tensor:
            x.mul_(2)
            k = (i.float() * 1).long()  # known only in the middle
            return x[k]

        x = fg.ones(4)
        compiled = fg.compile(f, fullgraph=True)
        for numbers in ([0, 1], [2, 3], [3, 3]):
            compiled(x, fg.tensor(numbers))
        assert x.tolist() == [8.0] * 4 and compiled.stats()["replays"] == 2
        with pytest.raises(IndexError):
            compiled(x, fg.tensor([0, 4]))
        assert x.tolist() == [16.0] * 4  # once, as in the function

    def test_gradients_that_are_replaced(self) -> None:
        """The memory of an old .grad is written over only when nothing can stop the replay."""
        w = table()

        def step(i: fg.Tensor) -> None:
            w.grad = None
            F.embedding(i, w).square().sum().backward()
            if w.grad.sum() > 1e9:
                w.grad.zero_()

        compiled = fg.compile(step, fullgraph=True)
        for seed in range(4):
            i = indices((3,), ROWS, seed)
            compiled(i)
            got = w.grad.clone()
            step(i)
            assert same(w.grad, got)
        assert compiled.stats()["replays"] >= 2


class TestAsAUserWould:
    def test_minibatches(self) -> None:
        def build() -> tuple[Any, Any]:
            fg.manual_seed(0)
            x, y = fg.randn(64, 3), fg.randn(64, 1)
            net = fg.nn.Sequential(fg.nn.Linear(3, 8), fg.nn.ReLU(), fg.nn.Linear(8, 1))
            opt = fg.optim.Adam(net.parameters(), lr=0.01)

            def step(idx: fg.Tensor) -> fg.Tensor:
                opt.zero_grad()
                loss = F.mse_loss(net(x[idx]), y[idx])
                loss.backward()
                opt.step()
                return loss.detach()

            return net, step

        (net, step), (twin, plain) = build(), build()
        compiled = fg.compile(step, fullgraph=True)
        for _ in range(3):
            order = fg.randperm(64)
            for k in range(0, 64, 20):  # the last one is shorter
                assert same(compiled(order[k : k + 20]), plain(order[k : k + 20]))
        for a, b in zip(net.parameters(), twin.parameters(), strict=True):
            assert same(a.detach(), b.detach())
        # The optimiser's state is new in the first step; then two sizes.
        assert compiled.stats()["recordings"] <= 4, compiled.stats()

    def test_batches_drawn_inside(self) -> None:
        x = table(False)

        def f() -> fg.Tensor:
            return x[fg.randperm(ROWS)[:3]].sum(0), x[fg.randint(0, ROWS, (4,))]

        compiled = fg.compile(f, fullgraph=True)
        for seed in range(4):
            fg.manual_seed(seed)
            got = compiled()
            fg.manual_seed(seed)
            assert same(got, f())
        assert compiled.stats()["replays"] == 3

    def test_values_of_actions(self) -> None:
        """What deep Q-learning computes."""
        net, target = fg.nn.Linear(4, 3), fg.nn.Linear(4, 3)

        def loss(s: Any, a: Any, r: Any, n: Any, done: Any) -> Any:
            q = net(s).gather(1, a[:, None]).squeeze(1)
            with fg.no_grad():
                best = net(n).argmax(1, keepdim=True)
                goal = r + 0.9 * target(n).gather(1, best).squeeze(1) * ~done
            value = F.smooth_l1_loss(q, goal)
            return value.detach(), fg.autograd.grad(value, list(net.parameters()))

        compiled = fg.compile(loss, fullgraph=True)
        for seed in range(4):
            fg.manual_seed(seed)
            batch = (
                fg.randn(8, 4),
                fg.randint(0, 3, (8,)),
                fg.randn(8),
                fg.randn(8, 4),
                fg.rand(8) < 0.3,
            )
            assert same(compiled(*batch), loss(*batch))
        assert compiled.stats()["replays"] == 3

    def test_embedding_layers_with_padding(self) -> None:
        net = fg.nn.Embedding(10, 4, padding_idx=0)

        def f(i: fg.Tensor) -> Any:
            y = net(i).sum()
            return y.detach(), fg.autograd.grad(y, net.weight)[0]

        compiled = fg.compile(f, fullgraph=True)
        for seed in range(4):
            i = indices((2, 5), 10, seed)
            assert same(compiled(i), f(i))
        assert compiled.stats()["replays"] == 3

    def test_ignored_targets(self) -> None:
        def f(x: fg.Tensor, t: fg.Tensor) -> fg.Tensor:
            return F.cross_entropy(x, t, ignore_index=-100)

        compiled = fg.compile(f, fullgraph=True)
        x = table(False)
        for where in range(3):
            t = fg.zeros(ROWS, dtype=fg.int64)
            t[where] = -100
            assert same(compiled(x, t), f(x, t))
        assert compiled.stats()["replays"] == 2
        with pytest.raises(IndexError, match="Target -1"):
            compiled(x, t.clamp(-1))

    def test_losses_that_check_their_inputs(self) -> None:
        def f(p: fg.Tensor, t: fg.Tensor) -> fg.Tensor:
            return F.binary_cross_entropy(p, t)

        compiled = fg.compile(f, fullgraph=True)
        for seed in range(3):
            fg.manual_seed(seed)
            p, t = fg.rand(6), fg.rand(6)
            assert same(compiled(p, t), f(p, t))
        assert compiled.stats()["replays"] == 2
        with pytest.raises(RuntimeError, match="between 0 and 1"):
            compiled(p + 1, t)

    def test_pooling_and_back(self) -> None:
        def f(x: fg.Tensor) -> fg.Tensor:
            y, i = F.max_pool2d(x, 2, return_indices=True)
            return F.max_unpool2d(y, i, 2)

        compiled = fg.compile(f, fullgraph=True)
        for seed in range(4):
            fg.manual_seed(seed)
            x = fg.randn(1, 2, 4, 4)
            assert same(compiled(x), f(x))
        assert compiled.stats()["replays"] == 3

    def test_permutations_of_decompositions(self) -> None:
        def f(a: fg.Tensor) -> Any:
            p, lower, upper = fg.linalg.lu(a)
            return p @ lower @ upper, p

        compiled = fg.compile(f, fullgraph=True)
        for seed in range(5):
            fg.manual_seed(seed)
            a = fg.randn(4, 4, dtype=fg.float64)
            assert same(compiled(a), f(a))
        assert compiled.stats()["replays"] == 4

    def test_clipping_that_wants_finite_norms(self) -> None:
        w = table()

        def step(x: fg.Tensor) -> fg.Tensor:
            w.grad = None
            (w * x).sum().backward()
            return fg.nn.utils.clip_grad_norm_([w], 0.5, error_if_nonfinite=True)

        compiled = fg.compile(step, fullgraph=True)
        for k in range(4):
            compiled(fg.full((COLS,), float(k + 1), dtype=fg.float64))
        assert compiled.stats()["replays"] >= 2
        with pytest.raises(RuntimeError, match="non-finite"):
            compiled(fg.full((COLS,), float("inf"), dtype=fg.float64))


class TestMasks:
    def test_as_many_elements_replay(self) -> None:
        x = table()

        def f(m: fg.Tensor) -> Any:
            y = x[m]
            (g,) = fg.autograd.grad((y * y).sum(), x)
            spread = fg.zeros(ROWS, COLS).double().masked_scatter(m, x.detach())
            return y.detach(), g, x.detach().masked_select(m), m.nonzero(), fg.where(m), spread

        compiled = fg.compile(f, fullgraph=True)
        for seed in range(4):
            fg.manual_seed(seed)
            m = fg.zeros(ROWS * COLS, dtype=fg.bool)
            m[fg.randperm(ROWS * COLS)[:9]] = True
            m = m.reshape(ROWS, COLS)
            assert same(compiled(m), f(m))
        assert compiled.stats()["replays"] == 3

    def test_another_number_is_another_variant(self) -> None:
        x = table(False)
        f = lambda m: x[m].mean(0)  # noqa: E731
        compiled = fg.compile(f, fullgraph=True)
        for count in (2, 3, 2, 3, 0, 3):
            m = fg.arange(ROWS) < count
            assert fg.equal(compiled(m).nan_to_num(), f(m).nan_to_num())
        assert compiled.stats()["recordings"] == 3

    @pytest.mark.parametrize("kind", [fg.bool, fg.uint8], ids=["bool", "uint8"])
    def test_numbers_written_where_a_mask_is_set(self, kind: Any) -> None:
        def f(x: fg.Tensor, m: fg.Tensor) -> Any:
            y = x * 1
            y[m.to(kind)] = 0.25
            y[:, (m[0] > 0).to(kind)] = x.detach()[0, 0]
            (g,) = fg.autograd.grad((y * y).sum(), x)
            return y.detach(), g

        compiled = fg.compile(f, fullgraph=True)
        x = table()
        for seed in range(4):
            fg.manual_seed(seed)
            m = fg.rand(ROWS, COLS) < 0.2 * seed
            with warnings.catch_warnings():  # of masks of bytes
                warnings.simplefilter("ignore")
                assert same(compiled(x, m), f(x, m))
        assert compiled.stats()["replays"] == 3

    def test_large_masks(self) -> None:
        x = fg.randn(30_000)

        def f(m: fg.Tensor) -> fg.Tensor:
            return x[m]

        compiled = fg.compile(f, fullgraph=True)
        for k in range(3):
            m = fg.arange(30_000).roll(k * 100) < 500
            assert same(compiled(m), f(m))
        assert compiled.stats()["replays"] == 2


def test_divisors_that_vary() -> None:
    def f(a: fg.Tensor, b: fg.Tensor) -> Any:
        return a // b, a % b

    compiled = fg.compile(f, fullgraph=True)
    for k in range(1, 4):
        a, b = fg.arange(6000), fg.arange(6000) % 7 + k
        assert same(compiled(a, b), f(a, b))
    assert compiled.stats()["replays"] == 2
    with pytest.raises(RuntimeError, match="ZeroDivisionError"):
        compiled(a, b - b)


def test_probabilities_that_vary() -> None:
    def f(p: fg.Tensor) -> fg.Tensor:
        return fg.bernoulli(p)

    compiled = fg.compile(f, fullgraph=True)
    for seed in range(3):
        fg.manual_seed(seed)
        p = fg.rand(5000)
        state = fg.get_rng_state()
        got = compiled(p)
        fg.set_rng_state(state)
        assert same(got, f(p))
    assert compiled.stats()["replays"] == 2
    with pytest.raises(RuntimeError, match="bernoulli"):
        compiled(p + 1)


def test_checks_stand_in_front_and_once() -> None:
    """So that memory outside is written directly, however large it is."""
    w = fg.randn(1000, 8).requires_grad_()

    def step(i: fg.Tensor) -> fg.Tensor:
        loss = (w[i] + F.embedding(i, w)).square().sum()
        (g,) = fg.autograd.grad(loss, w)
        with fg.no_grad():
            w.sub_(g, alpha=0.1)
        return loss.detach()

    compiled = fg.compile(step, fullgraph=True)
    compiled(indices((3,), 1000, 0))
    lines = compiled.graph().splitlines()
    checks = [k for k, line in enumerate(lines) if line.startswith("in_range")]
    assert checks == [0, 1], compiled.graph()
    assert not any("copy(" in line for line in lines), compiled.graph()


def test_repeats_of_one_sum_replay() -> None:
    def f(x: fg.Tensor, n: fg.Tensor) -> Any:
        return fg.repeat_interleave(x, n, 0) * 2, fg.repeat_interleave(n)

    function = with_gradient(lambda x, n: f(x, n)[0])
    compiled, both = fg.compile(function, fullgraph=True), fg.compile(f, fullgraph=True)
    x = table()
    sums = []
    for counts in ([2] * ROWS, [0] * (ROWS - 2) + [ROWS, ROWS], [1] * (ROWS - 1) + [ROWS + 1]):
        n = fg.tensor(counts)
        sums.append(sum(counts))
        for type_ in (fg.int64, fg.int32):
            assert same(compiled(x, n.to(type_)), function(x, n.to(type_)))
        assert same(both(x, n), f(x, n))
    assert len(set(sums)) == 1
    assert compiled.stats()["recordings"] == 2 and both.stats()["recordings"] == 1
    n = fg.tensor([1] * ROWS)
    assert same(both(x, n), f(x, n)) and both.stats()["recordings"] == 2
    n[0] = -1
    with pytest.raises(RuntimeError, match="negative"):
        both(x, n)
    n[0], n[1] = 2, 0
    assert same(both(x, n), f(x, n)) and both.stats()["recordings"] <= 3


def test_fills_with_a_differentiable_value_replay() -> None:
    def f(x: fg.Tensor, i: fg.Tensor, value: fg.Tensor) -> Any:
        y = (x * 2).index_fill(0, i, value)
        return y.detach(), fg.autograd.grad((y * y).sum(), [x, value])

    compiled = fg.compile(f, fullgraph=True)
    x, value = table().detach().requires_grad_(), fg.tensor(1.5).to(table().dtype).requires_grad_()
    for rows in ([0, 2, 2], [1, 0, 1], [-1, 0, 0], [ROWS - 1, 1, 1]):
        i = fg.tensor(rows)
        assert same(compiled(x, i, value), f(x, i, value)), compiled.graph()
    assert compiled.stats()["recordings"] == 1
    for rows in ([0, 1, 2], [0, 0, 0], [0, 0, ROWS]):  # three rows, one, and an error
        i = fg.tensor(rows)
        if rows[-1] == ROWS:
            with pytest.raises(IndexError):
                compiled(x, i, value)
        else:
            assert same(compiled(x, i, value), f(x, i, value))


def test_ctc_loss_of_joined_targets_replays() -> None:
    def f(scores: fg.Tensor, targets: fg.Tensor, inputs: Any, lengths: Any) -> Any:
        loss = F.ctc_loss(scores.log_softmax(-1), targets, inputs, lengths)
        return loss.detach(), fg.autograd.grad(loss, scores)[0]

    compiled = fg.compile(f, fullgraph=True)
    scores = fg.randn(6, 3, 4).requires_grad_()
    for lengths in ([2, 3, 1], [3, 1, 2], [1, 2, 3]):
        for targets in (fg.tensor([1, 2, 3, 1, 2, 2]), fg.tensor([3, 3, 1, 2, 1, 1])):
            n, steps = fg.tensor(lengths), fg.tensor([6, 5, 6])
            assert same(compiled(scores, targets, steps, n), f(scores, targets, steps, n))
            rows = [targets[sum(lengths[:k]) : sum(lengths[: k + 1])] for k in range(3)]
            padded = fg.stack([fg.cat([r, r.new_zeros(3 - len(r))]) for r in rows])
            assert same(f(scores, padded, steps, n), f(scores, targets, steps, n))
    assert compiled.stats()["recordings"] == 1
    assert same(
        compiled(scores, targets, (6, 5, 6), (2, 2, 2)), f(scores, targets, (6, 5, 6), (2, 2, 2))
    )
    for wrong in ([2, 3, 2], [2, 5, -1]):
        with pytest.raises(RuntimeError, match="sum to the number of targets"):
            compiled(scores, targets, fg.tensor([6, 5, 6]), fg.tensor(wrong))
    none = fg.tensor([0, 0, 0])
    assert same(
        f(scores, targets[:0], fg.tensor([6, 5, 6]), none),
        compiled(scores, targets[:0], fg.tensor([6, 5, 6]), none),
    )
