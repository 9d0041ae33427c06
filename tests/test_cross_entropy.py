"""Cross entropy of classes in rows and in planes, against its formula in float64."""

from __future__ import annotations

import numpy as np
import pytest

from reference import fg, needs_torch, only_fastgrad, torch

pytestmark = only_fastgrad  # PyTorch keeps fewer digits

IGNORED = -100
ENTROPY = fg.nn.functional.cross_entropy


def formula(x, classes, weight, smoothing):
    """The losses of (batch, classes, inner), the weights of the targets, the gradients."""
    x = x.astype(np.longdouble)
    top = x.max(1, keepdims=True)
    lse = top + np.log(np.exp(x - top).sum(1, keepdims=True))
    one_hot = classes[:, None] == np.arange(x.shape[1])[:, None]
    share = ((1 - smoothing) * one_hot + smoothing / x.shape[1]) * weight[:, None]
    share = share * (classes != IGNORED)[:, None]
    losses = (share * (lse - x)).sum(1)
    gradient = np.exp(x - lse) * share.sum(1, keepdims=True) - share
    return losses, (one_hot * weight[:, None]).sum(1), gradient


def check(x, classes, tolerance, weight=None, smoothing=0.0, reduction="mean"):
    w = np.ones(x.shape[1]) if weight is None else weight
    losses, weights, gradient = formula(x, classes, w, smoothing)
    rows = x.shape[2] == 1  # the last dimension is left out then
    leaf = fg.tensor(x[:, :, 0] if rows else x, requires_grad=True)
    target = fg.tensor(classes[:, 0] if rows else classes)
    held = None if weight is None else fg.tensor(weight.astype(x.dtype))
    y = ENTROPY(leaf, target, held, reduction=reduction, label_smoothing=smoothing)
    assert y.dtype == leaf.dtype
    g = np.ones_like(losses) if reduction != "none" else np.cos(np.arange(losses.size))
    g = g.reshape(losses.shape)
    y.backward(fg.tensor((g[:, 0] if rows else g).astype(x.dtype)) if y.dim() else None)
    if reduction != "none":
        losses = losses.sum()
    if reduction == "mean":
        losses, g = losses / weights.sum(), g / weights.sum()
    gradient = gradient * g[:, None]
    scale = np.abs(gradient).max()
    np.testing.assert_allclose(
        y.detach().numpy().ravel(), losses.ravel(), rtol=tolerance, atol=tolerance
    )
    ours = leaf.grad.numpy().reshape(x.shape) / scale
    np.testing.assert_allclose(ours, gradient / scale, atol=tolerance)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("inner", [1, 2, 63, 257, 600])
@pytest.mark.parametrize("classes", [1, 2, 16, 17, 40, 1100])
def test_sizes_of_pieces(classes, inner, dtype):
    rng = np.random.default_rng(classes + inner)
    x = (4 * rng.standard_normal((3, classes, inner))).astype(dtype)
    target = rng.integers(0, classes, (3, inner))
    target[1, inner // 2] = IGNORED
    tolerance = 1e-5 if dtype == "float32" else 1e-13
    if classes == 1:
        assert ENTROPY(fg.tensor(x), fg.tensor(target)) == 0
        return
    check(x, target, tolerance)
    check(x, target, tolerance, weight=rng.random(classes) + 0.1, smoothing=0.1)
    check(x, target, tolerance, smoothing=0.2, reduction="sum")
    check(x, target, tolerance, weight=rng.random(classes) + 0.1, reduction="none")


@pytest.mark.parametrize("offset", [1e3, -1e4, 1e5, 1e7])
@pytest.mark.parametrize("inner", [1, 70])
def test_gradients_of_large_scores_keep_their_digits(inner, offset):
    """Their logarithm is kept to more digits than a score has: softmax is a difference from it."""
    rng = np.random.default_rng(1)
    x = (rng.standard_normal((64, 9, inner)) * max(1, abs(offset) / 1e5) + offset).astype("float32")
    check(x, rng.integers(0, 9, (64, inner)), 1e-6)


@needs_torch
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_gradients_of_half_types(dtype):
    x = 20 + np.random.default_rng(2).standard_normal((8, 6))
    found = []
    for m in (fg, torch):
        leaf = m.tensor(x).to(getattr(m, dtype)).requires_grad_()
        m.nn.functional.cross_entropy(leaf, m.arange(8) % 6).backward()
        found.append(leaf.grad.float().numpy())
    ours, theirs = found
    exact = torch.tensor(x).to(getattr(torch, dtype)).double().requires_grad_()
    torch.nn.functional.cross_entropy(exact, torch.arange(8) % 6).backward()
    error = np.abs(ours - exact.grad.numpy()).max()
    # Rounded once, to a type of this precision.
    assert error <= np.abs(theirs).max() * float(torch.finfo(getattr(torch, dtype)).eps)


def test_all_positions_are_ignored():
    x = fg.full((2, 3, 5), float("nan"), requires_grad=True)
    y = ENTROPY(x, fg.full((2, 5), IGNORED), reduction="sum")
    y.backward()
    assert y == 0
    assert (x.grad == 0).all()
    assert ENTROPY(x, fg.full((2, 5), IGNORED)).isnan()


def test_a_target_out_of_range_is_named():
    target = fg.zeros(2, 300, dtype=fg.int64)
    target[1, 299] = 3
    for reduction in ("none", "mean"):
        with pytest.raises(IndexError, match="Target 3 is out of bounds"):
            ENTROPY(fg.zeros(2, 3, 300), target, reduction=reduction)
