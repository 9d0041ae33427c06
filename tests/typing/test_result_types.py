"""What functions return, as mypy sees it and as it is.

mypy, which CI runs over this file, holds each `assert_type` against the stubs; pytest holds the
same line against the value.
"""

from __future__ import annotations

from types import UnionType
from typing import TYPE_CHECKING, Any, get_args, get_origin

import numpy as np

import fastgrad as fg
from fastgrad import Tensor, return_types

if TYPE_CHECKING:
    from typing_extensions import assert_type
else:

    def assert_type(value: Any, kind: Any) -> None:
        origin = get_origin(kind)
        origin = kind if origin in (None, UnionType) else origin
        assert isinstance(value, origin), f"{type(value)} is no {kind}"
        if origin is tuple:
            items = get_args(kind)
            items = items[:1] * len(value) if items[-1] is ... else items
            assert len(items) == len(value)
            for item, item_kind in zip(value, items, strict=True):
                assert_type(item, item_kind)


X = fg.tensor([[2.0, 1.0], [1.0, 3.0]], requires_grad=True)


def test_attributes() -> None:
    assert_type(X.shape, fg.Size)
    assert_type(X.shape[0], int)
    assert_type(X.size(), fg.Size)
    assert_type(X.size(0), int)
    assert_type(X.dtype, fg.dtype)
    assert_type(X.device, fg.device)
    assert_type(X.requires_grad, bool)
    assert_type(X.ndim, int)
    assert_type(X.stride(), tuple[int, ...])
    assert_type(X.numel(), int)
    assert_type(X.T, Tensor)
    assert_type(X.is_floating_point(), bool)


def test_operators_and_functions() -> None:
    assert_type(X + 1, Tensor)
    assert_type(2 * X, Tensor)
    assert_type(X @ X, Tensor)
    assert_type(-X, Tensor)
    assert_type(X > 0, Tensor)
    assert_type(X == X, Tensor)
    assert_type(X[0, 1:], Tensor)
    assert_type(X.exp().sum(dim=0, keepdim=True), Tensor)
    assert_type(fg.where(X > 0, X, 0), Tensor)
    assert_type(fg.stack([X, X]).reshape(-1), Tensor)
    assert_type(X.detach().numpy(), np.ndarray[Any, Any])


def test_python_values() -> None:
    assert_type(bool(fg.allclose(X, X)), bool)
    assert_type(fg.allclose(X, X), bool)
    assert_type(fg.equal(X, X), bool)
    assert_type(float(X[0, 0]), float)
    assert_type(len(X), int)


def test_reductions_with_values_and_indices() -> None:
    assert_type(X.max(), Tensor)
    assert_type(X.max(dim=0), return_types.max)
    assert_type(X.max(0).values, Tensor)
    assert_type(fg.min(X, 1), return_types.min)
    assert_type(fg.min(X, 1).indices, Tensor)
    assert_type(fg.max(X, X), Tensor)
    assert_type(X.median(), Tensor)
    assert_type(X.median(dim=0), return_types.median)
    assert_type(X.nanmedian(dim=0), return_types.nanmedian)
    assert_type(X.mode(), return_types.mode)
    assert_type(X.kthvalue(1), return_types.kthvalue)
    assert_type(X.cummax(0), return_types.cummax)
    assert_type(fg.cummin(X, 0), return_types.cummin)
    assert_type(X.aminmax(), return_types.aminmax)
    values, indices = X.sort(descending=True)
    assert_type(values, Tensor)
    assert_type(indices, Tensor)
    assert_type(fg.sort(X), return_types.sort)
    assert_type(fg.topk(X, 1), return_types.topk)
    assert_type(X.topk(1).values, Tensor)


def test_pairs() -> None:
    assert_type(fg.var_mean(X), tuple[Tensor, Tensor])
    assert_type(fg.std_mean(X, dim=0), tuple[Tensor, Tensor])
    assert_type(fg.frexp(X), return_types.frexp)


def test_results_that_a_flag_decides() -> None:
    assert_type(X.nonzero(), Tensor)
    assert_type(X.nonzero(as_tuple=True), tuple[Tensor, ...])
    assert_type(fg.unique(X), Tensor)
    assert_type(fg.unique(X, return_counts=True), tuple[Tensor, ...])
    assert_type(fg.unique(X, return_inverse=True, return_counts=True), tuple[Tensor, ...])
    assert_type(fg.unique_consecutive(X), Tensor)


def test_splits() -> None:
    assert_type(X.split(1), tuple[Tensor, ...])
    assert_type(fg.chunk(X, 2), tuple[Tensor, ...])
    assert_type(X.unbind(), tuple[Tensor, ...])
    assert_type(fg.meshgrid(X[0], X[1], indexing="ij"), tuple[Tensor, ...])


def test_decompositions() -> None:
    assert_type(fg.linalg.eigh(X), return_types.linalg_eigh)
    assert_type(fg.linalg.eigh(X).eigenvalues, Tensor)
    assert_type(fg.linalg.svd(X), return_types.linalg_svd)
    assert_type(fg.linalg.svd(X).Vh, Tensor)
    assert_type(fg.svd(X), return_types.svd)
    assert_type(fg.linalg.qr(X), return_types.linalg_qr)
    assert_type(fg.qr(X).R, Tensor)
    assert_type(fg.linalg.lu(X), return_types.linalg_lu)
    assert_type(fg.linalg.lu_factor(X), return_types.linalg_lu_factor)
    assert_type(fg.linalg.slogdet(X), return_types.linalg_slogdet)
    assert_type(fg.slogdet(X).logabsdet, Tensor)
    assert_type(fg.linalg.lstsq(X, X), return_types.linalg_lstsq)
    assert_type(fg.linalg.inv_ex(X), return_types.linalg_inv_ex)
    assert_type(fg.linalg.cholesky_ex(X), return_types.linalg_cholesky_ex)
    assert_type(fg.geqrf(X), return_types.geqrf)
    assert_type(fg.linalg.cholesky(X), Tensor)
    assert_type(fg.linalg.solve(X, X), Tensor)


def test_gradients() -> None:
    assert_type(fg.autograd.grad((X * X).sum(), X), tuple[Tensor, ...])
    assert_type(fg.autograd.grad((X * X).sum(), [X]), tuple[Tensor, ...])
    assert_type(fg.autograd.grad((X * X).sum(), {"x": X})["x"], Tensor)
    x = fg.ones(3, requires_grad=True)
    assert_type(x.grad, Tensor | None)
    (x * 2).sum().backward()
    assert x.grad is not None
    assert_type(x.grad, Tensor)
    assert_type(x.is_leaf, bool)
    assert_type((x * 2).grad_fn, fg.autograd.graph.Node | None)
