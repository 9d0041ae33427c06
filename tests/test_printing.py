"""`repr(tensor)`: the text is PyTorch's, but for the name of the module."""

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from examples import examples
from reference import MODULE_NAME, dtype_name, fg, needs_torch, torch

FLOATING = ("float64", "float32", "float16", "bfloat16")
SPECIAL = (math.nan, math.inf, -math.inf, 0.0, -0.0)


@pytest.fixture(autouse=True)
def default_options():
    yield
    for module in (fg, torch):
        if module is not None:
            module.set_printoptions(profile="default")


def set_options(**options):
    for module in (fg, torch):
        module.set_printoptions(profile="default")
        module.set_printoptions(**options)


def named(text):
    """Replace PyTorch's module name. Where it occurs, lines break elsewhere: undo those breaks."""
    text = re.sub(r",\s+(size|dtype|requires_grad|grad_fn)=", r", \1=", text)
    return text.replace("torch.", MODULE_NAME + ".")


def assert_same_text(ours, theirs):
    expected = repr(theirs)
    if "dtype=" in expected:
        assert named(repr(ours)) == named(expected)
    else:
        assert repr(ours) == expected


@st.composite
def values(draw, elements):
    shape = draw(st.lists(st.sampled_from([0, 1, 1, 2, 3, 4, 7, 8, 13]), max_size=4))
    size = math.prod(shape)
    pool = draw(st.lists(elements, min_size=1, max_size=6))
    scale = draw(st.sampled_from([1.0, 1.0, 1e-6, 1e-3, 1e5, 1e9]))
    flat = [
        value * scale if isinstance(value, float) else value
        for value in (pool[i % len(pool)] for i in range(size))
    ]
    return shape, flat


OPTIONS = st.fixed_dictionaries(
    {},
    optional={
        "precision": st.integers(0, 9),
        "threshold": st.sampled_from([0, 3, 20, 100, math.inf]),
        "edgeitems": st.integers(0, 4),
        "linewidth": st.sampled_from([1, 20, 60, 80, 200]),
        "sci_mode": st.sampled_from([None, True, False]),
        "profile": st.sampled_from(["default", "short", "full"]),
    },
)
NUMBERS = st.one_of(
    st.floats(-1e3, 1e3, width=32), st.integers(-2000, 2000).map(float), st.sampled_from(SPECIAL)
)


@needs_torch
@examples(300)
@given(values(NUMBERS), st.sampled_from(FLOATING), OPTIONS, st.sampled_from(["", "leaf", "node"]))
def test_floating_tensors_print_as_in_pytorch(content, dtype, options, history):
    set_options(**options)
    shape, flat = content
    texts = []
    for module in (fg, torch):
        t = module.tensor(flat, dtype=getattr(module, dtype)).reshape(shape)
        if history:
            t = t.requires_grad_()
        texts.append(t * 1 if history == "node" else t)
    assert_same_text(*texts)


@needs_torch
@examples(150)
@given(
    values(st.integers(-128, 127)),
    st.sampled_from(["int64", "int32", "int16", "int8", "bool"]),
    OPTIONS,
)
def test_integer_tensors_print_as_in_pytorch(content, dtype, options):
    set_options(**options)
    shape, flat = content
    flat = [bool(v) for v in flat] if dtype == "bool" else flat
    ours, theirs = (
        module.tensor(flat, dtype=getattr(module, dtype)).reshape(shape) for module in (fg, torch)
    )
    assert_same_text(ours, theirs)


@needs_torch
@examples(100)
@given(values(NUMBERS), values(NUMBERS), st.sampled_from(["complex64", "complex128"]), OPTIONS)
def test_complex_tensors_print_as_in_pytorch(content, other, dtype, options):
    set_options(**options)
    shape, real = content
    imaginary = [*other[1], 0.5]
    flat = [complex(v, imaginary[i % len(imaginary)]) for i, v in enumerate(real)]
    ours, theirs = (
        module.tensor(flat, dtype=getattr(module, dtype)).reshape(shape) for module in (fg, torch)
    )
    assert_same_text(ours, theirs)


@needs_torch
@pytest.mark.parametrize("shape", [(1001,), (40, 40), (2, 3, 300), (12, 11, 10), (5, 4, 8, 9)])
@pytest.mark.parametrize("dtype", ["float32", "float64", "int64"])
def test_long_tensors_are_summarised_as_in_pytorch(shape, dtype):
    ours, theirs = (
        module.arange(math.prod(shape), dtype=getattr(module, dtype)).reshape(shape) / divisor
        for module, divisor in ((fg, 7), (torch, 7))
    )
    assert "..." in repr(ours)
    assert_same_text(ours, theirs)


@needs_torch
def test_views_print_their_own_elements():
    for module in (fg, torch):
        module.manual_seed(0)
    base = [[float(10 * i + j) for j in range(6)] for i in range(5)]
    for pick in (lambda t: t.t(), lambda t: t[1::2, ::3], lambda t: t[:, 2], lambda t: t[2, 3]):
        assert repr(pick(fg.tensor(base))) == repr(pick(torch.tensor(base)))
    assert repr(fg.ones(1).expand(2, 3)) == repr(torch.ones(1).expand(2, 3))


@pytest.mark.skipif(MODULE_NAME != "fastgrad", reason="the texts name fastgrad")
class TestText:
    """The texts themselves, where the module's name decides where lines break."""

    def test_suffixes(self):
        x = fg.tensor([10.0, 20.0], dtype=fg.float64, requires_grad=True)
        assert repr(x) == "tensor([10., 20.], dtype=fastgrad.float64, requires_grad=True)"
        assert repr(x + 1) == ("tensor([11., 21.], dtype=fastgrad.float64, grad_fn=<AddBackward0>)")
        assert str(x.detach()) == "tensor([10., 20.], dtype=fastgrad.float64)"

    @pytest.mark.parametrize(
        ("shape", "dtype", "text"),
        [
            ((0,), "float32", "tensor([])"),
            ((0, 3), "float32", "tensor([], size=(0, 3))"),
            ((0,), "int64", "tensor([], dtype=fastgrad.int64)"),
            ((2, 0), "bool", "tensor([], size=(2, 0), dtype=fastgrad.bool)"),
        ],
    )
    def test_empty(self, shape, dtype, text):
        assert repr(fg.zeros(shape, dtype=getattr(fg, dtype))) == text

    def test_the_default_dtype_is_not_named(self):
        before = fg.get_default_dtype()
        try:
            fg.set_default_dtype(fg.float64)
            assert repr(fg.ones(1, dtype=fg.float64)) == "tensor([1.])"
            assert repr(fg.ones(1, dtype=fg.float32)) == "tensor([1.], dtype=fastgrad.float32)"
        finally:
            fg.set_default_dtype(before)

    def test_a_suffix_that_does_not_fit_gets_its_own_line(self):
        x = fg.arange(13, dtype=fg.float64)
        assert repr(x) == (
            "tensor([ 0.,  1.,  2.,  3.,  4.,  5.,  6.,  7.,  8.,  9., 10., 11., 12.],\n"
            "       dtype=fastgrad.float64)"
        )

    def test_a_subclass_prints_its_name(self):
        class Celsius(fg.Tensor):
            pass

        assert repr(fg.ones(2).as_subclass(Celsius)) == "Celsius([1., 1.])"


def test_options_can_be_read_and_put_back():
    before = fg.get_printoptions() if hasattr(fg, "get_printoptions") else None
    fg.set_printoptions(precision=1, edgeitems=2, threshold=4)
    assert repr(fg.tensor([0.25, 1.75, 2.0, 3.0, 4.0])) == "tensor([0.2, 1.8,  ..., 3.0, 4.0])"
    fg.set_printoptions(profile="default")
    assert repr(fg.tensor([0.25])) == "tensor([0.2500])"
    if before is not None:
        assert fg.get_printoptions() == before
        with fg.printoptions(sci_mode=True, precision=2):
            assert repr(fg.tensor([1.0, 0.5])) == "tensor([1.00e+00, 5.00e-01])"
        assert fg.get_printoptions() == before


@pytest.mark.skipif(MODULE_NAME != "fastgrad", reason="PyTorch ignores an unknown profile")
def test_an_unknown_profile_is_refused():
    with pytest.raises(ValueError, match="'default', 'full', 'short'"):
        fg.set_printoptions(profile="long")


def test_printing_records_nothing():
    x = fg.ones(2000, requires_grad=True)
    y = (x * 2).sum()
    assert repr(x).endswith("requires_grad=True)")
    y.backward()
    assert dtype_name(x.grad.dtype) == "float32" and x.grad[0].item() == 2.0
