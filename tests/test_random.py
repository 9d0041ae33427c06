"""Random tensors: distributions, seeds and states, arguments and errors.

The statistical tests run with fixed seeds; a correct generator fails one of them, at a level of
one in ten thousand, for one seed in ten thousand.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy import stats

from reference import fg, only_fastgrad

LEVEL = 1e-4
COUNT = 50_001  # odd, so that the last block of numbers is not used up
DTYPES = [fg.float32, fg.float64]


@pytest.fixture(autouse=True)
def _seed() -> None:
    fg.manual_seed(20240229)


def assert_distributed(sample: Any, distribution: str, *args: float) -> None:
    # By the frozen distribution: SciPy 1.18 does not take the arguments of the normal one.
    cdf = getattr(stats, distribution)(*args).cdf
    assert stats.kstest(sample.double().numpy(), cdf).pvalue > LEVEL


def lowest(x: Any) -> float:
    return float(x.double().numpy().min())


def highest(x: Any) -> float:
    return float(x.double().numpy().max())


def assert_counts(counts: np.ndarray, probabilities: np.ndarray) -> None:
    expected = probabilities / probabilities.sum() * counts.sum()
    assert stats.chisquare(counts, expected).pvalue > LEVEL


@pytest.mark.parametrize("dtype", DTYPES)
class TestDistributions:
    def test_rand(self, dtype: Any) -> None:
        x = fg.rand(COUNT, dtype=dtype)
        assert_distributed(x, "uniform")
        assert lowest(x) >= 0
        assert highest(x) < 1

    def test_neighbours_are_independent(self, dtype: Any) -> None:
        for x in (fg.rand(COUNT, dtype=dtype), fg.randn(COUNT, dtype=dtype)):
            a = x.numpy()
            for lag in (1, 2, 4):
                assert abs(np.corrcoef(a[:-lag], a[lag:])[0, 1]) < 5 / np.sqrt(COUNT)

    def test_uniform(self, dtype: Any) -> None:
        assert_distributed(fg.empty(COUNT, dtype=dtype).uniform_(-3, 5), "uniform", -3, 8)

    def test_randn(self, dtype: Any) -> None:
        assert_distributed(fg.randn(COUNT, dtype=dtype), "norm")

    def test_normal(self, dtype: Any) -> None:
        assert_distributed(fg.empty(COUNT, dtype=dtype).normal_(2, 3), "norm", 2, 3)
        assert_distributed(fg.normal(2.0, 3.0, (COUNT,), dtype=dtype), "norm", 2, 3)

    def test_normal_of_tensors(self, dtype: Any) -> None:
        mean = fg.full((COUNT,), 2.0, dtype=dtype)
        assert_distributed(fg.normal(mean, mean + 1), "norm", 2, 3)
        assert_distributed(fg.normal(mean, 3.0), "norm", 2, 3)
        assert_distributed(fg.normal(2.0, mean + 1), "norm", 2, 3)
        assert_distributed(fg.normal(mean), "norm", 2, 1)

    def test_exponential(self, dtype: Any) -> None:
        x = fg.empty(COUNT, dtype=dtype).exponential_(2.0)
        assert_distributed(x, "expon", 0, 0.5)
        assert lowest(x) > 0

    def test_cauchy(self, dtype: Any) -> None:
        assert_distributed(fg.empty(COUNT, dtype=dtype).cauchy_(1, 2), "cauchy", 1, 2)

    def test_log_normal(self, dtype: Any) -> None:
        assert_distributed(fg.empty(COUNT, dtype=dtype).log_normal_(1, 0.5).log(), "norm", 1, 0.5)

    def test_geometric(self, dtype: Any) -> None:
        counts = np.bincount(fg.empty(COUNT, dtype=dtype).geometric_(0.3).long().numpy())
        assert counts[0] == 0
        k = np.arange(1, 15)
        assert_counts(counts[k], 0.3 * 0.7 ** (k - 1))

    def test_bernoulli(self, dtype: Any) -> None:
        p = fg.full((COUNT,), 0.3, dtype=dtype)
        draws = (fg.bernoulli(p), p.clone().bernoulli_(0.3), p.clone().bernoulli_(p), p.bernoulli())
        for x in draws:
            assert x.dtype == dtype
            assert_counts(np.bincount(x.long().numpy()), np.array([0.7, 0.3]))

    @pytest.mark.parametrize("rate", [0.0, 0.02, 0.5, 4.0, 9.5, 10.5, 35.0, 200.0, 5000.0])
    def test_poisson(self, dtype: Any, rate: float) -> None:
        x = fg.poisson(fg.full((COUNT,), rate, dtype=dtype)).long().numpy()
        if rate == 0:
            assert not x.any()
            return
        first, last = int(stats.poisson.ppf(0.001, rate)), int(stats.poisson.ppf(0.999, rate))
        k = np.arange(first, last + 1)
        assert_counts(np.bincount(x, minlength=last + 1)[k], stats.poisson.pmf(k, rate))

    def test_poisson_of_many_rates(self, dtype: Any) -> None:
        rates = fg.linspace(0.1, 60, COUNT, dtype=dtype)
        x, rate = fg.poisson(rates).double().numpy(), rates.double().numpy()
        u = stats.poisson.cdf(x, rate) - np.random.default_rng(0).random(COUNT) * stats.poisson.pmf(
            x, rate
        )  # uniform, where x has that distribution
        assert stats.kstest(u, "uniform").pvalue > 1e-4


@only_fastgrad
@pytest.mark.parametrize("concentration", [0.05, 0.7, 1.0, 3.5, 200.0])
def test_gamma(concentration: float) -> None:
    drawn = fg.distributions.Gamma(fg.full((COUNT,), concentration, dtype=fg.float64), 1.0).sample()
    assert_distributed(drawn, "gamma", concentration)
    assert abs(np.corrcoef(drawn.numpy()[:-1], drawn.numpy()[1:])[0, 1]) < 5 / np.sqrt(COUNT)
    assert fg._core._standard_gamma(fg.tensor([-1.0, float("nan")])).isnan().all()


@only_fastgrad
@pytest.mark.parametrize("draw", [fg.rand, fg.randn], ids=["rand", "randn"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_an_element_depends_on_its_place_alone(draw: Callable[..., Any], dtype: Any) -> None:
    def drawn(n: int) -> Any:
        return draw(n, dtype=dtype, generator=fg.Generator().manual_seed(5))

    threads = fg.get_num_threads()
    try:
        fg.set_num_threads(1)
        whole = drawn(COUNT * 4)
        for n in (1, 2, 3, 7, 511, 513, 40_001):
            assert fg.equal(drawn(n), whole[:n])
        for n in (2, 3):
            fg.set_num_threads(n)
            assert fg.equal(drawn(COUNT * 4), whole)
    finally:
        fg.set_num_threads(threads)


class TestIntegers:
    def test_randint(self) -> None:
        x = fg.randint(-3, 7, (COUNT,))
        assert x.dtype == fg.int64
        assert_counts(np.bincount(x.numpy() + 3), np.ones(10))

    def test_wide_range(self) -> None:
        x = fg.randint(-(2**62), 2**62, (COUNT,)).double() / 2**62
        assert_distributed(x, "uniform", -1, 2)

    def test_random_takes_the_whole_type(self) -> None:
        assert_counts(np.bincount(fg.empty(COUNT, dtype=fg.uint8).random_().numpy()), np.ones(256))
        assert_counts(np.bincount(fg.empty(COUNT, dtype=fg.bool).random_().numpy()), np.ones(2))
        x = fg.empty(COUNT, dtype=fg.int64).random_()
        assert lowest(x) >= 0
        assert highest(x) > 2**62
        x = fg.empty(COUNT, dtype=fg.float32).random_()
        assert highest(x) > 2**23
        assert highest(x) <= 2**24

    def test_random_in_a_range(self) -> None:
        x = fg.empty(COUNT, dtype=fg.int16).random_(5)
        assert_counts(np.bincount(x.numpy()), np.ones(5))
        x = fg.empty(COUNT, dtype=fg.float32).random_(-2, 3)
        assert_counts(np.bincount(x.long().numpy() + 2), np.ones(5))
        assert lowest(fg.empty(COUNT, dtype=fg.int8).random_(100, None)) >= 100

    def test_randperm(self) -> None:
        orders = np.array([fg.randperm(4).numpy() for _ in range(5000)])
        assert (np.sort(orders, axis=1) == np.arange(4)).all()
        _, counts = np.unique(orders, axis=0, return_counts=True)
        assert len(counts) == 24
        assert_counts(counts, np.ones(24))

    def test_randperm_of_other_types(self) -> None:
        assert sorted(fg.randperm(100, dtype=fg.float32).tolist()) == list(range(100))
        assert fg.randperm(0).shape == (0,)

    @pytest.mark.parametrize("weights", [[0.0, 1.0, 2.0, 3.0, 0.0], [1e-12, 1.0, 2.0]])
    def test_multinomial_with_replacement(self, weights: list[float]) -> None:
        x = fg.multinomial(fg.tensor(weights, dtype=fg.float64), COUNT, replacement=True)
        counts = np.bincount(x.numpy(), minlength=len(weights))
        w = np.array(weights)
        assert not counts[w == 0].any()
        assert_counts(counts[w > 1e-3], w[w > 1e-3])

    def test_multinomial_without_replacement(self) -> None:
        weights = fg.tensor([1.0, 2.0, 3.0, 0.0]).expand(COUNT, 4)
        x = fg.multinomial(weights, 3).numpy()
        assert (np.sort(x, axis=1) == [0, 1, 2]).all()
        order, counts = np.unique(x, axis=0, return_counts=True)
        w = np.array([1.0, 2.0, 3.0])
        chances = [w[a] / 6 * w[b] / (6 - w[a]) for a, b, _ in order]
        assert_counts(counts, np.array(chances))

    def test_multinomial_shapes(self) -> None:
        weights = fg.ones(3, 5)
        assert fg.multinomial(weights, 2).shape == (3, 2)
        assert weights[0].multinomial(2).shape == (2,)
        assert weights.multinomial(9, replacement=True).dtype == fg.int64


class TestComplexAndHalf:
    @pytest.mark.parametrize("dtype", [fg.complex64, fg.complex128])
    def test_complex(self, dtype: Any) -> None:
        z = fg.randn(COUNT, dtype=dtype).numpy()
        for part in (z.real, z.imag):
            assert stats.kstest(part, stats.norm(0, np.sqrt(0.5)).cdf).pvalue > LEVEL
        u = fg.rand(COUNT, dtype=dtype).numpy()
        for part in (u.real, u.imag):
            assert stats.kstest(part, "uniform").pvalue > LEVEL

    @pytest.mark.parametrize("dtype", [fg.float16, fg.bfloat16])
    def test_half(self, dtype: Any) -> None:
        x = fg.rand(COUNT, dtype=dtype).float()
        assert x.dtype == fg.float32
        assert lowest(x) >= 0
        assert highest(x) < 1
        assert abs(x.numpy().mean() - 0.5) < 0.01
        z = fg.randn(COUNT, dtype=dtype).float().numpy()
        assert abs(z.mean()) < 0.02
        assert abs(z.var() - 1) < 0.05


def draw_everything() -> list[Any]:
    p = fg.full((7,), 0.4)
    fillers = ("uniform_", "normal_", "exponential_", "cauchy_", "log_normal_", "random_")
    return [
        fg.rand(5),
        fg.randn(2, 3, dtype=fg.float64),
        fg.randint(100, (4,)),
        fg.randperm(6),
        fg.normal(p, 1.0),
        fg.bernoulli(p),
        fg.poisson(p),
        fg.multinomial(p, 3),
        *(getattr(fg.empty(5), name)() for name in fillers),
        fg.empty(5).geometric_(0.5),
    ]


class TestGenerator:
    def test_the_seed_decides(self) -> None:
        fg.manual_seed(1)
        first = draw_everything()
        fg.manual_seed(1)
        again = draw_everything()
        fg.manual_seed(2)
        other = draw_everything()
        assert [x.tolist() for x in first] == [x.tolist() for x in again]
        assert [x.tolist() for x in first[:2]] != [x.tolist() for x in other[:2]]

    def test_what_is_drawn_moves_on(self) -> None:
        assert fg.rand(5).tolist() != fg.rand(5).tolist()
        assert fg.rand(1).item() != fg.rand(1).item()

    def test_state(self) -> None:
        fg.rand(3)
        state = fg.get_rng_state()
        assert state.dtype == fg.uint8
        x = fg.randn(3)
        fg.rand(100)
        fg.set_rng_state(state)
        assert fg.randn(3).tolist() == x.tolist()

    def test_own_generator(self) -> None:
        a, b = fg.Generator().manual_seed(3), fg.Generator().manual_seed(3)
        before = fg.get_rng_state()
        assert fg.rand(3, generator=a).tolist() == fg.rand(3, generator=b).tolist()
        assert fg.empty(3).normal_(generator=a).tolist() == fg.randn(3, generator=b).tolist()
        assert fg.get_rng_state().tolist() == before.tolist()
        b.set_state(a.get_state())
        assert fg.randperm(9, generator=a).tolist() == fg.randperm(9, generator=b).tolist()

    def test_generator_attributes(self) -> None:
        g = fg.Generator(device="cpu")
        assert g.device == fg.device("cpu")
        assert g.manual_seed(5) is g
        assert g.initial_seed() == 5
        assert g.seed() == g.initial_seed()
        assert g.manual_seed(-1).initial_seed() == 2**64 - 1
        assert fg.manual_seed(7) is fg.default_generator
        assert fg.initial_seed() == 7
        assert fg.seed() == fg.initial_seed()

    def test_copies(self) -> None:
        g = fg.Generator().manual_seed(5)
        fg.rand(3, generator=g)
        for h in (pickle.loads(pickle.dumps(g)), g.clone_state()):
            assert h.initial_seed() == 5
            assert h.get_state().tolist() == g.get_state().tolist()

    def test_fork_rng(self) -> None:
        fg.manual_seed(1)
        with fg.random.fork_rng(devices=[]):
            inside = fg.rand(3)
        assert fg.rand(3).tolist() == inside.tolist()
        with fg.random.fork_rng(enabled=False):
            inside = fg.rand(3)
        assert fg.rand(3).tolist() != inside.tolist()

    @pytest.mark.parametrize("seed", [2**64, -(2**63) - 1])
    def test_seeds_beyond_64_bits(self, seed: int) -> None:
        with pytest.raises((ValueError, RuntimeError), match="Overflow when unpacking long"):
            fg.manual_seed(seed)

    def test_refuses_other_states(self) -> None:
        with pytest.raises(TypeError, match="RNG state must be a"):
            fg.set_rng_state(fg.tensor([1.0]))
        with pytest.raises(RuntimeError, match=r"[sS]tate of size"):
            fg.set_rng_state(fg.tensor([1], dtype=fg.uint8))
        with pytest.raises(TypeError, match="Generator"):
            fg.rand(2, generator=3)


@only_fastgrad
def test_the_numbers_of_a_seed_do_not_change() -> None:
    fg.manual_seed(0)
    assert fg.rand(2, dtype=fg.float64).tolist() == pytest.approx(
        [0.3990464708489645, 0.7357127844834425], abs=1e-15
    )
    assert fg.randn(2, dtype=fg.float64).tolist() == pytest.approx(
        [-1.3928985002119567, -1.0752749537011594], abs=1e-14
    )
    assert fg.randint(100, (4,)).tolist() == [71, 82, 65, 72]


class TestArguments:
    def test_like(self) -> None:
        x = fg.zeros(2, 3, dtype=fg.float64)
        for f in (fg.rand_like, fg.randn_like):
            assert f(x).shape == (2, 3)
            assert f(x).dtype == fg.float64
            assert f(x, dtype=fg.float32, requires_grad=True).requires_grad
        assert fg.randint_like(x, 5).dtype == fg.float64
        assert lowest(fg.randint_like(x, 3, 5, dtype=fg.int8)) >= 3

    def test_like_keeps_the_order_of_dimensions(self) -> None:
        x = fg.zeros(2, 3).permute(1, 0)
        assert fg.rand_like(x).stride() == (1, 3)
        assert fg.randn_like(x, memory_format=fg.contiguous_format).stride() == (2, 1)

    def test_out(self) -> None:
        out = fg.empty(0, dtype=fg.float64)
        assert fg.rand(3, out=out) is out
        assert out.shape == (3,)
        assert fg.randperm(4, out=fg.empty(0, dtype=fg.int32)).dtype == fg.int32

    def test_non_contiguous(self) -> None:
        x = fg.zeros(4, 6).permute(1, 0)
        x.uniform_(1, 2)
        assert lowest(x) >= 1
        y = fg.zeros(COUNT, 2)
        y[:, 0].normal_()
        assert not y[:, 1].any()
        assert_distributed(y[:, 0], "norm")

    def test_sizes(self) -> None:
        assert fg.rand(()).shape == ()
        assert fg.rand(0, 3).shape == (0, 3)
        assert fg.randn(size=(2,)).shape == (2,)
        assert fg.randint(high=5, size=(2, 2)).shape == (2, 2)

    def test_mean_and_std_broadcast(self) -> None:
        assert fg.normal(fg.zeros(3), fg.ones(2, 1)).shape == (2, 3)

    REFUSED: tuple[tuple[Callable[[], Any], type[Exception], str], ...] = (
        (lambda: fg.rand(-1), RuntimeError, "negative dimension"),
        (lambda: fg.rand(2, dtype=fg.int64), NotImplementedError, "not implemented for 'Long'"),
        (lambda: fg.randn(2, dtype=fg.int64), NotImplementedError, "not implemented for 'Long'"),
        (lambda: fg.randint(5, 3, (2,)), RuntimeError, "'from' to be less than 'to'"),
        (lambda: fg.randint(0, 300, (2,), dtype=fg.uint8), RuntimeError, "to - 1 is out of bounds"),
        (lambda: fg.randint(-1, 3, (2,), dtype=fg.uint8), RuntimeError, "from is out of bounds"),
        (lambda: fg.randint(0.5, 5, (2,)), TypeError, "randint"),
        (lambda: fg.randperm(-1), RuntimeError, "negative dimension"),
        (lambda: fg.normal(0.0, -1.0, (2,)), RuntimeError, "normal expects std >= 0.0"),
        (lambda: fg.normal(fg.ones(2), fg.tensor([1.0, -1])), RuntimeError, "elements of std >= 0"),
        (lambda: fg.bernoulli(fg.tensor([1.5])), RuntimeError, "p_in >= 0 && p_in <= 1"),
        (lambda: fg.ones(2).bernoulli_(2.0), RuntimeError, "expects p to be in"),
        (lambda: fg.multinomial(fg.ones(2), 3), RuntimeError, "cannot sample n_sample > prob_dist"),
        (lambda: fg.multinomial(fg.ones(2), 0), RuntimeError, "cannot sample n_sample <= 0"),
        (lambda: fg.multinomial(fg.tensor([1.0, -1]), 1), RuntimeError, "element < 0"),
        (lambda: fg.multinomial(fg.zeros(2), 1), RuntimeError, "invalid multinomial distribution"),
        (lambda: fg.multinomial(fg.ones(1, 1, 1), 1), RuntimeError, "must be 1 or 2 dim"),
        (lambda: fg.multinomial(fg.tensor([1, 1]), 1), RuntimeError, "only supports floating"),
        (lambda: fg.poisson(fg.tensor([-1.0])), RuntimeError, "invalid Poisson rate"),
        (lambda: fg.ones(2).uniform_(1, 0), RuntimeError, "found from=1 > to=0"),
        (lambda: fg.ones(2).exponential_(0), RuntimeError, "expects lambda > 0.0"),
        (lambda: fg.tensor([1]).exponential_(), RuntimeError, "must be a floating point"),
        (lambda: fg.ones(2).geometric_(1.0), RuntimeError, "expects p to be in"),
        (lambda: fg.ones(2).cauchy_(0, -1), RuntimeError, "expects sigma > 0.0"),
        (lambda: fg.ones(2).log_normal_(0, -1), RuntimeError, "expects std > 0.0"),
        (lambda: fg.ones(2, requires_grad=True).uniform_(), RuntimeError, "a leaf Variable"),
    )

    @pytest.mark.parametrize(("call", "error", "text"), REFUSED)
    def test_refuses(self, call: Callable[[], Any], error: type[Exception], text: str) -> None:
        with pytest.raises(error, match=text):
            call()


class TestGradients:
    def test_filling_in_place_ends_the_history(self) -> None:
        x = fg.ones(3, requires_grad=True)
        y = x * 2
        y.uniform_()
        assert y.requires_grad
        (y * x).sum().backward()
        assert x.grad.tolist() == y.tolist()

    def test_draws_have_zero_gradients(self) -> None:
        p = fg.full((3,), 0.5, requires_grad=True)
        draws = fg.bernoulli(p) + fg.normal(p) + fg.normal(p, p) + fg.poisson(p)
        draws.sum().backward()
        assert p.grad.tolist() == [0, 0, 0]

    def test_filling_bumps_the_version(self) -> None:
        x = fg.ones(3)
        before = x._version
        x.normal_()
        assert x._version == before + 1
