"""Ops take a batch at once, whichever of their inputs depends on the example.

Each function is mapped over every choice of its inputs, along other dimensions than the first too,
and its values and derivatives are those of a call for each example.
"""

import re
from itertools import product

import numpy as np
import pytest

import fastgrad as fg
import fastgrad.func.batching as batching
from fastgrad import func
from fastgrad.utils.pytree import tree_flatten
from test_func_batches import at_once, one_by_one  # noqa: F401

F = fg.nn.functional
linalg = fg.linalg


def _positive(a):
    return a @ a.mT + 3 * fg.eye(a.shape[-1], dtype=a.dtype)


def _regular(a):
    return a + 4 * fg.eye(a.shape[-1], dtype=a.dtype)


def _symmetric(a):
    return _positive(a) + fg.diag_embed(fg.arange(a.shape[-1]).to(a.dtype) * 3)


# Functions, and the shapes of their inputs; (n, shape) stands for integers below n.
LINALG = {
    "cholesky": (lambda a: linalg.cholesky(_positive(a)), (3, 3)),
    "det": (lambda a: linalg.det(_regular(a)), (3, 3)),
    "det_of_several": (lambda a: linalg.det(a), (2, 3, 3)),
    "slogdet": (lambda a: linalg.slogdet(_regular(a))[1], (3, 3)),
    "inverse": (lambda a: linalg.inv(_regular(a)), (2, 3, 3)),
    "matrix_exp": (lambda a: linalg.matrix_exp(a / 3), (3, 3)),
    "eigh": (lambda a: (linalg.eigh(_symmetric(a))[0], linalg.eigh(_symmetric(a))[1] ** 2), (3, 3)),
    "eigvalsh": (lambda a: linalg.eigvalsh(_symmetric(a)), (3, 3)),
    "svdvals": (lambda a: linalg.svdvals(a), (3, 2)),
    "svd": (lambda a: linalg.svd(a, full_matrices=False)[0] ** 2, (3, 2)),
    "qr": (lambda a: linalg.qr(_regular(a)), (3, 3)),
    "lu_factor": (lambda a: linalg.lu_factor(_regular(a))[0], (3, 3)),
    "pinv": (lambda a: linalg.pinv(a), (3, 2)),
    "solve": (lambda a, b: linalg.solve(_regular(a), b), (3, 3), (3, 2)),
    "solve_vector": (lambda a, b: linalg.solve(_regular(a), b), (3, 3), (3,)),
    "solve_several": (lambda a, b: linalg.solve(_regular(a), b), (3, 3), (2, 3, 2)),
    "solve_from_right": (lambda a, b: linalg.solve(_regular(a), b, left=False), (3, 3), (2, 3)),
    "triangular": (
        lambda a, b: linalg.solve_triangular(_regular(a), b, upper=False),
        (3, 3),
        (3, 2),
    ),
    "triangular_several": (
        lambda a, b: linalg.solve_triangular(_regular(a), b, upper=True, left=False),
        (2, 3, 3),
        (2, 3),
    ),
    "cholesky_solve": (
        lambda a, b: fg.cholesky_solve(b, linalg.cholesky(_positive(a))),
        (3, 3),
        (3, 2),
    ),
    "least_squares": (lambda a, b: linalg.lstsq(a, b).solution, (4, 2), (4, 3)),
    "cross": (lambda a, b: linalg.cross(a, b), (2, 3), (2, 3)),
    "trace": (lambda a: fg.trace(a), (3, 4)),
    "cdist": (lambda a, b: fg.cdist(a, b), (3, 2), (4, 2)),
    "sums_of_products": (lambda a, b: fg.einsum("bij,bjk->ik", a, b), (2, 3, 4), (2, 4, 2)),
    "linear": (lambda x, w, b: F.linear(x, w, b), (2, 3, 4), (2, 4), (2,)),
}
LAYERS = {
    "conv": (lambda x, w: F.conv2d(x, w, padding=1), (2, 2, 4, 3), (3, 2, 3, 2)),
    "conv_of_one": (lambda x, w: F.conv2d(x, w, stride=2), (2, 5, 4), (3, 2, 3, 2)),
    "conv_bias": (lambda x, w, b: F.conv1d(x, w, b), (2, 2, 5), (4, 2, 3), (4,)),
    "conv_groups": (
        lambda x, w, b: F.conv1d(x, w, b, groups=2, dilation=2),
        (2, 4, 6),
        (4, 2, 2),
        (4,),
    ),
    "conv_transpose": (
        lambda x, w, b: F.conv_transpose2d(x, w, b, stride=2),
        (2, 2, 3, 2),
        (2, 3, 2, 3),
        (3,),
    ),
    "conv_3d": (lambda x, w: F.conv3d(x, w), (1, 1, 3, 3, 2), (2, 1, 2, 2, 2)),
    "max_pool": (lambda x: F.max_pool2d(x, 2, stride=1, padding=1), (2, 4, 4)),
    "avg_pool": (lambda x: F.avg_pool2d(x, 2), (2, 2, 4, 5)),
    "adaptive": (lambda x: F.adaptive_avg_pool1d(x, 3) + F.adaptive_max_pool1d(x, 3), (2, 7)),
    "unfold": (lambda x: F.fold(F.unfold(x, 2) ** 2, (3, 4), 2), (2, 2, 3, 4)),
    "layer_norm": (lambda x, w, b: F.layer_norm(x, (4,), w, b), (3, 4), (4,), (4,)),
    "layer_norm_plain": (lambda x: F.layer_norm(x, (3, 4)), (3, 4)),
    "layer_norm_long": (lambda x, w, b: F.layer_norm(x, (40,), w, b), (9, 40), (40,), (40,)),
    "layer_norm_vector": (lambda x, w, b: F.layer_norm(x, (4,), w, b), (4,), (4,), (4,)),
    "rms_norm": (lambda x, w: F.rms_norm(x, (4,), w), (2, 3, 4), (4,)),
    "group_norm": (lambda x, w, b: F.group_norm(x, 2, w, b), (2, 4, 3), (4,), (4,)),
    "instance_norm": (lambda x: F.instance_norm(x), (2, 3, 4)),
    "batch_norm": (
        lambda x, w, b: F.batch_norm(x, None, None, w, b, True),
        (3, 2, 4),
        (2,),
        (2,),
    ),
    "batch_norm_plain": (lambda x: F.batch_norm(x, None, None, training=True), (5, 2)),
    "attention": (
        lambda q, k, v: F.scaled_dot_product_attention(q, k, v),
        (2, 3, 4),
        (2, 5, 4),
        (2, 5, 3),
    ),
    "attention_causal": (
        lambda q, k, v: F.scaled_dot_product_attention(q, k, v, is_causal=True),
        (2, 2, 3, 4),
        (2, 2, 3, 4),
        (2, 2, 3, 2),
    ),
    "attention_sharing": (
        lambda q, k, v: F.scaled_dot_product_attention(q, k, v, enable_gqa=True),
        (1, 4, 3, 4),
        (1, 2, 3, 4),
        (1, 2, 3, 4),
    ),
    "attention_mask": (
        lambda q, m: F.scaled_dot_product_attention(q, q, q, attn_mask=m),
        (2, 2, 3, 4),
        (3, 3),
    ),
    "attention_mask_of_heads": (
        lambda q, m: F.scaled_dot_product_attention(q, q, q, attn_mask=m > 0),
        (2, 2, 3, 4),
        (2, 1, 1, 3),
    ),
    "resized": (lambda x: F.interpolate(x, scale_factor=2, mode="bilinear"), (1, 2, 3, 2)),
    "grid": (
        lambda x, g: F.grid_sample(x, g * 0.4, align_corners=False),
        (2, 2, 3, 4),
        (2, 2, 3, 2),
    ),
}
for _reduction in ("none", "mean", "sum"):
    LAYERS |= {
        f"cross_entropy_{_reduction}": (
            lambda x, y, r=_reduction: F.cross_entropy(
                x, y, reduction=r, label_smoothing=0.2, ignore_index=2
            ),
            (3, 4),
            (4, (3,)),
        ),
        f"cross_entropy_weight_{_reduction}": (
            lambda x, y, w, r=_reduction: F.cross_entropy(x, y, w.exp(), reduction=r),
            (2, 3, 2),
            (3, (2, 2)),
            (3,),
        ),
        f"cross_entropy_of_one_{_reduction}": (
            lambda x, y, r=_reduction: F.cross_entropy(x, y, reduction=r),
            (4,),
            (4, ()),
        ),
        f"nll_{_reduction}": (
            lambda x, y, r=_reduction: F.nll_loss(x, y, ignore_index=1, reduction=r),
            (3, 4),
            (4, (3,)),
        ),
    }
LAYERS["nothing_counts"] = (
    lambda x, y: F.cross_entropy(x, y * 0 + 1, ignore_index=1),
    (3, 4),
    (4, (3,)),
)
POSITIONS = {
    "embedding": (lambda t, i: F.embedding(i, t), (5, 2), (5, (2, 3))),
    "embedding_padding": (lambda t, i: F.embedding(i, t, padding_idx=1), (5, 2), (5, (6,))),
    "embedding_count": (
        lambda t, i: F.embedding(i, t, scale_grad_by_freq=True),
        (3, 2),
        (3, (4,)),
    ),
    "bag": (lambda t, i: F.embedding_bag(i, t, mode="sum"), (5, 2), (5, (2, 3))),
    "pad": (lambda x: F.pad(x, (1, 2, 0, -1), value=1.5), (3, 4)),
    "pad_reflect": (lambda x: F.pad(x, (1, 2), mode="reflect"), (2, 4)),
    "pad_circular": (lambda x: F.pad(x, (1, 2), mode="circular"), (2, 4)),
    "pad_replicate": (lambda x: F.pad(x, (1, 2, 1, 0), mode="replicate"), (1, 2, 4)),
    "roll": (lambda x: x.roll((1, -2), (0, 1)) + x.roll(1), (3, 4)),
    "repeat": (lambda x: x.repeat(2, 1, 3), (2, 3)),
    "tile_number": (lambda x: x.repeat(3), ()),
    "diag_embed": (lambda x: fg.diag_embed(x, 1, 0, 2), (2, 3)),
    "scatter": (
        lambda x, s, i: x.scatter(0, i.argsort(0), s),
        (3, 4),
        (3, 4),
        (9, (3, 4)),
    ),
    "scatter_number": (lambda x, i: x.scatter(1, i, 2.0), (3, 4), (4, (3, 2))),
    "scatter_add": (lambda x, s, i: x.scatter_add(1, i, s), (3, 4), (3, 5), (4, (2, 3))),
    "scatter_reduce": (
        lambda x, s, i: x.scatter_reduce(0, i, s, "amax") + x.scatter_reduce(0, i, s, "prod"),
        (3,),
        (4,),
        (3, (4,)),
    ),
    "index_add": (lambda x, s, i: x.index_add(1, i, s), (3, 4), (3, 2), (4, (2,))),
    "index_of_rows": (
        lambda x, s, i: func.jacrev(lambda s: x.index_add(0, i[1], s * s)[0])(s),
        (3, 2),
        (2, 2),
        (3, (2, 2)),
    ),
    "index_copy": (lambda x, s: x.index_copy(0, fg.tensor([2, 0]), s), (3, 4), (2, 4)),
    "index_fill": (lambda x, i: x.index_fill(1, i, 3.0), (3, 4), (4, (2,))),
    "index_put": (
        lambda x, s, i: x.index_put((i, i), s, accumulate=True),
        (3, 3, 2),
        (2,),
        (3, (4,)),
    ),
    "index_put_behind": (
        lambda x, s, i: fg.index_put(x.mT, (fg.tensor([0, 1]), i), s),
        (3, 4),
        (2,),
        (3, (2,)),
    ),
    "put": (lambda x, s: x.put(fg.tensor([5, 0]), s), (3, 4), (2,)),
    "masked_scatter": (
        lambda x, s: x.masked_scatter(fg.tensor([[True, False, True], [False, True, False]]), s),
        (2, 3),
        (4,),
    ),
    "slice_scatter": (lambda x, s: x.slice_scatter(s, 1, 1, 4, 2), (3, 4), (3, 2)),
    "select_scatter": (lambda x, s: x.select_scatter(s, 0, 1), (3, 4), (4,)),
    "diagonal_scatter": (lambda x, s: x.diagonal_scatter(s, 1), (3, 4), (3,)),
    "written": (lambda x, s: _written(x, s), (3, 4), (4,)),
    "as_strided": (lambda x: (x * 2).as_strided((2, 3), (1, 2), 1) * 3, (3, 4)),
    "kthvalue": (lambda x: x.kthvalue(2, 0)[0] + x.median(0)[0] + x.nanmedian(0)[0], (3, 4)),
    "median": (lambda x: x.median() + x.nanmedian(), (3, 4)),
    "mode": (lambda i: (i.mode(1), i.median()), (3, (4, 5))),
    "searchsorted": (
        lambda x, v: fg.searchsorted(x.sort(-1)[0], v) + fg.bucketize(v, x[0].sort()[0]),
        (2, 4),
        (2, 3),
    ),
    "searchsorted_line": (lambda x, v: fg.searchsorted(x.sort()[0], v, right=True), (4,), (2, 3)),
}


def _written(x, s):
    y = x * 2
    y[1] = s
    y[:, 2] += y[:, 0]
    return y.mT


CASES = LINALG | LAYERS | POSITIONS
# Their derivatives are zero, or undefined.
DISCRETE = {"mode", "searchsorted", "searchsorted_line"}
# Where one more derivative is compared elsewhere, or is none.
ONCE = {"embedding_count", "masked_scatter", "lu_factor", "least_squares", "svd", "median"}
# Some of what they are made of is computed for one example after the other.
LOOPS = {
    "layer_norm_long",  # parameters of one's own for long sequences
    "lu_factor",  # a matrix of pivots
    *(name for name in LAYERS if name.startswith("cross_entropy_weight")),  # weights of one's own
}


def _shape_of(spec):
    """The shape, and below what its integers are; None for numbers."""
    return (spec[1], spec[0]) if len(spec) == 2 and isinstance(spec[1], tuple) else (spec, None)


def _example(spec, seed, count, dtype, dim):
    """Examples, which lie along `dim` with gaps between them; None: one that all share."""
    rng = np.random.default_rng(seed)
    shape, end = _shape_of(spec)
    whole = end is not None
    wide = shape if dim is None else (count, *shape)
    values = rng.integers(0, end, wide) if whole else rng.normal(size=wide)
    if dim is None:
        return fg.tensor(values, dtype=fg.int64 if whole else dtype)
    gaps = np.repeat(np.moveaxis(values, 0, dim)[..., None], 2, -1)
    return fg.tensor(gaps, dtype=fg.int64 if whole else dtype)[..., 0]


def _choices(specs):
    return [c for c in product([True, False], repeat=len(specs)) if any(c)]


def _inputs(specs, mapped, count, dtype=fg.float64):
    dims = tuple(
        (k + len(specs)) % (len(_shape_of(s)[0]) + 1) if m else None
        for k, (s, m) in enumerate(zip(specs, mapped, strict=True))
    )
    return dims, [_example(s, k, count, dtype, d) for k, (s, d) in enumerate(zip(specs, dims))]


def _assert_close(got, expected, rtol):
    for x, y in zip(tree_flatten(got)[0], tree_flatten(expected)[0], strict=True):
        assert x.shape == y.shape
        assert x.dtype == y.dtype
        x, y = x.detach().numpy(), y.detach().numpy()
        scale = np.abs(y[np.isfinite(y)]).max(initial=1.0)
        np.testing.assert_allclose(x, y, rtol, rtol * scale)


def _slopes(f, inputs):
    """The function that gives gradients, and the one that gives the gradients of those."""
    smooth = tuple(k for k, x in enumerate(inputs) if x.is_floating_point())

    def total(*args):
        parts = [y for y in tree_flatten(f(*args))[0] if y.is_floating_point()]
        return sum((y.sin() * (fg.arange(y.numel()) + 1).reshape(y.shape)).sum() for y in parts)

    first = func.grad(total, smooth)
    second = func.grad(lambda *args: sum((g**2).sum() for g in first(*args)), smooth)
    return first, second


@pytest.mark.parametrize("name", CASES)
def test_values_and_derivatives(name, at_once):  # noqa: F811
    f, *specs = CASES[name]
    for mapped in _choices(specs):
        dims, inputs = _inputs(specs, mapped, 3)
        functions = [f]
        if name not in DISCRETE:
            functions += _slopes(f, inputs)[: 1 if name in ONCE else 2]
        for g in functions:
            expected = one_by_one(g, *inputs, in_dims=dims)
            _assert_close(func.vmap(g, dims)(*inputs), expected, 1e-10)
            assert at_once[1] == 0


@pytest.mark.parametrize("name", [n for n in CASES if n not in DISCRETE])
def test_cotangents_that_alone_depend_on_the_example(name, at_once):  # noqa: F811
    f, *specs = CASES[name]
    _, inputs = _inputs(specs, (False,) * len(specs), 3)
    smooth = tuple(k for k, x in enumerate(inputs, 1) if x.is_floating_point())

    def scaled(s, *args):
        parts = [y for y in tree_flatten(f(*args))[0] if y.is_floating_point()]
        return sum((y * (s + fg.arange(y.numel()).reshape(y.shape))).sin().sum() for y in parts)

    first = func.grad(scaled, smooth)
    second = func.grad(lambda *args: sum((g**2).sum() for g in first(*args)), smooth)
    s, dims = fg.tensor([0.3, -1.0, 2.0], dtype=fg.float64), (0, *(None for _ in specs))
    for g in (first, second)[: 1 if name in ONCE else 2]:
        expected = one_by_one(g, s, *inputs, in_dims=dims)
        _assert_close(func.vmap(g, dims)(s, *inputs), expected, 1e-10)
    assert at_once[1] == 0


@pytest.mark.parametrize("name", CASES)
def test_single_precision(name, at_once):  # noqa: F811
    f, *specs = CASES[name]
    for mapped in {_choices(specs)[0], _choices(specs)[-1]}:
        dims, inputs = _inputs(specs, mapped, 2, fg.float32)
        functions = [f] if name in DISCRETE else [f, _slopes(f, inputs)[0]]
        for g in functions:
            expected = one_by_one(g, *inputs, in_dims=dims)
            _assert_close(func.vmap(g, dims)(*inputs), expected, 5e-4 if name in LINALG else 2e-5)


def _one_by_one(f, dims):
    return lambda *args: one_by_one(f, *args, in_dims=dims)


def _nested(vmap):
    return lambda f, inner, outer: vmap(lambda *args: vmap(f, inner)(*args), outer)


@pytest.mark.parametrize("name", CASES)
def test_maps_of_maps(name, at_once):  # noqa: F811
    f, *specs = CASES[name]
    inner, inputs = _inputs(specs, _choices(specs)[0], 2)
    functions = [f] if name in DISCRETE else [f, _slopes(f, inputs)[0]]
    # The first input alone, or all of them, are tables of examples.
    for outer in {(0,) + (None,) * (len(specs) - 1), (0,) * len(specs)}:
        tables = [
            x if d is None else fg.stack([x, x.flip(e)]) for x, d, e in zip(inputs, outer, inner)
        ]
        for g in functions:
            maps = [vmap(g, inner, outer) for vmap in (_nested(func.vmap), _nested(_one_by_one))]
            _assert_close(maps[0](*tables), maps[1](*tables), 1e-10)


@pytest.mark.parametrize("name", CASES)
def test_replays_of_compiled_maps(name, monkeypatch):
    monkeypatch.setattr(batching, "_FEWEST_AT_ONCE", 2)
    f, *specs = CASES[name]
    for mapped in {_choices(specs)[0], _choices(specs)[-1]}:
        dims, inputs = _inputs(specs, mapped, 3)
        for g in [f] if name in DISCRETE else [f, _slopes(f, inputs)[0]]:
            compiled = fg.compile(func.vmap(g, dims))
            for turn in range(3):
                others = [x if d is None else x.roll(turn, d) * 1 for x, d in zip(inputs, dims)]
                _assert_close(compiled(*others), func.vmap(g, dims)(*others), 1e-12)
            assert compiled.stats()["replays"] > 0


def _recorded(f, dims, inputs):
    compiled = fg.compile(func.vmap(f, dims))
    for _ in range(2):
        compiled(*inputs)
    return int(re.match(r"(\d+) recorded", compiled.explain())[1])


@pytest.mark.parametrize("name", [n for n in CASES if n not in LOOPS])
def test_nothing_runs_for_one_example_after_the_other(name, monkeypatch):
    monkeypatch.setattr(batching, "_FEWEST_AT_ONCE", 2)
    f, *specs = CASES[name]
    for mapped in _choices(specs):
        recorded = []
        for count in (3, 5):
            dims, inputs = _inputs(specs, mapped, count)
            functions = [f] if name in DISCRETE else [f, _slopes(f, inputs)[0]]
            recorded.append([_recorded(g, dims, inputs) for g in functions])
        assert recorded[0] == recorded[1]
