"""The gamma distribution and its relatives: chi-squared, beta, Dirichlet, Student's t.

Their samples come without gradients.
"""

from __future__ import annotations

import math
from typing import ClassVar

from fastgrad import _core
from fastgrad._core import Tensor
from fastgrad.autograd import no_grad
from fastgrad.distributions import constraints
from fastgrad.distributions.constraints import Constraint
from fastgrad.distributions.distribution import Distribution, Shape, broadcast_all


def standard_gamma(concentration: Tensor) -> Tensor:
    """Returns one sample of the gamma distribution with rate 1 per concentration.

    Example:
        >>> from fastgrad.distributions.gamma import standard_gamma
        >>> bool((standard_gamma(fg.full((100,), 0.5)) > 0).all())
        True
    """
    with no_grad():
        made = _core._standard_gamma(concentration.detach())
        return made.clamp(min=_smallest(concentration))


def _smallest(like: Tensor) -> float:
    return 2.3e-308 if like.dtype is _core.float64 else 1.2e-38


class Gamma(Distribution):
    """The gamma distribution: density proportional to x**(concentration - 1) exp(-rate x).

    Args:
        concentration: The shape parameter.
        rate: One over the scale.
        validate_args: Whether parameters and samples are checked.

    Example:
        >>> fg.distributions.Gamma(2.0, 1.0).log_prob(fg.tensor(1.0))
        tensor(-1.)
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
        super().__init__(self.concentration.shape, validate_args=validate_args)

    @property
    def support(self) -> Constraint:
        """Numbers that are not negative."""
        return constraints.nonnegative

    @property
    def mean(self) -> Tensor:
        """The mean."""
        return self.concentration / self.rate

    @property
    def mode(self) -> Tensor:
        """The most probable value."""
        return ((self.concentration - 1) / self.rate).clamp(min=0)

    @property
    def variance(self) -> Tensor:
        """The variance."""
        return self.concentration / self.rate.square()

    def sample(self, sample_shape: Shape = ()) -> Tensor:
        """Returns samples, without gradients."""
        shape = self._extended_shape(sample_shape)
        return standard_gamma(self.concentration.expand(shape)) / self.rate.detach()

    def log_prob(self, value: Tensor) -> Tensor:
        """Returns the logarithm of the density."""
        self._validate_sample(value)
        a = self.concentration
        return (
            _core.xlogy(a, self.rate)
            + _core.xlogy(a - 1, value)
            - self.rate * value
            - _core.lgamma(a)
        )

    def cdf(self, value: Tensor) -> Tensor:
        """Returns the probability of at most a value."""
        self._validate_sample(value)
        return _core.igamma(self.concentration, self.rate * value)

    def entropy(self) -> Tensor:
        """Returns the entropy."""
        a = self.concentration
        return a - self.rate.log() + _core.lgamma(a) + (1 - a) * _core.digamma(a)


class Chi2(Gamma):
    """The chi-squared distribution.

    Args:
        df: The degrees of freedom.
        validate_args: Whether parameters and samples are checked.

    Example:
        >>> fg.distributions.Chi2(3.0).mean
        tensor(3.)
    """

    arg_constraints: ClassVar[dict[str, Constraint]] = {"df": constraints.positive}

    def __init__(self, df: Tensor | float, validate_args: bool | None = None) -> None:
        (self.df,) = broadcast_all(df)
        super().__init__(0.5 * self.df, _core.full_like(self.df, 0.5), validate_args)

    def expand(self, batch_shape: Shape) -> Chi2:
        """Returns the same distribution over a larger batch."""
        return Chi2(self.df.expand(tuple(batch_shape)), self._validate_args)


class Dirichlet(Distribution):
    """The Dirichlet distribution over vectors of probabilities.

    Args:
        concentration: Positive numbers, one per entry of the vectors in the last dimension.
        validate_args: Whether parameters and samples are checked.

    Example:
        >>> fg.distributions.Dirichlet(fg.tensor([1.0, 3.0])).mean
        tensor([0.2500, 0.7500])
    """

    arg_constraints: ClassVar[dict[str, Constraint]] = {
        "concentration": constraints.independent(constraints.positive, 1)
    }

    def __init__(self, concentration: Tensor, validate_args: bool | None = None) -> None:
        if concentration.dim() < 1:
            raise ValueError("`concentration` parameter must be at least one-dimensional.")
        self.concentration = concentration
        shape = concentration.shape
        super().__init__(shape[:-1], shape[-1:], validate_args)

    @property
    def support(self) -> Constraint:
        """Vectors of probabilities."""
        return constraints.simplex

    @property
    def mean(self) -> Tensor:
        """The mean."""
        return self.concentration / self.concentration.sum(-1, True)

    @property
    def variance(self) -> Tensor:
        """The variance of each entry."""
        total = self.concentration.sum(-1, True)
        a = self.concentration
        return a * (total - a) / (total.square() * (total + 1))

    def sample(self, sample_shape: Shape = ()) -> Tensor:
        """Returns samples, without gradients."""
        drawn = standard_gamma(self.concentration.expand(self._extended_shape(sample_shape)))
        return drawn / drawn.sum(-1, True)

    def log_prob(self, value: Tensor) -> Tensor:
        """Returns the logarithm of the density."""
        self._validate_sample(value)
        a = self.concentration
        return _core.xlogy(a - 1, value).sum(-1) + _core.lgamma(a.sum(-1)) - _core.lgamma(a).sum(-1)

    def entropy(self) -> Tensor:
        """Returns the entropy."""
        a = self.concentration
        k, total = a.size(-1), a.sum(-1)
        return (
            _core.lgamma(a).sum(-1)
            - _core.lgamma(total)
            - (k - total) * _core.digamma(total)
            - ((a - 1) * _core.digamma(a)).sum(-1)
        )


class Beta(Distribution):
    """The beta distribution: density proportional to x**(a - 1) (1 - x)**(b - 1).

    Args:
        concentration1: a.
        concentration0: b.
        validate_args: Whether parameters and samples are checked.

    Example:
        >>> fg.distributions.Beta(1.0, 3.0).mean
        tensor(0.2500)
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
        super().__init__(self.concentration1.shape, validate_args=validate_args)

    @property
    def _dirichlet(self) -> Dirichlet:
        both = _core.stack([self.concentration1, self.concentration0], -1)
        return Dirichlet(both, validate_args=False)

    @property
    def support(self) -> Constraint:
        """From 0 to 1."""
        return constraints.unit_interval

    @property
    def mean(self) -> Tensor:
        """The mean."""
        return self.concentration1 / (self.concentration1 + self.concentration0)

    @property
    def variance(self) -> Tensor:
        """The variance."""
        a, b = self.concentration1, self.concentration0
        return a * b / ((a + b).square() * (a + b + 1))

    def sample(self, sample_shape: Shape = ()) -> Tensor:
        """Returns samples, without gradients."""
        return self._dirichlet.sample(sample_shape).select(-1, 0)

    def log_prob(self, value: Tensor) -> Tensor:
        """Returns the logarithm of the density."""
        self._validate_sample(value)
        return self._dirichlet.log_prob(_core.stack([value, 1 - value], -1))

    def entropy(self) -> Tensor:
        """Returns the entropy."""
        return self._dirichlet.entropy()


class StudentT(Distribution):
    """Student's t distribution.

    Args:
        df: The degrees of freedom.
        loc: The centre.
        scale: The scale.
        validate_args: Whether parameters and samples are checked.

    Example:
        >>> fg.distributions.StudentT(3.0).variance
        tensor(3.)
    """

    arg_constraints: ClassVar[dict[str, Constraint]] = {
        "df": constraints.positive,
        "loc": constraints.real,
        "scale": constraints.positive,
    }

    def __init__(
        self,
        df: Tensor | float,
        loc: Tensor | float = 0.0,
        scale: Tensor | float = 1.0,
        validate_args: bool | None = None,
    ) -> None:
        self.df, self.loc, self.scale = broadcast_all(df, loc, scale)
        super().__init__(self.df.shape, validate_args=validate_args)

    @property
    def support(self) -> Constraint:
        """All real numbers."""
        return constraints.real

    @property
    def mean(self) -> Tensor:
        """The centre, for more than one degree of freedom."""
        return _core.where(self.df > 1, self.loc, _core.full_like(self.loc, math.nan))

    @property
    def mode(self) -> Tensor:
        """The centre."""
        return self.loc

    @property
    def variance(self) -> Tensor:
        """The variance; infinite, or not defined, for few degrees of freedom."""
        finite = self.scale.square() * self.df / (self.df - 2)
        small = _core.where(self.df > 1, math.inf, math.nan).type_as(finite)
        return _core.where(self.df > 2, finite, small)

    def sample(self, sample_shape: Shape = ()) -> Tensor:
        """Returns samples, without gradients."""
        shape = self._extended_shape(sample_shape)
        with no_grad():
            noise = _core.randn(shape, dtype=self.df.dtype)
            squares = 2 * standard_gamma((0.5 * self.df).expand(shape))
            return self.loc + self.scale * noise * _core.rsqrt(squares / self.df)

    def log_prob(self, value: Tensor) -> Tensor:
        """Returns the logarithm of the density."""
        self._validate_sample(value)
        y = (value - self.loc) / self.scale
        norm = (
            self.scale.log()
            + 0.5 * self.df.log()
            + 0.5 * math.log(math.pi)
            + _core.lgamma(0.5 * self.df)
            - _core.lgamma(0.5 * (self.df + 1))
        )
        return -0.5 * (self.df + 1) * _core.log1p(y.square() / self.df) - norm

    def entropy(self) -> Tensor:
        """Returns the entropy."""
        half, more = 0.5 * self.df, 0.5 * (self.df + 1)
        beta = _core.lgamma(half) + math.log(math.pi) / 2 - _core.lgamma(more)
        return (
            self.scale.log()
            + more * (_core.digamma(more) - _core.digamma(half))
            + 0.5 * self.df.log()
            + beta
        )
