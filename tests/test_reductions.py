"""What reductions promise beyond PyTorch's samples: accuracy, layouts, zeros, NaN, names."""

from __future__ import annotations

import itertools
import math
import warnings
from typing import Any

import numpy as np
import pytest
from numpy.lib.stride_tricks import as_strided

from reference import assert_same, fg, needs_torch, only_fastgrad, to_numpy, torch
from test_parallel import restore_threads

__all__ = ["restore_threads"]
REDUCTIONS = ("sum", "mean", "nansum", "var", "std", "amax", "amin", "any", "all", "logsumexp")


def layouts(array: np.ndarray) -> dict[str, np.ndarray]:
    """The same values under several strides."""
    gaps = np.repeat(array, 2, axis=-1)[..., ::2]
    return {
        "row-major": array,
        "column-major": np.asfortranarray(array),
        "with gaps": gaps,
        # broadcast_to makes a read-only array, about which from_numpy warns.
        "expanded": as_strided(array, (3, *array.shape), (0, *array.strides)),
    }


class TestLayouts:
    @needs_torch
    @pytest.mark.filterwarnings("ignore:.*degrees of freedom is <= 0")  # one element per result
    @pytest.mark.parametrize("name", REDUCTIONS)
    @pytest.mark.parametrize("shape", [(3, 4), (5, 1, 6), (130, 70), (2, 3, 2, 5)])
    def test_every_set_of_dims(self, name: str, shape: tuple[int, ...]) -> None:
        array = np.random.default_rng(0).standard_normal(shape)
        for label, a in layouts(array).items():
            ours, theirs = fg.from_numpy(a), torch.from_numpy(a)
            for count in range(1, a.ndim + 1):
                for dims in itertools.combinations(range(a.ndim), count):
                    for keepdim in (False, True):
                        call = {"dim": dims, "keepdim": keepdim}
                        assert_same(
                            getattr(fg, name)(ours, **call),
                            getattr(torch, name)(theirs, **call),
                            what=f"{name} of {label} {shape} over {call}",
                        )

    def test_a_result_does_not_depend_on_where_the_memory_starts(self) -> None:
        values = np.random.default_rng(1).standard_normal(4994).astype(np.float32)
        memory = np.empty(5008, np.float32)
        sums = set()
        for start in range(8):
            view = memory[start : start + 4994]
            view[...] = values
            sums.add(float(fg.from_numpy(view).sum()))
        assert len(sums) == 1

    @pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "int32", "float16"])
    @pytest.mark.parametrize(
        "shape", [(5, 3, 8), (130, 5, 64), (3, 700, 2), (2, 3, 4, 5), (70, 2, 3)]
    )
    def test_dims_around_a_kept_one(self, shape: tuple[int, ...], dtype: str) -> None:
        x = np.random.default_rng(3).integers(-9, 9, shape).astype(dtype)
        dims = (0, 2) if len(shape) == 3 else (0, 3)
        t, wide = fg.tensor(x), x.astype("float64")
        np.testing.assert_array_equal(to_numpy(t.sum(dims)), wide.sum(dims).astype(dtype))
        np.testing.assert_array_equal(to_numpy(t.amax(dims)), x.max(dims))
        if dtype.startswith("float"):
            rtol = 2e-3 if dtype == "float16" else 1e-5
            np.testing.assert_allclose(to_numpy(t.var(dims)), wide.var(dims, ddof=1), rtol=rtol)

    @pytest.mark.parametrize("dtype", ["int64", "int32", "int16", "int8", "uint8"])
    def test_integers_of_every_length(self, dtype: str) -> None:
        limits = np.iinfo(dtype)
        for n in [1, 15, 16, 63, 64, 65, 127, 128, 129, 255, 256, 1023, 1024, 3000]:
            x = np.random.default_rng(n).integers(limits.min, limits.max, (3, n), dtype)
            np.testing.assert_array_equal(to_numpy(fg.tensor(x).sum(1)), x.sum(1, dtype="int64"))

    @pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "int32", "int64"])
    def test_places_of_extreme_integers(self, dtype: str) -> None:
        """Whatever the length and wherever they are: the first of two that are equal counts."""
        low, high = (int(v) for v in (np.iinfo(dtype).min, np.iinfo(dtype).max))
        for n in (1, 5, 16, 31, 63, 64, 65, 130, 500, 1024, 1025, 2100):
            places = range(n) if n < 70 else [*range(0, n, 37), n - 2, n - 1]
            x = np.zeros((len(places), n), dtype)
            for row, place in enumerate(places):
                x[row, [place, -1]] = high
                x[row, n - 1 - place if n - 1 - place != place else 0] = low
            t = fg.tensor(x)
            assert fg.argmax(t, 1).tolist() == x.argmax(1).tolist(), n
            assert fg.argmin(t, 1).tolist() == x.argmin(1).tolist(), n
            assert fg.amax(t, 1).tolist() == x.max(1).tolist(), n
            assert fg.amin(t, 1).tolist() == x.min(1).tolist(), n

    @pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
    @pytest.mark.parametrize("shape", [(700, 3), (40, 90, 8), (9, 2000, 5), (33, 4, 6, 7)])
    def test_half_types_with_few_columns(self, shape: tuple[int, ...], dtype: str) -> None:
        """They are summed in float32, in the same order by any number of threads."""
        x = fg.tensor(np.random.default_rng(6).random(shape)).to(getattr(fg, dtype))
        exact = x.double().numpy()
        for count in range(1, len(shape) + 1):
            for dims in itertools.combinations(range(len(shape)), count):
                results = []
                for threads in (1, 3):
                    fg.set_num_threads(threads)
                    results.append(fg.sum(x, dims, dtype=fg.float32).numpy())
                np.testing.assert_allclose(results[0], exact.sum(dims), 1e-5)
                assert results[0].tobytes() == results[1].tobytes()


class TestAccuracy:
    @pytest.mark.parametrize("n", [1, 3, 31, 1000, 1_000_003])
    def test_float32_sums_stay_close_to_the_exact_one(self, n: int) -> None:
        values = np.random.default_rng(2).uniform(0, 1, n).astype(np.float32)
        exact = math.fsum(values.tolist())
        assert float(fg.from_numpy(values).sum()) == pytest.approx(exact, rel=3e-7)
        assert float(fg.from_numpy(values).mean()) == pytest.approx(exact / n, rel=3e-7)

    def test_columns_are_as_accurate_as_rows(self) -> None:
        values = np.random.default_rng(3).uniform(0, 1, (100_000, 5)).astype(np.float32)
        exact = values.astype(np.float64).sum(0)
        np.testing.assert_allclose(to_numpy(fg.from_numpy(values).sum(0)), exact, rtol=3e-7)

    @pytest.mark.parametrize("dtype", ["float32", "float64"])
    @pytest.mark.parametrize("columns", [2, 4, 8, 16])
    def test_sums_down_columns_that_a_register_holds(self, columns: int, dtype: str) -> None:
        rng = np.random.default_rng(columns)
        for rows in (2, 3, 15, 16, 33, 500, 1025, 5001):
            values = rng.uniform(0.5, 1, (3, rows, columns)).astype(dtype)
            exact = values.astype(np.float64).sum(1)
            sums = fg.from_numpy(values).sum(1).numpy()
            np.testing.assert_allclose(sums, exact, 1e-6 if dtype == "float32" else 1e-13)

    @pytest.mark.parametrize(
        "name", ["sum", "nansum", "prod", "amax", "var", "argmax", "logsumexp"]
    )
    def test_a_row_more_than_what_threads_share(self, name: str) -> None:
        """Rows are cut where 65536 elements are; the last ones may be fewer than fill registers."""
        for rows, columns in ((8193, 8), (16387, 8), (21846, 3)):
            column = np.random.default_rng(rows).uniform(0.999, 1, rows)
            values = fg.from_numpy(np.repeat(column[:, None], columns, 1))
            whole = getattr(fg, name)(values[:, 0].contiguous(), 0).item()
            reduced = getattr(fg, name)(values, 0).numpy()
            np.testing.assert_allclose(reduced, np.repeat(whole, columns), 1e-12)

    @only_fastgrad
    def test_variance_far_from_zero(self) -> None:
        noise = np.random.default_rng(4).standard_normal(10_000)
        values = fg.from_numpy(noise + 1e9)
        assert float(values.var()) == pytest.approx(np.var(noise, ddof=1), rel=1e-6)
        assert float(values.reshape(-1, 1).var(0)) == pytest.approx(np.var(noise, ddof=1), rel=1e-6)

    @only_fastgrad
    def test_running_sums_of_float32_lose_nothing_on_the_way(self) -> None:
        values = np.full(200_000, 0.1, np.float32)
        exact = np.cumsum(values.astype(np.float64))
        np.testing.assert_allclose(to_numpy(fg.from_numpy(values).cumsum(0)), exact, rtol=1e-7)

    @pytest.mark.parametrize("lines", [1, 7, 8, 17])
    @pytest.mark.parametrize("n", [100, 511, 512, 513, 700])
    def test_running_sums_of_lines(self, lines: int, n: int) -> None:
        x = np.random.default_rng(0).integers(-9, 9, (lines, n)).astype(np.float64)
        t = fg.tensor(x, requires_grad=True)
        y = t.cumsum(1)
        np.testing.assert_array_equal(to_numpy(y.detach()), np.cumsum(x, 1))
        y.sum().backward()  # scans from the other end
        expected = np.broadcast_to(np.arange(n, 0, -1.0), x.shape)
        np.testing.assert_array_equal(to_numpy(t.grad), expected)
        best = fg.tensor(x).cummax(1)
        np.testing.assert_array_equal(to_numpy(best.values), np.maximum.accumulate(x, 1))

    def test_integers_wrap_around(self) -> None:
        big = fg.tensor([2**62, 2**62, 2**62])
        assert int(big.sum()) == 3 * 2**62 - 2**64
        assert int(fg.tensor([2**32, 2**33]).prod()) == 0


def product_gradients(x: Any) -> tuple[np.ndarray, np.ndarray]:
    """The gradient of the product of a vector and its Hessian, from the definition."""
    n = len(x)
    first = [math.prod(x[k] for k in range(n) if k != i) for i in range(n)]
    second = [
        [0 if i == j else math.prod(x[k] for k in range(n) if k not in (i, j)) for j in range(n)]
        for i in range(n)
    ]
    return np.array(first), np.array(second)


class TestLongRows:
    @pytest.mark.parametrize("dtype", ["float32", "float64"])
    @pytest.mark.parametrize("n", [2048, 3072, 7168, 1500])
    def test_rows_of_blocks_are_as_one_line_each(self, n: int, dtype: str) -> None:
        x = fg.tensor(np.random.default_rng(n).normal(1, 0.03, (19, n + 5)).astype(dtype))
        for name in ("sum", "mean", "prod", "amax", "amin", "norm", "var", "logsumexp"):
            f = getattr(fg, name)
            for rows in (x[:, :n].contiguous(), x[:, 2 : n + 2], x[::3, :n]):
                lines = [float(f(rows[i].contiguous(), dim=0)) for i in range(len(rows))]
                assert f(rows, dim=1).tolist() == lines, name


class TestRunning:
    @pytest.mark.parametrize("dtype", ["bool", "uint8", "int8", "int16", "int32", "int64"])
    @pytest.mark.parametrize("columns", [1, 2, 3, 4, 5, 7, 8, 9, 12, 16, 17])
    def test_extremes_down_few_columns_of_integers(self, dtype: str, columns: int) -> None:
        rng = np.random.default_rng(columns)
        for rows in (1, 2, 7, 8, 33, 100):
            few = rng.integers(-2, 3, (2, rows, columns)).astype(dtype)
            many = rng.integers(-(2**62), 2**62, (2, rows, columns)).astype(dtype)
            bits = np.zeros(few.nbytes, "uint8")
            bits[few.itemsize - 1 :: few.itemsize] = 0 if dtype in ("bool", "uint8") else 128
            lowest = bits.view(dtype).reshape(few.shape)
            sorted_ = np.sort(many, 1)
            for x in (few, many, sorted_, sorted_[:, ::-1], lowest):
                for f, best in ((fg.cummax, np.maximum), (fg.cummin, np.minimum)):
                    values, places = f(fg.tensor(x), 1)
                    expected = best.accumulate(x, 1)
                    at = np.arange(rows)[:, None]
                    last = np.maximum.accumulate(np.where(x == expected, at, 0), 1)
                    np.testing.assert_array_equal(values.numpy(), expected)
                    np.testing.assert_array_equal(places.numpy(), last)

    @pytest.mark.parametrize("dtype", ["bool", "int8", "int16", "int64", "float32", "float64"])
    @pytest.mark.parametrize("shape", [(1, 5000), (9, 20), (21, 64), (3, 333), (18, 5)])
    @pytest.mark.parametrize("kind", ["any", "few", "rising", "falling", "lowest"])
    def test_extremes_and_their_places(self, dtype: str, shape: Any, kind: str) -> None:
        """Of equal elements the last one so far counts."""
        rng = np.random.default_rng(shape[1])
        x = rng.standard_normal(shape) * (2 if kind == "few" else 90)
        x = {"rising": np.sort(x), "falling": -np.sort(x)}.get(kind, x)
        x = x.round().astype(dtype)
        if kind == "lowest":
            x[...] = np.iinfo(dtype).min if dtype.startswith("int") else -np.inf
        at = np.arange(shape[1])
        for f, best in ((fg.cummax, np.maximum), (fg.cummin, np.minimum)):
            values, places = f(fg.tensor(x), 1)
            expected = best.accumulate(x, 1)
            last = np.maximum.accumulate(np.where(x == expected, at, 0), 1)
            np.testing.assert_array_equal(values.numpy(), expected)
            np.testing.assert_array_equal(places.numpy(), last)

    @pytest.mark.parametrize("n", [1, 2, 4, 5, 6, 9, 333])
    def test_sums_and_products_of_integers(self, n: int) -> None:
        x = np.random.default_rng(n).integers(-9, 10, (17, n)) * 2 + 1
        for dtype in ("int8", "int32", "int64"):
            t = fg.tensor(x.astype("int16"))
            total = fg.cumsum(t, 1, dtype=getattr(fg, dtype))
            product = fg.cumprod(t, 1, dtype=getattr(fg, dtype))
            np.testing.assert_array_equal(total.numpy(), x.cumsum(1).astype(dtype))
            np.testing.assert_array_equal(product.numpy(), x.cumprod(1).astype(dtype))

    @pytest.mark.parametrize("dtype", ["float32", "float64"])
    def test_nan_stays_the_extreme(self, dtype: str) -> None:
        x = np.random.default_rng(8).standard_normal((2, 700)).astype(dtype)
        x[0, [100, 400]] = np.nan
        x[1, 333] = np.nan
        values, places = fg.cummax(fg.tensor(x[0]), 0)
        assert np.isnan(values.numpy()[100:]).all() and not np.isnan(values.numpy()[:100]).any()
        assert set(places.numpy()[100:400]) == {100} and set(places.numpy()[400:]) == {400}
        values, places = fg.cummin(fg.tensor(x), 1)
        assert set(places.numpy()[1, 333:]) == {333}


class TestProducts:
    @pytest.mark.parametrize(
        "point", [[2.0, 3.0, 4.0], [2.0, 0.0, 4.0], [0.0, 0.0, 4.0], [0.0, 0.0, 0.0]]
    )
    @pytest.mark.parametrize("along", [False, True])
    def test_gradient_and_hessian_with_zeros(self, point: list[float], along: bool) -> None:
        first, second = product_gradients(point)
        x = fg.tensor(point, dtype=fg.float64, requires_grad=True)
        y = x.prod(0) if along else x.prod()
        (g,) = fg.autograd.grad(y, x, create_graph=True)
        np.testing.assert_allclose(to_numpy(g), first)
        rows = [fg.autograd.grad(g[i], x, retain_graph=True)[0] for i in range(3)]
        np.testing.assert_allclose(np.stack([to_numpy(r) for r in rows]), second)

    @pytest.mark.parametrize("dtype", ["float32", "float64"])
    @pytest.mark.parametrize("zeros", [0, 1, 2])
    def test_gradient_of_long_lines(self, dtype: str, zeros: int) -> None:
        """By division, unless there is a zero."""
        cases = [((3000,), None), ((40, 50), None), ((40, 50), 1), ((40, 50), 0), ((3, 500), 1)]
        for shape, dim in [*cases, ((300, 3), 0), ((2, 90, 7), 1)]:
            x = np.random.default_rng(4).uniform(0.9, 1.1, shape).astype(dtype)
            x.reshape(-1)[[7, 30][:zeros]] = 0
            t = fg.tensor(x, requires_grad=True)
            (t.prod() if dim is None else t.prod(dim)).sum().backward()
            lines = np.moveaxis(x.reshape(-1) if dim is None else x, dim or 0, -1).astype("float64")
            ones = np.ones((*lines.shape[:-1], 1))
            before = np.concatenate([ones, lines.cumprod(-1)[..., :-1]], -1)
            after = np.concatenate([ones, lines[..., ::-1].cumprod(-1)[..., :-1]], -1)[..., ::-1]
            expected = np.moveaxis(before * after, -1, dim or 0).reshape(shape)
            tolerance = 2e-5 if dtype == "float32" else 1e-12
            np.testing.assert_allclose(to_numpy(t.grad), expected, tolerance, 0)

    @pytest.mark.parametrize("n", [1, 2, 3, 4, 7, 16, 33])
    def test_gradient_with_a_zero_at_any_length(self, n: int) -> None:
        for place in {0, n // 2, n - 1}:
            x = np.random.default_rng(n).uniform(0.5, 1.5, n)
            x[place] = 0
            t = fg.tensor(x, requires_grad=True)
            t.prod().backward()
            np.testing.assert_allclose(to_numpy(t.grad), product_gradients(x)[0], 1e-12)

    @pytest.mark.parametrize("scale", [1e-30, 1e30])
    def test_gradient_where_the_product_leaves_the_numbers(self, scale: float) -> None:
        x = np.full(20, 1.5, np.float32)
        x[:2] = scale
        t = fg.tensor(x, requires_grad=True)
        with np.errstate(all="ignore"):
            t.prod().backward()
            expected = np.array([np.delete(x, i).prod(dtype="float64") for i in range(20)])
            np.testing.assert_allclose(to_numpy(t.grad), expected.astype(np.float32), 1e-5)

    @pytest.mark.parametrize("zeros", [0, 1, 2])
    def test_second_derivatives_of_lines(self, zeros: int) -> None:
        x = np.random.default_rng(5).uniform(0.5, 1.5, (2, 18))
        x[0, [3, 11][:zeros]] = 0
        t = fg.tensor(x, requires_grad=True)
        assert fg.autograd.gradgradcheck(lambda v: v.prod(1), (t,))
        assert fg.autograd.gradgradcheck(lambda v: v.prod(0), (t,))
        one = fg.tensor(x[0])
        hessian = fg.func.hessian(fg.prod)(one)
        np.testing.assert_allclose(to_numpy(hessian), product_gradients(x[0])[1], atol=1e-12)
        batched = fg.func.vmap(fg.func.grad(fg.prod))(fg.tensor(x))
        np.testing.assert_allclose(to_numpy(batched)[0], product_gradients(x[0])[0], atol=1e-12)

    def test_third_order_at_two_zeros(self) -> None:
        x = fg.tensor([0.0, 0.0, 5.0], dtype=fg.float64, requires_grad=True)
        (g,) = fg.autograd.grad(x.prod(), x, create_graph=True)
        (h,) = fg.autograd.grad(g[0], x, create_graph=True)
        (third,) = fg.autograd.grad(h[1], x)
        np.testing.assert_allclose(to_numpy(third), [0, 0, 1])

    @pytest.mark.parametrize("point", [[2.0, 3.0, 4.0], [2.0, 0.0, 4.0], [0.0, 3.0, 0.0]])
    def test_running_product_with_zeros(self, point: list[float]) -> None:
        x = fg.tensor(point, dtype=fg.float64, requires_grad=True)
        y = x.cumprod(0)
        for k in range(3):
            first, _ = product_gradients(point[: k + 1])
            (g,) = fg.autograd.grad(y[k], x, retain_graph=True)
            np.testing.assert_allclose(to_numpy(g), [*first, *[0.0] * (2 - k)])

    def test_running_product_passes_gradgradcheck_at_zeros(self) -> None:
        x = fg.tensor([[1.5, 0.0, -2.0], [0.0, 0.5, 0.0]], dtype=fg.float64, requires_grad=True)
        assert fg.autograd.gradgradcheck(lambda t: t.cumprod(1), (x,))
        assert fg.autograd.gradgradcheck(lambda t: t.cumprod(0), (x,))


class TestTies:
    VALUES = ((1.0, 3.0, 3.0), (2.0, 2.0, 2.0))

    @pytest.mark.parametrize(
        ("call", "expected"),
        [
            (lambda x: x.amax(1), [[0, 0.5, 0.5], [1 / 3] * 3]),
            (lambda x: x.amin(1), [[1, 0, 0], [1 / 3] * 3]),
            (lambda x: x.max(), [[0, 0.5, 0.5], [0] * 3]),
            (lambda x: x.max(1).values, [[0, 1, 0], [1, 0, 0]]),
            (lambda x: x.min(1).values, [[1, 0, 0], [1, 0, 0]]),
            (lambda x: x.cummax(1).values, [[1, 1, 1], [1, 1, 1]]),
        ],
    )
    def test_who_gets_the_gradient(self, call: Any, expected: Any) -> None:
        x = fg.tensor(self.VALUES, dtype=fg.float64, requires_grad=True)
        call(x).sum().backward()
        np.testing.assert_allclose(to_numpy(x.grad), expected)

    def test_indices_are_those_of_the_first(self) -> None:
        x = fg.tensor(self.VALUES)
        assert x.argmax(1).tolist() == [1, 0]
        assert x.max(1).indices.tolist() == [1, 0]
        assert int(x.argmax()) == 1
        assert x.t().argmin().item() == 0

    def test_the_index_counts_logically_whatever_the_strides(self) -> None:
        array = np.random.default_rng(5).standard_normal((40, 60, 3))
        view = fg.from_numpy(array.transpose(2, 0, 1))
        assert int(view.argmax()) == int(array.transpose(2, 0, 1).argmax())


class TestNan:
    def test_extremes_let_nan_win(self) -> None:
        x = fg.tensor([[1.0, math.nan, 3.0], [1.0, 2.0, 0.0]])
        assert math.isnan(float(x.max())) and math.isnan(float(x.amin()))
        values, indices = x.max(1)
        assert indices.tolist() == [1, 1] and math.isnan(float(values[0]))
        assert x.cummin(1).indices.tolist() == [[0, 1, 1], [0, 0, 2]]

    @pytest.mark.parametrize("dtype", ["float32", "float64"])
    @pytest.mark.parametrize("n", [63, 64, 67, 200, 1024, 2048])
    def test_extremes_see_nan_in_every_place(self, n: int, dtype: str) -> None:
        x = np.random.default_rng(n).standard_normal((40, n)).astype(dtype)
        places = np.linspace(0, n - 1, 39).astype(int)
        x[np.arange(39), places] = np.nan
        x[:13] *= -1  # the sign of NaN too
        for name in ("amax", "amin"):
            of_rows = getattr(fg, name)(fg.tensor(x), 1).numpy()
            assert np.isnan(of_rows[:39]).all()
            assert of_rows[39] == getattr(np, name)(x[39])
            assert math.isnan(float(getattr(fg.tensor(x), name)()))
        for name in ("argmax", "argmin"):
            found = getattr(fg.tensor(x), name)(1).numpy()
            np.testing.assert_array_equal(found[:39], places)

    def test_nansum_and_nanmean_leave_nan_out(self) -> None:
        x = fg.tensor([1.0, math.nan, 3.0], requires_grad=True)
        (fg.nansum(x) + fg.nanmean(x)).backward()
        np.testing.assert_allclose(to_numpy(x.grad), [1.5, 0.0, 1.5])

    @only_fastgrad
    def test_the_gradient_goes_to_the_nan_that_won(self) -> None:
        x = fg.tensor([1.0, math.nan, 3.0], requires_grad=True)
        x.amax().backward()
        assert x.grad.tolist() == [0.0, 1.0, 0.0]


class TestSingularPoints:
    @only_fastgrad
    @pytest.mark.parametrize("name", ["logsumexp", "logcumsumexp"])
    def test_nothing_but_minus_infinity_has_a_zero_gradient(self, name: str) -> None:
        x = fg.tensor([[-math.inf, -math.inf], [0.0, -math.inf]], requires_grad=True)
        getattr(fg, name)(x, 1).nan_to_num(0, 0, 0).sum().backward()
        assert np.isfinite(to_numpy(x.grad)).all()
        assert x.grad[0].tolist() == [0.0, 0.0]

    @only_fastgrad
    @pytest.mark.parametrize("name", ["softmax", "log_softmax"])
    def test_a_masked_row_of_softmax_stays_harmless(self, name: str) -> None:
        x = fg.tensor([[-math.inf, -math.inf], [0.0, 1.0]], requires_grad=True)
        y = getattr(fg, name)(x, 1)
        fg.where(y == y, y, 0.0).sum().backward()
        assert np.isfinite(to_numpy(x.grad)).all()

    def test_the_standard_deviation_of_equal_values_has_a_zero_gradient(self) -> None:
        x = fg.tensor([2.0, 2.0, 2.0], requires_grad=True)
        x.std().backward()
        assert x.grad.tolist() == [0.0, 0.0, 0.0]

    @only_fastgrad
    def test_the_variance_of_one_value_behind_a_mask(self) -> None:
        x = fg.tensor([[1.0], [2.0]], requires_grad=True)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            v = x.var(1)
        fg.where(v == v, v, 0.0).sum().backward()
        assert x.grad.tolist() == [[0.0], [0.0]]

    def test_too_few_values_warn(self) -> None:
        with pytest.warns(UserWarning, match="degrees of freedom is <= 0"):
            assert math.isnan(float(fg.var(fg.tensor([1.0]))))

    def test_large_exponents(self) -> None:
        x = fg.tensor([1e4, 1e4 - 1, -1e4], dtype=fg.float64)
        assert float(fg.logsumexp(x, 0)) == pytest.approx(1e4 + math.log1p(math.exp(-1)))
        np.testing.assert_allclose(float(fg.softmax(x, 0).sum()), 1.0)


class TestNames:
    @pytest.mark.parametrize(
        ("call", "name"),
        [
            (lambda x: x.sum(), "SumBackward0"),
            (lambda x: x.sum(0), "SumBackward1"),
            (lambda x: x.mean(), "MeanBackward0"),
            (lambda x: x.mean((0, 1)), "MeanBackward1"),
            (lambda x: x.prod(), "ProdBackward0"),
            (lambda x: x.prod(1), "ProdBackward1"),
            (lambda x: x.max(), "MaxBackward1"),
            (lambda x: x.max(0).values, "MaxBackward0"),
            (lambda x: x.std(), "StdBackward0"),
            (lambda x: x.amax(0), "AmaxBackward0"),
            (lambda x: x.logsumexp(0), "LogsumexpBackward0"),
            (lambda x: x.softmax(0), "SoftmaxBackward0"),
            (lambda x: x.log_softmax(0), "LogSoftmaxBackward0"),
            (lambda x: x.cumsum(0), "CumsumBackward0"),
            (lambda x: x.cumprod(0), "CumprodBackward0"),
        ],
    )
    def test_of_nodes(self, call: Any, name: str) -> None:
        x = fg.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
        assert call(x).grad_fn.name() == name

    def test_of_results(self) -> None:
        result = fg.max(fg.tensor([[1.0, 3.0]]), 1)
        assert type(result).__name__ == "max" and isinstance(result, tuple)
        assert repr(result) == (
            f"{fg.__name__}.return_types.max(\nvalues=tensor([3.]),\nindices=tensor([1]))"
        )
        values, indices = result
        assert values is result.values and indices is result[1]

    def test_out_of_a_named_tuple(self) -> None:
        x = fg.tensor([[1.0, 3.0], [5.0, 2.0]])
        values, indices = fg.empty(2), fg.empty(2, dtype=fg.int64)
        result = fg.max(x, 1, out=(values, indices))
        assert result.values is values and values.tolist() == [3.0, 5.0]
        assert indices.tolist() == [1, 0]


class TestErrors:
    @pytest.mark.parametrize(
        ("call", "error", "text"),
        [
            (lambda x: x.sum(5), IndexError, "Dimension out of range"),
            (lambda x: x.sum((0, -2)), RuntimeError, "dim 0 appears multiple times"),
            (lambda x: x.long().mean(), RuntimeError, "could not infer output dtype"),
            (lambda x: x[:0].amax(0), IndexError, "non-zero size"),
            (lambda x: x[:0].max(), RuntimeError, "Expected reduction dim to be specified"),
            (lambda x: x[:0].argmax(), IndexError, "Expected reduction dim to be specified"),
            (lambda x: x.long().var(), RuntimeError, "only support floating point"),
            (lambda x: x.softmax(2), IndexError, "Dimension out of range"),
            (lambda x: x.long().softmax(0), NotImplementedError, "not implemented for 'Long'"),
        ],
    )
    def test_class_and_text(self, call: Any, error: type[Exception], text: str) -> None:
        with pytest.raises(error, match=text):
            call(fg.tensor([[1.0, 2.0], [3.0, 4.0]]))


@pytest.mark.parametrize(
    ("name", "dtype"),
    [
        *itertools.product(("sum", "mean", "amax", "var"), ("float16", "float32", "float64")),
        *itertools.product(("sum", "amax"), ("int64",)),
    ],
)
def test_rows_cut_out_of_larger_ones(name: str, dtype: str) -> None:
    """Runs that do not follow one another are reduced one by one, then together."""
    x = np.random.default_rng(3).integers(-3, 4, (5, 70, 300)).astype(dtype)
    x[tuple(n // 2 for n in x.shape)] = 9  # the only one
    t = fg.tensor(x)
    options = {"ddof": 1} if name == "var" else {}
    tolerance = 2e-3 if dtype == "float16" else 1e-5
    for cut in (np.s_[:, :, 9:], np.s_[:, 3:60, 100:229], np.s_[1:3, ::2, :64], np.s_[:2, :2, 1:]):
        for dims in ((0, 1, 2), (1, 2), (0, 2)):
            exact = x[cut].astype(np.float64 if dtype != "int64" else dtype)
            expected = getattr(np, name)(exact, axis=dims, **options)
            results = []
            for threads in (1, 3):
                fg.set_num_threads(threads)
                results.append(getattr(fg, name)(t[cut], dims).numpy())
                np.testing.assert_allclose(results[-1], expected, tolerance, tolerance)
            assert results[0].tobytes() == results[1].tobytes()
