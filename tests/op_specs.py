"""What every elementwise function computes, written down a second time in mpmath.

`SPECS` has one `Spec` per row of the op table, by the row's name. The formulas work on mpmath
numbers, for which they are exact to `DIGITS`, so a result in float64 can be judged to the last bit
and a derivative taken by `mpmath.diff`.

`NAMED` has the functions that are no rows and that no test but their documented example uses.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import mpmath as mp
import numpy as np

DIGITS = 60


class Spec(NamedTuple):
    """The reference of one row.

    Attributes:
        reference: The function on mpmath numbers, or on Python's integers where the row is for
            them.
        valid: Where it is real and finite and the reference can be computed.
        ulps: How far float64 may be off, in units of the last place. None compares exactly.
        floor: An absolute error that is allowed besides, near zeros of the function.
        constants: The operands that have no gradient.
        smooth: Whether `mpmath.diff` finds the derivatives.
    """

    reference: Callable[..., Any]
    valid: Callable[..., bool] = lambda *x: True
    ulps: float | None = 1.6
    floor: float = 0.0
    constants: tuple[int, ...] = ()
    smooth: bool = True


def positive(x: Any) -> bool:
    return bool(x > 0)


def below(bound: float) -> Callable[[Any], bool]:
    """Whether |x| < bound, within which mpmath does not take forever."""
    return lambda x: bool(abs(x) < bound)


def between(lo: float, hi: float) -> Callable[[Any], bool]:
    return lambda x: bool(lo < x < hi)


def off_the_poles(x: Any) -> bool:
    """Where gamma is finite and mpmath quick."""
    return bool((x > 0 or x != math.floor(x)) and -1e4 < x < 1e300)


def sign(x: Any) -> int:
    return (x > 0) - (x < 0)


def round_down(x: Any) -> Any:
    return mp.floor(x)


def toward_zero(x: Any) -> Any:
    return mp.floor(x) if x >= 0 else mp.ceil(x)


def erfcx(x: Any) -> Any:
    if x > 1e4:
        return (1 - 1 / (2 * x**2) + 3 / (4 * x**4)) / (x * mp.sqrt(mp.pi))
    return mp.exp(x * x) * mp.erfc(x)


def ndtr(x: Any) -> Any:
    return mp.erfc(-x / mp.sqrt(2)) / 2


def log_ndtr(x: Any) -> Any:
    return mp.log1p(-ndtr(-x)) if x > 0 else mp.log(ndtr(x))


def ndtri(p: Any) -> Any:
    """The root of log_ndtr(x) = log(p), refined from the double nearest to it."""
    if p > 0.5:
        return -ndtri(1 - p)
    guess = -mp.sqrt(-2 * mp.log(p)) if p < 0.1 else mp.mpf(0)
    return mp.findroot(lambda x: log_ndtr(x) - mp.log(p), guess)


def lgamma(x: Any) -> Any:
    return mp.log(abs(mp.gamma(x))) if abs(x) < 100 else mp.re(mp.loggamma(x))


def log_of_sum(base: Any) -> Callable[[Any, Any], Any]:
    def function(a: Any, b: Any) -> Any:
        return mp.log(mp.power(base(), a) + mp.power(base(), b), base())

    return function


def xlogy(a: Any, b: Any) -> Any:
    return a * mp.log(b)


def hurwitz(s: Any, q: Any) -> Any:
    """mpmath's precision is absolute here, and the sum is as small as its first term."""
    with mp.workdps(mp.mp.dps + max(0, int(s * mp.log10(q)))):
        return mp.zeta(s, q)


def lower_gamma(a: Any, x: Any) -> Any:
    """The regularised lower incomplete gamma function, with digits for what cancels."""
    with mp.workdps(mp.mp.dps + 20):
        return mp.gammainc(a, 0, x, regularized=True)


def upper_gamma(a: Any, x: Any) -> Any:
    """1 - lower_gamma, relatively exact where it is tiny."""
    with mp.workdps(mp.mp.dps + 20):
        return mp.gammainc(a, x, mp.inf, regularized=True)


def as_int(function: Callable[..., int]) -> Callable[..., Any]:
    return lambda *x: function(*(int(v) for v in x))


SPECS: dict[str, Spec] = {
    # arithmetic
    "add": Spec(operator.add, ulps=0.5),
    "sub": Spec(operator.sub, ulps=0.5),
    "mul": Spec(operator.mul, ulps=0.5),
    "div": Spec(operator.truediv, ulps=0.5),
    "pow": Spec(mp.power),
    "neg": Spec(operator.neg, ulps=None),
    "abs": Spec(abs, ulps=None),
    "sign": Spec(sign, ulps=None),
    "sgn": Spec(sign, ulps=None),
    "square": Spec(lambda x: x * x, ulps=0.5),
    "sqrt": Spec(mp.sqrt, positive, ulps=0.51),
    "rsqrt": Spec(lambda x: 1 / mp.sqrt(x), positive),
    "reciprocal": Spec(lambda x: 1 / x, ulps=0.51),
    "addcmul": Spec(lambda a, b, c: a + b * c, floor=1e-15),
    "addcdiv": Spec(lambda a, b, c: a + b / c, floor=1e-15),
    "lerp": Spec(lambda a, b, c: a + c * (b - a), floor=1e-15),
    "floor_divide": Spec(lambda a, b: round_down(a / b), ulps=None),
    "remainder": Spec(lambda a, b: a - b * round_down(a / b), ulps=1, floor=1e-16),
    "fmod": Spec(lambda a, b: a - b * toward_zero(a / b), ulps=0.5),
    "floor": Spec(round_down, ulps=None),
    "ceil": Spec(mp.ceil, ulps=None),
    "trunc": Spec(toward_zero, ulps=None),
    "round": Spec(mp.nint, ulps=None),
    "frac": Spec(lambda x: x - toward_zero(x), ulps=None),
    "maximum": Spec(max, ulps=None),
    "minimum": Spec(min, ulps=None),
    "fmax": Spec(max, ulps=None),
    "fmin": Spec(min, ulps=None),
    "clamp": Spec(lambda x, lo, hi: min(max(x, lo), hi), ulps=None),
    "clamp_min": Spec(max, ulps=None),
    "clamp_max": Spec(min, ulps=None),
    "relu": Spec(lambda x: max(x, 0), ulps=None),
    "copysign": Spec(lambda a, b: abs(a) if b >= 0 else -abs(a), ulps=None),
    "nextafter": Spec(lambda a, b: math.nextafter(float(a), float(b)), ulps=None, smooth=False),
    "ldexp": Spec(lambda a, b: a * 2**b),
    "heaviside": Spec(lambda a, b: b if a == 0 else int(a > 0), ulps=None),
    "where": Spec(lambda a, b, c: b if a else c, ulps=None, constants=(0,)),
    # integers
    "gcd": Spec(as_int(math.gcd), ulps=None),
    "lcm": Spec(as_int(math.lcm), ulps=None),
    "bitwise_not": Spec(as_int(operator.invert), ulps=None),
    "bitwise_and": Spec(as_int(operator.and_), ulps=None),
    "bitwise_or": Spec(as_int(operator.or_), ulps=None),
    "bitwise_xor": Spec(as_int(operator.xor), ulps=None),
    "bitwise_left_shift": Spec(as_int(operator.lshift), ulps=None),
    "bitwise_right_shift": Spec(as_int(operator.rshift), ulps=None),
    # comparison
    "eq": Spec(operator.eq, ulps=None),
    "ne": Spec(operator.ne, ulps=None),
    "lt": Spec(operator.lt, ulps=None),
    "le": Spec(operator.le, ulps=None),
    "gt": Spec(operator.gt, ulps=None),
    "ge": Spec(operator.ge, ulps=None),
    "logical_and": Spec(lambda a, b: bool(a) and bool(b), ulps=None),
    "logical_or": Spec(lambda a, b: bool(a) or bool(b), ulps=None),
    "logical_xor": Spec(lambda a, b: bool(a) != bool(b), ulps=None),
    "logical_not": Spec(operator.not_, ulps=None),
    "isnan": Spec(mp.isnan, ulps=None),
    "isinf": Spec(mp.isinf, ulps=None),
    "isfinite": Spec(mp.isfinite, ulps=None),
    "isposinf": Spec(lambda x: x == mp.inf, ulps=None),
    "isneginf": Spec(lambda x: x == -mp.inf, ulps=None),
    "isreal": Spec(lambda x: True, ulps=None),
    "signbit": Spec(lambda x: x < 0, ulps=None),
    # exponentials and logarithms
    "exp": Spec(mp.exp, below(1e6), ulps=1.2),
    "exp2": Spec(lambda x: mp.power(2, x), below(1e6), ulps=1),
    "expm1": Spec(mp.expm1, below(1e6), ulps=2.5),
    "log": Spec(mp.log, positive, ulps=1.2),
    "log2": Spec(lambda x: mp.log(x, 2), positive, ulps=2.5),
    "log10": Spec(mp.log10, positive),
    "log1p": Spec(mp.log1p, lambda x: bool(x > -1), ulps=1.4),
    "logaddexp": Spec(log_of_sum(lambda: mp.e), floor=2e-16),
    "logaddexp2": Spec(log_of_sum(lambda: mp.mpf(2)), floor=2e-16),
    "sigmoid": Spec(lambda x: 1 / (1 + mp.exp(-x)), below(1e6), ulps=2.5),
    "logit": Spec(lambda x: mp.log(x) - mp.log1p(-x), between(0, 1), ulps=2),
    "xlogy": Spec(xlogy),
    "xlog1py": Spec(lambda a, b: a * mp.log1p(b)),
    "entr": Spec(lambda x: -x * mp.log(x), positive),
    # trigonometric and hyperbolic functions
    "sin": Spec(mp.sin, ulps=2.5),
    "cos": Spec(mp.cos, ulps=2.5),
    "tan": Spec(mp.tan, ulps=2.5),
    "asin": Spec(mp.asin, between(-1, 1), ulps=2.5),
    "acos": Spec(mp.acos, between(-1, 1), ulps=1.5),
    "atan": Spec(mp.atan, ulps=2.5),
    "atan2": Spec(mp.atan2, ulps=1),
    "hypot": Spec(lambda a, b: mp.sqrt(a * a + b * b), ulps=1),
    "sinh": Spec(mp.sinh, below(1e6), ulps=2.5),
    "cosh": Spec(mp.cosh, below(1e6)),
    "tanh": Spec(mp.tanh, below(1e6), ulps=2.5),
    "asinh": Spec(mp.asinh),
    "acosh": Spec(mp.acosh, lambda x: bool(x > 1)),
    "atanh": Spec(mp.atanh, between(-1, 1)),
    "sinc": Spec(lambda x: mp.sinpi(x) / (mp.pi * x) if x else mp.mpf(1), ulps=2, floor=1e-323),
    "angle": Spec(lambda x: mp.pi if x < 0 else mp.mpf(0)),
    "deg2rad": Spec(lambda x: x * mp.pi / 180),
    "rad2deg": Spec(lambda x: x * 180 / mp.pi),
    # special functions
    "erf": Spec(mp.erf, below(1e6)),
    "erfc": Spec(mp.erfc, below(1e4), ulps=2.5),
    "erfcx": Spec(erfcx, lambda x: bool(x > -1e3), ulps=4),
    "erfinv": Spec(mp.erfinv, between(-1, 1), ulps=3),
    "ndtr": Spec(ndtr, below(1e4), ulps=2.5),
    "log_ndtr": Spec(log_ndtr, below(1e4), ulps=6),
    "ndtri": Spec(ndtri, between(0, 1), ulps=4, floor=2e-16),
    "lgamma": Spec(lgamma, off_the_poles, ulps=4, floor=1e-15),
    "digamma": Spec(mp.digamma, off_the_poles, ulps=4, floor=1e-15),
    "polygamma": Spec(lambda n, x: mp.polygamma(int(n), x), ulps=8, constants=(0,)),
    "zeta": Spec(hurwitz, ulps=8, constants=(0,)),
    "igamma": Spec(lower_gamma, ulps=8, constants=(0,)),
    "igammac": Spec(upper_gamma, ulps=8, constants=(0,)),
    "i0": Spec(lambda x: mp.besseli(0, x), below(1e4), ulps=4),
    "i0e": Spec(lambda x: mp.besseli(0, x) * mp.exp(-abs(x)), below(1e4), ulps=4),
    "i1": Spec(lambda x: mp.besseli(1, x), below(1e4), ulps=4),
    "i1e": Spec(lambda x: mp.besseli(1, x) * mp.exp(-abs(x)), below(1e4), ulps=4),
}

# Other ways to say what a tested function does, and single steps without arithmetic. The example in
# the documentation of each is run.
_BY_EXAMPLE = """
    narrow_copy as_strided_scatter split_with_sizes type_as ndimension resize_as_ new empty_permuted
    view_as_real chain_matmul linalg.solve_ex slogdet linalg.lu_factor_ex lu_unpack geqrf
    is_conj is_neg is_pinned is_shared get_device is_same_size is_set_to is_nonzero is_storage
    get_default_device set_default_device resize_ set_
    memory.stats memory.empty_cache memory.set_limit
"""
NAMED = frozenset(_BY_EXAMPLE.split())


def exact(spec: Spec, *point: Any) -> Any:
    """Returns the value of the reference at a point of Python numbers."""
    with mp.workdps(DIGITS):
        value = spec.reference(*(mp.mpf(float(x)) for x in point))
        return value.real if isinstance(value, mp.mpc) else value


def derivative(spec: Spec, point: Sequence[float], orders: Sequence[int]) -> float:
    """Returns a partial derivative of the reference: orders[i] times with respect to operand i."""
    with mp.workdps(DIGITS):
        exact_point = tuple(mp.mpf(float(x)) for x in point)
        if len(exact_point) == 1:
            x, n = exact_point[0], orders[0]
            # In units of x, so that the step suits numbers of any size.
            return float(mp.diff(lambda t: spec.reference(x * t), 1, n) / x**n)
        return float(mp.diff(spec.reference, exact_point, tuple(orders)))


def error_in_ulps(got: float, wanted: Any, dtype: Any, floor: float = 0.0) -> float:
    """Returns |got - wanted| in units of the last place of `wanted`, less the `floor`."""
    facts = np.finfo(dtype)
    if math.isinf(got):  # right where the nearest number would be beyond the largest
        return 0.0 if abs(wanted) >= float(facts.max) and (got > 0) == (wanted > 0) else math.inf
    if math.isnan(got):
        return math.inf
    with mp.workdps(DIGITS):
        error = max(abs(mp.mpf(got) - wanted) - floor, 0)
        exponent = mp.floor(mp.log(abs(wanted), 2)) if wanted else mp.mpf(-(10**9))
        return float(error / mp.mpf(2) ** (max(exponent, int(facts.minexp)) - int(facts.nmant)))
