"""Sorting, order statistics, counting and searching: what PyTorch's samples leave open."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from reference import assert_same, fg, needs_torch, only_fastgrad, to_fg, to_numpy, torch


class TestSorting:
    @pytest.mark.parametrize("descending", [False, True])
    def test_equal_elements_keep_their_order(self, descending: bool) -> None:
        values = np.random.default_rng(0).integers(0, 5, 1000)
        indices = to_numpy(fg.tensor(values).sort(stable=True, descending=descending).indices)
        keys = -values if descending else values
        np.testing.assert_array_equal(indices, np.argsort(keys, kind="stable"))

    @pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "int32", "int8", "uint8"])
    @pytest.mark.parametrize("descending", [False, True])
    def test_lines_of_every_length(self, dtype: str, descending: bool) -> None:
        rng = np.random.default_rng(0)
        for n in [*range(1, 20), 63, 64, 100, 126, 127, 128, 129, 300]:
            x = rng.integers(0, n, (3, n)).astype(dtype)  # some are equal
            if dtype.startswith("float"):
                x[0] -= n / 2
                x[1, ::5] = math.inf
                x[1, 1::7] = -0.0
                x[2, ::6] = math.nan
            values, indices = fg.tensor(x).sort(1, stable=True, descending=descending)
            if dtype.startswith("float"):
                keys = np.where(np.isnan(x), -math.inf, -x) if descending else x
            else:
                keys = -x.astype("int64") if descending else x
            expected = np.argsort(keys, 1, kind="stable")
            np.testing.assert_array_equal(to_numpy(indices), expected)
            np.testing.assert_array_equal(to_numpy(values), np.take_along_axis(x, expected, 1))

    def test_nan_comes_last(self) -> None:
        x = fg.tensor([2.0, math.nan, 1.0, math.inf])
        assert x.argsort().tolist() == [2, 0, 3, 1]
        assert x.argsort(descending=True).tolist() == [1, 3, 0, 2]
        assert math.isnan(float(x.topk(1).values))

    def test_the_gradient_goes_where_the_elements_came_from(self) -> None:
        x = fg.tensor([[3.0, 1.0, 2.0]], requires_grad=True)
        (x.sort(1).values * fg.tensor([10.0, 20.0, 30.0])).sum().backward()
        assert x.grad.tolist() == [[30.0, 10.0, 20.0]]

    @needs_torch
    @pytest.mark.parametrize("k", [1, 3, 200, 250])
    @pytest.mark.parametrize("largest", [False, True])
    def test_topk_of_long_lines(self, k: int, largest: bool) -> None:
        x = torch.from_numpy(np.random.default_rng(1).permutation(1000).reshape(4, 250))
        ours = fg.topk(to_fg(x), k, dim=1, largest=largest)
        assert_same(tuple(ours), tuple(torch.topk(x, k, dim=1, largest=largest)))

    @pytest.mark.parametrize("kind", ["few", "rising", "falling", "wide", "odd", "far"])
    @pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "int32", "uint8"])
    def test_choices_are_those_of_sorting(self, dtype: str, kind: str) -> None:
        rng = np.random.default_rng(2)
        for n in [1, 2, 10, 31, 33, 64, 65, 100, 127, 128, 129, 300, 2100]:
            x = rng.integers(0, 5 if kind == "few" else 100, (3, n)).astype(dtype)
            if kind in ("rising", "falling"):
                x = np.sort(x, 1)[:, :: 1 if kind == "rising" else -1].copy()
            elif kind == "wide" and dtype == "int64":
                x = rng.integers(-(2**63), 2**63 - 1, (3, n))
            elif kind == "wide" and dtype != "uint8":
                x = (rng.standard_normal((3, n)) * 1e4).astype(dtype)
            elif kind == "odd" and dtype.startswith("float"):
                x[0, n // 3] = math.nan
                x[1] = np.where(rng.random(n) < 0.3, math.inf, -0.0)
                x[2] -= 50
            elif kind == "far" and dtype.startswith("float"):
                limits = np.finfo(dtype)
                x[0] = np.exp(rng.standard_normal(n) * 5)
                x[1] = rng.standard_normal(n) * (float(limits.smallest_subnormal) * 1e4)
                x[2] = rng.standard_normal(n)
                x[2, :2] = [limits.max, limits.min][: x[2, :2].size]
            t = fg.tensor(x)
            up, down = t.sort(1, stable=True), t.sort(1, stable=True, descending=True)
            for k in sorted({1, 2, 5, 16, 17, 40, 63, 64, n // 2 + 1, n}):
                if k > n:
                    continue
                for largest, order in ((True, down), (False, up)):
                    chosen = t.topk(k, 1, largest=largest)
                    assert_same(tuple(chosen), (order.values[:, :k], order.indices[:, :k]))
                kth = t.kthvalue(k, 1)
                assert_same(tuple(kth), (up.values[:, k - 1], up.indices[:, k - 1]))
            values, places = t.mode(1)
            for row in range(3):
                some, counts = np.unique(x[row][x[row] == x[row]], return_counts=True)
                if len(some) < 1:
                    continue
                assert values[row].item() == some[counts.argmax()]
                assert places[row].item() == np.flatnonzero(x[row] == values[row].item())[-1]

    @pytest.mark.parametrize(
        "kind", ["random", "close", "one far", "leading bits", "few", "rising", "with nan"]
    )
    @pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "int32"])
    def test_long_lines(self, dtype: str, kind: str) -> None:
        rng = np.random.default_rng(3)
        floats = dtype.startswith("float")
        for n in [1500, 5000, 20000]:
            x = rng.permutation(n).astype(dtype)
            if kind == "random":
                x = (rng.standard_normal(n) * 1e6).astype(dtype)
            elif kind == "close" and floats:  # they differ in the last bits
                x = (1 + x * np.finfo(dtype).eps).astype(dtype)
            elif kind == "one far":
                x[n // 3] = np.finfo(dtype).max if floats else np.iinfo(dtype).max
            elif kind == "leading bits" and dtype.endswith("64"):  # and in the last ones
                x = (rng.integers(0, 30, n) * 2.0**52 + rng.integers(0, 999, n)).astype(dtype)
            elif kind == "few":
                x = (rng.integers(-1, 2, n)).astype(dtype)
            elif kind == "rising":
                x = np.sort(x)
            elif kind == "with nan" and floats:
                x[rng.random(n) < 0.4] = math.nan
                x[:2] = [-0.0, 0.0]
            t = fg.tensor(x)
            order = np.argsort(x, kind="stable")
            np.testing.assert_array_equal(to_numpy(t.argsort(stable=True)), order)
            falling = np.argsort(x.max() - x if not floats else -x, kind="stable")
            if not np.isnan(x.astype("float64")).any():
                np.testing.assert_array_equal(
                    to_numpy(t.sort(stable=True, descending=True).indices), falling
                )
                assert t.median().item() == x[order[(n - 1) // 2]]
                for k in (10, 100, n // 2):
                    np.testing.assert_array_equal(to_numpy(t.topk(k).indices), falling[:k])
            for k in (1, 10, n // 3, n // 2, n):
                assert t.kthvalue(k).indices.item() == order[k - 1]
                chosen = t.topk(k, largest=False).indices
                np.testing.assert_array_equal(to_numpy(chosen), order[:k])
            got = fg.unique(t, return_inverse=True, return_counts=True)
            expected = np.unique(x, return_inverse=True, return_counts=True, equal_nan=False)
            for ours, theirs in zip((*got, fg.unique(t)), (*expected, expected[0]), strict=True):
                if theirs is not expected[1]:
                    np.testing.assert_array_equal(to_numpy(ours), theirs)
            np.testing.assert_array_equal(to_numpy(got[0][got[1]]), x)

    def test_k_out_of_range(self) -> None:
        with pytest.raises(RuntimeError, match="selected index k out of range"):
            fg.topk(fg.tensor([1.0, 2.0]), 3)
        with pytest.raises(RuntimeError, match="selected number k out of range"):
            fg.kthvalue(fg.tensor([1.0, 2.0]), 0)


class TestOrderStatistics:
    def test_the_median_is_the_lower_one(self) -> None:
        values, indices = fg.tensor([4.0, 1.0, 3.0, 2.0]).median(0)
        assert float(values) == 2.0 and int(indices) == 3

    def test_equal_medians_share_the_gradient(self) -> None:
        x = fg.tensor([1.0, 2.0, 2.0, 3.0, 2.0], requires_grad=True)
        x.median().backward()
        np.testing.assert_allclose(to_numpy(x.grad), [0, 1 / 3, 1 / 3, 0, 1 / 3])

    def test_nan(self) -> None:
        x = fg.tensor([[1.0, math.nan, 5.0, 3.0], [math.nan] * 4])
        assert math.isnan(float(x.median()))
        assert x.median(1).indices.tolist() == [1, 0]
        assert float(x.nanmedian()) == 3.0
        assert fg.isnan(x.nanmedian(1).values).tolist() == [False, True]

    def test_mode_is_the_smallest_of_the_most_frequent(self) -> None:
        values, indices = fg.tensor([3, 1, 3, 1, 2]).mode()
        assert int(values) == 1 and int(indices) == 3

    def test_quantiles_of_a_line_with_nan(self) -> None:
        x = fg.tensor([[1.0, math.nan, 3.0], [1.0, 2.0, 4.0]])
        assert fg.isnan(fg.quantile(x, 0.5, dim=1)).tolist() == [True, False]
        assert fg.nanquantile(x, 0.5, dim=1).tolist() == [2.0, 2.0]

    def test_the_gradient_of_a_quantile_by_its_level(self) -> None:
        x = fg.tensor([1.0, 2.0, 6.0], dtype=fg.float64)
        q = fg.tensor(0.75, dtype=fg.float64, requires_grad=True)
        fg.quantile(x, q).backward()
        assert float(q.grad) == pytest.approx(8.0)


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "uint8"])
@pytest.mark.parametrize("n", [60, 100, 129, 1000, 5000])
def test_topk_takes_the_first_of_equals(n: int, dtype: str) -> None:
    rng = np.random.default_rng(n)
    one, few, many = np.zeros(n), rng.integers(0, 3, n), rng.integers(0, 60, n)
    sparse = np.where(rng.random(n) < 0.9, 20, many)
    rare = np.where(np.arange(n) < n - 2, one, 1)
    for x in (one, one + 255, few, many, sparse, rare, 1 - rare):
        x = x.astype(dtype)
        for k in (1, 3, 10, n // 4, n - 1):
            for largest in (False, True):
                order = np.argsort(-x.astype("float64") if largest else x, kind="stable")[:k]
                values, places = fg.topk(fg.tensor(x), k, largest=largest)
                np.testing.assert_array_equal(to_numpy(places), order)
                np.testing.assert_array_equal(to_numpy(values), x[order])


class TestDistinct:
    @needs_torch
    @pytest.mark.parametrize("dim", [None, 0, 1, 2])
    @pytest.mark.parametrize("name", ["unique", "unique_consecutive"])
    def test_slices(self, name: str, dim: int | None) -> None:
        x = torch.from_numpy(np.random.default_rng(2).integers(0, 2, (6, 3, 2)))
        call: dict[str, Any] = {"return_inverse": True, "return_counts": True, "dim": dim}
        assert_same(getattr(fg, name)(to_fg(x), **call), getattr(torch, name)(x, **call))

    def test_the_inverse_rebuilds_the_input(self) -> None:
        x = fg.tensor(np.random.default_rng(3).integers(0, 9, (5, 7)))
        values, inverse = fg.unique(x, return_inverse=True)
        assert fg.equal(values[inverse], x)

    @pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "int32", "uint8"])
    def test_runs_of_every_length(self, dtype: str) -> None:
        rng = np.random.default_rng(6)
        for n in [1, 2, 64, 65, 66, 1000, 4095, 4097, 9000]:
            many, one = np.arange(n) % 97, np.zeros(n, "int64")
            early = np.arange(n) < n // 2
            for x in (
                rng.integers(0, 2, n),
                rng.integers(0, 100, n),
                many,
                np.sort(many),
                np.where(rng.random(n) < 0.05, 1, many),
                np.where(early, many, one),  # what the first ones are tells nothing of the others
                np.where(early, one, many),
                np.where(early, np.nan, one) if dtype.startswith("float") else one,
                np.where(early, -0.0, 0.0),
            ):
                x = x.astype(dtype)
                begins = np.flatnonzero(np.append(True, x[1:] != x[:-1]))
                t = fg.tensor(x)
                np.testing.assert_array_equal(to_numpy(fg.unique_consecutive(t)), x[begins])
                found = fg.unique_consecutive(t, return_inverse=True, return_counts=True)
                values, inverse, counts = (to_numpy(f) for f in found)
                np.testing.assert_array_equal(values, x[begins])
                np.testing.assert_array_equal(counts, np.diff(np.append(begins, n)))
                np.testing.assert_array_equal(values[inverse], x)

    @pytest.mark.parametrize("dtype", ["bool", "uint8", "int8", "int16", "int32", "int64"])
    def test_one_or_two_values(self, dtype: str) -> None:
        rng = np.random.default_rng(7)
        least = 0 if dtype in ("bool", "uint8") else -(2 ** (8 * np.dtype(dtype).itemsize - 1))
        for n in (1, 2, 63, 1024, 1025, 5000):
            for lower in (least, 0):
                for p in (0.0, 0.001, 0.5, 1.0):
                    x = (lower + 1 * (rng.random(n) < p)).astype(dtype)
                    found = fg.unique(fg.tensor(x), return_inverse=True, return_counts=True)
                    values, inverse, counts = np.unique(x, return_inverse=True, return_counts=True)
                    np.testing.assert_array_equal(to_numpy(found[0]), values)
                    np.testing.assert_array_equal(to_numpy(found[1]), inverse)
                    np.testing.assert_array_equal(to_numpy(found[2]), counts)

    def test_every_nan_is_distinct(self) -> None:
        assert fg.unique(fg.tensor([1.0, math.nan, math.nan])).shape == (3,)

    def test_no_gradient_is_an_error_not_a_silence(self) -> None:
        x = fg.tensor([1.0, 2.0, 1.0], requires_grad=True)
        with pytest.raises(NotImplementedError, match="derivative for '_unique2'"):
            fg.unique(x).sum().backward()


class TestCounting:
    @only_fastgrad
    def test_weights_of_bincount_have_gradients(self) -> None:
        weights = fg.tensor([1.0, 2.0, 3.0], requires_grad=True)
        counts = fg.bincount(fg.tensor([0, 2, 0]), weights)
        assert counts.tolist() == [4.0, 0.0, 2.0]
        (counts * fg.tensor([1.0, 10.0, 100.0])).sum().backward()
        assert weights.grad.tolist() == [1.0, 100.0, 1.0]

    def test_histogram_edges(self) -> None:
        x = fg.tensor([0.0, 1.0, 1.0, 3.0, math.nan, 9.0, -1.0])
        assert fg.histc(x, bins=3, min=0, max=3).tolist() == [1.0, 2.0, 1.0]
        assert fg.histc(fg.tensor([2.0, 2.0]), bins=3).tolist() == [0.0, 2.0, 0.0]
        wide = fg.tensor([0.0, 1e38, 3e38])  # ten times which no float32 is
        assert fg.histc(wide, 10, 0, 3e38).nonzero().flatten().tolist() == [0, 3, 9]

    @pytest.mark.parametrize("dtype", ["uint8", "int8", "int16", "int32", "int64"])
    def test_integers_of_every_type_are_counted(self, dtype: str) -> None:
        for n, most in [(0, 1), (5, 100), (3000, 100), (3000, 2 if dtype == "int8" else 120)]:
            x = np.random.default_rng(n).integers(0, most, n).astype(dtype)
            for t in (fg.tensor(x), fg.tensor(np.repeat(x, 2))[::2]):
                assert fg.bincount(t, minlength=3).tolist() == np.bincount(x, minlength=3).tolist()

    @pytest.mark.parametrize("dtype", ["float32", "float64"])
    @pytest.mark.parametrize("moved", [0.0, 0.2, 0.45])
    def test_places_among_even_edges(self, moved: float, dtype: str) -> None:
        rng = np.random.default_rng(5)
        for n, scale, first in [(8, 1.0, 0.0), (9, 1e-30, 0.0), (300, 1e3, -1e6), (3000, 0.1, 5.0)]:
            edges = ((np.arange(n) + moved * rng.uniform(-1, 1, n)) * scale + first).astype(dtype)
            odd = np.array([0.0, math.inf, -math.inf], dtype)
            near = np.concatenate([edges, np.nextafter(edges, odd[1]), np.nextafter(edges, odd[2])])
            far = (rng.uniform(-0.2, 1.2, 100) * n * scale + first).astype(dtype)
            values = np.concatenate([near, far, odd])
            for side in ("left", "right"):
                found = fg.searchsorted(fg.tensor(edges), fg.tensor(values), side=side)
                np.testing.assert_array_equal(to_numpy(found), np.searchsorted(edges, values, side))
            counts = to_numpy(fg.histogram(fg.tensor(values), fg.tensor(edges)).hist)
            inside = values[np.isfinite(values)]
            np.testing.assert_array_equal(counts, np.histogram(inside, edges)[0])
            last = fg.searchsorted(fg.tensor(edges), fg.full((n,), math.nan, dtype=fg.float64))
            assert last.tolist() == [n] * n

    @pytest.mark.parametrize("right", [False, True])
    def test_places_are_numpys(self, right: bool) -> None:
        rng = np.random.default_rng(4)
        edges, values = np.sort(rng.integers(0, 20, 15)), rng.integers(-2, 22, (4, 7))
        expected = np.searchsorted(edges, values, "right" if right else "left")
        found = fg.searchsorted(fg.tensor(edges), fg.tensor(values), right=right)
        np.testing.assert_array_equal(to_numpy(found), expected)
        buckets = fg.bucketize(fg.tensor(values), fg.tensor(edges), right=right)
        np.testing.assert_array_equal(to_numpy(buckets), expected)
        mixed = rng.permutation(15)
        moved = np.empty_like(edges)
        moved[mixed] = edges
        found = fg.searchsorted(
            fg.tensor(moved), fg.tensor(values), right=right, sorter=fg.tensor(mixed)
        )
        np.testing.assert_array_equal(to_numpy(found), expected)
        rows = fg.searchsorted(fg.tensor(edges).expand(4, 15), fg.tensor(values), right=right)
        np.testing.assert_array_equal(to_numpy(rows), expected)


class TestDifferences:
    def test_diff_is_undone_by_cumsum(self) -> None:
        x = fg.tensor(np.random.default_rng(5).standard_normal((3, 6)))
        steps = fg.diff(x, dim=1, prepend=fg.zeros(3, 1, dtype=fg.float64))
        np.testing.assert_allclose(to_numpy(steps.cumsum(1)), to_numpy(x), atol=1e-14)

    def test_bools_differ_by_exclusive_or(self) -> None:
        assert fg.diff(fg.tensor([True, True, False])).tolist() == [False, True]

    def test_the_trapezoidal_rule_is_exact_for_lines(self) -> None:
        x = fg.tensor([0.0, 0.5, 2.0, 3.0], dtype=fg.float64, requires_grad=True)
        integral = fg.trapezoid(2 * x + 1, x)
        assert float(integral) == pytest.approx(12.0)
        assert float(fg.cumulative_trapezoid(2 * x + 1, x)[-1]) == pytest.approx(12.0)

    def test_bool_samples_are_refused(self) -> None:
        with pytest.raises(RuntimeError, match="bool is not supported"):
            fg.trapezoid(fg.tensor([True, False]))


class TestCovariance:
    def test_correlations_stay_within_one(self) -> None:
        x = fg.tensor([[1.0, 2.0, 3.0], [1.0, 2.0, 3.0], [3.0, 2.0, 1.0]])
        r = fg.corrcoef(x)
        assert float(r.max()) <= 1 and float(r.min()) >= -1

    def test_frequencies_repeat_observations(self) -> None:
        x = fg.tensor(np.random.default_rng(6).standard_normal((2, 3)))
        repeated = x[:, [0, 0, 1, 2, 2, 2]]
        np.testing.assert_allclose(
            to_numpy(fg.cov(x, fweights=fg.tensor([2, 1, 3]))), to_numpy(fg.cov(repeated))
        )

    def test_too_few_observations_warn(self) -> None:
        with pytest.warns(UserWarning, match="degrees of freedom is <= 0"):
            fg.cov(fg.tensor([[1.0], [2.0]]))
