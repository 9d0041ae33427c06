"""Kernels stay within their arrays: behind these lies memory that nobody may touch.

Wide registers, rows moved with overlapping ends and prefetched factors tempt a kernel to read a
little more than there is; where that is the end of a page, the process dies.
"""

from __future__ import annotations

import ctypes
import mmap
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fastgrad as fg

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="protects pages as Linux does")
PAGE = mmap.PAGESIZE
NO_ACCESS = 0
LENGTHS = [1, 2, 3, 4, 5, 7, 8, 9, 12, 15, 16, 17, 31, 33]
ROWS = [1, 2, 3, 5, 16, 17, 100]
FLOATS = ["float32", "float64"]


def at_page_end(shape: tuple[int, ...], dtype: str, seed: int = 0) -> fg.Tensor:
    """A tensor between two pages that cannot be read or written, up against the second."""
    values = (np.random.default_rng(seed).normal(size=shape) * 5).astype(dtype)
    pages = -(-values.nbytes // PAGE)
    memory = mmap.mmap(-1, (pages + 2) * PAGE)
    address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    protect = ctypes.CDLL(None, use_errno=True).mprotect
    for page in (0, pages + 1):
        assert protect(ctypes.c_void_p(address + page * PAGE), PAGE, NO_ACCESS) == 0
    array = np.frombuffer(memory, dtype, values.size, (pages + 1) * PAGE - values.nbytes)
    array = array.reshape(shape)
    array[...] = values
    return fg.from_numpy(array)


REDUCTIONS: list[Callable[..., Any]] = [
    *(fg.sum, fg.prod, fg.amax, fg.amin, fg.argmin, fg.argmax, fg.any, fg.cumsum, fg.cumprod),
    lambda x, dim: fg.cummax(x, dim)[1],
]
OF_FLOATS: list[Callable[..., Any]] = [
    *(fg.logsumexp, fg.softmax, fg.log_softmax, fg.mean, fg.nn.functional.normalize),
    lambda x, dim: fg.var(x, dim, correction=0),
    lambda x, dim: fg.linalg.vector_norm(x, dim=dim),
]


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("dtype", [*FLOATS, "int64", "int32", "int16", "uint8"])
def test_short_dimensions(length: int, dtype: str) -> None:
    for rows in ROWS:
        for shape, dim in (((rows, length), 1), ((length, rows), 0), ((3, length, rows), 1)):
            x = at_page_end(shape, dtype)
            expected = x.clone()
            functions = [*REDUCTIONS, *(OF_FLOATS if dtype in FLOATS else [])]
            for f in functions:
                result, of_copy = f(x, dim), f(expected, dim)
                np.testing.assert_array_equal(result.numpy(), of_copy.numpy())
            for view in (x[..., ::2], x[..., ::3], x.flip(-1), x.mT, x[..., 1:], x[..., 0]):
                view.contiguous()
                view + view
            out = at_page_end(shape, dtype)
            fg.mul(x, x[..., :1], out=out)
            out.copy_(x.flip(-1))
            np.testing.assert_array_equal(out.numpy(), expected.flip(-1).numpy())


@pytest.mark.parametrize("length", [1, 7, 8, 9, 15, 17, 31, 32, 33, 65])
@pytest.mark.parametrize("dtype", FLOATS)
def test_gradients_of_rows_of_classes(length: int, dtype: str) -> None:
    for rows in ROWS:
        x = at_page_end((rows, length), dtype).requires_grad_()
        weight = at_page_end((rows, length), dtype, 1)
        copy, of_copy = x.detach().clone().requires_grad_(), weight.clone()
        classes = fg.arange(rows) % length
        for f in (fg.softmax, fg.log_softmax):
            (grad,) = fg.autograd.grad(f(x, -1), x, weight)
            (expected,) = fg.autograd.grad(f(copy, -1), copy, of_copy)
            np.testing.assert_array_equal(grad.numpy(), expected.numpy())
        for loss in (fg.nn.functional.cross_entropy, fg.nn.functional.nll_loss):
            (grad,) = fg.autograd.grad(loss(x, classes), x)
            (expected,) = fg.autograd.grad(loss(copy, classes), copy)
            np.testing.assert_array_equal(grad.numpy(), expected.numpy())


@pytest.mark.parametrize("n", [1, 2, 3, 5, 8, 15, 16, 17, 31, 33, 63, 64, 65])
@pytest.mark.parametrize("dtype", FLOATS)
def test_matrices(n: int, dtype: str) -> None:
    a, b = at_page_end((3, n, n), dtype), at_page_end((3, n, n), dtype, 1)
    for product in (a @ b, (b.mT @ a.mT).mT):
        np.testing.assert_allclose(product, a.numpy() @ b.numpy(), rtol=1e-3, atol=1e-2)
    for rows in ROWS:
        tall = at_page_end((rows, n), dtype)
        np.testing.assert_allclose(tall @ a[2], tall.numpy() @ a[2].numpy(), rtol=1e-3, atol=1e-2)
        fg.cdist(tall, b[2])
        tall.T @ tall
    for f in (fg.linalg.qr, fg.linalg.svdvals, fg.linalg.det, fg.linalg.inv):
        f(a)
    q = at_page_end((2, 2, n, 33), dtype)
    fg.nn.functional.scaled_dot_product_attention(q, q, q)
    image = at_page_end((2, 3, n + 2, n + 3), dtype)
    fg.nn.functional.max_pool2d(image, 3, 2, 1)
    fg.nn.functional.adaptive_avg_pool2d(image, 1)
    fg.nn.functional.conv2d(image, at_page_end((4, 3, 3, 3), dtype), padding=1)


@pytest.mark.parametrize("dtype", [*FLOATS, "int16", "uint8"])
def test_lines_backwards_and_transposed(dtype: str) -> None:
    for shape in [(3, 8), (1, 33), (5, 67), (33, 256), (37, 128), (66, 16)]:
        x = at_page_end(shape, dtype)
        assert x.flip(1).tolist() == [row[::-1] for row in x.tolist()]
        assert x.flip(0, 1).tolist() == [row[::-1] for row in x.tolist()[::-1]]
        for channels in (2, 3, 4, 8):
            image = at_page_end((*shape, channels), dtype)
            out = at_page_end((*shape, channels), dtype, 1)
            for dims in ((0,), (1,), (0, 1)):
                out.copy_(image.flip(dims))
                np.testing.assert_array_equal(out.numpy(), np.flip(image.numpy(), dims))
        assert x.T.contiguous().tolist() == [
            list(column) for column in zip(*x.tolist(), strict=True)
        ]
