"""Writes what every row of the op table computes, forward and backward, to a file of arrays.

tests/test_isa.py runs this once per instruction set and compares.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

import fastgrad as fg
from test_op_table import DIFFERENTIABLE, ROWS

LENGTH = 1000  # beyond what is left to narrower registers
ACTIVATIONS = {
    "gelu": lambda x: fg.nn.functional.gelu(x),
    "gelu tanh": lambda x: fg.nn.functional.gelu(x, approximate="tanh"),
    "silu": lambda x: fg.nn.functional.silu(x),
    "mish": lambda x: fg.nn.functional.mish(x),
    "elu": lambda x: fg.nn.functional.elu(x, 0.7),
    "selu": lambda x: fg.nn.functional.selu(x),
    "celu": lambda x: fg.nn.functional.celu(x, 0.7),
    "hardtanh": lambda x: fg.nn.functional.hardtanh(x),
    "hardswish": lambda x: fg.nn.functional.hardswish(x),
    "softshrink": lambda x: fg.nn.functional.softshrink(x),
    "leaky_relu": lambda x: fg.nn.functional.leaky_relu(x),
    "softplus": lambda x: fg.nn.functional.softplus(x),
    "softmax": lambda x: fg.softmax(x, 0),
    "log_softmax": lambda x: fg.log_softmax(x.reshape(50, 20), 0),
    "logsumexp": lambda x: fg.logsumexp(x.reshape(50, 20), 0),
}


def outputs() -> dict[str, Any]:
    """Values and gradients by name, type and place."""
    found: dict[str, Any] = {}

    def note(name: str, dtype: Any, function: Any, inputs: list[Any], smooth: bool) -> None:
        leaves = [x.requires_grad_(smooth) for x in inputs]
        y = function(*leaves)
        found[f"{name} {dtype}"] = y.detach().numpy()
        if smooth:
            gradients = fg.autograd.grad((y * y).sum(), leaves, allow_unused=True)
            for i, g in enumerate(gradients):
                if g is not None:
                    found[f"{name} {dtype} gradient {i}"] = g.numpy()

    for row in ROWS:
        for dtype in row.dtypes:
            note(row.name, dtype, row.function, row.inputs((LENGTH,), dtype), row in DIFFERENTIABLE)
    for name, function in ACTIVATIONS.items():
        for dtype in (fg.float64, fg.float32):
            generator = fg.Generator().manual_seed(1)
            x = (fg.rand(LENGTH, generator=generator, dtype=fg.float64) * 12 - 6).to(dtype)
            note(name, dtype, function, [x], smooth=True)
    for dtype in (fg.float64, fg.float32):
        for function in (fg.rand, fg.randn):
            generator = fg.Generator().manual_seed(2)
            drawn = [function(n, generator=generator, dtype=dtype) for n in (LENGTH, 1, 7, 33)]
            found[f"{function.__name__} {dtype}"] = fg.cat(drawn).numpy()
    generator = fg.Generator().manual_seed(3)
    found["randint"] = fg.randint(0, 1 << 40, (LENGTH,), generator=generator).numpy()
    return found


if __name__ == "__main__":
    np.savez(sys.argv[1], **outputs())
