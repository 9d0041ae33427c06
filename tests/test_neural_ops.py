"""Normalization, losses, embeddings, dropout, the linear layer and attention, against PyTorch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from derivatives import assert_like_torch
from reference import assert_same_tensor, fg, needs_torch, only_fastgrad, torch

R = np.random.default_rng(5)


def normal(*shape: int) -> np.ndarray:
    return np.asarray(R.standard_normal(shape))


@needs_torch
@pytest.mark.parametrize("affine", [True, False])
class TestNorms:
    @pytest.mark.parametrize("shape", [(3, 5), (2, 3, 4), (0, 4), (40, 70)])
    def test_layer_norm(self, shape: tuple[int, ...], affine: bool) -> None:
        last = shape[1:] if len(shape) > 2 else shape[-1:]
        p = [normal(*last), normal(*last)] if affine else []
        tight = {"rtol": 1e-7, "atol": 1e-7}
        assert_like_torch(
            lambda m, x, *p: m.nn.functional.layer_norm(x, last, *p), normal(*shape), *p, **tight
        )
        assert_like_torch(
            lambda m, x, *p: m.nn.functional.rms_norm(x, last, *p[:1], eps=1e-3),
            normal(*shape),
            *p[:1],
            **tight,
        )

    @pytest.mark.parametrize("groups", [1, 2, 4])
    def test_group_norm(self, groups: int, affine: bool) -> None:
        p = [normal(4), normal(4)] if affine else []
        for shape in [(3, 4, 2, 3), (2, 4, 5), (3, 4)]:
            if groups == 4 and len(shape) == 2:
                continue
            assert_like_torch(
                lambda m, x, *p: m.nn.functional.group_norm(x, groups, *p),
                normal(*shape),
                *p,
                rtol=1e-6,
                atol=1e-6,
            )

    @pytest.mark.parametrize("shape", [(6, 3), (2, 3, 4), (3, 3, 2, 5), (2, 3, 2, 2, 2)])
    @pytest.mark.parametrize("training", [True, False])
    def test_batch_norm(self, shape: tuple[int, ...], training: bool, affine: bool) -> None:
        p = [normal(3), normal(3)] if affine else []
        mean, var = normal(3), normal(3) ** 2 + 0.5

        def f(m: Any, x: Any, *p: Any) -> Any:
            running = m.tensor(mean), m.tensor(var)
            y = m.nn.functional.batch_norm(x, *running, *p, training=training, momentum=0.3)
            return (y, *running)

        assert_like_torch(f, normal(*shape), *p, rtol=1e-7, atol=1e-7)

    def test_instance_norm(self, affine: bool) -> None:
        p = [normal(3), normal(3)] if affine else []
        mean, var = normal(3), normal(3) ** 2 + 0.5

        def f(m: Any, x: Any, *p: Any) -> Any:
            running = m.tensor(mean), m.tensor(var)
            return (m.nn.functional.instance_norm(x, *running, *p), *running)

        assert_like_torch(f, normal(2, 3, 5), *p, rtol=1e-7, atol=1e-7)
        assert_like_torch(
            lambda m, x, *p: m.nn.functional.instance_norm(x, None, None, *p),
            normal(2, 3, 4, 2),
            *p,
            rtol=1e-7,
            atol=1e-7,
        )


@needs_torch
def test_norms_of_parameters_alone() -> None:
    """Only weight or bias has a gradient."""
    x, p = normal(5, 4), normal(4)
    for position in (0, 1):

        def f(m: Any, p: Any, position: int = position) -> Any:
            args = [None, None]
            args[position] = p
            return m.nn.functional.layer_norm(m.tensor(x), (4,), *args)

        assert_like_torch(f, p, order=0)  # PyTorch loses the gradient of the cotangent here
        for check in (fg.autograd.gradcheck, fg.autograd.gradgradcheck):
            assert check(lambda p, f=f: f(fg, p), [fg.tensor(p, requires_grad=True)])


@needs_torch
@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
@pytest.mark.parametrize("weighted", [True, False])
class TestClassLosses:
    @pytest.mark.parametrize("shape", [(5,), (4, 5), (3, 5, 2), (2, 5, 2, 3)])
    def test_classes(self, shape: tuple[int, ...], weighted: bool, reduction: str) -> None:
        target = R.integers(0, 5, shape[:1] + shape[2:] if len(shape) > 1 else ())
        if np.all(target == 2):  # a mean of nothing but ignored classes is NaN
            target = target - 1
        w = np.abs(normal(5)) if weighted else None

        def options(m: Any) -> dict[str, Any]:
            weight = None if w is None else m.tensor(w)
            return {"weight": weight, "reduction": reduction, "ignore_index": 2}

        assert_like_torch(
            lambda m, x: m.nn.functional.nll_loss(x, m.tensor(target), **options(m)), normal(*shape)
        )
        for smoothing in (0.0, 0.2):
            assert_like_torch(
                lambda m, x, s=smoothing: m.nn.functional.cross_entropy(
                    x, m.tensor(target), **options(m), label_smoothing=s
                ),
                normal(*shape),
            )

    def test_probabilities(self, weighted: bool, reduction: str) -> None:
        p = R.dirichlet(np.ones(4), 3)
        w = np.abs(normal(4)) if weighted else None
        for smoothing in (0.0, 0.3):
            assert_like_torch(
                lambda m, x, p, s=smoothing: m.nn.functional.cross_entropy(
                    x,
                    p,
                    weight=None if w is None else m.tensor(w),
                    reduction=reduction,
                    label_smoothing=s,
                ),
                normal(3, 4),
                p,
            )


@needs_torch
def test_cross_entropy_of_large_scores_and_of_nothing() -> None:
    x = np.array([[1e4, -1e4, 0.0], [-1e30, 0.0, 1e30]])
    t = np.array([1, 2])
    assert_like_torch(lambda m, x: m.nn.functional.cross_entropy(x, m.tensor(t)), x)
    ignored = np.array([-100, -100])
    for reduction in ("mean", "sum"):
        assert_like_torch(
            lambda m, x, r=reduction: m.nn.functional.cross_entropy(
                x, m.tensor(ignored), reduction=r
            ),
            normal(2, 3),
            order=0,
        )


@needs_torch
@pytest.mark.parametrize("options", [{}, {"padding_idx": 1}, {"padding_idx": -1}, {"by": True}])
def test_embedding(options: dict[str, Any]) -> None:
    options = {"scale_grad_by_freq": True} if "by" in options else options
    numbers = np.array([[0, 1, 1], [4, 1, 0]])
    assert_like_torch(
        lambda m, w: m.nn.functional.embedding(m.tensor(numbers), w, **options),
        normal(5, 3),
        order=0 if "scale_grad_by_freq" in options else 2,
    )
    tables = []
    for m in (fg, torch):
        table = m.tensor(np.arange(15.0).reshape(5, 3))
        m.nn.functional.embedding(m.tensor(numbers), table, max_norm=2.0)
        tables.append(table)
    assert_same_tensor(*tables)


def test_gradient_of_an_embedding_by_count() -> None:
    table = fg.zeros(3, 2, dtype=fg.float64, requires_grad=True)
    rows = fg.nn.functional.embedding(fg.tensor([0, 2, 2]), table, scale_grad_by_freq=True)
    rows.backward(fg.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 8.0]], dtype=fg.float64))
    assert table.grad.tolist() == [[1.0, 2.0], [0.0, 0.0], [4.0, 6.0]]


@needs_torch
@pytest.mark.parametrize("shape", [(4,), (3, 4), (2, 3, 4), (0, 4)])
@pytest.mark.parametrize("bias", [True, False])
def test_linear(shape: tuple[int, ...], bias: bool) -> None:
    b = [normal(5)] if bias else []
    f = lambda m, x, w, *b: m.nn.functional.linear(x, w, *b)  # noqa: E731
    assert_like_torch(f, normal(*shape), normal(5, 4), *b)


@only_fastgrad
class TestDropout:
    def test_share_scale_and_gradient(self) -> None:
        fg.manual_seed(3)
        x = fg.ones(40_003, requires_grad=True)
        y = fg.nn.functional.dropout(x, 0.3)
        kept = y.detach() != 0
        assert abs(float(kept.double().mean()) - 0.7) < 0.01
        assert fg.allclose(y.detach()[kept], fg.tensor(1 / 0.7))
        (g,) = fg.autograd.grad(y.sum(), x, create_graph=True)
        assert fg.equal(g, y)
        fg.manual_seed(3)
        assert fg.equal(fg.nn.functional.dropout(x, 0.3), y)

    def test_extremes(self) -> None:
        x = fg.ones(9)
        assert fg.nn.functional.dropout(x, 0.5, training=False) is x
        assert not fg.nn.functional.dropout(x, 1.0).any()
        y = fg.nn.functional.dropout(x, 0.5, inplace=True)
        assert y is x
        with pytest.raises(ValueError, match="between 0 and 1"):
            fg.nn.functional.dropout(x, 1.5)


def attention(m: Any, *args: Any, **options: Any) -> Any:
    return m.nn.functional.scaled_dot_product_attention(*args, **options)


@needs_torch
class TestAttention:
    @pytest.mark.parametrize("batch", [(), (2,), (2, 3)])
    @pytest.mark.parametrize("options", [{}, {"is_causal": True}, {"scale": 0.3}])
    def test_values_and_derivatives(self, batch: tuple[int, ...], options: Any) -> None:
        q, k, v = normal(*batch, 4, 3), normal(*batch, 5, 3), normal(*batch, 5, 2)
        assert_like_torch(lambda m, *a: attention(m, *a, **options), q, k, v)

    @pytest.mark.parametrize("shape", [(4, 5), (2, 1, 4, 5), (3, 1, 5), (1, 5)])
    def test_masks(self, shape: tuple[int, ...]) -> None:
        q, k, v = normal(2, 3, 4, 3), normal(2, 3, 5, 3), normal(2, 3, 5, 2)
        seen = R.random(shape) < 0.6
        seen[..., 0] = True
        added = normal(*shape)
        assert_like_torch(lambda m, *a: attention(m, *a, attn_mask=m.tensor(seen)), q, k, v)
        assert_like_torch(lambda m, *a: attention(m, *a, attn_mask=m.tensor(added)), q, k, v)
        assert_like_torch(lambda m, *a: attention(m, *a), q, k, v, added)

    def test_shared_heads(self) -> None:
        q, k, v = normal(2, 6, 4, 3), normal(2, 2, 5, 3), normal(2, 2, 5, 2)
        assert_like_torch(lambda m, *a: attention(m, *a, enable_gqa=True), q, k, v)

    def test_many_blocks(self) -> None:
        q, k, v = (normal(2, 300, 8) for _ in range(3))
        assert_like_torch(lambda m, *a: attention(m, *a, is_causal=True), q, k, v)

    def test_dropout_has_one_mask_in_all_derivatives(self) -> None:
        q, k, v = (normal(2, 5, 3) for _ in range(3))

        def f(q: Any, k: Any, v: Any) -> Any:
            fg.manual_seed(5)
            return attention(fg, q, k, v, dropout_p=0.4)

        inputs = [fg.tensor(a, requires_grad=True) for a in (q, k, v)]
        assert fg.autograd.gradcheck(f, inputs)
        assert fg.autograd.gradgradcheck(f, inputs)

    def test_a_query_that_sees_nothing(self) -> None:
        x = fg.tensor(normal(2, 3), requires_grad=True)
        seen = fg.tensor([[False, False], [True, False]])
        y = attention(fg, x, x, x, attn_mask=seen)
        assert y[0].tolist() == [0.0, 0.0, 0.0]
        y.sum().backward()
        assert bool(fg.isfinite(x.grad).all())


@needs_torch
def test_errors() -> None:
    for m in (fg, torch):
        f = m.nn.functional
        with pytest.raises(RuntimeError, match="Given normalized_shape"):
            f.layer_norm(m.zeros(2, 3), (4,))
        with pytest.raises(RuntimeError, match="Expected weight to be of same shape"):
            f.layer_norm(m.zeros(2, 3), (3,), m.zeros(2))
        with pytest.raises(ValueError, match="Expected more than 1 value per channel"):
            f.batch_norm(m.zeros(1, 3), None, None, training=True)
        with pytest.raises(RuntimeError, match="should contain 3 elements not 2"):
            f.batch_norm(m.zeros(2, 3), m.zeros(2), m.zeros(2))
        with pytest.raises(IndexError, match="out of bounds"):
            f.cross_entropy(m.zeros(2, 3), m.tensor([0, 5]))
        with pytest.raises(ValueError, match="to match target batch_size"):
            f.cross_entropy(m.zeros(2, 3), m.tensor([0, 1, 2]))
        with pytest.raises(ValueError, match="is not a valid value for reduction"):
            f.cross_entropy(m.zeros(2, 3), m.tensor([0, 1]), reduction="median")
        with pytest.raises(IndexError, match="index out of range in self"):
            f.embedding(m.tensor([7]), m.zeros(3, 2))
        with pytest.raises(RuntimeError, match="Explicit attn_mask should not be set"):
            attention(m, *[m.zeros(2, 2)] * 3, attn_mask=m.ones(2, 2).bool(), is_causal=True)
