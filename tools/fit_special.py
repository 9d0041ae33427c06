"""Fits the approximations of cpp/kernels/cpu/special_coef.h and writes that header.

Every function below is approximated by a quotient of polynomials P(t) / Q(t), or by P(t) alone,
that agrees with it at the Chebyshev points of an interval (one linear system, solved with 80
digits); the relative error of such a fit is within a small factor of the best possible one. The
degrees are the smallest whose error, measured on a finer grid, is below TOLERANCE.

Quotients are used where their coefficients come out mild. Where they do not (the Bessel tails),
a polynomial in a variable that runs over [-1, 1] rounds far less.

Usage: python tools/fit_special.py > cpp/kernels/cpu/special_coef.h  (a minute; needs mpmath)
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import partial

import mpmath as mp
from mpmath import mpf

mp.mp.dps = 80
TOLERANCE = mpf(2) ** -57
Real = Callable[[mpf], mpf]


@dataclass(frozen=True)
class Target:
    """One function to approximate on [low, high]; polynomial says that Q must be 1."""

    name: str
    meaning: str
    function: Real
    low: mpf
    high: mpf
    polynomial: bool = False


def nodes(low: mpf, high: mpf, count: int) -> list[mpf]:
    """Chebyshev points of the first kind on [low, high]."""
    middle, half = (low + high) / 2, (high - low) / 2
    return [middle + half * mp.cos(mp.pi * (2 * i + 1) / (2 * count)) for i in range(count)]


def evaluate(coefficients: list[mpf], t: mpf) -> mpf:
    """Polynomial with ascending coefficients at t."""
    return mp.polyval(coefficients[::-1], t)


def interpolate(
    target: Target, top: int, bottom: int, cache: dict[mpf, mpf]
) -> tuple[list[mpf], list[mpf]]:
    """P, Q of degrees `top`, `bottom` with Q(0) = 1 and P = f Q at the Chebyshev points."""
    size = top + bottom + 1
    points = nodes(target.low, target.high, size)
    matrix, right = mp.matrix(size, size), mp.matrix(size, 1)
    for i, t in enumerate(points):
        value = value_at(target, t, cache)
        for k in range(top + 1):
            matrix[i, k] = t**k
        for k in range(1, bottom + 1):
            matrix[i, top + k] = -value * t**k
        right[i] = value
    solution = mp.lu_solve(matrix, right)
    return [solution[k] for k in range(top + 1)], [mpf(1)] + [
        solution[k] for k in range(top + 1, size)
    ]


def value_at(target: Target, t: mpf, cache: dict[mpf, mpf]) -> mpf:
    """The target at t, computed once."""
    if t not in cache:
        cache[t] = target.function(t)
    return cache[t]


def relative_error(target: Target, p: list[mpf], q: list[mpf], cache: dict[mpf, mpf]) -> mpf:
    """Largest relative error on a grid that also holds both ends of the interval."""
    grid = [*nodes(target.low, target.high, 151), target.low, target.high]
    worst = mpf(0)
    for t in grid:
        value = value_at(target, t, cache)
        worst = max(worst, abs(evaluate(p, t) / evaluate(q, t) / value - 1))
    return worst


def fit(target: Target) -> tuple[list[mpf], list[mpf], mpf]:
    """The quotient of lowest degree whose error is below TOLERANCE."""
    cache: dict[mpf, mpf] = {}
    for degree in range(3, 60):
        shapes = [(degree, 0)] if target.polynomial else [(degree, degree - 1), (degree, degree)]
        for top, bottom in shapes:
            p, q = interpolate(target, top, bottom, cache)
            error = relative_error(target, p, q, cache)
            if error < TOLERANCE:
                return p, q, error
    raise RuntimeError(f"no fit for {target.name}")


# The functions. Each handles the end of its interval where its formula is 0/0 or needs infinity.

DIGAMMA_ROOT = mp.findroot(mp.digamma, mpf("1.4616321449683623"))


def digamma_tail(u: mpf) -> mpf:
    """(log x - 1/(2x) - psi(x)) x^2 at x = u^(-1/2)."""
    if u == 0:
        return mpf(1) / 12
    x = 1 / mp.sqrt(u)
    return (mp.log(x) - 1 / (2 * x) - mp.psi(0, x)) * x * x


def trigamma_tail(u: mpf) -> mpf:
    """(psi'(x) - 1/x - 1/(2x^2)) x^3 at x = u^(-1/2)."""
    if u == 0:
        return mpf(1) / 6
    x = 1 / mp.sqrt(u)
    return (mp.psi(1, x) - 1 / x - 1 / (2 * x * x)) * x**3


def lgamma_at_one(a: mpf) -> mpf:
    """The function log Gamma(1 + a) / (a (1 - a))."""
    if a in (0, 1):
        return -mp.euler if a == 0 else mp.euler - 1
    return mp.loggamma(1 + a) / (a * (1 - a))


def erfcx(x: mpf) -> mpf:
    """exp(x^2) erfc(x)."""
    return mp.exp(x * x) * mp.erfc(x)


def erfcx_tail(u: mpf) -> mpf:
    """Evaluates x erfcx(x) at x = u^(-1/2)."""
    x = 1 / mp.sqrt(u) if u else mpf(0)
    return x * erfcx(x) if u else 1 / mp.sqrt(mp.pi)


def erfcx_slope(x: mpf) -> mpf:
    """-erfcx'(x)."""
    return 2 / mp.sqrt(mp.pi) - 2 * x * erfcx(x)


def erfcx_slope_tail(u: mpf) -> mpf:
    """-x^2 erfcx'(x) at x = u^(-1/2)."""
    x = 1 / mp.sqrt(u) if u else mpf(0)
    return x * x * erfcx_slope(x) if u else 1 / mp.sqrt(mp.pi)


def normal_quantile(log_p: mpf) -> mpf:
    """Solves log Phi(x) = log_p for x < 0 by Newton's method on log Phi."""
    x = -mp.sqrt(-2 * log_p) if log_p < -3 else mpf(-1)
    for _ in range(60):
        ratio = mp.sqrt(2 / mp.pi) / erfcx(-x / mp.sqrt(2))
        step = (mp.log(mp.erfc(-x / mp.sqrt(2)) / 2) - log_p) / ratio
        x -= step
        if abs(step) < mpf(10) ** -60:
            return x
    raise RuntimeError("no convergence")


def quantile_centre(w: mpf) -> mpf:
    """Phi^-1(1/2 + q) / q at q^2 = 0.425^2 - w."""
    q = mp.sqrt(mpf("0.180625") - w)
    return (
        -normal_quantile(mp.log(mpf(1) / 2 - q)) / q if q > mpf(10) ** -30 else mp.sqrt(2 * mp.pi)
    )


def quantile_tail(r: mpf) -> mpf:
    """-Phi^-1(exp(-r^2))."""
    return -normal_quantile(-r * r)


def i0_series(u: mpf) -> mpf:
    """I0(x) at u = (x/2)^2."""
    return mp.besseli(0, 2 * mp.sqrt(u))


def i1_series(u: mpf) -> mpf:
    """2 I1(x) / x at u = (x/2)^2."""
    x = 2 * mp.sqrt(u)
    return 2 * mp.besseli(1, x) / x if u else mpf(1)


def i0_tail(t: mpf) -> mpf:
    """sqrt(x) exp(-x) I0(x) at 16/x = t + 1."""
    return bessel_tail(t, lambda x: mp.besseli(0, x))


def i1_tail(t: mpf) -> mpf:
    """sqrt(x) exp(-x) I1(x) at 16/x = t + 1."""
    return bessel_tail(t, lambda x: mp.besseli(1, x))


def gap_tail(t: mpf) -> mpf:
    """2 x^(3/2) exp(-x) (I0(x) - I1(x)) at 16/x = t + 1."""
    return bessel_tail(t, lambda x: 2 * x * (mp.besseli(0, x) - mp.besseli(1, x)))


def bessel_tail(t: mpf, function: Real) -> mpf:
    """sqrt(x) exp(-x) function(x) at 16/x = t + 1; all three functions have the same limit."""
    if t == -1:
        return 1 / mp.sqrt(2 * mp.pi)
    x = 16 / (1 + t)
    return mp.sqrt(x) * mp.exp(-x) * function(x)


def gap(x: mpf) -> mpf:
    """exp(-x) (I0(x) - I1(x))."""
    return mp.exp(-x) * (mp.besseli(0, x) - mp.besseli(1, x))


def sinc_slope(w: mpf) -> mpf:
    """sinc'(x) / x at w = x^2, where sinc(x) = sin(pi x) / (pi x)."""
    if w < mpf(10) ** -20:
        return -(mp.pi**2) / 3
    x = mp.sqrt(w)
    return (mp.cospi(x) - mp.sinpi(x) / (mp.pi * x)) / w


ZERO, ONE = mpf(0), mpf(1)
TARGETS = [
    Target(
        "DigammaTail", "(log x - 1/(2x) - psi(x)) x^2 in 1/x^2, x >= 2", digamma_tail, ZERO, ONE / 4
    ),
    Target(
        "TrigammaTail",
        "(psi'(x) - 1/x - 1/(2x^2)) x^3 in 1/x^2, x >= 2",
        trigamma_tail,
        ZERO,
        ONE / 4,
    ),
    Target("ErfcxLow", "erfcx(x), x in [0, 1]", erfcx, ZERO, ONE),
    Target("ErfcxMiddle", "erfcx(x), x in [1, 4]", erfcx, ONE, mpf(4)),
    Target("ErfcxTail", "x erfcx(x) in 1/x^2, x >= 4", erfcx_tail, ZERO, ONE / 16),
    Target("ErfcxSlopeMiddle", "-erfcx'(x), x in [0.5, 4]", erfcx_slope, ONE / 2, mpf(4)),
    Target("ErfcxSlopeTail", "-x^2 erfcx'(x) in 1/x^2, x >= 4", erfcx_slope_tail, ZERO, ONE / 16),
    Target(
        "QuantileCentre",
        "Phi^-1(1/2 + q) / q in 0.425^2 - q^2",
        quantile_centre,
        ZERO,
        mpf("0.180625"),
    ),
    Target(
        "QuantileMiddle",
        "-Phi^-1(exp(-r^2)) in r - 1.6, r in [1.6, 5]",
        lambda t: quantile_tail(t + mpf("1.6")),
        ZERO,
        mpf("3.4"),
    ),
    Target(
        "QuantileTail",
        "-Phi^-1(exp(-r^2)) in r - 5, r in [5, 27.3]",
        lambda t: quantile_tail(t + 5),
        ZERO,
        mpf("22.3"),
    ),
    Target("I0Series", "I0(x) in (x/2)^2, x <= 8", i0_series, ZERO, mpf(16), polynomial=True),
    Target("I1Series", "2 I1(x)/x in (x/2)^2, x <= 8", i1_series, ZERO, mpf(16), polynomial=True),
    Target(
        "I0Tail", "sqrt(x) exp(-x) I0(x) in 16/x - 1, x >= 8", i0_tail, -ONE, ONE, polynomial=True
    ),
    Target(
        "I1Tail", "sqrt(x) exp(-x) I1(x) in 16/x - 1, x >= 8", i1_tail, -ONE, ONE, polynomial=True
    ),
    Target(
        "BesselGapLow",
        "exp(-x) (I0(x) - I1(x)) in 2 - x, x in [0, 2]",
        lambda t: gap(2 - t),
        ZERO,
        mpf(2),
        polynomial=True,
    ),
    Target(
        "BesselGapMiddle",
        "exp(-x) (I0(x) - I1(x)) in x - 2, x in [2, 8]",
        lambda t: gap(t + 2),
        ZERO,
        mpf(6),
    ),
    Target(
        "BesselGapTail",
        "2 x^(3/2) exp(-x) (I0(x) - I1(x)) in 16/x - 1, x >= 8",
        gap_tail,
        -ONE,
        ONE,
        polynomial=True,
    ),
    Target("LgammaAtOne", "log Gamma(1 + a) / (a (1 - a)), 0 <= a <= 1", lgamma_at_one, ZERO, ONE),
    Target(
        "SincSlope", "sinc'(x) / x in x^2, |x| <= 0.5", sinc_slope, ZERO, ONE / 4, polynomial=True
    ),
]


# Temme's uniform expansion of the incomplete gamma functions, DLMF 8.12: its k-th coefficient is
# fitted where x / a is within [1/2, 3/2], for a >= TEMME_FROM.
TEMME_FROM = 32
TEMME_TERMS = 10
TAYLOR_TERMS = 100


def temme_series() -> list[list[Fraction]]:
    """Taylor coefficients in eta of C_k(eta), k < TEMME_TERMS, by DLMF 8.12.10 and 8.12.11.

    With mu = x / a - 1 = sum of m[n] eta^n, eta^2 / 2 = mu - log(1 + mu) says mu mu' =
    eta (1 + mu). That C_k has no pole at 0 gives the coefficient of Stirling's series in it.
    """
    m = [Fraction(0), Fraction(1)]
    for n in range(2, TAYLOR_TERMS):
        known = sum((m[i] * (n + 1 - i) * m[n + 1 - i] for i in range(2, n)), Fraction(0))
        m.append((m[n - 1] - known) / (n + 1))
    inverse = [Fraction(1)]  # eta / mu
    for n in range(1, TAYLOR_TERMS - 1):
        inverse.append(-sum((m[i + 1] * inverse[n - i] for i in range(1, n + 1)), Fraction(0)))
    series = [inverse[1:]]
    while len(series) < TEMME_TERMS:
        slope = [(i + 1) * c for i, c in enumerate(series[-1][1:])]
        series.append([s - slope[0] * c for s, c in zip(slope, inverse, strict=False)][1:])
    return series


def eta(ratio: mpf) -> mpf:
    """The variable of Temme's expansion at x / a."""
    return mp.sign(ratio - 1) * mp.sqrt(2 * (ratio - 1 - mp.log(ratio)))


def temme_fits() -> list[list[mpf]]:
    """Polynomials for C_k as good as a sum over C_k / a^k needs them."""
    low, high = eta(mpf(1) / 2), eta(mpf(3) / 2)
    fits = []
    for k, series in enumerate(temme_series()):
        exact = [mpf(c.numerator) / c.denominator for c in series]
        for degree in range(30):
            target = Target("", "", partial(evaluate, exact), low, high, True)
            cache: dict[mpf, mpf] = {}
            p, _ = interpolate(target, degree, 0, cache)
            grid = [*nodes(low, high, 61), low, high]
            worst = max(abs(evaluate(p, t) - evaluate(exact, t)) for t in grid)
            if worst < TOLERANCE * mpf(TEMME_FROM) ** k:
                fits.append(p)
                break
    return fits


def literal(value: mpf) -> str:
    """The double nearest to value, in the shortest form that reads back as the same double."""
    return repr(float(value))


def array(name: str, values: list[mpf]) -> str:
    """A constexpr array definition."""
    lines, line = [], "   "
    for text in map(literal, values):
        if len(line) + len(text) + 2 > 98:
            lines.append(line)
            line = "   "
        line += f" {text},"
    lines.append(line)
    return f"constexpr double {name}[] = {{\n" + "\n".join(lines) + "\n};"


def main() -> None:
    """Writes the header to standard output and the errors to standard error."""
    root_high = float(DIGAMMA_ROOT - 1)
    bernoulli = [mp.bernoulli(2 * j) / mp.factorial(2 * j) for j in range(1, 13)]
    print("// Written by tools/fit_special.py; change that script, not this file.")
    print("// Coefficients ascend. kXxxP and kXxxQ are numerator and denominator of one fit; the")
    print("// figure is its largest relative error before rounding.")
    print("// clang-format off\n#pragma once\n\nnamespace fastgrad::math::coef {\n")
    print("// The positive zero of psi(1 + t), as a sum of two doubles.")
    print(f"constexpr double kDigammaRootHigh = {root_high!r};")
    print(f"constexpr double kDigammaRootLow = {literal(DIGAMMA_ROOT - 1 - mpf(root_high))};\n")
    print("// B(2j) / (2j)!, j = 1..12, for Euler-Maclaurin summation.")
    print(array("kBernoulliOverFactorial", bernoulli) + "\n")
    for target in TARGETS:
        p, q, error = fit(target)
        print(
            f"{target.name}: {len(p) - 1}/{len(q) - 1}, {mp.nstr(error, 3)}",
            file=sys.stderr,
            flush=True,
        )
        print(f"// {target.meaning}: {mp.nstr(error, 2)}")
        if target.polynomial:
            print(array(f"k{target.name}", p))
        else:
            print(array(f"k{target.name}P", p) + "\n" + array(f"k{target.name}Q", q))
        print()
    print("// Temme's C_k(eta) one after the other, x / a within [1/2, 3/2] and a >= 32; how many")
    print("// coefficients each has.")
    fits = temme_fits()
    print(array("kTemme", [c for p in fits for c in p]))
    print(f"constexpr int kTemmeSizes[] = {{{', '.join(str(len(p)) for p in fits)}}};\n")
    print("}  // namespace fastgrad::math::coef")


if __name__ == "__main__":
    main()
