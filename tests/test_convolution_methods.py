"""Every way to compute a convolution gives exact sums: small integers need no rounding."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pytest

from reference import fg, needs_torch, torch


class Layer(NamedTuple):
    """Sizes of a layer's input and weight, and the options of its function."""

    function: str
    x: tuple[int, ...]
    w: tuple[int, ...]
    options: dict[str, Any]


LAYERS = [
    # Blocks of channels, the last one of one register, two, or a part; rows that are short or long.
    Layer("conv2d", (2, 20, 7, 7), (48, 20, 3, 3), {"padding": 1}),
    Layer("conv2d", (3, 40, 4, 4), (17, 40, 3, 3), {"padding": 1}),
    Layer("conv2d", (2, 60, 3, 2), (70, 60, 1, 2), {"padding": (0, 1)}),
    Layer("conv2d", (1, 300, 5, 9), (33, 300, 1, 2), {}),
    Layer("conv1d", (2, 24, 301), (20, 24, 3), {"dilation": 4, "padding": 4}),
    Layer("conv2d", (2, 24, 150, 1), (20, 24, 3, 1), {"padding": (1, 0)}),
    Layer("conv2d", (2, 64, 9, 11), (64, 16, 3, 3), {"groups": 4, "dilation": 2}),
    Layer("conv3d", (2, 4, 5, 6, 7), (20, 4, 2, 3, 3), {"padding": 1}),
    # Steps: residues of rows that are read, and of rows that are written.
    Layer("conv2d", (2, 3, 30, 31), (40, 3, 7, 7), {"stride": 2, "padding": 3}),
    Layer("conv2d", (2, 3, 33, 33), (32, 3, 3, 3), {"stride": 2, "padding": 1}),
    Layer("conv2d", (2, 30, 15, 14), (36, 30, 3, 3), {"stride": 2, "padding": 1}),
    Layer("conv2d", (2, 30, 15, 14), (36, 30, 3, 3), {"stride": (1, 3), "dilation": (2, 1)}),
    Layer("conv2d", (2, 30, 15, 14), (36, 30, 2, 3), {"stride": 2, "dilation": 2, "padding": 1}),
    Layer("conv2d", (2, 20, 20, 41), (20, 1, 3, 3), {"stride": 2, "padding": 1, "groups": 20}),
    Layer("conv2d", (2, 20, 13, 14), (20, 1, 5, 5), {"stride": 3, "padding": 2, "groups": 20}),
    Layer("conv2d", (2, 20, 9, 9), (40, 20, 1, 1), {"stride": 2}),
    Layer("conv2d", (2, 3, 32, 32), (40, 3, 8, 8), {"stride": 8}),
    Layer("conv3d", (2, 5, 6, 7, 8), (20, 5, 3, 3, 3), {"stride": 2, "padding": 1}),
    Layer("conv_transpose2d", (2, 40, 7, 7), (40, 20, 4, 4), {"stride": 2, "padding": 1}),
    Layer("conv_transpose2d", (2, 40, 9, 9), (40, 3, 4, 4), {"stride": 2, "padding": 1}),
    Layer("conv_transpose2d", (2, 40, 7, 7), (40, 20, 2, 2), {"stride": 2}),
    Layer("conv_transpose2d", (2, 40, 5, 6), (40, 20, 1, 2), {"stride": 3, "output_padding": 2}),
    Layer("conv_transpose1d", (2, 40, 90), (40, 10, 5), {"stride": 3, "groups": 2}),
    # Kernels as large as the image.
    Layer("conv2d", (5, 12, 3, 4), (10, 6, 3, 4), {"groups": 2}),
    Layer("conv_transpose2d", (5, 12, 1, 1), (12, 10, 4, 4), {}),
]


def results(m: Any, layer: Layer, dtype: str) -> list[Any]:
    """The result and its gradients by input, weight and bias."""
    r = np.random.default_rng(3)
    groups = layer.options.get("groups", 1)
    channels = layer.w[1] * groups if "transpose" in layer.function else layer.w[0]
    leaves = [
        m.tensor(r.integers(-3, 4, shape).astype(dtype), requires_grad=True)
        for shape in (layer.x, layer.w, (channels,))
    ]
    y = getattr(m.nn.functional, layer.function)(*leaves, **layer.options)
    seed = r.integers(-3, 4, tuple(y.shape)).astype(dtype)
    found = [y, *m.autograd.grad(y, leaves, m.tensor(seed))]
    return [t.detach().numpy() for t in found]


@needs_torch
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("layer", LAYERS, ids=lambda v: f"{v.function}-{v.x}-{v.w}")
def test_exact_sums(layer: Layer, dtype: str) -> None:
    for ours, theirs in zip(*(results(m, layer, dtype) for m in (fg, torch)), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_bits_do_not_depend_on_the_number_of_threads() -> None:
    threads = fg.get_num_threads()
    generator = fg.Generator().manual_seed(1)
    try:
        for layer in LAYERS:
            tensors = [fg.randn(*s, generator=generator) for s in (layer.x, layer.w)]
            leaves = [t.requires_grad_() for t in tensors]
            expected: list[Any] = []
            for count in (1, 2, 3):
                fg.set_num_threads(count)
                y = getattr(fg.nn.functional, layer.function)(*leaves, **layer.options)
                found = [t.detach().numpy() for t in (y, *fg.autograd.grad(y.sin().sum(), leaves))]
                expected = expected or found
                for a, b in zip(found, expected, strict=True):
                    np.testing.assert_array_equal(a, b, err_msg=str(layer))
    finally:
        fg.set_num_threads(threads)
