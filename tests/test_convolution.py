"""Convolutions and their transposes: against sums written out in NumPy, and against PyTorch."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from derivatives import assert_like_torch
from reference import assert_same_tensor, fg, needs_torch, torch

R = np.random.default_rng(7)


def normal(*shape: int) -> np.ndarray:
    return np.asarray(R.standard_normal(shape))


def brute_force(
    x: np.ndarray,
    w: np.ndarray,
    stride: tuple[int, ...],
    padding: tuple[int, ...],
    dilation: tuple[int, ...],
    groups: int,
) -> np.ndarray:
    """Returns the convolution as the sum that defines it."""
    dims = x.ndim - 2
    kernel = w.shape[2:]
    x = np.pad(x, [(0, 0), (0, 0), *((p, p) for p in padding)])
    out = [
        (n - d * (k - 1) - 1) // s + 1
        for n, k, s, d in zip(x.shape[2:], kernel, stride, dilation, strict=True)
    ]
    y = np.zeros((x.shape[0], w.shape[0], *out))
    per_in, per_out = w.shape[1], w.shape[0] // groups
    for place in itertools.product(*(range(n) for n in out)):
        for k in range(w.shape[0]):
            first = k // per_out * per_in
            window = x[
                (
                    slice(None),
                    slice(first, first + per_in),
                    *tuple(
                        slice(
                            place[i] * stride[i],
                            place[i] * stride[i] + dilation[i] * (kernel[i] - 1) + 1,
                            dilation[i],
                        )
                        for i in range(dims)
                    ),
                )
            ]
            y[(slice(None), k, *place)] = (window * w[k]).sum(tuple(range(1, x.ndim)))
    return y


def conv_of(module: Any, dims: int, transposed: bool = False) -> Any:
    name = f"conv_transpose{dims}d" if transposed else f"conv{dims}d"
    return getattr(module.nn.functional, name)


@st.composite
def walks(draw: st.DrawFn) -> dict[str, Any]:
    dims = draw(st.integers(1, 3))
    per_dim = lambda low, high: tuple(draw(st.integers(low, high)) for _ in range(dims))  # noqa: E731
    groups = draw(st.integers(1, 3))
    kernel, dilation, padding = per_dim(1, 3), per_dim(1, 2), per_dim(0, 2)
    least = [d * (k - 1) + 1 - 2 * p for k, d, p in zip(kernel, dilation, padding, strict=True)]
    size = tuple(max(n, 1) + draw(st.integers(0, 5 if dims < 3 else 2)) for n in least)
    return {
        "x": (draw(st.integers(0, 2)), groups * draw(st.integers(1, 2)), *size),
        "out": groups * draw(st.integers(1, 3)),
        "kernel": kernel,
        "options": {
            "stride": per_dim(1, 3),
            "padding": padding,
            "dilation": dilation,
            "groups": groups,
        },
    }


@settings(max_examples=60, deadline=None)
@given(walks())
def test_sums_written_out(walk: dict[str, Any]) -> None:
    options = walk["options"]
    x = normal(*walk["x"])
    w = normal(walk["out"], x.shape[1] // options["groups"], *walk["kernel"])
    f = conv_of(fg, len(walk["kernel"]))
    y = f(fg.tensor(x), fg.tensor(w), **options)
    np.testing.assert_allclose(y.numpy(), brute_force(x, w, **options), atol=1e-10)
    # The transposed form is the adjoint: <y, conv(x)> = <conv_transpose(y), x>.
    extra = [
        n - ((o - 1) * s - 2 * p + d * (k - 1) + 1)
        for n, o, s, p, d, k in zip(
            x.shape[2:],
            y.shape[2:],
            options["stride"],
            options["padding"],
            options["dilation"],
            walk["kernel"],
            strict=True,
        )
    ]
    if any(
        e >= max(s, d)
        for e, s, d in zip(extra, options["stride"], options["dilation"], strict=True)
    ):
        return
    g = normal(*y.shape)
    back = conv_of(fg, len(walk["kernel"]), True)(
        fg.tensor(g), fg.tensor(w), output_padding=extra, **options
    )
    assert tuple(back.shape) == x.shape
    np.testing.assert_allclose((back.numpy() * x).sum(), (g * y.numpy()).sum(), atol=1e-8)


@needs_torch
@settings(max_examples=40, deadline=None)
@given(walks(), st.booleans())
def test_derivatives(walk: dict[str, Any], with_bias: bool) -> None:
    options = walk["options"]
    x = normal(*walk["x"])
    w = normal(walk["out"], x.shape[1] // options["groups"], *walk["kernel"])
    b = [normal(walk["out"])] if with_bias else []
    dims = len(walk["kernel"])
    assert_like_torch(lambda m, x, w, *b: conv_of(m, dims)(x, w, *b, **options), x, w, *b)


@needs_torch
@pytest.mark.parametrize("dims", [1, 2, 3])
@pytest.mark.parametrize("groups", [1, 2])
def test_transposed(dims: int, groups: int) -> None:
    x, w, b = normal(2, 4, *[4] * dims), normal(4, 3, *[3] * dims), normal(3 * groups)
    for options in (
        {},
        {"stride": 2, "padding": 1, "output_padding": 1},
        {"stride": 3, "dilation": 2, "padding": 2},
    ):
        assert_like_torch(
            lambda m, x, w, b, o=options: conv_of(m, dims, True)(x, w, b, groups=groups, **o),
            x,
            w,
            b,
        )


@needs_torch
@pytest.mark.parametrize("kernel", [1, 2, 3, 4])
@pytest.mark.parametrize("padding", ["same", "valid"])
def test_padding_by_name(kernel: int, padding: str) -> None:
    x, w = normal(2, 2, 7), normal(3, 2, kernel)
    assert_like_torch(
        lambda m, x, w: m.nn.functional.conv1d(
            x, w, padding=padding, dilation=2 if kernel < 4 else 1
        ),
        x,
        w,
    )


@needs_torch
@pytest.mark.parametrize("shape", [(5, 6, 6), (0, 5, 6, 6), (2, 5, 6, 6)])
def test_without_batch_and_with_an_empty_one(shape: tuple[int, ...]) -> None:
    w = normal(4, 5, 3, 3)
    assert_like_torch(lambda m, x, w: m.nn.functional.conv2d(x, w), normal(*shape), w)
    assert_like_torch(
        lambda m, x, w: m.nn.functional.conv_transpose2d(x, w), normal(*shape), normal(5, 4, 3, 3)
    )


SHAPES = [  # those of the benchmark, fewer images: every choice of method
    ((2, 3, 32, 32), (32, 3, 3, 3), 1, 1),
    ((3, 32, 14, 14), (64, 32, 3, 3), 1, 1),
    ((2, 64, 28, 28), (64, 64, 3, 3), 1, 1),
    ((3, 16, 28, 28), (32, 16, 3, 3), 1, 1),
    ((4, 1, 28, 28), (8, 1, 5, 5), 0, 1),
    ((2, 64, 15, 17), (64, 1, 3, 3), 1, 64),
    ((2, 64, 15, 17), (128, 1, 3, 3), 1, 64),
    ((2, 256, 9, 9), (256, 256, 1, 1), 0, 1),
]


@needs_torch
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("shapes", SHAPES, ids=lambda s: "x".join(map(str, s[1])))
def test_large_shapes(shapes: Any, stride: int, dtype: str) -> None:
    x_shape, w_shape, padding, groups = shapes
    arrays = [normal(*s).astype(dtype) for s in (x_shape, w_shape, w_shape[:1])]
    results = []
    for m in (fg, torch):
        leaves = [m.tensor(a, requires_grad=True) for a in arrays]
        y = m.nn.functional.conv2d(*leaves, stride=stride, padding=padding, groups=groups)
        seed = np.random.default_rng(1).standard_normal(tuple(y.shape)).astype(dtype)
        results.append([y, *m.autograd.grad(y, leaves, m.tensor(seed))])
    tolerance = 2e-4 if dtype == "float32" else 1e-11
    for a, e in zip(*results, strict=True):
        scale = float(e.detach().abs().max())
        assert_same_tensor(a, e, rtol=0, atol=tolerance * scale)


@needs_torch
def test_strided_inputs() -> None:
    x, w = normal(2, 9, 8, 3), normal(3, 3, 3, 4)

    def f(m: Any, x: Any, w: Any) -> Any:
        return m.nn.functional.conv2d(x.permute(0, 3, 1, 2)[..., ::2], w.permute(3, 0, 2, 1))

    assert_like_torch(f, x, w)


@needs_torch
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "int64"])
def test_other_types(dtype: str) -> None:
    x, w = R.integers(-3, 4, (1, 2, 6, 6)), R.integers(-3, 4, (3, 2, 3, 3))
    both = [
        m.nn.functional.conv2d(
            m.tensor(x).to(getattr(m, dtype)), m.tensor(w).to(getattr(m, dtype)), padding=1
        )
        for m in (fg, torch)
    ]
    assert_same_tensor(*both)


@needs_torch
def test_patches() -> None:
    x = normal(2, 3, 6, 7)
    options = {"kernel_size": (2, 3), "dilation": (2, 1), "padding": (1, 0), "stride": (1, 2)}
    columns = torch.nn.functional.unfold(torch.tensor(x), **options).numpy()
    assert_like_torch(lambda m, x: m.nn.functional.unfold(x, **options), x)
    assert_like_torch(lambda m, x: m.nn.functional.unfold(x, 2), x[0])
    assert_like_torch(lambda m, c: m.nn.functional.fold(c, (6, 7), **options), columns)
    assert_like_torch(lambda m, c: m.nn.functional.fold(c, (6, 7), **options), columns[0])


ERRORS: list[tuple[tuple[int, ...], tuple[int, ...], dict[str, Any], str]] = [
    ((1, 3, 5), (4, 2, 3), {}, "to have 2 channels, but got 3 channels instead"),
    ((1, 3, 5, 5, 5), (4, 3, 3), {}, "Expected 2D .unbatched. or 3D .batched. input to conv1d"),
    ((1, 3, 5), (4, 3, 7), {}, "Kernel size can't be greater than actual input size"),
    ((1, 4, 5), (3, 2, 3), {"groups": 2}, "Given groups=2, expected weight to be"),
    ((1, 3, 5), (4, 3, 3), {"padding": "same", "stride": 2}, "padding='same' is not supported"),
    ((1, 3, 5), (4, 3, 3), {"stride": 0}, "non-positive stride is not supported"),
    ((1, 3, 5), (4, 3, 3), {"padding": -1}, "negative padding is not supported"),
]


@needs_torch
@pytest.mark.parametrize(("x", "w", "options", "text"), ERRORS, ids=lambda v: str(v)[:30])
def test_errors(x: tuple[int, ...], w: tuple[int, ...], options: dict[str, Any], text: str) -> None:
    for m in (fg, torch):
        with pytest.raises(RuntimeError, match=text):
            m.nn.functional.conv1d(m.zeros(*x), m.zeros(*w), **options)


def test_errors_say_what_came() -> None:
    x, w = fg.zeros(1, 3, 5), fg.zeros(4, 3, 3)
    with pytest.raises(RuntimeError, match="bias to be 1-dimensional with 4 elements"):
        fg.nn.functional.conv1d(x, w, fg.zeros(3))
    with pytest.raises(RuntimeError, match="should be the same"):
        fg.nn.functional.conv1d(x, w.double())
    with pytest.raises(RuntimeError, match="output padding must be smaller"):
        fg.nn.functional.conv_transpose1d(x, fg.zeros(3, 3, 3), output_padding=1)
    with pytest.raises(RuntimeError, match="list of 1 values"):
        fg.nn.functional.conv1d(x, w, stride=(1, 1))


@needs_torch
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    "channels", [(1, 1, 1), (1, 7, 1), (3, 6, 1), (3, 40, 1), (6, 16, 1), (4, 8, 4)]
)
@pytest.mark.parametrize("size", [(5, 5), (9, 14), (7, 17), (6, 40)])
def test_few_channels_exactly(
    dtype: Any, channels: tuple[int, int, int], size: tuple[int, int]
) -> None:
    """Small integers need no rounding: blocks of channels, rows and pixels leave no traces."""
    r = np.random.default_rng(3)
    c_in, c_out, groups = channels
    for kernel, padding, dilation in (((3, 3), 1, 1), ((5, 5), 2, 1), ((2, 3), 1, 2)):
        arrays = [
            r.integers(-3, 4, shape).astype(dtype)
            for shape in ((3, c_in, *size), (c_out, c_in // groups, *kernel), (c_out,))
        ]
        results = []
        for m in (fg, torch):
            leaves = [m.tensor(a, requires_grad=True) for a in arrays]
            y = m.nn.functional.conv2d(*leaves, 1, padding, dilation, groups)
            g = np.random.default_rng(4).integers(-3, 4, tuple(y.shape)).astype(dtype)
            y.backward(m.tensor(g))
            results.append([t.detach().numpy() for t in (y, *(leaf.grad for leaf in leaves))])
        for ours, theirs in zip(*results, strict=True):
            np.testing.assert_array_equal(ours, theirs)
