"""Fits the polynomials of cpp/kernels/cpu/vector_coef.h and writes that header.

Each is the polynomial of its degree with the least weighted error on an interval, found by
Lawson's iteration: least squares in Chebyshev polynomials at many points, whose weights grow where
the error is large until it is level. The weight of a target says how much an error of the
polynomial counts in the function that is made of it, so that the printed figure is the relative
error of that function.

Usage: python tools/fit_vector.py > cpp/kernels/cpu/vector_coef.h  (a minute; needs mpmath)
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass

import mpmath as mp
import numpy as np
from mpmath import mpf

mp.mp.dps = 50
ROUNDS = 10
TINY = mpf("1e-16")
Real = Callable[[mpf], mpf]


@dataclass(frozen=True)
class Target:
    """A function on [low, high]; `weight` times an error is the relative error of the result."""

    name: str
    meaning: str
    function: Real
    weight: Real
    low: mpf
    high: mpf
    float32: int  # coefficients for float, 0 for none
    float64: int


def chebyshev(t: mpf, count: int) -> list[mpf]:
    """T_0(t) ... T_{count-1}(t)."""
    values = [mpf(1), t]
    while len(values) < count:
        values.append(2 * t * values[-1] - values[-2])
    return values[:count]


def to_powers(coefficients: list[mpf], low: mpf, high: mpf) -> list[mpf]:
    """The same polynomial in powers of x instead of Chebyshev polynomials over [low, high]."""
    scale, shift = 2 / (high - low), -(low + high) / (high - low)

    def times_t(p: list[mpf]) -> list[mpf]:
        up = [mpf(0), *(scale * v for v in p)]
        return [u + shift * v for u, v in zip(up, [*p, mpf(0)], strict=True)]

    count = len(coefficients)
    before, current = [mpf(1)], times_t([mpf(1)])
    total = [mpf(0)] * count
    for k, c in enumerate(coefficients):
        term = before if k == 0 else current
        for i, v in enumerate(term):
            total[i] += c * v
        if k >= 1:
            following = [2 * v for v in times_t(current)]
            for i, v in enumerate(before):
                following[i] -= v
            before, current = current, following
    return total


def fit(target: Target, count: int) -> tuple[list[mpf], mpf]:
    """Ascending coefficients and the largest weighted error."""
    middle, half = (target.low + target.high) / 2, (target.high - target.low) / 2
    size = 4 * count + 8
    angles = [mp.pi * (2 * i + 1) / (2 * size) for i in range(size)]
    points = [middle + half * mp.cos(a) for a in angles]
    values = [target.function(x) for x in points]
    weights = [target.weight(x) for x in points]
    rows = [chebyshev((x - middle) / half, count) for x in points]
    lawson = [mpf(1)] * size
    best: tuple[list[mpf], mpf] | None = None
    for _ in range(ROUNDS):
        matrix, right = mp.matrix(count, count), mp.matrix(count, 1)
        for row, value, w, level in zip(rows, values, weights, lawson, strict=True):
            factor = level * w * w
            for i in range(count):
                right[i] += factor * row[i] * value
                for j in range(i + 1):
                    matrix[i, j] += factor * row[i] * row[j]
        for i in range(count):
            for j in range(i):
                matrix[j, i] = matrix[i, j]
        solution = list(mp.lu_solve(matrix, right))
        errors = [
            abs(w * (mp.fdot(row, solution) - value))
            for row, value, w in zip(rows, values, weights, strict=True)
        ]
        worst = max(errors)
        if best is None or worst < best[1]:
            best = solution, worst
        lawson = [
            level * (e / worst + mpf("1e-3")) for level, e in zip(lawson, errors, strict=True)
        ]
        mean = mp.fsum(lawson) / size
        lawson = [level / mean for level in lawson]
    assert best is not None
    return to_powers(best[0], target.low, target.high), best[1]


def exp_rest(r: mpf) -> mpf:
    """(exp(r) - 1 - r) / r^2."""
    return (mp.expm1(r) - r) / r**2 if abs(r) > TINY else mpf(1) / 2 + r / 6


def exp2_slope(r: mpf) -> mpf:
    """(2^r - 1) / r."""
    return mp.expm1(r * mp.log(2)) / r if abs(r) > TINY else mp.log(2)


def log2_slope(r: mpf) -> mpf:
    """log2(1 + r) / r."""
    return mp.log1p(r) / (r * mp.log(2)) if abs(r) > TINY else 1 / mp.log(2)


def log_near_rest(r: mpf) -> mpf:
    """(log(1 + r) - r) / r^2."""
    return (mp.log1p(r) - r) / r**2 if abs(r) > mpf("1e-12") else mpf(-1) / 2 + r / 3


def log_near_weight(r: mpf) -> mpf:
    """Beyond 1/30 another term is added, and the sum is no smaller than that."""
    if abs(r) > mpf(1) / 30:
        return 30 * r * r
    return r * r / mp.log1p(r) if r else mpf(0)


def log_rest(f: mpf) -> mpf:
    """(log(1 + f) - f + f^2 / 2) / f^3."""
    if abs(f) < mpf("1e-12"):
        return mpf(1) / 3 - f / 4
    return (mp.log1p(f) - f + f * f / 2) / f**3


def odd_rest(function: Real, first: mpf) -> Real:
    """(f(x) - x) / x^3 as a function of z = x^2, for an odd f; `first` is its value at 0."""

    def rest(z: mpf) -> mpf:
        if abs(z) < TINY:
            return first
        x = mp.sqrt(z)
        return (function(x) - x) / (x * z)

    return rest


def sin_pi_rest(z: mpf) -> mpf:
    """(sin(pi x) / (pi x) - 1) / x^2, z = x^2."""
    return (mp.sincpi(mp.sqrt(z)) - 1) / z if z > TINY else -(mp.pi**2) / 6


def cot_rest(z: mpf) -> mpf:
    """(x / tan(x) - 1) / x^2, z = x^2."""
    x = mp.sqrt(z)
    return (x / mp.tan(x) - 1) / z if z > TINY else -mpf(1) / 3


def log_quotient(z: mpf) -> mpf:
    """(log((1 + s) / (1 - s)) - 2 s) / s^3, z = s^2."""
    s = mp.sqrt(z)
    return (2 * mp.atanh(s) - 2 * s) / (s * z) if z > TINY else mpf(2) / 3


def relative_odd(function: Real) -> Real:
    """The weight x^3 / f(x) of odd_rest."""

    def weight(z: mpf) -> mpf:
        x = mp.sqrt(z)
        return x * z / function(x)

    return weight


def erfcx_at(t: mpf) -> mpf:
    """exp(x^2) erfc(x) (x + 4) for t = (x - 4) / (x + 4)."""
    if t >= 1:
        return 1 / mp.sqrt(mp.pi)
    x = 4 * (1 + t) / (1 - t)
    if x > 40:  # DLMF 7.12.1
        u = 1 / (2 * x * x)
        terms = [(-u) ** k * mp.fac2(2 * k - 1) for k in range(12)]
        return mp.fsum(terms) / (x * mp.sqrt(mp.pi)) * (x + 4)
    return mp.exp(x * x) * mp.erfc(x) * (x + 4)


def mills_at(t: mpf) -> mpf:
    """exp(a^2 / 2) erfc(a / sqrt(2)) / 2 (a + 4) for t = (a - 4) / (a + 4)."""
    a = 4 * (1 + t) / (1 - t)
    return mp.exp(a * a / 2) * mp.erfc(a / mp.sqrt(2)) / 2 * (a + 4)


def log_gamma_rest(t: mpf) -> mpf:
    """log(Gamma(x)) / ((x - 1) (x - 2)) for x = 3/2 + t."""
    if abs(abs(t) - mpf(1) / 2) < mpf("1e-14"):  # the zeros, and no root of the fit's points
        t += mpf("1e-13")
    return mp.loggamma(mpf(3) / 2 + t) / (t * t - mpf(1) / 4)


def stirling_rest(u: mpf) -> mpf:
    """(log(Gamma(w)) - (w - 1/2) log(w) + w - log(2 pi) / 2) w, u = 1 / w^2."""
    if u < mpf("1e-12"):
        return mpf(1) / 12
    w = 1 / mp.sqrt(u)
    return (mp.loggamma(w) - (w - mpf(1) / 2) * mp.log(w) + w - mp.log(2 * mp.pi) / 2) * w


def digamma_unit(d: mpf) -> mpf:
    """psi(x) / d, where x is at the distance d from the zero."""
    if abs(d) < mpf("1e-14"):  # no root of the fit's points
        d += mpf("1e-13")
    return mp.digamma(mpf("1.46163214496836234126265954232572132846819620400644635") + d) / d


def digamma_tail(u: mpf) -> mpf:
    """(log(x) - 1/(2 x) - psi(x)) x^2, u = 1 / x^2."""
    if u < mpf("1e-12"):
        return mpf(1) / 12
    x = 1 / mp.sqrt(u)
    return (mp.log(x) - 1 / (2 * x) - mp.digamma(x)) * x * x


def targets() -> list[Target]:
    """All fits, in the order of the header."""
    ln2_half = mp.log(2) / 2 * mpf("1.002")
    octave_low, octave_high = mp.sqrt(mpf(1) / 2) - 1, mp.sqrt(2) - 1
    s_max = octave_high / (octave_high + 2) * mpf("1.001")
    sqrt_margin = mpf("1.0005")
    third = mpf(1) / 3
    return [
        Target("kExp", "(exp(r) - 1 - r) / r^2, |r| <= log(2) / 2", exp_rest,
               lambda r: r * r / mp.exp(r), -ln2_half, ln2_half, 5, 10),
        Target("kExp2", "(2^r - 1) / r, |r| <= 1/2", exp2_slope,
               lambda r: r / mp.mpf(2) ** r, -mpf("0.501"), mpf("0.501"), 6, 12),
        Target("kExpNear", "the same, |r| <= log(2) / 32", exp_rest, lambda r: r * r / mp.exp(r),
               -ln2_half / 16, ln2_half / 16, 0, 5),
        Target("kExpm1Near", "the same, the error being that of exp(r) - 1", exp_rest,
               lambda r: r * r / mp.expm1(r) if r else mpf(0), -ln2_half / 16, ln2_half / 16, 0, 6),
        Target("kLogNear", "(log(1 + r) - r) / r^2, |r| <= 1/24 or little more", log_near_rest,
               log_near_weight, -mpf("1.13") / 24, mpf("1.13") / 24, 4, 0),
        Target("kLogNear", "(log(1 + r) - r) / r^2, |r| <= 1/24", log_near_rest, log_near_weight,
               -mpf("1.01") / 24, mpf("1.01") / 24, 0, 9),
        Target("kLogNearLong", "(log(1 + r) - r + r^2 / 2) / r^3, |r| <= 1/24, for pow", log_rest,
               lambda r: log_near_weight(r) * r, -mpf("1.01") / 24, mpf("1.01") / 24, 0, 10),
        Target("kLog2Short", "log2(1 + r) / r, |r| <= 1/24, for powers of float", log2_slope,
               lambda r: log_near_weight(r) / r if r else mpf(1), -mpf("1.01") / 24,
               mpf("1.01") / 24, 0, 7),
        Target("kExp2Short", "(2^r - 1) / r, |r| <= 1/32, likewise", exp2_slope,
               lambda r: r, -mpf("1.001") / 32, mpf("1.001") / 32, 0, 4),
        Target("kLog", "(log(1 + f) - f + f^2/2) / f^3, 1 + f from sqrt(1/2) to sqrt(2)", log_rest,
               lambda f: f**3 / mp.log1p(f) if f else mpf(0), octave_low, octave_high, 8, 0),
        Target("kLogLong", "the same for double, with digits enough for powers of float", log_rest,
               lambda f: f**3 / mp.log1p(f) if f else mpf(0), octave_low, octave_high, 0, 11),
        Target("kExpLong", "(exp(r) - 1 - r) / r^2, likewise", exp_rest,
               lambda r: r * r / mp.exp(r), -ln2_half, ln2_half, 0, 6),
        Target("kLogQuotient", "(log((1 + s) / (1 - s)) - 2 s) / s^3 in s^2, s <= 0.1716",
               log_quotient, lambda z: z / 2, mpf(0), s_max**2, 4, 7),
        Target("kLogQuotientLong", "the same for pow", log_quotient, lambda z: z / 2, mpf(0),
               s_max**2, 0, 9),
        Target("kSin", "(sin(x) - x) / x^3 in x^2, x <= pi/2", odd_rest(mp.sin, -third / 2),
               relative_odd(mp.sin), mpf(0), (mp.pi / 2 * sqrt_margin) ** 2, 4, 8),
        Target("kSinPi", "(sin(pi x) / (pi x) - 1) / x^2 in x^2, x <= 1/2", sin_pi_rest,
               lambda z: z / (1 + z * sin_pi_rest(z)), mpf(0), mpf(1) / 4, 0, 8),
        Target("kTan", "(tan(x) - x) / x^3 in x^2, x <= pi/4", odd_rest(mp.tan, third),
               relative_odd(mp.tan), mpf(0), (mp.pi / 4 * mpf("1.004")) ** 2, 7, 0),
        Target("kCot", "(x / tan(x) - 1) / x^2 in x^2, x <= pi/4", cot_rest,
               lambda z: z / (1 + z * cot_rest(z)), mpf(0), (mp.pi / 4 * sqrt_margin) ** 2, 0, 9),
        Target("kAtan", "(atan(x) - x) / x^3 in x^2, x <= 1", odd_rest(mp.atan, -third),
               relative_odd(mp.atan), mpf(0), mpf(1), 9, 20),
        Target("kAtanNear", "the same, x <= 0.0986", odd_rest(mp.atan, -third),
               relative_odd(mp.atan), mpf(0), mpf("0.0986") ** 2, 0, 5),
        Target("kAsin", "(asin(x) - x) / x^3 in x^2, x <= 1/2", odd_rest(mp.asin, third / 2),
               relative_odd(mp.asin), mpf(0), mpf(1) / 4, 5, 12),
        Target("kMills", "P(normal > a) exp(a^2 / 2) (a + 4) in (a - 4) / (a + 4), a <= 39",
               mills_at, lambda t: 1 / mills_at(t), mpf(-1), mpf(35) / 43, 0, 22),
        Target("kLogGamma", "log(Gamma(3/2 + t)) / (t^2 - 1/4), |t| <= 1", log_gamma_rest,
               lambda t: 1 / log_gamma_rest(t), mpf(-1), mpf(1), 0, 22),
        Target("kStirling", "(log(Gamma(w)) less Stirling's terms) w in 1 / w^2, w >= 8",
               stirling_rest, lambda u: mpf(12), mpf(0), mpf(1) / 64, 0, 3),
        Target("kLogGammaLong", "log(Gamma(3/2 + t)) / (t^2 - 1/4), |t| <= 3/4", log_gamma_rest,
               lambda t: 1 / log_gamma_rest(t), mpf("-0.751"), mpf("0.751"), 0, 28),
        Target("kStirlingLong", "kStirling for w >= 8.2", stirling_rest, lambda u: mpf(12), mpf(0),
               1 / mpf("8.2") ** 2, 0, 6),
        Target("kDigammaUnit", "psi(x) / (x - root), 1 <= x <= 2", digamma_unit,
               lambda d: 1 / digamma_unit(d), mpf("-0.4617"), mpf("0.5384"), 0, 23),
        Target("kDigammaTail", "(log(x) - 1/(2 x) - psi(x)) x^2 in 1/x^2, x >= 2", digamma_tail,
               lambda u: u / mp.digamma(1 / mp.sqrt(u)) if u else mpf(0), mpf(0), mpf(1) / 4, 0,
               15),
        Target("kErfcx", "exp(x^2) erfc(x) (x + 4) in (x - 4) / (x + 4), x to 28", erfcx_at,
               lambda t: 1 / erfcx_at(t), mpf(-1), mpf("0.7501"), 0, 23),
    ]  # fmt: skip


def rounded(value: mpf, double: bool) -> mpf:
    """The nearest number of the type."""
    return mpf(float(value)) if double else mpf(float(np.float32(float(value))))


def short_inverse(sixteenth: int, double: bool) -> mpf:
    """A short number near 16 / sixteenth whose logarithms to all bases are near the type's."""
    if sixteenth == 16:
        return mpf(1)
    unit, tries = (mpf(2) ** -20, 400) if double else (mpf(2) ** -14, 60)
    middle = int(mp.nint(mpf(16) / sixteenth / unit))

    def lost(candidate: mpf) -> mpf:
        logarithms = [mp.log(candidate, base) for base in (mp.e, 2, 10)]
        return max(
            abs(v - rounded(v, double)) / mpf(2) ** mp.floor(mp.log(abs(v), 2)) for v in logarithms
        )

    return min(((middle + d) * unit for d in range(-tries, tries + 1)), key=lost)


def print_logarithms(log_near: list[mpf], double: bool) -> list[mpf]:
    """Prints inverses and logarithms by sixteenths, and returns the former."""
    inverses = [mpf(0)] * 16
    for sixteenth in range(12, 25):  # 3/4 to 3/2
        inverses[sixteenth % 16] = short_inverse(sixteenth, double)
    suffix = "" if double else "F"
    print("\n// 1 / c for c near i / 16 from 3/4 to 3/2, and the logarithms of c")
    print(array("kInverse", inverses, double, suffix))
    for name, base in (("kLogOf", mp.e), ("kLog2Of", 2), ("kLog10Of", 10)):
        logarithms = [-mp.log(v, base) if v else mpf(0) for v in inverses]
        print(array(name, logarithms, double, suffix))
    print("\n// (log(1 + r) / log(b) - r m) / r for b = 2, 10, m being 1 / log(b) rounded")
    for name, base in (("kLog2Near", 2), ("kLog10Near", 10)):
        factor = 1 / mp.log(base)
        values = [factor - rounded(factor, double), *(factor * v for v in log_near)]
        print(array(name, values, double))
    return inverses


def print_tables(log_near: list[mpf]) -> None:
    """Prints what is looked up by the last four bits of a number of sixteenths."""
    powers = [mpf(2) ** (mpf(i) / 16) for i in range(16)]
    print("\n// 2^(i / 16), and what rounding takes from it, relative to it")
    print(array("kSixteenths", powers, double=True, suffix=""))
    lost = [(p - mpf(float(p))) / p for p in powers]
    print(array("kSixteenthsLow", lost, double=True, suffix=""))
    inverses = print_logarithms(log_near, double=True)
    print("\n// kLogOf in two parts for pow, the first a multiple of 2^-42")
    logarithms = [-mp.log(v) if v else mpf(0) for v in inverses]
    high = [mp.nint(v * 2**42) / 2**42 for v in logarithms]
    print(array("kLogOfHigh", high, double=True, suffix=""))
    rest = [v - h for v, h in zip(logarithms, high, strict=True)]
    print(array("kLogOfRest", rest, double=True, suffix=""))


def print_atan() -> None:
    """Prints numbers c in the halves of the octaves from 1/16 to 16, and atan(c) in two parts.

    They are in the order of the last four bits of a number that counts halves of octaves. The first
    is 0; the last is so large that (x - c) / (1 + c x) is -1 / x.
    """
    centers, high = [mpf(0)] * 16, [mpf(0)] * 16
    low = list(high)
    for half in range(16):
        begin = mpf(2) ** (half // 2 - 4) * (1 + mpf(half % 2) / 2)
        end = mpf(2) ** (half // 2 - 4) * (mpf(3) / 2 + mpf(half % 2) / 2)
        middle = mp.tan((mp.atan(begin) + mp.atan(end)) / 2)
        scale = mpf(2) ** (12 - half // 2)
        c = mpf(0) if half == 0 else mpf(2) ** 60 if half == 15 else mp.nint(middle * scale) / scale
        place = (2 * (1023 - 4) + half) % 16
        centers[place] = c
        high[place] = mpf(float(mp.atan(c)))
        low[place] = mp.atan(c) - high[place]
    print("\n// c for the halves of octaves from 1/16 to 16, and atan(c) in two parts")
    print(array("kAtanCenter", centers, double=True, suffix=""))
    print(array("kAtanHigh", high, double=True, suffix=""))
    print(array("kAtanLow", low, double=True, suffix=""))


def print_tanh() -> None:
    """Prints polynomials of tanh for the quarters of the octaves from 1/16 to 16, in their order.

    They are in the order of the last five bits of a number that counts quarters of octaves.
    """
    middles, coefficients, worst = [mpf(0)] * 32, [[mpf(0)] * 32 for _ in range(6)], mpf(0)
    for octave in range(-4, 4):
        for quarter in range(4):
            width = mpf(2) ** octave / 4
            low = (4 + quarter) * width
            middle = low + width / 2
            first = octave == -4 and quarter == 0
            if first:  # everything below, too
                low, middle = mpf(0), mpf(0)
            high = (5 + quarter) * width

            def function(d: mpf, x: mpf = middle, near: bool = first) -> mpf:
                if near:
                    return mp.tanh(d) / d if d else mpf(1)
                return mp.tanh(x + d)

            def weight(d: mpf, f: Real = function) -> mpf:
                return 1 / f(d)

            target = Target("", "", function, weight, low - middle, high - middle, 0, 0)
            found, error = fit(target, 5 if first else 6)
            worst = max(worst, error)
            place = ((octave + 127) * 4 + quarter) % 32
            middles[place] = middle
            for k, c in enumerate([mpf(0), *found] if first else found):
                coefficients[k][place] = c
    print("\n// tanh of floats: over the quarters of octaves from 1/16 to 16 polynomials in the")
    print(f"// distance from their middles, over the first one from 0: {mp.nstr(worst, 2)}")
    print(array("kTanhMiddle", middles, double=False, suffix=""))
    for k, values in enumerate(coefficients):
        print(array(f"kTanh{k}", values, double=False, suffix=""))


def literal(value: mpf, double: bool) -> str:
    """A literal that rounds to the nearest number of the type."""
    if double:
        return repr(float(value))
    return str(mp.nstr(value, 11, min_fixed=0, max_fixed=0)) + "f"


def array(name: str, values: list[mpf], double: bool, suffix: str | None = None) -> str:
    """A constexpr array in lines of at most 100 characters; the suffix tells its type."""
    kind = "double" if double else "float"
    suffix = ("D" if double else "F") if suffix is None else suffix
    lines, line = [f"constexpr {kind} {name}{suffix}[] = {{"], "   "
    for value in values:
        text = f" {literal(value, double)},"
        if len(line) + len(text) > 100:
            lines.append(line)
            line = "   "
        line += text
    return "\n".join([*lines, line, "};"])


def main() -> None:
    """Writes the header to standard output."""
    print("// Written by tools/fit_vector.py; change that script, not this file.")
    print("// Coefficients ascend; the figure is the largest relative error that the fit gives the")
    print("// function made of it.")
    print("// clang-format off")
    print("#pragma once\n\nnamespace fastgrad::math::coef {")
    for target in targets():
        for count in (target.float32, target.float64):
            if not count:
                continue
            values, worst = fit(target, count)
            print(f"\n// {target.meaning}: {mp.nstr(worst, 2)}")
            print(array(target.name, values, count == target.float64))
            print(target.name, count, mp.nstr(worst, 3), file=sys.stderr)
            if target.name == "kLogNear" and count == target.float32:
                print_logarithms(values, double=False)
            elif target.name == "kLogNear":
                print_tables(values)
            if target.name == "kAtanNear":
                print_atan()
            if target.name == "kErfcx" and count == target.float64:
                print("\n// what rounding takes from the first two")
                lost = [v - mpf(float(v)) for v in values[:2]]
                print(array("kErfcxLow", lost, double=True))
    print_tanh()
    print("\n}  // namespace fastgrad::math::coef")


if __name__ == "__main__":
    main()
