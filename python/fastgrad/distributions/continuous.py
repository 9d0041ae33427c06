"""Distributions over real numbers with a location, a scale or a rate."""

from __future__ import annotations

import math
from typing import Any, ClassVar

from fastgrad import _core
from fastgrad._core import Tensor
from fastgrad.autograd import no_grad
from fastgrad.distributions import constraints
from fastgrad.distributions.constraints import Constraint
from fastgrad.distributions.distribution import Distribution, Shape, broadcast_all, tiny

_HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)


class _LocationScale(Distribution):
    """A location, and a scale that is positive."""

    arg_constraints: ClassVar[dict[str, Constraint]] = {
        "loc": constraints.real,
        "scale": constraints.positive,
    }
    has_rsample = True

    loc: Tensor
    scale: Tensor

    def __init__(
        self, loc: Tensor | float, scale: Tensor | float, validate_args: bool | None = None
    ) -> None:
        self.loc, self.scale = broadcast_all(loc, scale)
        super().__init__(self.loc.shape, validate_args=validate_args)

    @property
    def support(self) -> Constraint:
        """All real numbers."""
        return constraints.real

    @property
    def mean(self) -> Tensor:
        """The location."""
        return self.loc

    @property
    def mode(self) -> Tensor:
        """The location."""
        return self.loc

    def _standardised(self, value: Tensor) -> Tensor:
        self._validate_sample(value)
        return (value - self.loc) / self.scale

    def _empty(self, sample_shape: Shape) -> Tensor:
        return _core.empty(
            self._extended_shape(sample_shape), dtype=self.loc.dtype, device=self.loc.device
        )


class Normal(_LocationScale):
    """The normal distribution with mean `loc` and standard deviation `scale`.

    Args:
        loc: The mean.
        scale: The standard deviation.
        validate_args: Whether parameters and samples are checked.

    Example:
        >>> d = fg.distributions.Normal(0.0, 2.0)
        >>> d.log_prob(fg.tensor(0.0)), d.cdf(fg.tensor(0.0))
        (tensor(-1.6121), tensor(0.5000))
    """

    @property
    def stddev(self) -> Tensor:
        """The scale."""
        return self.scale

    @property
    def variance(self) -> Tensor:
        """The square of the scale."""
        return self.scale.square()

    def sample(self, sample_shape: Shape = ()) -> Tensor:
        """Returns samples, without gradients."""
        shape = self._extended_shape(sample_shape)
        with no_grad():
            return _core.normal(self.loc.expand(shape), self.scale.expand(shape))

    def rsample(self, sample_shape: Shape = ()) -> Tensor:
        """Returns loc + scale * noise."""
        return self.loc + self._empty(sample_shape).normal_() * self.scale

    def log_prob(self, value: Tensor) -> Tensor:
        """Returns the logarithm of the density."""
        z = self._standardised(value)
        return -0.5 * z.square() - self.scale.log() - _HALF_LOG_2PI

    def cdf(self, value: Tensor) -> Tensor:
        """Returns the probability of at most a value."""
        return 0.5 * (1 + _core.erf(self._standardised(value) / math.sqrt(2)))

    def icdf(self, value: Tensor) -> Tensor:
        """Returns the quantile."""
        return self.loc + self.scale * _core.erfinv(2 * value - 1) * math.sqrt(2)

    def entropy(self) -> Tensor:
        """Returns the entropy."""
        return 0.5 + _HALF_LOG_2PI + self.scale.log()


class Laplace(_LocationScale):
    """The Laplace distribution: density exp(-|x - loc| / scale) / (2 scale).

    Example:
        >>> fg.distributions.Laplace(0.0, 1.0).log_prob(fg.tensor(1.0))
        tensor(-1.6931)
    """

    @property
    def stddev(self) -> Tensor:
        """The standard deviation, sqrt(2) times the scale."""
        return math.sqrt(2) * self.scale

    @property
    def variance(self) -> Tensor:
        """Twice the square of the scale."""
        return 2 * self.scale.square()

    def rsample(self, sample_shape: Shape = ()) -> Tensor:
        """Returns the quantiles of uniform noise."""
        u = self._empty(sample_shape).uniform_(tiny(self.loc.dtype) - 1, 1)
        return self.loc - self.scale * u.sign() * _core.log1p(-u.abs())

    def log_prob(self, value: Tensor) -> Tensor:
        """Returns the logarithm of the density."""
        return -_core.log(2 * self.scale) - self._standardised(value).abs()

    def cdf(self, value: Tensor) -> Tensor:
        """Returns the probability of at most a value."""
        z = self._standardised(value)
        return 0.5 - 0.5 * z.sign() * _core.expm1(-z.abs())

    def icdf(self, value: Tensor) -> Tensor:
        """Returns the quantile."""
        term = value - 0.5
        return self.loc - self.scale * term.sign() * _core.log1p(-2 * term.abs())

    def entropy(self) -> Tensor:
        """Returns the entropy."""
        return 1 + _core.log(2 * self.scale)


class Cauchy(_LocationScale):
    """The Cauchy distribution, which has no mean.

    Example:
        >>> fg.distributions.Cauchy(0.0, 1.0).cdf(fg.tensor(1.0))
        tensor(0.7500)
    """

    @property
    def mean(self) -> Tensor:
        """NaN."""
        return _core.full_like(self.loc, math.nan)

    @property
    def variance(self) -> Tensor:
        """Infinite."""
        return _core.full_like(self.loc, math.inf)

    def rsample(self, sample_shape: Shape = ()) -> Tensor:
        """Returns loc + scale * noise."""
        return self.loc + self._empty(sample_shape).cauchy_() * self.scale

    def log_prob(self, value: Tensor) -> Tensor:
        """Returns the logarithm of the density."""
        z = self._standardised(value)
        return -math.log(math.pi) - self.scale.log() - _core.log1p(z.square())

    def cdf(self, value: Tensor) -> Tensor:
        """Returns the probability of at most a value."""
        return _core.atan(self._standardised(value)) / math.pi + 0.5

    def icdf(self, value: Tensor) -> Tensor:
        """Returns the quantile."""
        return _core.tan(math.pi * (value - 0.5)) * self.scale + self.loc

    def entropy(self) -> Tensor:
        """Returns the entropy."""
        return math.log(4 * math.pi) + self.scale.log()


class Gumbel(_LocationScale):
    """The Gumbel distribution, of largest values.

    Example:
        >>> fg.distributions.Gumbel(0.0, 1.0).log_prob(fg.tensor(0.0))
        tensor(-1.)
    """

    _EULER = 0.57721566490153286060

    @property
    def mean(self) -> Tensor:
        """The mean, Euler's constant times the scale from the location."""
        return self.loc + self.scale * self._EULER

    @property
    def stddev(self) -> Tensor:
        """The standard deviation."""
        return (math.pi / math.sqrt(6)) * self.scale

    @property
    def variance(self) -> Tensor:
        """The variance."""
        return self.stddev.square()

    def rsample(self, sample_shape: Shape = ()) -> Tensor:
        """Returns the quantiles of uniform noise."""
        margin = tiny(self.loc.dtype)
        u = self._empty(sample_shape).uniform_(margin, 1 - margin)
        return self.loc - self.scale * _core.log(-u.log())

    def log_prob(self, value: Tensor) -> Tensor:
        """Returns the logarithm of the density."""
        z = -self._standardised(value)
        return z - z.exp() - self.scale.log()

    def cdf(self, value: Tensor) -> Tensor:
        """Returns the probability of at most a value."""
        return _core.exp(-_core.exp(-self._standardised(value)))

    def icdf(self, value: Tensor) -> Tensor:
        """Returns the quantile."""
        return self.loc - self.scale * _core.log(-value.log())

    def entropy(self) -> Tensor:
        """Returns the entropy."""
        return self.scale.log() + (1 + self._EULER)


class Uniform(Distribution):
    """The uniform distribution from `low` to `high`.

    Args:
        low: The lower limit.
        high: The upper limit.
        validate_args: Whether parameters and samples are checked.

    Example:
        >>> fg.distributions.Uniform(0.0, 4.0).log_prob(fg.tensor(1.0))
        tensor(-1.3863)
    """

    arg_constraints: ClassVar[dict[str, Constraint]] = {
        "low": constraints.dependent,
        "high": constraints.dependent,
    }
    has_rsample = True

    def __init__(
        self, low: Tensor | float, high: Tensor | float, validate_args: bool | None = None
    ) -> None:
        self.low, self.high = broadcast_all(low, high)
        super().__init__(self.low.shape, validate_args=validate_args)
        if self._validate_args and not bool((self.low < self.high).all()):
            raise ValueError("Uniform is not defined when low>= high")

    @property
    def support(self) -> Constraint:
        """From low to high."""
        return constraints.interval(self.low, self.high)

    @property
    def mean(self) -> Tensor:
        """The middle."""
        return (self.high + self.low) / 2

    @property
    def mode(self) -> Tensor:
        """NaN: all values are as probable."""
        return _core.full_like(self.high, math.nan)

    @property
    def variance(self) -> Tensor:
        """The variance."""
        return (self.high - self.low).square() / 12

    @property
    def stddev(self) -> Tensor:
        """The standard deviation."""
        return (self.high - self.low) / math.sqrt(12)

    def rsample(self, sample_shape: Shape = ()) -> Tensor:
        """Returns low + (high - low) * noise."""
        noise = _core.rand(self._extended_shape(sample_shape), dtype=self.low.dtype)
        return self.low + noise * (self.high - self.low)

    def log_prob(self, value: Tensor) -> Tensor:
        """Returns the logarithm of the density."""
        self._validate_sample(value)
        inside = (self.low <= value) & (self.high > value)
        return inside.type_as(self.low).log() - _core.log(self.high - self.low)

    def cdf(self, value: Tensor) -> Tensor:
        """Returns the probability of at most a value."""
        return ((value - self.low) / (self.high - self.low)).clamp(0, 1)

    def icdf(self, value: Tensor) -> Tensor:
        """Returns the quantile."""
        return value * (self.high - self.low) + self.low

    def entropy(self) -> Tensor:
        """Returns the entropy."""
        return _core.log(self.high - self.low)


class Exponential(Distribution):
    """The exponential distribution: density rate * exp(-rate * x).

    Args:
        rate: One over the mean.
        validate_args: Whether parameters and samples are checked.

    Example:
        >>> fg.distributions.Exponential(2.0).log_prob(fg.tensor(1.0))
        tensor(-1.3069)
    """

    arg_constraints: ClassVar[dict[str, Constraint]] = {"rate": constraints.positive}
    has_rsample = True

    def __init__(self, rate: Tensor | float, validate_args: bool | None = None) -> None:
        (self.rate,) = broadcast_all(rate)
        super().__init__(self.rate.shape, validate_args=validate_args)

    @property
    def support(self) -> Constraint:
        """Numbers that are not negative."""
        return constraints.nonnegative

    @property
    def mean(self) -> Tensor:
        """The mean."""
        return self.rate.reciprocal()

    @property
    def mode(self) -> Tensor:
        """0."""
        return _core.zeros_like(self.rate)

    @property
    def stddev(self) -> Tensor:
        """The standard deviation."""
        return self.rate.reciprocal()

    @property
    def variance(self) -> Tensor:
        """The variance."""
        return self.rate.pow(-2)

    def rsample(self, sample_shape: Shape = ()) -> Tensor:
        """Returns noise divided by the rate."""
        shape = self._extended_shape(sample_shape)
        return _core.empty(shape, dtype=self.rate.dtype).exponential_() / self.rate

    def log_prob(self, value: Tensor) -> Tensor:
        """Returns the logarithm of the density."""
        self._validate_sample(value)
        return self.rate.log() - self.rate * value

    def cdf(self, value: Tensor) -> Tensor:
        """Returns the probability of at most a value."""
        self._validate_sample(value)
        return -_core.expm1(-self.rate * value)

    def icdf(self, value: Tensor) -> Tensor:
        """Returns the quantile."""
        return -_core.log1p(-value) / self.rate

    def entropy(self) -> Tensor:
        """Returns the entropy."""
        return 1.0 - self.rate.log()


class _Folded(Distribution):
    """The absolute value of a number of a family that is symmetric around 0."""

    arg_constraints: ClassVar[dict[str, Constraint]] = {"scale": constraints.positive}
    has_rsample = True
    _family: ClassVar[Any]  # has a location and a scale

    def __init__(self, scale: Tensor | float, validate_args: bool | None = None) -> None:
        (self.scale,) = broadcast_all(scale)
        super().__init__(self.scale.shape, validate_args=validate_args)

    @property
    def _base(self) -> Any:
        return self._family(_core.zeros_like(self.scale), self.scale, validate_args=False)

    @property
    def support(self) -> Constraint:
        """Numbers that are not negative."""
        return constraints.nonnegative

    @property
    def mode(self) -> Tensor:
        """0."""
        return _core.zeros_like(self.scale)

    def rsample(self, sample_shape: Shape = ()) -> Tensor:
        """Returns absolute values of samples of the family."""
        return self._base.rsample(sample_shape).abs()  # type: ignore[no-any-return]

    def log_prob(self, value: Tensor) -> Tensor:
        """Returns the logarithm of the density."""
        self._validate_sample(value)
        inside = self._base.log_prob(value) + math.log(2)
        return _core.where(value >= 0, inside, _core.full_like(inside, -math.inf))

    def cdf(self, value: Tensor) -> Tensor:
        """Returns the probability of at most a value."""
        self._validate_sample(value)
        return 2 * self._base.cdf(value) - 1  # type: ignore[no-any-return]

    def icdf(self, value: Tensor) -> Tensor:
        """Returns the quantile."""
        return self._base.icdf((value + 1) / 2)  # type: ignore[no-any-return]

    def entropy(self) -> Tensor:
        """Returns the entropy."""
        return self._base.entropy() - math.log(2)  # type: ignore[no-any-return]


class HalfNormal(_Folded):
    """The absolute value of a normal number with mean 0.

    Args:
        scale: The standard deviation of that number.
        validate_args: Whether parameters and samples are checked.

    Example:
        >>> fg.distributions.HalfNormal(1.0).mean
        tensor(0.7979)
    """

    _family = Normal

    @property
    def mean(self) -> Tensor:
        """The mean."""
        return self.scale * math.sqrt(2 / math.pi)

    @property
    def variance(self) -> Tensor:
        """The variance."""
        return self.scale.square() * (1 - 2 / math.pi)
