"""Distributions over positive numbers, most with tails that fall like powers."""

from __future__ import annotations

import math
from typing import Any, ClassVar

from fastgrad import _core
from fastgrad._core import Tensor
from fastgrad.distributions import constraints
from fastgrad.distributions.combined import TransformedDistribution
from fastgrad.distributions.constraints import Constraint
from fastgrad.distributions.continuous import Cauchy, Exponential, Uniform, _Folded
from fastgrad.distributions.distribution import Distribution, Shape, broadcast_all
from fastgrad.distributions.gamma import Gamma
from fastgrad.distributions.transforms import AffineTransform, ExpTransform, PowerTransform

_EULER = 0.57721566490153286060


class _Mapped(TransformedDistribution):
    """A distribution made by maps from another, whose parameters decide them."""

    def expand(self, batch_shape: Shape) -> Any:
        """Returns the same distribution over a larger batch."""
        values = {n: self.__dict__[n].expand(tuple(batch_shape)) for n in self.arg_constraints}
        return type(self)(**values, validate_args=self._validate_args)


class Pareto(_Mapped):
    """The Pareto distribution: density alpha scale**alpha / x**(alpha + 1) from scale on.

    Args:
        scale: The least value.
        alpha: How fast the tail falls.
        validate_args: Whether parameters and samples are checked.

    Example:
        >>> fg.distributions.Pareto(1.0, 3.0).mean
        tensor(1.5000)
    """

    arg_constraints: ClassVar[dict[str, Constraint]] = {
        "alpha": constraints.positive,
        "scale": constraints.positive,
    }

    def __init__(
        self, scale: Tensor | float, alpha: Tensor | float, validate_args: bool | None = None
    ) -> None:
        self.scale, self.alpha = broadcast_all(scale, alpha)
        base = Exponential(self.alpha, validate_args)
        super().__init__(base, [ExpTransform(), AffineTransform(0, self.scale)], validate_args)

    @property
    def support(self) -> Constraint:
        """From the scale on."""
        return constraints.greater_than_eq(self.scale)

    @property
    def mean(self) -> Tensor:
        """The mean; infinite for alpha of at most 1."""
        a = self.alpha.clamp(min=1)
        return a * self.scale / (a - 1)

    @property
    def mode(self) -> Tensor:
        """The scale."""
        return self.scale

    @property
    def variance(self) -> Tensor:
        """The variance; infinite for alpha of at most 2."""
        a = self.alpha.clamp(min=2)
        return self.scale.square() * a / ((a - 1).square() * (a - 2))

    def entropy(self) -> Tensor:
        """Returns the entropy."""
        return (self.scale / self.alpha).log() + (1 + self.alpha.reciprocal())


class Weibull(_Mapped):
    """The Weibull distribution, of times to failure: P(x > t) = exp(-(t / scale)**concentration).

    Args:
        scale: The scale.
        concentration: The shape parameter.
        validate_args: Whether parameters and samples are checked.

    Example:
        >>> fg.distributions.Weibull(2.0, 1.0).mean
        tensor(2.)
    """

    arg_constraints: ClassVar[dict[str, Constraint]] = {
        "scale": constraints.positive,
        "concentration": constraints.positive,
    }

    def __init__(
        self,
        scale: Tensor | float,
        concentration: Tensor | float,
        validate_args: bool | None = None,
    ) -> None:
        self.scale, self.concentration = broadcast_all(scale, concentration)
        base = Exponential(_core.ones_like(self.scale), validate_args)
        power = PowerTransform(self.concentration.reciprocal())
        super().__init__(base, [power, AffineTransform(0, self.scale)], validate_args)

    @property
    def support(self) -> Constraint:
        """Positive numbers."""
        return constraints.positive

    @property
    def mean(self) -> Tensor:
        """The mean."""
        return self.scale * _core.lgamma(1 + self.concentration.reciprocal()).exp()

    @property
    def mode(self) -> Tensor:
        """The most probable value."""
        k = self.concentration
        return self.scale * ((k - 1) / k) ** k.reciprocal()

    @property
    def variance(self) -> Tensor:
        """The variance."""
        each = self.concentration.reciprocal()
        second, first = _core.lgamma(1 + 2 * each).exp(), (2 * _core.lgamma(1 + each)).exp()
        return self.scale.square() * (second - first)

    def entropy(self) -> Tensor:
        """Returns the entropy."""
        each = self.concentration.reciprocal()
        return _EULER * (1 - each) + (self.scale * each).log() + 1


class Kumaraswamy(_Mapped):
    """Kumaraswamy's distribution on the unit interval: P(x < t) = 1 - (1 - t**a)**b.

    Args:
        concentration1: a.
        concentration0: b.
        validate_args: Whether parameters and samples are checked.

    Example:
        >>> fg.distributions.Kumaraswamy(1.0, 1.0).mean
        tensor(0.5000)
    """

    arg_constraints: ClassVar[dict[str, Constraint]] = {
        "concentration1": constraints.positive,
        "concentration0": constraints.positive,
    }

    def __init__(
        self,
        concentration1: Tensor | float,
        concentration0: Tensor | float,
        validate_args: bool | None = None,
    ) -> None:
        self.concentration1, self.concentration0 = broadcast_all(concentration1, concentration0)
        one = _core.ones_like(self.concentration1)
        maps = [
            PowerTransform(self.concentration0.reciprocal()),
            AffineTransform(1.0, -1.0),
            PowerTransform(self.concentration1.reciprocal()),
        ]
        super().__init__(Uniform(0 * one, one, validate_args), maps, validate_args)

    @property
    def support(self) -> Constraint:
        """From 0 to 1."""
        return constraints.unit_interval

    def _moment(self, n: int) -> Tensor:
        a, b = self.concentration1, self.concentration0
        first = 1 + n / a
        return (b.log() + _core.lgamma(first) + _core.lgamma(b) - _core.lgamma(first + b)).exp()

    @property
    def mean(self) -> Tensor:
        """The mean."""
        return self._moment(1)

    @property
    def mode(self) -> Tensor:
        """The most probable value; NaN where there is none inside."""
        a, b = self.concentration1, self.concentration0
        inside = ((a - 1) / (a * b - 1)) ** a.reciprocal()
        return _core.where((a < 1) | (b < 1), math.nan, inside)

    @property
    def variance(self) -> Tensor:
        """The variance."""
        return self._moment(2) - self.mean.square()

    def entropy(self) -> Tensor:
        """Returns the entropy."""
        a, b = self.concentration1, self.concentration0
        harmonic = _core.digamma(b + 1) + _EULER
        return (1 - 1 / b) + (1 - 1 / a) * harmonic - a.log() - b.log()


class InverseGamma(_Mapped):
    """One over a gamma number.

    Args:
        concentration: The shape parameter of that number.
        rate: Its rate.
        validate_args: Whether parameters and samples are checked.

    Example:
        >>> fg.distributions.InverseGamma(3.0, 4.0).mean
        tensor(2.)
    """

    arg_constraints: ClassVar[dict[str, Constraint]] = {
        "concentration": constraints.positive,
        "rate": constraints.positive,
    }

    def __init__(
        self,
        concentration: Tensor | float,
        rate: Tensor | float,
        validate_args: bool | None = None,
    ) -> None:
        self.concentration, self.rate = broadcast_all(concentration, rate)
        base = Gamma(self.concentration, self.rate, validate_args)
        less = -_core.ones_like(self.rate)
        super().__init__(base, PowerTransform(less), validate_args)

    @property
    def support(self) -> Constraint:
        """Positive numbers."""
        return constraints.positive

    @property
    def mean(self) -> Tensor:
        """The mean; infinite for concentrations of at most 1."""
        return _core.where(self.concentration > 1, self.rate / (self.concentration - 1), math.inf)

    @property
    def mode(self) -> Tensor:
        """The most probable value."""
        return self.rate / (self.concentration + 1)

    @property
    def variance(self) -> Tensor:
        """The variance; infinite for concentrations of at most 2."""
        a = self.concentration
        finite = self.rate.square() / ((a - 1).square() * (a - 2))
        return _core.where(a > 2, finite, math.inf)

    def cdf(self, value: Tensor) -> Tensor:
        """Returns the probability of at most a value."""
        self._validate_sample(value)
        return _core.igammac(self.concentration, self.rate / value)

    def entropy(self) -> Tensor:
        """Returns the entropy."""
        a = self.concentration
        return a + self.rate.log() + _core.lgamma(a) - (1 + a) * _core.digamma(a)


class HalfCauchy(_Folded):
    """The absolute value of a Cauchy number around 0.

    Args:
        scale: The scale of that number.
        validate_args: Whether parameters and samples are checked.

    Example:
        >>> fg.distributions.HalfCauchy(1.0).cdf(fg.tensor(1.0))
        tensor(0.5000)
    """

    _family = Cauchy

    @property
    def mean(self) -> Tensor:
        """Infinite."""
        return _core.full_like(self.scale, math.inf)

    @property
    def variance(self) -> Tensor:
        """Infinite."""
        return _core.full_like(self.scale, math.inf)


class FisherSnedecor(Distribution):
    """The F distribution: the ratio of two chi-squared numbers, each per degree of freedom.

    Args:
        df1: The degrees of freedom of the first.
        df2: Those of the second.
        validate_args: Whether parameters and samples are checked.

    Example:
        >>> fg.distributions.FisherSnedecor(2.0, 4.0).mean
        tensor(2.)
    """

    arg_constraints: ClassVar[dict[str, Constraint]] = {
        "df1": constraints.positive,
        "df2": constraints.positive,
    }

    def __init__(
        self, df1: Tensor | float, df2: Tensor | float, validate_args: bool | None = None
    ) -> None:
        self.df1, self.df2 = broadcast_all(df1, df2)
        super().__init__(self.df1.shape, validate_args=validate_args)

    @property
    def support(self) -> Constraint:
        """Positive numbers."""
        return constraints.positive

    @property
    def mean(self) -> Tensor:
        """The mean; NaN for two degrees of freedom or fewer."""
        return _core.where(self.df2 > 2, self.df2 / (self.df2 - 2), math.nan)

    @property
    def mode(self) -> Tensor:
        """The most probable value; NaN for two degrees of freedom or fewer."""
        inside = (self.df1 - 2) / self.df1 * self.df2 / (self.df2 + 2)
        return _core.where(self.df1 > 2, inside, math.nan)

    @property
    def variance(self) -> Tensor:
        """The variance; NaN for four degrees of freedom or fewer."""
        m, n = self.df1, self.df2
        finite = 2 * n.square() * (m + n - 2) / (m * (n - 2).square() * (n - 4))
        return _core.where(n > 4, finite, math.nan)

    def sample(self, sample_shape: Shape = ()) -> Tensor:
        """Returns samples, without gradients."""
        above = Gamma(self.df1 / 2, self.df1, validate_args=False).sample(sample_shape)
        below = Gamma(self.df2 / 2, self.df2, validate_args=False).sample(sample_shape)
        return above / below

    def log_prob(self, value: Tensor) -> Tensor:
        """Returns the logarithm of the density."""
        self._validate_sample(value)
        m, n, ratio = self.df1 / 2, self.df2 / 2, self.df1 / self.df2
        norm = _core.lgamma(m + n) - _core.lgamma(m) - _core.lgamma(n)
        power = m * ratio.log() + (m - 1) * value.log()
        return norm + power - (m + n) * _core.log1p(ratio * value)


class GeneralizedPareto(Distribution):
    """What lies above a threshold: P(x > t) = (1 + c (t - loc) / scale)**(-1 / c).

    Args:
        loc: The threshold.
        scale: The scale.
        concentration: c; 0 is the exponential distribution, and below 0 there is a largest value.
        validate_args: Whether parameters and samples are checked.

    Example:
        >>> fg.distributions.GeneralizedPareto(0.0, 1.0, 0.5).mean
        tensor(2.)
    """

    arg_constraints: ClassVar[dict[str, Constraint]] = {
        "loc": constraints.real,
        "scale": constraints.positive,
        "concentration": constraints.real,
    }
    has_rsample = True

    def __init__(
        self,
        loc: Tensor | float,
        scale: Tensor | float,
        concentration: Tensor | float,
        validate_args: bool | None = None,
    ) -> None:
        self.loc, self.scale, self.concentration = broadcast_all(loc, scale, concentration)
        super().__init__(self.loc.shape, validate_args=validate_args)

    @property
    def support(self) -> Constraint:
        """From the threshold on, to the largest value if there is one."""
        c = self.concentration
        most = _core.where(c < 0, self.loc - self.scale / _core.where(c < 0, c, -1), math.inf)
        return constraints.interval(self.loc, most)

    @property
    def mean(self) -> Tensor:
        """The mean; infinite for concentrations of at least 1."""
        c = self.concentration
        return _core.where(c < 1, self.loc + self.scale / (1 - c), math.inf)

    @property
    def mode(self) -> Tensor:
        """The threshold."""
        return self.loc

    @property
    def variance(self) -> Tensor:
        """The variance; infinite for concentrations of at least 1/2."""
        c = self.concentration
        finite = self.scale.square() / ((1 - c).square() * (1 - 2 * c))
        return _core.where(c < 0.5, finite, math.inf)

    def _exponent(self, z: Tensor) -> Tensor:
        """Returns -log P(x > t), for t in units of the scale above the threshold."""
        c = self.concentration
        exponential = c.abs() < 1e-12
        safe = _core.where(exponential, 1.0, c)
        return _core.where(exponential, z, _core.log1p(safe * z) / safe)

    def rsample(self, sample_shape: Shape = ()) -> Tensor:
        """Returns the quantiles of uniform noise."""
        return self.icdf(_core.rand(self._extended_shape(sample_shape), dtype=self.loc.dtype))

    def log_prob(self, value: Tensor) -> Tensor:
        """Returns the logarithm of the density."""
        self._validate_sample(value)
        z = (value - self.loc) / self.scale
        return -self.scale.log() - (1 + self.concentration) * self._exponent(z)

    def cdf(self, value: Tensor) -> Tensor:
        """Returns the probability of at most a value."""
        self._validate_sample(value)
        return -_core.expm1(-self._exponent((value - self.loc) / self.scale))

    def icdf(self, value: Tensor) -> Tensor:
        """Returns the quantile."""
        c, depth = self.concentration, -_core.log1p(-value)
        exponential = c.abs() < 1e-12
        safe = _core.where(exponential, 1.0, c)
        z = _core.where(exponential, depth, _core.expm1(safe * depth) / safe)
        return self.loc + self.scale * z

    def entropy(self) -> Tensor:
        """Returns the entropy."""
        return self.scale.log() + self.concentration + 1
