"""Type promotion against PyTorch: every pair of dtypes, dimensioned, 0-d and Python scalars."""

from __future__ import annotations

import itertools
import operator
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

from reference import (
    COMPLEX,
    FLOATING,
    INTEGRAL,
    assert_same,
    dtype_name,
    fg,
    needs_torch,
    same_class,
    torch,
)

pytestmark = [needs_torch, pytest.mark.filterwarnings("ignore")]

COMPUTED = FLOATING[:2] + INTEGRAL
ALL = FLOATING + COMPLEX + INTEGRAL
SCALARS = (True, 3, 2.5)

BINARY = """
    add sub mul div floor_divide remainder fmod pow float_power maximum minimum fmax fmin eq ne
    lt le gt ge logical_and logical_or logical_xor bitwise_and bitwise_or bitwise_xor
    bitwise_left_shift bitwise_right_shift atan2 hypot copysign nextafter logaddexp logaddexp2
    heaviside gcd lcm xlogy true_divide rsub ldexp
"""
UNARY = """
    abs neg sign sgn positive square sqrt rsqrt reciprocal exp exp2 expm1 log log2 log10 log1p
    sin cos tan asin acos atan sinh cosh tanh asinh acosh atanh sinc deg2rad rad2deg floor ceil
    round trunc frac sigmoid logit erf erfc erfinv lgamma digamma i0 nan_to_num isnan isinf
    isfinite isposinf isneginf signbit logical_not bitwise_not isreal sum mean prod nansum
    nanmean std var amax amin max min argmax argmin all any count_nonzero median norm logsumexp0
    cumsum0 cumprod0 softmax0
"""
OPERATORS = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "//": operator.floordiv,
    "%": operator.mod,
    "**": operator.pow,
    "<": operator.lt,
    "==": operator.eq,
    "&": operator.and_,
    "|": operator.or_,
    "^": operator.xor,
    "<<": operator.lshift,
    ">>": operator.rshift,
}
INPLACE = {
    "+=": operator.iadd,
    "-=": operator.isub,
    "*=": operator.imul,
    "/=": operator.itruediv,
    "//=": operator.ifloordiv,
    "%=": operator.imod,
    "**=": operator.ipow,
    "&=": operator.iand,
    "|=": operator.ior,
    "^=": operator.ixor,
}


def tensor(module: Any, dtype: str, *, scalar: bool, start: int = 1) -> Any:
    """Returns small positive values, exact in every dtype; `scalar` makes the tensor 0-d."""
    values: Any = start if scalar else [start, start + 1, start + 2]
    return module.tensor(values).to(getattr(module, dtype))


class Mismatches:
    """Gathers what differs over many combinations, to fail once with all of it."""

    def __init__(self) -> None:
        self.found: list[str] = []

    def compare(self, what: str, call: Callable[[Any], Any]) -> None:
        """Runs `call` with both modules: the same result, or the same class of error."""
        try:
            expected = call(torch)
        except Exception as error:
            try:
                got = call(fg)
            except Exception as ours:
                if not same_class(ours, error):
                    self.found.append(f"{what}: expected {error!r}, got {ours!r}")
            else:
                self.found.append(f"{what}: expected {error!r}, got {got!r}")
            return
        try:
            assert_same(call(fg), expected)
        except Exception as error:
            text = " ".join(str(error).split())
            self.found.append(f"{what}: {type(error).__name__} {text[:200]}")

    def report(self) -> None:
        count = len(self.found)
        assert not count, f"{count} differ:\n" + "\n".join(self.found[:12])


@contextmanager
def mismatches() -> Iterator[Mismatches]:
    found = Mismatches()
    yield found
    found.report()


@pytest.mark.parametrize("name", BINARY.split())
def test_binary_functions(name: str) -> None:
    with mismatches() as found:
        for a, b in itertools.product(COMPUTED, repeat=2):
            for scalar_a, scalar_b in itertools.product((False, True), repeat=2):
                found.compare(
                    f"{name}({a}{'0d' * scalar_a}, {b}{'0d' * scalar_b})",
                    lambda m, a=a, b=b, sa=scalar_a, sb=scalar_b: getattr(m, name)(
                        tensor(m, a, scalar=sa, start=2), tensor(m, b, scalar=sb)
                    ),
                )


@pytest.mark.parametrize("symbol", OPERATORS)
def test_operators_with_python_scalars(symbol: str) -> None:
    apply = OPERATORS[symbol]
    with mismatches() as found:
        for dtype, scalar, zero_dim in itertools.product(COMPUTED, SCALARS, (False, True)):
            for reflected in (False, True):

                def call(
                    m: Any,
                    dtype: str = dtype,
                    scalar: Any = scalar,
                    zero_dim: bool = zero_dim,
                    reflected: bool = reflected,
                ) -> Any:
                    x = tensor(m, dtype, scalar=zero_dim)
                    return apply(scalar, x) if reflected else apply(x, scalar)

                order = f"{scalar} {symbol} {dtype}" if reflected else f"{dtype} {symbol} {scalar}"
                found.compare(order + " 0d" * zero_dim, call)


@pytest.mark.parametrize("symbol", INPLACE)
def test_in_place_operators(symbol: str) -> None:
    """The result must be castable to the target's category, or the target stays as it was."""
    apply = INPLACE[symbol]
    with mismatches() as found:
        for a, b in itertools.product(COMPUTED, repeat=2):
            for scalar in (False, True):
                found.compare(
                    f"{a} {symbol} {b}{'0d' * scalar}",
                    lambda m, a=a, b=b, s=scalar: apply(
                        tensor(m, a, scalar=False, start=2), tensor(m, b, scalar=s)
                    ),
                )
        for a, scalar in itertools.product(COMPUTED, SCALARS):
            found.compare(
                f"{a} {symbol} {scalar}",
                lambda m, a=a, s=scalar: apply(tensor(m, a, scalar=False, start=2), s),
            )


@pytest.mark.parametrize("name", UNARY.split())
def test_unary_and_reductions(name: str) -> None:
    with_dim = name.endswith("0") and name != "i0"
    function = name.removesuffix("0") if with_dim else name
    arguments = (0,) if with_dim else ()
    with mismatches() as found:
        for dtype, scalar in itertools.product(COMPUTED, (False, True)):
            found.compare(
                f"{name}({dtype}{'0d' * scalar})",
                lambda m, d=dtype, s=scalar: getattr(m, function)(
                    tensor(m, d, scalar=s, start=0), *arguments
                ),
            )


def test_division_rounding_modes() -> None:
    with mismatches() as found:
        for a, b, mode in itertools.product(COMPUTED, COMPUTED, (None, "trunc", "floor")):
            found.compare(
                f"div({a}, {b}, {mode})",
                lambda m, a=a, b=b, mode=mode: m.div(
                    tensor(m, a, scalar=False, start=5),
                    tensor(m, b, scalar=False, start=2),
                    rounding_mode=mode,
                ),
            )


def test_several_operands() -> None:
    with mismatches() as found:
        for a, b in itertools.product(COMPUTED, repeat=2):

            def pair(m: Any, a: str = a, b: str = b) -> tuple[Any, Any]:
                return tensor(m, a, scalar=False), tensor(m, b, scalar=False)

            found.compare(f"cat {a} {b}", lambda m, p=pair: m.cat(p(m)))
            found.compare(f"stack {a} {b}", lambda m, p=pair: m.stack(p(m)))
            found.compare(
                f"where {a} {b}", lambda m, p=pair: m.where(m.tensor([True, False, True]), *p(m))
            )
            found.compare(f"lerp {a} {b}", lambda m, p=pair: m.lerp(*p(m), 0.5))
            found.compare(f"clamp {a} {b}", lambda m, p=pair: p(m)[0].clamp(min=p(m)[1]))
            found.compare(f"addcmul {a} {b}", lambda m, p=pair: m.addcmul(p(m)[0], *p(m)))
            found.compare(f"matmul {a} {b}", lambda m, p=pair: m.matmul(*p(m)))
            found.compare(f"isclose {a} {b}", lambda m, p=pair: m.isclose(*p(m)))
            found.compare(f"equal {a} {b}", lambda m, p=pair: m.equal(*p(m)))
        for a, scalar in itertools.product(COMPUTED, SCALARS):
            found.compare(
                f"where {a} {scalar}",
                lambda m, a=a, s=scalar: m.where(
                    m.tensor([True, False, True]), tensor(m, a, scalar=False), s
                ),
            )
            found.compare(
                f"clamp {a} {scalar}",
                lambda m, a=a, s=scalar: tensor(m, a, scalar=False).clamp(max=s),
            )
            found.compare(
                f"full_like {a} {scalar}",
                lambda m, a=a, s=scalar: m.full_like(tensor(m, a, scalar=False), s),
            )
            found.compare(
                f"masked_fill {a} {scalar}",
                lambda m, a=a, s=scalar: tensor(m, a, scalar=False).masked_fill(
                    m.tensor([True, False, True]), s
                ),
            )


def test_gradient_has_the_operand_s_dtype() -> None:
    with mismatches() as found:
        for a, b in itertools.product(FLOATING[:2], COMPUTED):

            def call(m: Any, a: str = a, b: str = b) -> Any:
                x = tensor(m, a, scalar=False).requires_grad_()
                (x * tensor(m, b, scalar=False) + tensor(m, b, scalar=True)).sum().backward()
                return x.grad

            found.compare(f"{a} with {b}", call)


def test_conversions() -> None:
    """`to` truncates toward zero, wraps integers and turns anything but zero into True."""
    values = [0.0, 1.0, -1.0, 1.7, -1.7, 100.3, 0.5]
    with mismatches() as found:
        for source, target in itertools.product(COMPUTED, FLOATING[:2] + INTEGRAL):
            usable = values if source not in ("uint8", "bool") else [abs(v) for v in values]
            if target == "uint8":
                usable = [abs(v) for v in usable]
            found.compare(
                f"{source} -> {target}",
                lambda m, s=source, t=target, v=usable: (
                    m.tensor(v).to(getattr(m, s)).to(getattr(m, t))
                ),
            )
        for source, target in itertools.product(INTEGRAL[:4], INTEGRAL):
            found.compare(
                f"wrap {source} -> {target}",
                lambda m, s=source, t=target: m.tensor([127, -128, -1], dtype=getattr(m, s)).to(
                    getattr(m, t)
                ),
            )


def test_integer_arithmetic_wraps() -> None:
    with mismatches() as found:
        for dtype in ("int64", "int32", "int16", "int8", "uint8"):
            info = np.iinfo(dtype)

            def extremes(m: Any, dtype: str = dtype, info: Any = info) -> Any:
                return m.tensor([info.max, info.min], dtype=getattr(m, dtype))

            found.compare(f"{dtype} + 1", lambda m, x=extremes: x(m) + 1)
            found.compare(f"{dtype} * 2", lambda m, x=extremes: x(m) * 2)
            found.compare(f"-{dtype}", lambda m, x=extremes: -x(m))
            found.compare(f"abs {dtype}", lambda m, x=extremes: x(m).abs())


def test_integer_division_by_zero_is_an_error() -> None:
    x = fg.tensor([1, 2])
    for call in (lambda: x // 0, lambda: x % 0, lambda: x // fg.tensor([1, 0])):
        with pytest.raises(RuntimeError, match="ZeroDivisionError"):
            call()


class TestTables:
    def test_promote_types(self) -> None:
        with mismatches() as found:
            for a, b in itertools.product(ALL, repeat=2):
                found.compare(
                    f"promote_types({a}, {b})",
                    lambda m, a=a, b=b: m.promote_types(getattr(m, a), getattr(m, b)),
                )

    def test_can_cast(self) -> None:
        with mismatches() as found:
            for a, b in itertools.product(ALL, repeat=2):
                found.compare(
                    f"can_cast({a}, {b})",
                    lambda m, a=a, b=b: m.can_cast(getattr(m, a), getattr(m, b)),
                )

    def test_result_type(self) -> None:
        with mismatches() as found:
            for a, b in itertools.product(COMPUTED, repeat=2):
                for sa, sb in itertools.product((False, True), repeat=2):
                    found.compare(
                        f"result_type({a}{'0d' * sa}, {b}{'0d' * sb})",
                        lambda m, a=a, b=b, sa=sa, sb=sb: m.result_type(
                            tensor(m, a, scalar=sa), tensor(m, b, scalar=sb)
                        ),
                    )
            for a, scalar in itertools.product(COMPUTED, SCALARS):
                found.compare(
                    f"result_type({a}, {scalar})",
                    lambda m, a=a, s=scalar: m.result_type(tensor(m, a, scalar=False), s),
                )
                found.compare(
                    f"result_type({scalar}, {a} 0d)",
                    lambda m, a=a, s=scalar: m.result_type(s, tensor(m, a, scalar=True)),
                )

    @pytest.mark.parametrize("dtype", FLOATING[:2] + COMPLEX)
    def test_dtype_attributes(self, dtype: str) -> None:
        ours, theirs = getattr(fg, dtype), getattr(torch, dtype)
        for name in ("is_floating_point", "is_complex", "is_signed", "itemsize"):
            assert getattr(ours, name) == getattr(theirs, name), name

    @pytest.mark.parametrize("dtype", FLOATING[:2])
    def test_finfo(self, dtype: str) -> None:
        ours, theirs = fg.finfo(getattr(fg, dtype)), torch.finfo(getattr(torch, dtype))
        for name in ("bits", "eps", "max", "min", "tiny", "smallest_normal", "resolution"):
            assert getattr(ours, name) == getattr(theirs, name), name

    @pytest.mark.parametrize("dtype", INTEGRAL[:-1])
    def test_iinfo(self, dtype: str) -> None:
        ours, theirs = fg.iinfo(getattr(fg, dtype)), torch.iinfo(getattr(torch, dtype))
        for name in ("bits", "max", "min"):
            assert getattr(ours, name) == getattr(theirs, name), name

    def test_aliases(self) -> None:
        for short, long in {
            "float": "float32",
            "double": "float64",
            "half": "float16",
            "long": "int64",
            "int": "int32",
            "short": "int16",
            "cfloat": "complex64",
            "cdouble": "complex128",
        }.items():
            assert getattr(fg, short) is getattr(fg, long)


class TestDefaultDtype:
    @pytest.mark.parametrize("default", FLOATING[:2])
    def test_set_default_dtype(self, default: str) -> None:
        with mismatches() as found:

            def under_default(m: Any, call: Callable[[Any], Any]) -> Any:
                m.set_default_dtype(getattr(m, default))
                try:
                    return call(m)
                finally:
                    m.set_default_dtype(m.float32)

            for what, call in {
                "tensor": lambda m: m.tensor([1.0]),
                "zeros": lambda m: m.zeros(2),
                "full": lambda m: m.full((2,), 1.5),
                "linspace": lambda m: m.linspace(0, 1, 3),
                "arange": lambda m: m.arange(0.0, 1.0, 0.5),
                "int / int": lambda m: m.tensor([1]) / m.tensor([2]),
                "int mean": lambda m: m.tensor([1, 2]).to(m.get_default_dtype()).mean(),
                "int sqrt": lambda m: m.tensor([4]).sqrt(),
                "int * 1.5": lambda m: m.tensor([4]) * 1.5,
                "eye": lambda m: m.eye(2),
                "get_default_dtype": lambda m: m.get_default_dtype(),
                "float tensor keeps its own": lambda m: m.tensor([1], dtype=m.float32) * 2.5,
            }.items():
                found.compare(what, lambda m, call=call: under_default(m, call))

    def test_only_floating_point(self) -> None:
        with pytest.raises(TypeError, match="only floating-point types are supported"):
            fg.set_default_dtype(fg.int64)
        assert dtype_name(fg.get_default_dtype()) == "float32"
