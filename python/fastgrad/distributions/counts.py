"""Distributions over counts and directions."""

from __future__ import annotations

import math
from typing import Any, ClassVar

from fastgrad import _core
from fastgrad._core import Tensor
from fastgrad.autograd import no_grad
from fastgrad.distributions import constraints
from fastgrad.distributions.constraints import Constraint
from fastgrad.distributions.continuous import _LocationScale
from fastgrad.distributions.discrete import Binomial, Categorical, _ByProbability, _OverCategories
from fastgrad.distributions.distribution import (
    Distribution,
    Shape,
    broadcast_all,
    probabilities_and_logits,
)
from fastgrad.distributions.gamma import standard_gamma
from fastgrad.nn import functional as F


class NegativeBinomial(_ByProbability):
    """The number of successes before a number of failures.

    Args:
        total_count: The number of failures; need not be an integer.
        probs: The probability of success.
        logits: Its log-odds, instead.
        validate_args: Whether parameters and samples are checked.

    Example:
        >>> fg.distributions.NegativeBinomial(3.0, 0.5).mean
        tensor(3.)
    """

    arg_constraints: ClassVar[dict[str, Constraint]] = {
        "total_count": constraints.nonnegative,
        "probs": constraints.half_open_interval(0.0, 1.0),
        "logits": constraints.real,
    }

    def __init__(
        self,
        total_count: Tensor | float,
        probs: Tensor | float | None = None,
        logits: Tensor | float | None = None,
        validate_args: bool | None = None,
    ) -> None:
        name, given = probabilities_and_logits(probs, logits)
        self.total_count, self.__dict__[name] = broadcast_all(total_count, given)
        self.total_count = self.total_count.type_as(given)
        super().__init__(self.total_count.shape, validate_args=validate_args)

    @property
    def support(self) -> Constraint:
        """Integers that are not negative."""
        return constraints.nonnegative_integer

    @property
    def mean(self) -> Tensor:
        """The mean."""
        return self.total_count * self.logits.exp()

    @property
    def mode(self) -> Tensor:
        """The most probable value."""
        return ((self.total_count - 1) * self.logits.exp()).floor().clamp(min=0)

    @property
    def variance(self) -> Tensor:
        """The variance."""
        return self.mean / (-self.logits).sigmoid()

    def sample(self, sample_shape: Shape = ()) -> Tensor:
        """Returns samples, without gradients: Poisson numbers with gamma rates."""
        with no_grad():
            shape = self._extended_shape(sample_shape)
            rate = standard_gamma(self.total_count.expand(shape)) * self.logits.exp()
            return _core.poisson(rate)

    def log_prob(self, value: Tensor) -> Tensor:
        """Returns the logarithm of the probability."""
        self._validate_sample(value)
        r = self.total_count
        terms = r * F.logsigmoid(-self.logits) + value * F.logsigmoid(self.logits)
        ways = _core.lgamma(r + value) - _core.lgamma(1 + value) - _core.lgamma(r)
        return terms + _core.where(r + value == 0, 0.0, ways)


class Multinomial(_OverCategories):
    """How often each category comes in a number of draws.

    Args:
        total_count: The number of draws.
        probs: The probabilities in the last dimension; they are divided by their sum.
        logits: Their logarithms up to a constant, instead.
        validate_args: Whether parameters and samples are checked.

    Example:
        >>> d = fg.distributions.Multinomial(4, fg.tensor([0.25, 0.75]))
        >>> d.mean, d.sample().sum()
        (tensor([1., 3.]), tensor(4.))
    """

    def __init__(
        self,
        total_count: int = 1,
        probs: Tensor | None = None,
        logits: Tensor | None = None,
        validate_args: bool | None = None,
    ) -> None:
        if not isinstance(total_count, int):
            raise NotImplementedError("inhomogeneous total_count is not supported")
        self.total_count = total_count
        super().__init__(Categorical(probs, logits), validate_args)

    @property
    def support(self) -> Constraint:
        """Counts that add up to the number of draws."""
        return constraints.multinomial(self.total_count)

    @property
    def mean(self) -> Tensor:
        """The mean of each count."""
        return self.probs * self.total_count

    @property
    def variance(self) -> Tensor:
        """The variance of each count."""
        return self.total_count * self.probs * (1 - self.probs)

    def expand(self, batch_shape: Shape) -> Any:
        """Returns the same distribution over a larger batch."""
        made = super().expand(batch_shape)
        made._categorical = self._categorical.expand(batch_shape)
        return made

    def sample(self, sample_shape: Shape = ()) -> Tensor:
        """Returns samples."""
        drawn = self._categorical.sample((self.total_count, *sample_shape))
        counts = _core.zeros(self._extended_shape(sample_shape), dtype=self._given.dtype)
        index = drawn.movedim(0, -1)
        return counts.scatter_add(-1, index, _core.ones_like(index).type_as(counts))

    def log_prob(self, value: Tensor) -> Tensor:
        """Returns the logarithm of the probability."""
        self._validate_sample(value)
        logits, value = broadcast_all(self._categorical.logits, value)
        ways = math.lgamma(self.total_count + 1) - _core.lgamma(value + 1).sum(-1)
        never = (value == 0) & (logits == -math.inf)
        return ways + (_core.where(never, 0.0, logits) * value).sum(-1)

    def entropy(self) -> Tensor:
        """Returns the entropy."""
        n = self.total_count
        each = Binomial(n, self.probs, validate_args=False)
        counts = each.enumerate_support(expand=False)[1:]
        spread = (each.log_prob(counts).exp() * _core.lgamma(counts + 1)).sum((0, -1))
        return n * self._categorical.entropy() - math.lgamma(n + 1) + spread


class VonMises(_LocationScale):
    """The von Mises distribution of angles: density proportional to exp(k cos(x - loc)).

    Args:
        loc: The most probable angle.
        concentration: k.
        validate_args: Whether parameters and samples are checked.

    Example:
        >>> fg.distributions.VonMises(0.0, 1.0).log_prob(fg.tensor(0.0))
        tensor(-1.0738)
    """

    arg_constraints: ClassVar[dict[str, Constraint]] = {
        "loc": constraints.real,
        "concentration": constraints.positive,
    }
    has_rsample = False

    def __init__(
        self,
        loc: Tensor | float,
        concentration: Tensor | float,
        validate_args: bool | None = None,
    ) -> None:
        self.loc, self.concentration = broadcast_all(loc, concentration)
        Distribution.__init__(self, self.loc.shape, validate_args=validate_args)

    @property
    def variance(self) -> Tensor:
        """The circular variance."""
        k = self.concentration
        return 1 - _core.special.i1e(k) / _core.special.i0e(k)

    def log_prob(self, value: Tensor) -> Tensor:
        """Returns the logarithm of the density."""
        self._validate_sample(value)
        k = self.concentration
        scaled = k * (_core.cos(value - self.loc) - 1)
        return scaled - math.log(2 * math.pi) - _core.special.i0e(k).log()

    def rsample(self, sample_shape: Shape = ()) -> Tensor:
        """Says that there is none."""
        self._lacks("rsample", "; use sample() where no gradient is needed")

    def sample(self, sample_shape: Shape = ()) -> Tensor:
        """Returns angles from -pi to pi, without gradients.

        Best and Fisher's method: wrapped Cauchy numbers, of which some are drawn again.
        """
        with no_grad():
            shape = self._extended_shape(sample_shape)
            k = self.concentration.double().expand(shape).ravel()
            tau = 1 + (1 + 4 * k * k).sqrt()
            rho = (tau - (2 * tau).sqrt()) / (2 * k)
            # The limit of (1 + rho**2) / (2 rho) for small k is 1 / k.
            r = _core.where(k < 1e-5, 1 / k + k, (1 + rho * rho) / (2 * rho))
            cosine = _core.empty_like(k)
            left = _core.arange(k.numel())
            while left.numel():
                u = _core.rand(3, left.numel(), dtype=_core.float64)
                z = _core.cos(math.pi * u[0])
                f = (1 + r[left] * z) / (r[left] + z)
                c = k[left] * (r[left] - f)
                accepted = (c * (2 - c) > u[1]) | ((c / u[1]).log() + 1 - c >= 0)
                cosine[left[accepted]] = f[accepted]
                left = left[~accepted]
            side = _core.where(_core.rand(k.numel()) < 0.5, -1.0, 1.0)
            angle = (side * cosine.clamp(-1, 1).acos()).reshape(shape) + self.loc
            return ((angle + math.pi) % (2 * math.pi) - math.pi).type_as(self.loc)
