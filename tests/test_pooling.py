"""Pooling and padding: against sums and maxima written out in NumPy, and against PyTorch."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from derivatives import assert_like_torch
from reference import assert_same, fg, needs_torch, only_fastgrad, to_numpy, torch

R = np.random.default_rng(11)


def normal(*shape: int) -> np.ndarray:
    return np.asarray(R.standard_normal(shape))


@st.composite
def windows(draw: st.DrawFn) -> dict[str, Any]:
    dims = draw(st.integers(1, 3))
    kernel = tuple(draw(st.integers(1, 3)) for _ in range(dims))
    return {
        "size": tuple(draw(st.integers(5, 8 if dims < 3 else 6)) for _ in range(dims)),
        "kernel_size": kernel,
        "stride": tuple(draw(st.integers(1, 3)) for _ in range(dims)),
        "padding": tuple(draw(st.integers(0, k // 2)) for k in kernel),
        "ceil_mode": draw(st.booleans()),
    }


def function(module: Any, name: str, dims: int) -> Any:
    return getattr(module.nn.functional, f"{name}{dims}d")


def pooled(x: np.ndarray, w: dict[str, Any], mean: bool) -> np.ndarray:
    """Returns what pooling without ceil_mode is, padding counted in means."""
    dims = len(w["kernel_size"])
    fill = 0.0 if mean else -np.inf
    pads = [(0, 0), *((p, p) for p in w["padding"])]
    x = np.pad(x, pads, constant_values=fill)
    out = [
        (n - k) // s + 1 for n, k, s in zip(x.shape[1:], w["kernel_size"], w["stride"], strict=True)
    ]
    y = np.zeros((x.shape[0], *out))
    for place in itertools.product(*(range(n) for n in out)):
        window = x[
            (
                slice(None),
                *tuple(
                    slice(
                        place[i] * w["stride"][i], place[i] * w["stride"][i] + w["kernel_size"][i]
                    )
                    for i in range(dims)
                ),
            )
        ].reshape(x.shape[0], -1)
        y[(slice(None), *place)] = window.mean(1) if mean else window.max(1)
    return y


@settings(max_examples=40, deadline=None)
@given(windows())
def test_windows_written_out(w: dict[str, Any]) -> None:
    x = normal(2, *w["size"])
    options = {k: w[k] for k in ("kernel_size", "stride", "padding")}
    dims = len(w["size"])
    for name, mean in (("max_pool", False), ("avg_pool", True)):
        y = function(fg, name, dims)(fg.tensor(x), **options)
        np.testing.assert_allclose(y.numpy(), pooled(x, w, mean), atol=1e-12)


@needs_torch
@settings(max_examples=40, deadline=None)
@given(windows(), st.booleans(), st.integers(1, 2))
def test_derivatives(w: dict[str, Any], include_pad: bool, dilation: int) -> None:
    options = {k: v for k, v in w.items() if k != "size"}
    dims = len(w["size"])
    x = normal(2, *w["size"])
    assert_like_torch(
        lambda m, x: function(m, "max_pool", dims)(
            x, **options, dilation=dilation, return_indices=True
        ),
        x,
    )
    assert_like_torch(
        lambda m, x: function(m, "avg_pool", dims)(x, **options, count_include_pad=include_pad), x
    )
    if dims > 1:
        assert_like_torch(
            lambda m, x: function(m, "avg_pool", dims)(x, **options, divisor_override=3), x
        )


@needs_torch
@pytest.mark.parametrize("dims", [1, 2, 3])
@pytest.mark.parametrize("size", [1, 2, 5])
def test_adaptive(dims: int, size: int) -> None:
    x = normal(2, 3, *(7, 4, 5)[:dims])
    assert_like_torch(lambda m, x: function(m, "adaptive_avg_pool", dims)(x, size), x)
    assert_like_torch(
        lambda m, x: function(m, "adaptive_max_pool", dims)(x, size, return_indices=True), x
    )
    if dims == 2:
        assert_like_torch(lambda m, x: m.nn.functional.adaptive_avg_pool2d(x, (None, size)), x[0])


@needs_torch
def test_nan_and_ties_and_empty_batches() -> None:
    x = np.array([[[1.0, np.nan, 1.0, 1.0, -np.inf, -np.inf]]])
    assert_like_torch(
        lambda m, x: m.nn.functional.max_pool1d(x, 2, return_indices=True), x, order=0
    )
    for name in ("max_pool2d", "avg_pool2d"):
        assert_like_torch(
            lambda m, x, n=name: getattr(m.nn.functional, n)(x, 2), normal(0, 2, 4, 4)
        )
    strided = normal(2, 6, 6, 3)
    assert_like_torch(lambda m, x: m.nn.functional.max_pool2d(x.permute(0, 3, 1, 2), 2), strided)
    assert_like_torch(lambda m, x: m.nn.functional.avg_pool2d(x.permute(0, 3, 1, 2), 2), strided)


@needs_torch
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("size", "outputs"),
    [
        *(((n,), (o,)) for n, o in [(100, 7), (100, 30), (64, 7), (9, 9), (5, 12), (40, 3)]),
        *(((n, n + 1), (o, o)) for n, o in [(64, 7), (14, 5), (13, 6), (7, 3), (3, 7), (30, 1)]),
        ((5, 17, 23), (2, 3, 5)),
        ((4, 1, 33), (4, 1, 4)),
    ],
)
def test_means_of_uneven_parts(size: tuple[int, ...], outputs: tuple[int, ...], dtype: str) -> None:
    x = normal(2, 3, *size).astype(dtype)
    g = normal(2, 3, *outputs).astype(dtype)
    found = []
    for m in (fg, torch):
        t = m.tensor(x, requires_grad=True)
        pool = getattr(m.nn.functional, f"adaptive_avg_pool{len(size)}d")
        y = pool(t, outputs)
        y.backward(m.tensor(g))
        found.append((y.detach().numpy(), t.grad.numpy()))
    tolerance = 1e-13 if dtype == "float64" else 2e-6
    for ours, theirs in zip(*found, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=tolerance, atol=tolerance)


@needs_torch
def test_infinity_stays_in_its_windows() -> None:
    x = normal(1, 1, 12, 13)
    x[0, 0, 5, 6], x[0, 0, 11, 12] = np.inf, np.nan
    for size in (5, 4):
        both = [m.nn.functional.adaptive_avg_pool2d(m.tensor(x), size).numpy() for m in (fg, torch)]
        np.testing.assert_allclose(*both, rtol=1e-12)


@needs_torch
@pytest.mark.parametrize(
    ("mode", "pad", "shape"),
    [
        ("constant", (1, 2), (3, 4)),
        ("constant", (-1, 2, 3, -2), (2, 4, 5)),
        ("constant", (0, 0, 1, 0, 2, 1), (2, 3, 4)),
        ("reflect", (2, 1), (3, 4)),
        ("reflect", (2, 1, 0, 3), (1, 2, 4, 4)),
        ("reflect", (1, 1, 1, 0, 0, 1), (1, 2, 3, 3, 3)),
        ("replicate", (3, 1), (2, 2, 4)),
        ("replicate", (2, 1, 0, 3), (2, 4, 4)),
        ("circular", (2, 1), (3, 4)),
        ("circular", (2, 1, 0, 3), (1, 2, 4, 4)),
    ],
)
def test_pad(mode: str, pad: tuple[int, ...], shape: tuple[int, ...]) -> None:
    value = {"value": 1.5} if mode == "constant" else {}
    assert_like_torch(lambda m, x: m.nn.functional.pad(x, pad, mode, **value), normal(*shape))
    numbers = R.integers(-9, 9, shape)
    both = [m.nn.functional.pad(m.tensor(numbers), pad, mode) for m in (fg, torch)]
    if mode == "constant":
        assert_same(*both)


PADDED = [
    ((2, 3, 16, 16), (1, 1, 1, 1)),
    ((5, 40, 9), (-1, 2)),
    ((3, 1, 300), (70, 2)),
    ((4, 2100), (3, 1)),
    ((2, 3, 5, 7), (0, 0, 2, 1)),
    ((2, 3, 4, 5, 6), (0, 0, 1, 2, 0, 3)),
    ((9, 3, 4, 16), (-4, -2, 1, 1)),
    ((9, 3, 4, 9), (-3, 4, 2, -3)),
    ((40000, 2), (1, 1)),
]


@needs_torch
@pytest.mark.parametrize(("shape", "pad"), PADDED)
@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "uint8", "bool", "complex128"])
def test_constant_pad_moves_any_element(
    shape: tuple[int, ...], pad: tuple[int, ...], dtype: str
) -> None:
    x = R.integers(0, 2 if dtype == "bool" else 100, shape).astype(dtype)
    for turn in (lambda t: t, lambda t: t.transpose(0, -1), lambda t: t.flip(0)[..., ::2]):
        both = [m.nn.functional.pad(turn(m.tensor(x)), pad, value=1) for m in (fg, torch)]
        assert_same(*both)


NUMPY_MODES = {
    "constant": {"constant_values": 7},
    "reflect": {"mode": "reflect"},
    "replicate": {"mode": "edge"},
    "circular": {"mode": "wrap"},
}


@pytest.mark.parametrize("mode", NUMPY_MODES)
@pytest.mark.parametrize("dtype", ["uint8", "int16", "float32", "float64"])
def test_pad_of_rows_of_any_width(mode: str, dtype: str) -> None:
    value = 7 if mode == "constant" else None
    for width in (*range(1, 42), 63, 64, 65, 130):
        x = R.integers(0, 100, (2, 5, width)).astype(dtype)
        for before, after in ((1, 1), (0, 3), (5, 0), (3, 4), (9, 20)):
            if max(before, after) >= width and mode != "constant":
                continue
            padded = fg.nn.functional.pad(fg.tensor(x), (before, after), mode, value)
            wanted = np.pad(x, ((0, 0), (0, 0), (before, after)), **NUMPY_MODES[mode])
            np.testing.assert_array_equal(padded.numpy(), wanted)


@needs_torch
@pytest.mark.parametrize("mode", ["constant", "reflect", "replicate", "circular"])
@pytest.mark.parametrize(("shape", "pad"), [p for p in PADDED[:5] if len(p[1]) < len(p[0]) + 2])
def test_pad_of_planes_and_its_gradient(
    mode: str, shape: tuple[int, ...], pad: tuple[int, ...]
) -> None:
    if len(shape) - len(pad) // 2 not in (1, 2) and mode != "constant":
        shape = (1, *shape[-len(pad) // 2 - 1 :])
    x, g = normal(*shape), None
    found = []
    for m in (fg, torch):
        t = m.tensor(x, requires_grad=True)
        y = m.nn.functional.pad(t.transpose(0, 1), pad, mode)
        g = normal(*y.shape) if g is None else g
        (dx,) = m.autograd.grad(y, t, m.tensor(g))
        found.append((y, dx))
    assert_same(found[0][0], found[1][0])
    np.testing.assert_allclose(found[0][1].numpy(), found[1][1].numpy(), rtol=1e-12, atol=1e-12)


@needs_torch
@pytest.mark.parametrize("pad", [(1, 1, 1, 1), (-1, 2), (-1, -1, -2, 0)])
def test_the_gradient_of_a_sum_of_padded_planes(pad: tuple[int, ...]) -> None:
    grads = []
    for m in (fg, torch):
        t = m.ones(2, 3, 5, 6, requires_grad=True)
        (m.nn.functional.pad(t, pad).sum() * 3).backward()
        grads.append(t.grad)
    assert_same(*grads)
    assert_same(*(m.nn.functional.pad(m.ones(1).expand(4, 6), (-1, -2)) for m in (fg, torch)))


@needs_torch
@pytest.mark.parametrize(
    ("shape", "pad"), [((0, 3), (1, 1)), ((2, 0), (1, 2)), ((2, 3), (-1, -2)), ((0,), (0, 0))]
)
def test_pad_of_nothing(shape: tuple[int, ...], pad: tuple[int, ...]) -> None:
    assert_same(*(m.nn.functional.pad(m.zeros(shape), pad, value=2) for m in (fg, torch)))


@needs_torch
def test_errors() -> None:
    for m in (fg, torch):
        f = m.nn.functional
        with pytest.raises(RuntimeError, match="pad should be at most half of effective kernel"):
            f.max_pool2d(m.zeros(1, 4, 4), 2, padding=2)
        with pytest.raises(RuntimeError, match="pad should be smaller than or equal to half of"):
            f.max_pool2d(m.zeros(1, 4, 4), 2, padding=2, dilation=3)
        with pytest.raises(RuntimeError, match="Output size is too small"):
            f.max_pool2d(m.zeros(1, 2, 2), 3)
        with pytest.raises(RuntimeError, match="divisor must be not zero"):
            f.avg_pool2d(m.zeros(1, 4, 4), 2, divisor_override=0)
        with pytest.raises(RuntimeError, match="Padding size should be less than"):
            f.pad(m.zeros(1, 3), (3, 0), "reflect")
        with pytest.raises(RuntimeError, match="Padding length must be divisible by 2"):
            f.pad(m.zeros(1, 3), (3,))
        with pytest.raises(NotImplementedError, match="Unrecognised padding mode"):
            f.pad(m.zeros(1, 3), (1, 1), "mirror")


class TestOneCell:
    """What needs no other library: one window over everything, windows that do not overlap."""

    def test_adaptive(self) -> None:
        x = np.random.default_rng(0).normal(size=(2, 3, 4, 5, 6))
        F, t = fg.nn.functional, fg.from_numpy(x)
        mean = to_numpy(F.adaptive_avg_pool3d(t, 1))
        np.testing.assert_allclose(mean[..., 0, 0, 0], x.mean((2, 3, 4)), rtol=1e-12)
        largest, index = F.adaptive_max_pool3d(t, 1, return_indices=True)
        flat = x.reshape(2, 3, -1)
        np.testing.assert_array_equal(to_numpy(largest)[..., 0, 0, 0], flat.max(-1))
        np.testing.assert_array_equal(to_numpy(index)[..., 0, 0, 0], flat.argmax(-1))
        row = to_numpy(F.adaptive_max_pool1d(fg.from_numpy(flat), 2))
        np.testing.assert_array_equal(row, flat.reshape(2, 3, 2, -1).max(-1))

    def test_fold_undoes_unfold(self) -> None:
        F, x = fg.nn.functional, fg.from_numpy(np.arange(48.0).reshape(1, 2, 4, 6))
        blocks = F.unfold(x, 2, stride=2)
        again = F.fold(blocks, (4, 6), 2, stride=2)
        np.testing.assert_array_equal(to_numpy(again), to_numpy(x))
        overlap = F.fold(F.unfold(x, 2), (4, 6), 2)
        np.testing.assert_array_equal(to_numpy(overlap / x.clamp_min(1))[0, 0, 1, 1:-1], 4.0)


def test_the_smallest_divisor() -> None:
    # Its negative is no int64.
    x = fg.ones(1, 1, 4, 4)
    y = fg.nn.functional.avg_pool2d(x, 2, divisor_override=-(2**63))
    assert y.tolist() == [[[[-4.0 / 2**63] * 2] * 2]]


@pytest.mark.parametrize("size", [(1, 1), (1, 5), (5, 1)])
def test_windows_that_step_over_the_input(size: tuple[int, int]) -> None:
    # From the padding in front of a short dimension to that behind it.
    x = fg.zeros(1, 1, *size, requires_grad=True)
    step = tuple(2 if n == 1 else 1 for n in size)
    y, places = fg.nn.functional.max_pool2d(
        x, 2, stride=1, padding=1, dilation=step, return_indices=True
    )
    assert y.isneginf().all() and places.min() >= 0 and places.max() < x.numel()
    y.sum().backward()


@needs_torch
@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "int32"])
@pytest.mark.parametrize("special", [None, np.nan, -np.inf, np.inf])
def test_maxima_with_and_without_places(dtype: str, special: float | None) -> None:
    """Without a gradient and unasked for, places are not made: values are the same."""
    f, g = fg.nn.functional, torch.nn.functional
    if special is not None and dtype == "int32":
        pytest.skip("integers have no special numbers")
    for kernel, stride, padding, dilation in [
        *((2, 2, 0, 1), (3, 1, 1, 1), (3, 2, 1, 2), (5, 3, 2, 1), (9, 1, 4, 1), (2, 5, 1, 1)),
        *((28, 28, 0, 1), (40, 1, 20, 1), (6, 6, 0, 1), (9, 7, 2, 1), (14, 14, 3, 1), (7, 5, 0, 1)),
    ]:
        x = np.round(normal(2, 3, 37, 41) * 9).astype(dtype)  # with ties
        if special is not None:
            x[:, 0, ::5, ::3] = special
            x[:, 1] = special
            x[:, 1, 7, 9:] = 1
        options = (kernel, stride, padding, dilation)
        y, places = f.max_pool2d(fg.tensor(x), *options, return_indices=True)
        z, their_places = g.max_pool2d(torch.tensor(x), *options, return_indices=True)
        np.testing.assert_array_equal(to_numpy(y), z.numpy())
        np.testing.assert_array_equal(to_numpy(places), their_places.numpy())
        np.testing.assert_array_equal(to_numpy(f.max_pool2d(fg.tensor(x), *options)), z.numpy())
        if dtype == "int32":
            continue  # PyTorch has none in one dimension
        flat = x.reshape(2, 3, -1)
        y = f.max_pool1d(fg.tensor(flat), kernel, stride, padding, dilation)
        z = g.max_pool1d(torch.tensor(flat), kernel, stride, padding, dilation)
        np.testing.assert_array_equal(to_numpy(y), z.numpy())
    if dtype == "int32":
        return  # no adaptive windows of integers in PyTorch
    for size in (1, (1, 41), (3, 1), 5):
        for keep in (False, True):
            y = f.adaptive_max_pool2d(fg.tensor(x), size, return_indices=keep)
            z = g.adaptive_max_pool2d(torch.tensor(x), size, return_indices=keep)
            for ours, theirs in zip(y, z, strict=True) if keep else [(y, z)]:
                np.testing.assert_array_equal(to_numpy(ours), theirs.numpy())


@needs_torch
@pytest.mark.parametrize("keep", [False, True])
def test_a_single_window_with_gaps(keep: bool) -> None:
    x = normal(20, 5, 5)
    for options in [(3, 2, 0, 2), ((3, 5), 1, 0, (2, 1)), ((5, 3), 1, 0, (1, 2))]:
        y = fg.nn.functional.max_pool2d(fg.tensor(x), *options, return_indices=keep)
        z = torch.nn.functional.max_pool2d(torch.tensor(x), *options, return_indices=keep)
        for ours, theirs in zip(y, z, strict=True) if keep else [(y, z)]:
            np.testing.assert_array_equal(to_numpy(ours), theirs.numpy())


@needs_torch
def test_maxima_keep_places_for_their_gradient() -> None:
    x = normal(2, 3, 12, 9)
    for m in (fg, torch):
        with m.no_grad():
            m.nn.functional.max_pool2d(m.tensor(x, requires_grad=True), 2)
    assert_like_torch(lambda m, a: m.nn.functional.max_pool2d(a, 3, 2), x)
    assert_like_torch(lambda m, a: m.nn.functional.adaptive_max_pool2d(a, 1), x)
    assert_like_torch(lambda m, a: m.nn.functional.adaptive_max_pool2d(a, (4, 1)), x)
    volume = normal(2, 3, 4, 5, 6)
    assert_like_torch(lambda m, a: m.nn.functional.adaptive_max_pool3d(a, (2, 1, 1)), volume)
    assert_like_torch(lambda m, a: m.nn.functional.adaptive_avg_pool3d(a, 1), volume)


@only_fastgrad
def test_the_gradient_of_maxima_needs_the_memory_of_its_result_alone() -> None:
    x = fg.tensor(normal(40, 64, 64), requires_grad=True)
    y = fg.nn.functional.max_pool2d(x, 2)
    g = fg.ones_like(y)
    fg.memory.empty_cache()
    fg.memory.set_limit(fg.memory.stats()["allocated"] + 3 * x.nbytes // 2)
    try:
        y.backward(g)
    finally:
        fg.memory.set_limit(None)
    np.testing.assert_array_equal(x.grad.numpy().reshape(40, -1).sum(1), np.full(40, 32 * 32))
