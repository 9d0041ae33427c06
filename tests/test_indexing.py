"""Indexing, read and write, against PyTorch: any index, values, views, gradients, errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from examples import examples
from reference import (
    UNDER_TORCH,
    assert_same_tensor,
    fg,
    needs_torch,
    same_class,
    tensor_in,
    to_numpy,
    torch,
)

pytestmark = [
    needs_torch,
    pytest.mark.filterwarnings("ignore:Using a non-tuple sequence"),
    pytest.mark.filterwarnings("ignore:indexing with dtype torch.uint8"),
]

# An index item is drawn as a module-neutral description and built for each library by `build`.
Item = tuple[str, Any]


@st.composite
def slices(draw: Any, size: int) -> Item:
    bound = st.none() | st.integers(-size - 2, size + 2)
    step = draw(st.none() | st.integers(1, 3))
    return "slice", (draw(bound), draw(bound), step)


@st.composite
def integer_arrays(draw: Any, size: int, shape: tuple[int, ...], *, distinct: bool) -> Item:
    count = int(np.prod(shape))
    if size == 0 or (distinct and size < count):
        shape, count = (0,), 0
    bound = st.integers(0, size - 1) if size else st.nothing()
    values = draw(st.lists(bound, min_size=count, max_size=count, unique=distinct))
    signed = [v - size if draw(st.booleans()) else v for v in values]
    array = np.array(signed, dtype=np.int64).reshape(shape)
    return draw(st.sampled_from(["list", "tensor", "numpy", "int32"])), array


@st.composite
def indices(draw: Any, shape: tuple[int, ...], *, distinct: bool = False) -> tuple[Item, ...]:
    """Draws an index that is valid for `shape` in most cases."""
    items: list[Item] = []
    array_shape = draw(st.sampled_from([(2,), (1,), (3,), (2, 2), (0,)]))
    ellipsis_left = True
    dim = 0
    while dim < len(shape):
        kind = draw(
            st.sampled_from(
                ["int", "slice", "slice", "array", "mask", "none", "ellipsis", "stop", "scalar"]
            )
        )
        size = shape[dim]
        if kind == "stop":
            break
        if kind == "none":
            items.append(("none", None))
            if len(items) > 6:
                break
            continue
        if kind == "ellipsis":
            if ellipsis_left:
                ellipsis_left = False
                items.append(("ellipsis", None))
                dim = draw(st.integers(dim, len(shape)))
            continue
        if kind == "mask":
            ndim = draw(st.integers(1, len(shape) - dim))
            mask_shape = shape[dim : dim + ndim]
            count = int(np.prod(mask_shape))
            flags = draw(st.lists(st.booleans(), min_size=count, max_size=count))
            items.append(("mask", np.array(flags, dtype=bool).reshape(mask_shape)))
            dim += ndim
            continue
        if kind == "int" and size:
            items.append(("int", draw(st.integers(-size, size - 1))))
        elif kind == "scalar" and size:
            items.append(("tensor", np.array(draw(st.integers(-size, size - 1)))))
        elif kind == "array":
            items.append(draw(integer_arrays(size, array_shape, distinct=distinct)))
        else:
            items.append(draw(slices(size)))
        dim += 1
    return tuple(items)


def build(module: Any, items: tuple[Item, ...]) -> Any:
    def one(item: Item) -> Any:
        kind, value = item
        if kind == "slice":
            return slice(*value)
        if kind == "list":
            return value.tolist()
        if kind in ("tensor", "mask"):
            return module.from_numpy(np.array(value))
        if kind == "int32":
            return module.from_numpy(value.astype(np.int32))
        return Ellipsis if kind == "ellipsis" else value

    built = tuple(one(item) for item in items)
    return built[0] if len(built) == 1 else built


shapes = st.lists(st.integers(0, 4), max_size=4).map(tuple)


@st.composite
def shapes_and_indices(draw: Any, *, distinct: bool = False) -> Any:
    shape = draw(shapes)
    return shape, draw(indices(shape, distinct=distinct))


def base(module: Any, shape: tuple[int, ...], *, requires_grad: bool = True) -> Any:
    array = np.arange(1.0, np.prod(shape) + 1.0).reshape(shape)
    x = module.from_numpy(array)
    return x.requires_grad_() if requires_grad else x


def weights(module: Any, like: Any, seed: int = 0) -> Any:
    values = np.random.default_rng(seed).uniform(-1, 1, tuple(like.shape))
    return module.from_numpy(np.asarray(values))


def outcome(call: Any) -> tuple[Any, BaseException | None]:
    try:
        return call(), None
    except Exception as error:
        return None, error


def assert_same_error(ours: BaseException | None, theirs: BaseException) -> None:
    assert ours is not None, f"expected {theirs!r}, got a result"
    assert same_class(ours, theirs), f"expected {theirs!r}, got {ours!r}"


class TestRead:
    @given(shapes_and_indices())
    @examples(400)
    def test_value_view_and_gradient(self, case: Any) -> None:
        shape, items = case
        x, x_ref = base(fg, shape), base(torch, shape)
        expected, error = outcome(lambda: x_ref[build(torch, items)])
        actual, our_error = outcome(lambda: x[build(fg, items)])
        if error is not None:
            assert_same_error(our_error, error)
            return
        assert our_error is None, f"expected a result, got {our_error!r}"
        assert_same_tensor(actual, expected)
        is_view = expected._is_view() and expected.numel()
        if is_view:
            assert actual.data_ptr() - x.data_ptr() == expected.data_ptr() - x_ref.data_ptr()
            assert actual.stride() == expected.stride()
        actual.backward(weights(fg, actual))
        expected.backward(weights(torch, expected))
        assert_same_tensor(x.grad, x_ref.grad)

    @given(shapes_and_indices())
    @examples(100)
    def test_second_order(self, case: Any) -> None:
        shape, items = case
        x, x_ref = base(fg, shape), base(torch, shape)
        expected, error = outcome(lambda: x_ref[build(torch, items)])
        if error is not None:
            return
        hessian_products = []
        for module, leaf, part in ((fg, x, x[build(fg, items)]), (torch, x_ref, expected)):
            (g,) = module.autograd.grad((part**3).sum(), leaf, create_graph=True)
            hessian_products.append(module.autograd.grad((g * weights(module, g)).sum(), leaf)[0])
        assert_same_tensor(*hessian_products)

    @given(shapes_and_indices(), st.sampled_from(["int64", "bool", "uint8", "float32"]))
    @examples(100)
    def test_other_dtypes(self, case: Any, dtype: str) -> None:
        shape, items = case
        source = base(torch, shape, requires_grad=False).to(getattr(torch, dtype))
        expected, error = outcome(lambda: source[build(torch, items)])
        if error is None:
            assert_same_tensor(tensor_in(fg, source)[build(fg, items)], expected)

    @given(shapes_and_indices())
    @examples(100)
    def test_of_a_strided_view(self, case: Any) -> None:
        shape, items = case
        order = tuple(range(len(shape)))[::-1]
        expected, error = outcome(
            lambda: base(torch, shape[::-1]).permute(order)[build(torch, items)]
        )
        actual, our_error = outcome(lambda: base(fg, shape[::-1]).permute(order)[build(fg, items)])
        if error is not None:
            assert_same_error(our_error, error)
        else:
            assert our_error is None, f"expected a result, got {our_error!r}"
            assert_same_tensor(actual, expected)


@st.composite
def writes(draw: Any) -> Any:
    """Draws a target's shape, an index without duplicates, and a value that fits or nearly does."""
    shape, items = draw(shapes_and_indices(distinct=True))
    selected, error = outcome(lambda: base(torch, shape, requires_grad=False)[build(torch, items)])
    if error is not None:
        return shape, items, "scalar"
    value_shape = list(selected.shape)
    how = draw(st.sampled_from(["scalar", "full", "ones", "drop", "leading", "misfit"]))
    if how == "scalar":
        return shape, items, "scalar"
    if how == "ones":
        value_shape = [1 if draw(st.booleans()) else n for n in value_shape]
    elif how == "drop":
        value_shape = value_shape[draw(st.integers(0, len(value_shape))) :]
    elif how == "leading":
        value_shape = [1, *value_shape]
    elif how == "misfit":
        value_shape = [n + 2 for n in value_shape]
    return shape, items, tuple(value_shape)


class TestWrite:
    @given(writes())
    @examples(400)
    def test_value_and_gradients(self, case: Any) -> None:
        shape, items, value_shape = case
        done: dict[str, Any] = {}
        for name, module in (("theirs", torch), ("ours", fg)):
            x = base(module, shape)
            target = x * 1
            value: Any = 7.5
            if value_shape != "scalar":
                value = base(module, value_shape, requires_grad=False).mul_(-1).requires_grad_()
            index = build(module, items)
            _, error = outcome(lambda t=target, i=index, v=value: t.__setitem__(i, v))
            done[name] = (x, target, value, error)
        x, target, value, error = done["ours"]
        x_ref, target_ref, value_ref, error_ref = done["theirs"]
        if error_ref is not None:
            assert_same_error(error, error_ref)
            if not UNDER_TORCH:
                np.testing.assert_array_equal(to_numpy(target), to_numpy(x), "half-written")
            return
        assert error is None, f"expected a write, got {error!r}"
        assert_same_tensor(target, target_ref)
        target.backward(weights(fg, target))
        target_ref.backward(weights(torch, target_ref))
        assert_same_tensor(x.grad, x_ref.grad, what="gradient of the target")
        if value_shape != "scalar":
            if value_ref.grad is None:
                assert value.grad is None or not value.grad.any().item()
            else:
                assert_same_tensor(value.grad, value_ref.grad, what="gradient of the value")

    @given(shapes_and_indices(distinct=True))
    @examples(150)
    def test_augmented_assignment(self, case: Any) -> None:
        shape, items = case
        results = []
        for module in (torch, fg):
            x = base(module, shape)
            target = x * 1

            def step(target: Any = target, module: Any = module) -> None:
                target[build(module, items)] *= 3.0

            _, error = outcome(step)
            results.append((x, target, error))
        (x_ref, target_ref, error_ref), (x, target, error) = results
        if error_ref is not None:
            assert_same_error(error, error_ref)
            return
        assert error is None, f"expected a write, got {error!r}"
        assert_same_tensor(target, target_ref)
        target.backward(weights(fg, target))
        target_ref.backward(weights(torch, target_ref))
        assert_same_tensor(x.grad, x_ref.grad)

    @given(shapes_and_indices())
    @examples(100)
    def test_index_put_accumulates_over_duplicates(self, case: Any) -> None:
        shape, items = case
        arrays = tuple(item for item in items if item[0] in ("tensor", "int32"))
        selected, error = outcome(
            lambda: base(torch, shape).index_put(
                tuple(build(torch, (a,)) for a in arrays),
                torch.tensor(2.0, dtype=torch.float64),
                accumulate=True,
            )
        )
        if error is not None or not arrays:
            return
        actual = base(fg, shape).index_put(
            tuple(build(fg, (a,)) for a in arrays),
            fg.tensor(2.0, dtype=fg.float64),
            accumulate=True,
        )
        assert_same_tensor(actual, selected)


class TestErrors:
    @pytest.mark.parametrize(
        ("index", "error", "text"),
        [
            (5, IndexError, "index 5 is out of bounds for dimension 0 with size 3"),
            (-4, IndexError, "index -4 is out of bounds for dimension 0 with size 3"),
            ((0, 0, 0), IndexError, "too many indices for tensor of dimension 2"),
            (slice(None, None, -1), ValueError, "step must be greater than zero"),
            ([0, 3], IndexError, "index 3 is out of bounds for dimension 0 with size 3"),
            ("a", (IndexError, TypeError), None),
            (1.5, IndexError, "only integers, slices"),
            ((0, "a"), (IndexError, TypeError), None),
            (([0, 1], [0, 1, 2]), IndexError, "shape mismatch: indexing tensors could not be"),
        ],
    )
    def test_read_and_write(self, index: Any, error: Any, text: str | None) -> None:
        x = base(fg, (3, 4), requires_grad=False)
        with pytest.raises(error, match=text):
            x[index]
        with pytest.raises(error, match=text):
            x[index] = 1.0
        if not UNDER_TORCH:  # PyTorch writes the rows before the bad index
            assert x.tolist() == base(fg, (3, 4), requires_grad=False).tolist()

    def test_zero_dimensional(self) -> None:
        x = fg.tensor(1.0)
        with pytest.raises(IndexError, match="invalid index of a 0-dim tensor"):
            x[0]
        assert x[()].item() == x[...].item() == 1.0 and x[None].shape == (1,)

    def test_mask_of_the_wrong_shape(self) -> None:
        x = base(fg, (3, 4), requires_grad=False)
        text = "The shape of the mask .* does not match the shape of the indexed tensor"
        with pytest.raises(IndexError, match=text):
            x[fg.tensor([True, False])]
        with pytest.raises(IndexError, match=text):
            x[fg.tensor([True, False])] = 0.0

    def test_float_tensor_as_index(self) -> None:
        with pytest.raises(IndexError, match="tensors used as indices must be long, int, byte or"):
            base(fg, (3,))[fg.tensor([0.0])]

    def test_value_of_the_wrong_shape(self) -> None:
        x = base(fg, (3, 4), requires_grad=False)
        with pytest.raises(RuntimeError):
            x[0] = fg.zeros(5)
        with pytest.raises(RuntimeError):
            x[[0, 1]] = fg.zeros(3, 4)
        assert x.tolist() == base(fg, (3, 4), requires_grad=False).tolist()

    def test_deletion(self) -> None:
        with pytest.raises(TypeError):
            del base(fg, (3,))[0]


class TestSequenceProtocol:
    def test_len_iter_contains(self) -> None:
        x = fg.tensor([[1.0, 2.0], [3.0, 4.0]])
        assert len(x) == 2 and [row.tolist() for row in x] == x.tolist()
        assert 3.0 in x and 7.0 not in x
        assert [v.item() for v in reversed(x[0])] == [2.0, 1.0]

    def test_zero_dimensional(self) -> None:
        with pytest.raises(TypeError, match="len\\(\\) of a 0-d tensor"):
            len(fg.tensor(1.0))
        with pytest.raises(TypeError, match="iteration over a 0-d tensor"):
            iter(fg.tensor(1.0))

    def test_unpacking_is_differentiable(self) -> None:
        x = fg.tensor([1.0, 2.0, 3.0], requires_grad=True)
        a, *_, c = x
        (a * 10 + c * c).backward()
        assert x.grad.tolist() == [10.0, 0.0, 6.0]

    def test_index_is_any_integer_like(self) -> None:
        x = fg.tensor([1.0, 2.0, 3.0])
        assert x[np.int64(1)].item() == x[np.int32(1)].item() == x[fg.tensor(1)].item() == 2.0
        assert x[fg.tensor(1) : fg.tensor(3)].tolist() == [2.0, 3.0]
        assert [10, 20, 30][fg.tensor(1)] == 20

    def test_booleans_add_a_dimension(self) -> None:
        x = fg.tensor([1.0, 2.0])
        assert x[True].shape == (1, 2) and x[False].shape == (0, 2)


class TestRowsOfAnyLength:
    """Rows behind an index have ways of their own by their length; so have few entries."""

    @pytest.mark.parametrize("dtype", ["uint8", "int16", "float32", "float64", "complex128"])
    @pytest.mark.parametrize("length", [1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 33, 64, 65, 130])
    def test_rows(self, dtype: str, length: int) -> None:
        rng = np.random.default_rng(length)
        x = rng.integers(0, 50, (6, 7, length)).astype(dtype)
        y = rng.integers(0, 50, (6, 5, length)).astype(dtype)
        index = np.array([3, 0, 6, 3, 1])
        results = []
        for m in (fg, torch):
            t, values, at = m.tensor(x), m.tensor(y), m.tensor(index)
            back = t.transpose(1, 2)
            put = t.clone()
            put[:, at] = values
            results.append(
                [
                    m.index_select(t, 1, at),
                    m.index_select(back, 2, at),
                    t.index_add(1, at, values),
                    back.index_add(2, at, values.transpose(1, 2)),
                    t[at % 6],
                    t[at % 6, at],
                    put[[2, 0]][:, 1:],
                    t.index_copy(1, at[:3], values[:, 2:]),
                ]
            )
        for ours, theirs in zip(*results, strict=True):
            assert_same_tensor(ours, theirs)

    @pytest.mark.parametrize("columns", [1, 3, 16, 17])
    def test_few_columns_of_many_rows(self, columns: int) -> None:
        rng = np.random.default_rng(columns)
        x = rng.integers(0, 50, (4, 40000, 9)).astype("int32")
        y = rng.integers(0, 50, (4, 40000, columns)).astype("int32")
        index = rng.integers(0, 9, columns)
        results = []
        for m in (fg, torch):
            t, values, at = m.tensor(x), m.tensor(y), m.tensor(index)
            results.append([t[..., at], t.index_add(2, at, values), t[:, ::3][..., at]])
        for ours, theirs in zip(*results, strict=True):
            assert_same_tensor(ours, theirs)

    @pytest.mark.parametrize("op", ["index_select", "index_add", "index_copy"])
    def test_an_index_must_stay_until_the_gradient(self, op: str) -> None:
        for m in (fg, torch):
            x = m.ones(5, 3, requires_grad=True)
            index = m.tensor([0, 2])
            y = getattr(x, op)(0, index, *([] if op == "index_select" else [x[:2]]))
            index += 1
            with pytest.raises(RuntimeError, match="modified by an inplace operation"):
                y.sum().backward()


class TestJoinedRows:
    @pytest.mark.parametrize("dtype", ["bool", "int16", "float32", "complex128"])
    def test_pieces_of_any_length(self, dtype: str) -> None:
        rng = np.random.default_rng(1)
        for lengths in [(1, 2), (3, 5, 8), (4, 4), (16, 17, 1), (64, 0, 33), (130, 7), (5000, 3)]:
            parts = [rng.integers(0, 2, (40, n, 2)).astype(dtype) for n in lengths]
            turned = [
                m.tensor(parts[0]).transpose(0, 1).clone().transpose(0, 1) for m in (fg, torch)
            ]
            for dim in (1, 2):
                moved = [p.swapaxes(1, dim) for p in parts]
                ours, theirs = (m.cat([m.tensor(p) for p in moved], dim) for m in (fg, torch))
                assert_same_tensor(ours, theirs)
            ours, theirs = (
                m.cat([m.tensor(parts[1]), t, m.tensor(parts[0].real.astype("float32"))], 1)
                for m, t in zip((fg, torch), turned, strict=True)
            )
            assert_same_tensor(ours, theirs)


class TestAlongADimension:
    @pytest.mark.parametrize("shape", [(9,), (50, 7), (6, 5, 3), (3, 4, 1, 5), (2, 70), (1, 300)])
    @pytest.mark.parametrize("dtype", ["uint8", "float32", "float64"])
    def test_lines_of_any_length(self, shape: tuple[int, ...], dtype: str) -> None:
        rng = np.random.default_rng(len(shape))
        x, y = (rng.integers(0, 50, shape).astype(dtype) for _ in range(2))
        for dim in range(len(shape)):
            index = rng.integers(0, shape[dim], shape)
            once = np.argsort(rng.random(shape), dim)
            results = []
            for m in (fg, torch):
                t, values, at, to = m.tensor(x), m.tensor(y), m.tensor(index), m.tensor(once)
                turned = t.transpose(0, -1).clone().transpose(0, -1)
                results.append(
                    [
                        m.gather(t, dim, at),
                        m.gather(turned, dim, at.flip(-1)),
                        t.scatter(dim, to, values),
                        turned.scatter(dim, to, values),
                        t.scatter_add(dim, at, values),
                        t.scatter_reduce(dim, at, values, "amax"),
                    ]
                )
            for ours, theirs in zip(*results, strict=True):
                assert_same_tensor(ours, theirs)

    @pytest.mark.parametrize("threads", [1, 2])
    @pytest.mark.parametrize("shape", [(1, 3), (7, 1), (300, 400), (50, 17, 60), (90000,)])
    def test_nothing_is_written_in_place_by_a_wrong_index(
        self, shape: tuple[int, ...], threads: int
    ) -> None:
        before = fg.get_num_threads()
        fg.set_num_threads(threads)
        try:
            for dim, size in enumerate(shape):
                text = f"index {size} is out of bounds for dimension {dim} with size {size}"
                index = fg.zeros(shape, dtype=fg.int64)
                index[(-1,) * len(shape)] = size
                x, ones = fg.zeros(shape), fg.ones(shape)
                for at in (index, index.int()):
                    for name in ("scatter_", "scatter_add_", "scatter", "gather"):
                        with pytest.raises(RuntimeError, match=text):
                            getattr(x, name)(dim, at, *(() if name == "gather" else (ones,)))
                    with pytest.raises(RuntimeError, match=text):
                        x.scatter_reduce_(dim, at, ones, "amax")
                assert not x.any()
                index.clamp_(0, size - 1)
                assert x.scatter_add_(dim, index, ones).sum() == ones.numel()
        finally:
            fg.set_num_threads(before)

    @pytest.mark.parametrize("n", [1, 1023, 1024, 1025, 5000])
    def test_an_entry_out_of_range_is_found_anywhere(self, n: int) -> None:
        x = fg.zeros(n)
        for place in {0, n // 2, n - 1}:
            for wrong in (-1, n):
                index = fg.arange(n)
                index[place] = wrong
                with pytest.raises(RuntimeError, match=f"index {wrong} is out of bounds"):
                    fg.gather(x, 0, index)


@pytest.mark.parametrize("share", [0.0, 0.02, 0.5, 1.0])
def test_masks_of_every_length(share: float) -> None:
    rng = np.random.default_rng(5)
    for n in [1, 7, 8, 9, 63, 1023, 1024, 1025, 3000, 70000]:
        mask, x = rng.random(n) < share, rng.standard_normal(n)
        places = np.flatnonzero(mask)
        m, t = fg.tensor(mask), fg.tensor(x)
        np.testing.assert_array_equal(to_numpy(fg.nonzero(m)[:, 0]), places)
        np.testing.assert_array_equal(to_numpy(t[m]), x[mask])
        t[m] = -1.0
        np.testing.assert_array_equal(to_numpy(t), np.where(mask, -1.0, x))
