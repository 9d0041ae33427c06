"""Reductions and scans of lines too short for a register: points, colours, classes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from reference import fg, only_fastgrad

Array = np.ndarray[Any, Any]

LENGTHS = [*range(1, 21), 31, 32, 33, 64, 65]
# Fewer lines than are taken together, a register's and some more, more than one tile of them.
LINES = (1, 15, 16, 17, 65, 700)
DTYPES = ("float32", "float64", "int32", "uint8", "int16", "int64")


@pytest.fixture(autouse=True)
def restore_threads() -> Iterator[None]:
    """Gives the number of threads back."""
    before = fg.get_num_threads()
    yield
    fg.set_num_threads(before)


def numbers(shape: tuple[int, ...], dtype: str) -> Array:
    """Numbers of which some are equal."""
    rng = np.random.default_rng(sum(shape))
    low = 0 if dtype == "uint8" else -3
    return (rng.integers(low, 4, shape) / (2 if "float" in dtype else 1)).astype(dtype)


def logsumexp(x: Array, axis: Any) -> Array:
    """As NumPy would."""
    top = x.max(axis, keepdims=True)
    return np.log(np.exp(x - top).sum(axis)) + np.squeeze(top, axis)


def softmax(x: Array, axis: int) -> Array:
    """As NumPy would."""
    e = np.exp(x - x.max(axis, keepdims=True))
    return e / e.sum(axis, keepdims=True)


ANY_TYPE: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "sum": (lambda x, d: x.sum(d), lambda x, d: x.sum(d)),
    "amax": (lambda x, d: x.amax(d), lambda x, d: x.max(d)),
    "amin": (lambda x, d: x.amin(d), lambda x, d: x.min(d)),
    "any": (lambda x, d: (x > 1).any(d), lambda x, d: (x > 1).any(d)),
    "all": (lambda x, d: (x != 2).all(d), lambda x, d: (x != 2).all(d)),
    "count_nonzero": (lambda x, d: fg.count_nonzero(x, d), lambda x, d: (x != 0).sum(d)),
}
FLOATING: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "mean": (lambda x, d: x.mean(d), lambda x, d: x.mean(d)),
    "var": (lambda x, d: x.var(d, correction=0), lambda x, d: x.var(d)),
    "norm": (lambda x, d: fg.linalg.vector_norm(x, dim=d), lambda x, d: np.sqrt((x * x).sum(d))),
    "norm1": (lambda x, d: fg.linalg.vector_norm(x, 1, dim=d), lambda x, d: abs(x).sum(d)),
    "norm inf": (
        lambda x, d: fg.linalg.vector_norm(x, float("inf"), dim=d),
        lambda x, d: abs(x).max(d),
    ),
    "logsumexp": (lambda x, d: x.logsumexp(d), logsumexp),
}
ONE_DIM: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "prod": (lambda x, d: x.prod(d), lambda x, d: x.prod(d)),
    "argmax": (lambda x, d: x.argmax(d), lambda x, d: x.argmax(d)),
    "argmin": (lambda x, d: x.argmin(d), lambda x, d: x.argmin(d)),
    "max": (lambda x, d: x.max(d).indices, lambda x, d: x.argmax(d)),
    "cumsum": (lambda x, d: x.cumsum(d), lambda x, d: x.cumsum(d)),
    "cumprod": (lambda x, d: x.cumprod(d), lambda x, d: x.cumprod(d)),
    "cummax": (lambda x, d: x.cummax(d).values, lambda x, d: np.maximum.accumulate(x, d)),
}
FLOATING_ONE_DIM: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "softmax": (lambda x, d: x.softmax(d), softmax),
    "log_softmax": (lambda x, d: x.log_softmax(d), lambda x, d: np.log(softmax(x, d))),
}


def check(x: Any, values: Array, dims: tuple[int, ...]) -> None:
    """Compares all functions with NumPy's."""
    floating = values.dtype.kind == "f"
    functions = {**ANY_TYPE, **(FLOATING if floating else {})}
    if len(dims) == 1:
        functions |= {**ONE_DIM, **(FLOATING_ONE_DIM if floating else {})}
    tolerance = 2e-5 if values.dtype == np.float32 else 1e-11
    for name, (ours, theirs) in functions.items():
        if name in ("prod", "cumprod") and floating and values.shape[dims[0]] > 40:
            continue  # they leave the range
        dim = dims[0] if name in (*ONE_DIM, *FLOATING_ONE_DIM) else dims
        wide = values.astype("float64" if floating else "int64")
        got, expected = ours(x, dim).numpy(), theirs(wide, dim)
        assert got.shape == expected.shape, (name, values.shape, dims)
        np.testing.assert_allclose(
            got, expected, tolerance, tolerance, err_msg=f"{name} {values.shape} {dims}"
        )


@only_fastgrad
@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_every_length(dtype: str, length: int) -> None:
    for lines in LINES:
        values = numbers((lines, length), dtype)
        check(fg.tensor(values), values, (1,))
        check(fg.tensor(np.ascontiguousarray(values.T)).T, values, (1,))
        check(fg.tensor(np.ascontiguousarray(values.T)), values.T, (1,))


@only_fastgrad
@pytest.mark.parametrize("length", [2, 3, 5, 8, 11, 16])
@pytest.mark.parametrize("dtype", ["float32", "float64", "int16", "uint8"])
def test_lines_with_gaps(dtype: str, length: int) -> None:
    wide = numbers((700, 2 * length + 1), dtype)
    x = fg.tensor(wide)
    for part in (slice(0, length), slice(length + 1, None), slice(1, None, 2)):
        check(x[:, part], wide[:, part], (1,))
        check(x[::3, part], wide[::3, part], (1,))
        # The last line ends where the memory ends.
        check(fg.tensor(np.ascontiguousarray(wide[:, part]))[5:], wide[5:, part], (1,))
    check(x.flip(0)[:, :length], wide[::-1, :length], (1,))


@only_fastgrad
@pytest.mark.parametrize("dtype", ["float32", "float64", "int32"])
@pytest.mark.parametrize(
    ("shape", "dims"),
    [
        ((700, 8, 2), (1,)),
        ((700, 2, 4), (1,)),
        ((700, 2, 4), (2,)),
        ((700, 2, 4), (1, 2)),
        ((40, 33, 3), (1,)),
        ((40, 33, 3), (0, 1)),
        ((33, 4, 4), (1,)),
        ((20, 3, 30, 2), (1, 3)),
        ((20, 3, 30, 2), (0, 2)),
        ((3, 700, 3), (1,)),
        ((3, 700, 3), (0, 2)),
        ((70_000, 3), (0,)),
        ((70_000, 3), (1,)),
        ((9_001, 7), (0,)),
        ((517, 63), (0,)),
        ((16, 1, 5), (2,)),
    ],
)
def test_shapes(shape: tuple[int, ...], dims: tuple[int, ...], dtype: str) -> None:
    values = numbers(shape, dtype)
    if values.dtype.kind == "f" and shape[dims[0]] > 1000:
        values = values.astype("float64").round(1).astype(dtype)
    check(fg.tensor(values), values, dims)


@only_fastgrad
@pytest.mark.parametrize("length", [2, 3, 7, 13, 16, 17, 32])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_nan_infinities_and_zeros(dtype: str, length: int) -> None:
    values = numbers((300, length), dtype)
    rng = np.random.default_rng(length)
    for special in (np.nan, np.inf, -np.inf, -0.0):
        values[rng.random(values.shape) < 0.1] = special
    values[:7] = -np.inf
    values[7:9] = -0.0
    x = fg.tensor(values)
    with np.errstate(invalid="ignore"):
        np.testing.assert_array_equal(x.amax(1).numpy(), values.max(1))
        np.testing.assert_array_equal(x.amin(1).numpy(), values.min(1))
        np.testing.assert_array_equal(x.argmax(1).numpy(), values.argmax(1))
        np.testing.assert_array_equal(x.argmin(1).numpy(), values.argmin(1))
        np.testing.assert_array_equal(x.any(1).numpy(), values.any(1))
        np.testing.assert_array_equal(x.all(1).numpy(), values.all(1))
        np.testing.assert_allclose(x.sum(1).numpy(), values.sum(1), 1e-5)
        np.testing.assert_allclose(x.nansum(1).numpy(), np.nansum(values, 1), 1e-5)
        expected = np.logaddexp.reduce(values, 1)
        np.testing.assert_allclose(x.logsumexp(1).numpy(), expected, 1e-5, 1e-6)
        top = values.max(1, keepdims=True)
        e = np.exp(values - top)
        np.testing.assert_allclose(x.softmax(1).numpy(), e / e.sum(1, keepdims=True), 1e-5)
        np.testing.assert_allclose(x.cumsum(1).numpy(), values.cumsum(1), 1e-4, 1e-5)
    assert not np.signbit(fg.tensor(values[7:9]).amax(1).numpy() + 0).any()


@only_fastgrad
def test_bits_do_not_depend_on_the_number_of_threads() -> None:
    functions = {**ANY_TYPE, **FLOATING, **ONE_DIM, **FLOATING_ONE_DIM}
    for shape, dim in (((60_000, 3), 1), ((60_000, 3), 0), ((300, 400, 4), 1), ((9000, 8, 2), 1)):
        x = fg.tensor(np.random.default_rng(0).standard_normal(shape).astype("float32"))
        for name, (ours, _) in functions.items():
            found = []
            for threads in (1, 2, 3):
                fg.set_num_threads(threads)
                found.append(ours(x, dim).numpy().tobytes())
            assert found[0] == found[1] == found[2], (name, shape, dim)


@only_fastgrad
# More rows than are taken together; the longest rows that are, and longer ones.
@pytest.mark.parametrize("shape", [(2, 17), (130, 24), (65, 63), (7, 200), (3, 1024), (3, 1025)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_rows_of_classes(shape: tuple[int, int], dtype: str) -> None:
    rng = np.random.default_rng(shape[1])
    rows, classes = shape
    x = (rng.normal(size=shape) * 8).astype(dtype)
    x[0, 1] = -np.inf
    g = rng.normal(size=shape).astype(dtype)
    target = rng.integers(2, classes, rows)
    wide, along = x.astype("float64"), g.astype("float64")
    log = wide - logsumexp(wide, -1)[:, None]
    y = np.exp(log)
    tight = {"rtol": 3e-6, "atol": 3e-6} if dtype == "float32" else {"rtol": 1e-13, "atol": 1e-13}
    functional = fg.nn.functional
    t = fg.tensor(x).requires_grad_()
    for f, value, grad in (
        (fg.softmax, y, y * (along - (along * y).sum(-1, keepdims=True))),
        (fg.log_softmax, log, along - y * along.sum(-1, keepdims=True)),
    ):
        result = f(t, -1)
        np.testing.assert_allclose(result.detach().numpy(), value, **tight)
        (found,) = fg.autograd.grad(result, t, fg.tensor(g))
        np.testing.assert_allclose(found.numpy(), grad, **tight)
    each = -log[np.arange(rows), target]
    of_each = y.copy()
    of_each[np.arange(rows), target] -= 1
    target[rows // 2] = -100
    each[rows // 2], of_each[rows // 2] = 0, 0
    for reduction, count in (("mean", rows - 1), ("sum", 1)):
        loss = functional.cross_entropy(t, fg.tensor(target), reduction=reduction)
        np.testing.assert_allclose(loss.item(), each.sum() / count, rtol=tight["rtol"])
        (found,) = fg.autograd.grad(loss, t)
        np.testing.assert_allclose(found.numpy(), of_each / count, **tight)
        loss = functional.nll_loss(fg.tensor(log), fg.tensor(target), reduction=reduction)
        np.testing.assert_allclose(loss.item(), each.sum() / count, rtol=1e-12)


@pytest.mark.parametrize("length", [17, 33, 100])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_rows_of_classes_that_are_no_numbers(dtype: str, length: int) -> None:
    for at in (0, length - 1):
        x = np.random.default_rng(0).normal(size=(6, length)).astype(dtype)
        x[0, at] = np.nan
        x[1, at] = np.inf
        x[2] = -np.inf
        x[3, at], x[3, 5] = np.nan, np.inf
        x[4] *= 1e30  # sums underflow
        t = fg.tensor(x)
        for f in (fg.softmax, fg.log_softmax):
            np.testing.assert_array_equal(np.isnan(f(t, -1).numpy()).all(-1), [1, 1, 1, 1, 0, 0])
        expected = np.array([np.nan, np.inf, -np.inf, np.nan, x[4].max()])
        np.testing.assert_allclose(fg.logsumexp(t, -1).numpy()[:5], expected, rtol=1e-6)
        loss = fg.nn.functional.cross_entropy(t, fg.ones(6, dtype=fg.int64), reduction="none")
        np.testing.assert_array_equal(np.isfinite(loss.numpy()), [0, 0, 0, 0, 1, 1])


@pytest.mark.parametrize("length", [2, 4, 7, 8, 9, 12, 16, 17, 31, 63, 200, 513, 4099])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_running_sums_add_one_after_another(dtype: str, length: int) -> None:
    """Whatever is worked on together, and backwards in gradients: the bits are those of a loop."""
    for rows in (1, 8, 21):
        x = np.random.default_rng(length).normal(size=(rows, length)).astype(dtype)
        x[rows // 2, length // 3] = np.inf
        x[0, -1] = np.nan
        t = fg.tensor(x).requires_grad_()
        wide = x.astype("float64")
        total, product = fg.cumsum(t, 1), fg.cumprod(t, 1)
        np.testing.assert_array_equal(total.detach().numpy(), wide.cumsum(1).astype(dtype))
        with np.errstate(all="ignore"):
            expected = wide.cumprod(1).astype(dtype)
        np.testing.assert_array_equal(product.detach().numpy(), expected)
        (grad,) = fg.autograd.grad(total, t, fg.tensor(x))
        backwards = wide[:, ::-1].cumsum(1)[:, ::-1].astype(dtype)
        np.testing.assert_array_equal(grad.numpy(), backwards)
        t.detach().cumsum_(1)
        np.testing.assert_array_equal(t.detach().numpy(), total.detach().numpy())


@pytest.mark.parametrize("length", [1, 2, 7, 8, 13, 64, 201])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_gradients_of_products_along_rows(dtype: str, length: int) -> None:
    """dx[i] is the product before i times r[i] = g[i] + x[i + 1] r[i + 1]; zeros divide nothing."""
    rng = np.random.default_rng(length)
    for rows in (1, 8, 21):
        x = rng.normal(1, 0.2, (rows, length)).astype(dtype)
        g = rng.normal(size=(rows, length)).astype(dtype)
        x[rows // 2, length // 3] = 0
        x[0, length // 2], g[0] = np.inf, 0
        t = fg.tensor(x, requires_grad=True)
        (of_running,) = fg.autograd.grad(fg.cumprod(t, 1), t, fg.tensor(g))
        (of_all,) = fg.autograd.grad(fg.prod(t, 1), t, fg.tensor(g[:, 0]))
        wide, weight = x.astype("float64"), g.astype("float64")
        ones = np.ones((rows, 1))
        before = np.cumprod(np.hstack([ones, wide[:, :-1]]), 1)
        after = np.cumprod(np.hstack([ones, wide[:, :0:-1]]), 1)[:, ::-1]
        carry, expected = np.zeros(rows), np.empty_like(wide)
        for i in reversed(range(length)):
            carry = weight[:, i] + carry
            expected[:, i] = np.where(carry == 0, 0, carry * np.where(carry == 0, 0, before[:, i]))
            carry = np.where(carry == 0, 0, carry * np.where(carry == 0, 0, wide[:, i]))
        tolerance = {"rtol": 2e-4, "atol": 2e-5} if dtype == "float32" else {"rtol": 1e-10}
        np.testing.assert_allclose(of_running.numpy(), expected, **tolerance)
        others = weight[:1].T if rows == 1 and length == 1 else weight[:, :1] * before * after
        others[weight[:, 0] == 0] = 0
        np.testing.assert_allclose(of_all.numpy(), others, **tolerance)


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int8", "int16", "int32", "int64", "float64"])
@pytest.mark.parametrize("length", [1, 2, 3, 5, 8, 11, 16, 17, 31])
def test_rows_of_few_elements_of_any_type(dtype: str, length: int) -> None:
    for rows in (15, 16, 17, 300):
        rng = np.random.default_rng(length)
        x = rng.integers(-3, 4, (rows, length)).astype(dtype)
        x[rng.random(x.shape) < 0.3] = 0
        if dtype not in ("bool", "float64"):
            x[rows // 2] = np.iinfo(dtype).max
            x[rows // 3, -1] = np.iinfo(dtype).min
        wide = np.ones((rows, length + 1), dtype)
        wide[:, :-1] = x
        for t in (fg.tensor(x), fg.tensor(wide)[:, :-1], fg.tensor(x.T.copy()).T):
            for name in ("sum", "prod", "any", "all"):
                expected = getattr(np, name)(x, 1)
                if expected.dtype == np.uint64:
                    expected = expected.astype(np.int64)
                np.testing.assert_array_equal(getattr(fg, name)(t, 1).numpy(), expected)
            nonzero = fg.count_nonzero(t, 1).numpy()
            np.testing.assert_array_equal(nonzero, np.count_nonzero(x, 1))
            for name in ("max", "min"):
                values, places = getattr(fg, name)(t, 1)
                np.testing.assert_array_equal(values.numpy(), getattr(np, name)(x, 1))
                np.testing.assert_array_equal(places.numpy(), getattr(np, "arg" + name)(x, 1))
                np.testing.assert_array_equal(getattr(fg, "a" + name)(t, 1).numpy(), values.numpy())


@pytest.mark.parametrize("length", [1, 3, 8, 9, 17, 63, 200, 513])
@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "int32", "uint8", "bool"])
def test_running_extremes_take_the_last_of_equals(dtype: str, length: int) -> None:
    for rows in (1, 8, 21, 300):
        x = np.random.default_rng(length).integers(-3, 4, (rows, length)).astype(dtype)
        if dtype.startswith("float"):
            x[rows // 2, length // 2] = np.nan
            x[0, 0] = -np.inf
        elif dtype != "bool":
            x[rows // 2, length // 2] = np.iinfo(dtype).max
            x[0, 0] = np.iinfo(dtype).min
        for running, larger in ((fg.cummax, np.greater_equal), (fg.cummin, np.less_equal)):
            values, places = running(fg.tensor(x), 1)
            best, at = x[:, 0].copy(), np.zeros(rows, "int64")
            for k in range(length):
                take = larger(x[:, k], best) | np.isnan(x[:, k])
                best, at = np.where(take, x[:, k], best), np.where(take, k, at)
                np.testing.assert_array_equal(values[:, k].numpy(), best)
                np.testing.assert_array_equal(places[:, k].numpy(), at)


@pytest.mark.parametrize("dtype", ["uint8", "int8", "bool"])
@pytest.mark.parametrize("length", [*range(14, 36), 63, 64, 65, 127, 128, 129, 255, 256, 257])
def test_rows_of_bytes(dtype: str, length: int) -> None:
    x = np.random.default_rng(length).integers(-128, 128, (21, length))
    x = (x > 0).astype(dtype) if dtype == "bool" else x.astype(dtype)
    low, high = (0, 1) if dtype == "bool" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
    x[3], x[4], x[5], x[5, -1] = low, high, 0, high
    wide = np.pad(x, ((0, 0), (0, 3)), constant_values=high)
    for t in (fg.tensor(x), fg.tensor(wide)[:, :length]):
        np.testing.assert_array_equal(t.sum(1).numpy(), x.sum(1, dtype="int64"))
        np.testing.assert_array_equal(fg.count_nonzero(t, 1).numpy(), np.count_nonzero(x, 1))


@pytest.mark.parametrize("dtype", ["uint8", "int8", "bool"])
@pytest.mark.parametrize("shape", [(5, 3, 2, 7), (2, 30, 65), (3, 70, 1), (4, 1, 130), (2, 0, 3)])
def test_truth_of_bytes(dtype: str, shape: tuple[int, ...]) -> None:
    """The largest and the smallest, taken as bits, are zero or not."""
    rng = np.random.default_rng(len(shape))
    for share in (0.0, 0.1, 0.95, 1.0):
        x = np.where(rng.random(shape) < share, rng.choice([1, 2, 127, 128, 255], shape), 0)
        x = x.astype("uint8").view(dtype) if dtype != "bool" else x > 0
        for axis in (*range(len(shape)), None):
            for values in (x, x.swapaxes(0, -1)):
                t = fg.tensor(x) if values is x else fg.tensor(x).swapaxes(0, -1)
                for name in ("any", "all"):
                    got = getattr(t, name)() if axis is None else getattr(t, name)(axis)
                    assert got.dtype == (fg.uint8 if dtype == "uint8" else fg.bool)
                    np.testing.assert_array_equal(got.numpy(), getattr(values, name)(axis))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    "shape",
    [(1, 3), (100, 3), (85, 3), (1111, 1), (260, 17), (5, 64), (40, 64), (40, 65), (3, 1100)],
)
def test_softmax_down_columns_and_along_long_rows(shape: tuple[int, ...], dtype: str) -> None:
    """Several rows of few columns are worked on as one; the last may be short."""
    rng = np.random.default_rng(shape[0])
    x, g = (rng.normal(0, 3, shape).astype(dtype) for _ in range(2))
    if shape[0] > 1:
        x[shape[0] // 2] = -np.inf
    x[0] += 100
    wide, weight = x.astype("float64"), g.astype("float64")
    tolerance = {"rtol": 2e-5, "atol": 2e-6} if dtype == "float32" else {"rtol": 1e-12}
    for axis in (0, 1):
        if axis == 1:
            wide[shape[0] // 2] = x[shape[0] // 2] = 0
        logs = wide - wide.max(axis, keepdims=True)
        logs = logs - np.log(np.exp(logs).sum(axis, keepdims=True))
        y = np.exp(logs)
        of_softmax = y * (weight - (weight * y).sum(axis, keepdims=True))
        of_logs = weight - y * weight.sum(axis, keepdims=True)
        for name, values, grads in (("softmax", y, of_softmax), ("log_softmax", logs, of_logs)):
            t = fg.tensor(x, requires_grad=True)
            out = getattr(fg, name)(t, axis)
            np.testing.assert_allclose(out.detach().numpy(), values, **tolerance)
            (grad,) = fg.autograd.grad(out, t, fg.tensor(g))
            size = np.abs(weight) + np.abs(weight).sum(axis, keepdims=True) * (y + 1e-6)
            assert np.all(np.abs(grad.numpy() - grads) <= tolerance["rtol"] * size), name
    if shape[0] > 1:
        x[0, 0], x[-1, -1] = np.nan, np.inf
        down = fg.softmax(fg.tensor(x), 0).numpy()
        bad = np.isin(np.arange(shape[1]), [0, shape[1] - 1])
        np.testing.assert_array_equal(np.isnan(down).any(0), bad)


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
@pytest.mark.parametrize(
    "shape",
    [
        (40, 3, 2),
        (5, 2, 4),
        (300, 10, 3),
        (7, 2, 85),
        (8, 3, 86),
        (7, 22, 31),
        (6, 300, 5),
        (9, 1, 8),
    ],
)
def test_softmax_over_a_dimension_with_few_elements_behind_it(
    shape: tuple[int, ...], dtype: str
) -> None:
    """Outer places are taken together; each comes to what it comes to alone."""
    rng = np.random.default_rng(shape[1])
    x, g = (fg.tensor(rng.normal(0, 3, shape)).to(getattr(fg, dtype)) for _ in range(2))
    x[0, 0, 0], x[-1, -1, -1], x[-1, 0, -1] = fg.nan, fg.inf, -fg.inf
    for f in (fg.softmax, fg.log_softmax):
        t = x.clone().requires_grad_()
        out = f(t, 1)
        (grad,) = fg.autograd.grad(out, t, g)
        for k in {0, 1, shape[0] // 2, shape[0] - 1}:
            alone = x[k : k + 1].clone().requires_grad_()
            expected = f(alone, 1)
            (of_alone,) = fg.autograd.grad(expected, alone, g[k : k + 1])
            fg.testing.assert_close(out[k : k + 1], expected, equal_nan=True)
            fg.testing.assert_close(grad[k : k + 1], of_alone, equal_nan=True)


@pytest.mark.parametrize("shape", [(40, 3), (20, 8, 2), (30, 17)])
def test_gradients(shape: tuple[int, ...]) -> None:
    x = fg.tensor(np.random.default_rng(3).standard_normal(shape), requires_grad=True)
    for name, (ours, _) in {**FLOATING, **FLOATING_ONE_DIM, **ONE_DIM}.items():
        if not ours(x, 1).is_floating_point():
            continue
        assert fg.autograd.gradcheck(lambda t, f=ours: f(t, 1), (x,)), name


@only_fastgrad
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("rows", [33, 63, 64, 65, 127, 128, 129, 1000, 20_000])
def test_products_of_tall_matrices(rows: int, dtype: str) -> None:
    rng = np.random.default_rng(rows)
    tolerance = 1e-5 if dtype == "float32" else 1e-13
    for depth in (1, 2, 3, 5, 8, 11, 16, 17):
        for columns in (1, 2, 3, 4, 8, 9, 16):
            a, b, c, row = (
                rng.standard_normal(shape).astype(dtype)
                for shape in ((rows, depth), (depth, columns), (rows, columns), (columns,))
            )
            x, y, z, r = map(fg.tensor, (a, b, c, row))
            shrunk = tolerance * rows**0.5
            for got, expected, slack in (
                (x @ y, a @ b, tolerance),
                (z @ y.T, c @ b.T, tolerance),
                (x.T @ z, a.T @ c, shrunk),
                (fg.addmm(r, x, y, alpha=2), row + 2 * (a @ b), tolerance),
                (fg.addmm(y, x.T, z, beta=2, alpha=0.5), 2 * b + (a.T @ c) / 2, shrunk),
            ):
                np.testing.assert_allclose(got.numpy(), expected, tolerance * 10, slack * 10)


@only_fastgrad
def test_products_of_tall_matrices_keep_infinities_and_bits() -> None:
    rng = np.random.default_rng(0)
    a = rng.standard_normal((30_001, 3)).astype("float32")
    b = rng.standard_normal((3, 3)).astype("float32")
    x, y = fg.tensor(a), fg.tensor(b)
    found = []
    for threads in (1, 2, 3):
        fg.set_num_threads(threads)
        found.append((x @ y).numpy().tobytes() + (x.T @ x).numpy().tobytes())
    assert found[0] == found[1] == found[2]
    a[-1, 0], a[7, 1] = np.inf, np.nan
    x = fg.tensor(a)
    with np.errstate(invalid="ignore"):
        np.testing.assert_allclose((x @ y).numpy(), a @ b, 1e-4, 1e-5)
        np.testing.assert_array_equal(np.isnan((x.T @ x).numpy()), np.isnan(a.T @ a))


@only_fastgrad
@pytest.mark.parametrize("p", [0, 1, 2, 3, float("inf")])
def test_distances(p: float) -> None:
    rng = np.random.default_rng(1)
    for rows, columns, length in ((3, 257, 3), (300, 256, 1), (5, 7, 20), (1, 1, 4), (4, 0, 3)):
        a, b = rng.standard_normal((2, rows, length)), rng.standard_normal((2, columns, length))
        a[0, 0] = np.nan
        expected = np.linalg.norm(
            (a[:, :, None] - b[:, None]).reshape(-1, length), p, axis=-1
        ).reshape(2, rows, columns)
        expected[0, 0] = np.nan  # of order 0 as well, where NumPy counts it
        got = fg.cdist(fg.tensor(a), fg.tensor(b), p=p).numpy()
        np.testing.assert_allclose(got, expected, 1e-12, 1e-12)


@only_fastgrad
@pytest.mark.parametrize("dtype", ["float32", "float64", "int16", "int32", "int64"])
def test_elements_picked_by_steps(dtype: str) -> None:
    for step in range(2, 11):
        for count in (1, 2, 15, 16, 17, 31, 33, 64, 65, 300):
            # The last element is where the memory ends.
            values = numbers((count * step,), dtype)[: (count - 1) * step + 1]
            x = fg.tensor(values)[::step]
            np.testing.assert_array_equal(x.contiguous().numpy(), values[::step])
            np.testing.assert_array_equal((x + x).numpy(), values[::step] + values[::step])
