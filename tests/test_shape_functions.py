"""Shape, view and selection functions: what PyTorch's OpInfo samples do not reach."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

from reference import fg, needs_torch, torch

# Calls on x, i, m (2, 3, 4), M (3, 3) and v (6,), whose node names are PyTorch's.
NAMED = """
x.reshape(6, 4); x.mT.reshape(-1); x.view(-1); x.flatten(0, 1); x.mT.flatten()
x.unflatten(2, (2, 2)); x.squeeze(0); x.squeeze(); x.squeeze((0, 1)); x.unsqueeze(1)
x.transpose(0, 1); M.t(); M.T; x.mT; x.swapaxes(0, 1); x.permute(2, 0, 1); x.movedim(0, 2)
x.expand(1, 2, 3, 4); x.split(2, 2)[0]; x.split([1, 3], 2)[0]; x.chunk(2, 2)[0]
x.tensor_split(2, 2)[0]; x.unbind(1)[0]; x.narrow(2, 0, 1); x.select(0, 1)
T.slice_scatter(x, x[:1], 0, 0, 1); T.select_scatter(x, x[0], 0, 1)
x.index_select(0, i[0, 0, :1]); x.index_add(0, i[0, 0, :1], x[:1])
x.index_copy(0, i[0, 0, :1], x[:1]); x.index_fill(0, i[0, 0, :1], 1.0)
x.index_put((i[0, 0, :1],), x[:1]); x.gather(0, i); x.scatter(0, i, x); x.scatter_add(0, i, x)
x.scatter_reduce(0, i, x, 'prod'); x.take(i); T.take_along_dim(x, i, 0); x.put(i, x)
x.masked_fill(m, 0.0); x.masked_select(m); x.masked_scatter(m, x); x.flip(0); T.fliplr(x)
x.roll(1, 0); x.repeat(2, 1, 1); x.tile(2, 2); x.tril(); x.triu(); v.diag(); M.diagonal()
T.diag_embed(v); T.diagonal_scatter(M, v[:3]); v.unfold(0, 2, 1)
T.as_strided(v, (2, 2), (1, 1)); T.as_strided_scatter(v, T.zeros(2), (2,), (1,))
T.atleast_3d(v); T.hstack([x, x]); T.stack([x, x]); T.meshgrid(v, v, indexing='ij')[0]
x.view_as(x); x[0]; x[1:]; x[None]; x[[0, 1]]; x[x > 0]
"""


def cases(text: str) -> list[str]:
    return [c.strip() for c in text.replace("\n", ";").split(";") if c.strip()]


def scope(module: Any) -> dict[str, Any]:
    def leaf(*shape: int) -> Any:
        n = module.zeros(shape).numel()
        return (module.arange(n, dtype=module.float64) / 7 - 0.3).reshape(shape).requires_grad_()

    x, matrix, v = leaf(2, 3, 4), leaf(3, 3), leaf(6)
    i = module.zeros(2, 3, 4, dtype=module.int64)
    return {"T": module, "x": x * 1, "M": matrix * 1, "v": v * 1, "i": i, "m": x > 1}


@needs_torch
@pytest.mark.parametrize("code", cases(NAMED))
def test_node_names(code: str) -> None:
    ours, theirs = eval(code, scope(fg)), eval(code, scope(torch))
    name = theirs.grad_fn.name()
    if name.startswith(("MaskedFill", "Scatter", "DiagEmbed")):
        assert ours.grad_fn.name()[:-1] == name[:-1]  # PyTorch numbers its overloads
    else:
        assert ours.grad_fn.name() == name


INPLACE_VIEWS = """
x.unsqueeze_(1); x.squeeze_(); x.transpose_(0, 2); x.swapaxes_(0, 1); M.t_(); x.swapdims_(1, 2)
v.as_strided_((2, 2), (1, 2)); x.unsqueeze_(0).squeeze_(0); x[0].t_(); M[:, 1:].t_().mul_(2)
x.transpose_(0, 1).add_(x.detach() * 2); M.t_().mul_(M.detach().clone())
"""


@needs_torch
@pytest.mark.parametrize("code", cases(INPLACE_VIEWS))
def test_inplace_views(code: str) -> None:
    results = []
    for module in (torch, fg):
        names = scope(module)
        leaves = {k: names[k].detach().clone().requires_grad_() for k in ("x", "M", "v")}
        names.update({k: leaf * 1 for k, leaf in leaves.items()})
        exec(code, names)
        total = sum((names[k] ** 3).sum() for k in leaves)
        total.backward()
        results.append(
            [
                (names[k].tolist(), names[k].stride(), names[k]._version, leaves[k].grad.tolist())
                for k in leaves
            ]
        )
    assert results[0] == results[1]


def test_inplace_view_of_a_leaf_is_refused() -> None:
    x = fg.ones(2, 3, requires_grad=True)
    with pytest.raises(RuntimeError, match="a leaf Variable that requires grad"):
        x.t_()
    assert x.shape == (2, 3)
    with fg.no_grad():
        x.t_()
    assert x.shape == (3, 2)


@pytest.mark.parametrize(
    "pieces",
    [lambda x: x.unbind(0), lambda x: x.split(1), lambda x: x.chunk(2), lambda x: list(x)],
)
def test_pieces_may_not_be_written(pieces: Any) -> None:
    x = fg.ones(2, 3, requires_grad=True) * 1
    first = pieces(x)[0]
    with pytest.raises(RuntimeError, match="is a view and is being modified inplace"):
        first.mul_(2)
    x.mul_(2)
    with pytest.raises(RuntimeError, match="another view of its base has been modified"):
        first.sum()


def test_pieces_of_plain_tensors_may_be_written() -> None:
    x = fg.zeros(2, 2)
    for row in x:
        row += 1
    assert x.tolist() == [[1.0, 1.0], [1.0, 1.0]]
    for part in x.tensor_split(2, dim=1):
        part *= 2
    assert x.tolist() == [[2.0, 2.0], [2.0, 2.0]]


def test_operand_view_follows_a_write_through_its_sibling() -> None:
    """A view that was an operand of the write still sees the base's new history."""
    x = fg.tensor([1.0, 2.0, 3.0, 4.0], requires_grad=True)
    base = x * 1
    first, second, all_of_it = base[:2], base[2:], base[:]
    first += all_of_it[2:].detach() + second
    (all_of_it * fg.tensor([1.0, 10.0, 100.0, 1000.0])).sum().backward()
    assert x.grad.tolist() == [1.0, 10.0, 101.0, 1010.0]


@pytest.mark.parametrize("bad", [float("inf"), float("nan")])
def test_masked_branches_leak_no_nan(bad: float) -> None:
    x = fg.tensor([bad, 0.0, 2.0], requires_grad=True)
    mask = fg.tensor([True, True, False])
    x.log().masked_fill(mask, 0.0).sum().backward()
    assert x.grad.tolist() == [0.0, 0.0, 0.5]
    x.grad = None
    y = 1 / x
    y.masked_scatter(mask, fg.tensor([5.0, 6.0])).sum().backward()
    assert x.grad.tolist() == [0.0, 0.0, -0.25]
    x.grad = None
    z = x.sqrt() * 1
    z[mask] = 0.0
    z.sum().backward()
    assert x.grad[:2].tolist() == [0.0, 0.0]


def test_empty_and_zero_dimensional() -> None:
    empty, scalar = fg.zeros(0, 3), fg.tensor(2.0)
    assert empty.reshape(3, 0).shape == (3, 0)
    assert fg.cat([empty, fg.ones(2, 3)]).shape == (2, 3)
    assert empty.flip(0).shape == empty.roll(1, 0).shape == (0, 3)
    assert empty.split(2)[0].shape == (0, 3)
    assert fg.nonzero(scalar).shape == (1, 0)
    assert scalar.repeat(2, 2).tolist() == [[2.0, 2.0], [2.0, 2.0]]
    assert scalar.unfold(0, 1, 1).tolist() == [2.0]
    assert scalar.expand(2, 0).shape == (2, 0)
    assert scalar.gather(0, fg.tensor(0)).item() == 2.0
    assert fg.stack([scalar, scalar]).tolist() == [2.0, 2.0]


def test_one_hot_and_repeat_interleave() -> None:
    assert fg.nn.functional.one_hot(fg.tensor([0, 2])).tolist() == [[1, 0, 0], [0, 0, 1]]
    with pytest.raises(RuntimeError, match="Class values must be smaller than num_classes"):
        fg.nn.functional.one_hot(fg.tensor([3]), 2)
    assert fg.repeat_interleave(fg.tensor([1, 0, 2])).tolist() == [0, 2, 2]


@needs_torch
def test_dimensions_one_by_one() -> None:
    for calls in (
        lambda x: [x.squeeze(0, 2), x.clone().squeeze_(0, 2), x.squeeze(0, -1, 1)],
        lambda x: [*x[0].vsplit(1, 3), *x.hsplit(2, 3), *x.dsplit(1)],
        lambda x: [x.amax(None), x.amin(None, True), x.amax((0, 1))],
    ):
        a, b = (calls(m.arange(5.0).reshape(1, 5, 1)) for m in (fg, torch))
        assert [t.tolist() for t in a] == [t.tolist() for t in b]
    with pytest.raises(RuntimeError, match="multiple times"):
        fg.ones(1, 1).squeeze(0, 0)


def test_errors_speak_of_fastgrad() -> None:
    for call in (
        lambda: fg.ones(3).hsplit(2),
        lambda: fg.take_along_dim(fg.ones(3), fg.ones(3)),
        lambda: fg.lu_unpack(fg.eye(2), fg.ones(2)),
        lambda: fg.clamp(fg.ones(3)),
    ):
        with pytest.raises((RuntimeError, ValueError, TypeError)) as e:
            call()
        assert "torch" not in str(e.value)


def test_broadcast_shapes() -> None:
    assert fg.broadcast_shapes((3, 1), 4, (2, 1, 1)) == (2, 3, 4)
    with pytest.raises(RuntimeError, match="Shape mismatch"):
        fg.broadcast_shapes((2,), (3,))


@needs_torch
def test_windows_sum_where_they_overlap() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        grads = []
        for module in (torch, fg):
            x = module.arange(12, dtype=module.float64).reshape(3, 4).requires_grad_()
            (x.unfold(1, 3, 1) ** 2).sum().backward()
            (x.as_strided((3, 3), (1, 2)) ** 3).sum().backward()
            grads.append(x.grad.tolist())
    assert grads[0] == grads[1]


@pytest.mark.parametrize("shape", [(2, 3), (3, 2)])
@pytest.mark.parametrize("indexing", ["ij", "xy"])
def test_grids_repeat_without_a_copy(shape: tuple[int, int], indexing: str) -> None:
    a, b = fg.arange(shape[0]), fg.arange(shape[1])
    first, second = fg.meshgrid(a, b, indexing=indexing)
    assert first.data_ptr() == a.data_ptr() and second.data_ptr() == b.data_ptr()
    assert first.shape == (shape if indexing == "ij" else shape[::-1])


def test_a_part_takes_another_type() -> None:
    x, part = fg.zeros(3, dtype=fg.float64), fg.ones(1, requires_grad=True)
    y = fg.slice_scatter(x, part, 0, 1, 2)
    assert y.dtype == fg.float64 and y.tolist() == [0.0, 1.0, 0.0]
    y.sum().backward()
    assert part.grad.dtype == fg.float32 and part.grad.tolist() == [1.0]


@pytest.mark.parametrize("name", ["cat", "stack", "hstack", "vstack", "dstack", "column_stack"])
def test_joins_refuse_their_own_memory(name: str) -> None:
    x = fg.zeros(6)
    with pytest.raises(RuntimeError, match="cannot refer to any of the output memory"):
        getattr(fg, name)([x[:3], x[3:]], out=x)


def test_foreign_memory_does_not_grow() -> None:
    memory = np.zeros(2)
    with pytest.raises(RuntimeError, match="not resizable"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fg.cat([fg.ones(3, dtype=fg.float64)], out=fg.from_numpy(memory))
    assert memory.tolist() == [0.0, 0.0]


@needs_torch
@pytest.mark.parametrize("k", range(-1, 5))
@pytest.mark.parametrize("dims", [(0, 1), (1, 0), (1, 2), (-1, 0)])
def test_quarter_turns_lie_in_memory_as_in_pytorch(k: int, dims: tuple[int, int]) -> None:
    x = np.arange(24.0).reshape(2, 3, 4)
    found = []
    for m in (fg, torch):
        t = m.tensor(x, requires_grad=True)
        y = m.rot90(t, k, dims)
        (y * y).sum().backward()
        found.append((y.detach(), t.grad, tuple(y.stride())))
    for ours, theirs in zip(*found, strict=True):
        np.testing.assert_array_equal(np.asarray(ours), np.asarray(theirs))
