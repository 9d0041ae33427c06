"""Discrete choices made differentiable: relaxed, straight-through, and continuous in between."""

from __future__ import annotations

import math
from typing import Any, ClassVar

from fastgrad import _core
from fastgrad._core import Tensor
from fastgrad.distributions import constraints
from fastgrad.distributions.combined import TransformedDistribution
from fastgrad.distributions.constraints import Constraint
from fastgrad.distributions.discrete import Categorical, OneHotCategorical, _ByProbability, _Trial
from fastgrad.distributions.distribution import (
    Distribution,
    Shape,
    broadcast_all,
    probabilities_and_logits,
    tiny,
)
from fastgrad.distributions.transforms import ExpTransform, SigmoidTransform
from fastgrad.nn import functional as F


def _uniform(shape: Shape, like: Tensor) -> Tensor:
    """Returns noise between 0 and 1, neither of them."""
    margin = tiny(like.dtype)
    return _core.rand(tuple(shape), dtype=like.dtype).clamp(margin, 1 - margin)


class OneHotCategoricalStraightThrough(OneHotCategorical):
    """`OneHotCategorical` whose samples have the gradient of the probabilities.

    Example:
        >>> p = fg.tensor([0.0, 1.0], requires_grad=True)
        >>> fg.distributions.OneHotCategoricalStraightThrough(p).rsample().detach()
        tensor([0., 1.])
    """

    has_rsample = True

    def sample(self, sample_shape: Shape = ()) -> Tensor:
        """Returns vectors with a single 1, without gradients."""
        return OneHotCategorical.sample(self, sample_shape)

    def rsample(self, sample_shape: Shape = ()) -> Tensor:
        """Returns vectors with a single 1 and the gradient of the probabilities."""
        return self.sample(sample_shape) + (self.probs - self.probs.detach())


class LogitRelaxedBernoulli(_Trial):
    """The logit of a `RelaxedBernoulli`.

    Args:
        temperature: The temperature, positive.
        probs: The probability of 1.
        logits: Its log-odds, instead.
        validate_args: Whether parameters and samples are checked.
    """

    has_rsample = True

    def __init__(
        self,
        temperature: Tensor | float,
        probs: Tensor | float | None = None,
        logits: Tensor | float | None = None,
        validate_args: bool | None = None,
    ) -> None:
        self.temperature = temperature
        super().__init__(probs, logits, validate_args)

    @property
    def support(self) -> Constraint:
        """All real numbers."""
        return constraints.real

    def rsample(self, sample_shape: Shape = ()) -> Tensor:
        """Returns logistic noise around the logits, divided by the temperature."""
        u = _uniform(self._extended_shape(sample_shape), self.logits)
        return (u.log() - _core.log1p(-u) + self.logits) / self.temperature

    def log_prob(self, value: Tensor) -> Tensor:
        """Returns the logarithm of the density."""
        self._validate_sample(value)
        z = self.logits - value * self.temperature
        temperature = _core.as_tensor(self.temperature, dtype=z.dtype)
        return temperature.log() + z - 2 * F.softplus(z)


class _Relaxed(TransformedDistribution):
    """Has the parameters of what it transforms."""

    base_dist: Any

    @property
    def temperature(self) -> Any:
        """The temperature."""
        return self.base_dist.temperature

    @property
    def logits(self) -> Tensor:
        """The logits: of 1, or of each category."""
        return self.base_dist.logits  # type: ignore[no-any-return]

    @property
    def probs(self) -> Tensor:
        """The probabilities: of 1, or of each category."""
        return self.base_dist.probs  # type: ignore[no-any-return]


class RelaxedBernoulli(_Relaxed):
    """A number near 0 or 1 in place of one of them, so that gradients pass it.

    Args:
        temperature: 0 would be the Bernoulli distribution itself.
        probs: The probability of 1.
        logits: Its log-odds, instead.
        validate_args: Whether parameters and samples are checked.

    Example:
        >>> d = fg.distributions.RelaxedBernoulli(fg.tensor(0.5), probs=fg.tensor(0.5))
        >>> d.log_prob(fg.tensor(0.5))
        tensor(-0.6931)
    """

    arg_constraints: ClassVar[dict[str, Constraint]] = {
        "probs": constraints.unit_interval,
        "logits": constraints.real,
    }

    def __init__(
        self,
        temperature: Tensor | float,
        probs: Tensor | float | None = None,
        logits: Tensor | float | None = None,
        validate_args: bool | None = None,
    ) -> None:
        base = LogitRelaxedBernoulli(temperature, probs, logits, validate_args)
        super().__init__(base, SigmoidTransform(), validate_args)

    @property
    def support(self) -> Constraint:
        """From 0 to 1."""
        return constraints.unit_interval


class ExpRelaxedCategorical(Distribution):
    """The logarithm of a `RelaxedOneHotCategorical`.

    Args:
        temperature: The temperature, positive.
        probs: The probabilities in the last dimension.
        logits: Their logarithms up to a constant, instead.
        validate_args: Whether parameters and samples are checked.
    """

    arg_constraints: ClassVar[dict[str, Constraint]] = {
        "probs": constraints.simplex,
        "logits": constraints.real_vector,
    }
    has_rsample = True

    def __init__(
        self,
        temperature: Tensor | float,
        probs: Tensor | None = None,
        logits: Tensor | None = None,
        validate_args: bool | None = None,
    ) -> None:
        self.temperature = temperature
        self._categorical = Categorical(probs, logits)
        self.logits, self.probs = self._categorical.logits, self._categorical.probs
        shape = self.logits.shape
        super().__init__(shape[:-1], shape[-1:], validate_args)

    @property
    def support(self) -> Constraint:
        """Vectors."""
        return constraints.real_vector

    def rsample(self, sample_shape: Shape = ()) -> Tensor:
        """Returns log-probabilities of the logits with Gumbel noise, at the temperature."""
        u = _uniform(self._extended_shape(sample_shape), self.logits)
        scores = (self.logits - (-u.log()).log()) / self.temperature
        return scores - scores.logsumexp(dim=-1, keepdim=True)

    def log_prob(self, value: Tensor) -> Tensor:
        """Returns the logarithm of the density."""
        self._validate_sample(value)
        k = self._event_shape[0]
        scores = self.logits - value * self.temperature
        scores = (scores - scores.logsumexp(dim=-1, keepdim=True)).sum(-1)
        temperature = _core.as_tensor(self.temperature, dtype=scores.dtype)
        return scores + math.lgamma(k) + (k - 1) * temperature.log()


class RelaxedOneHotCategorical(_Relaxed):
    """A vector of probabilities near a corner in place of one corner: the Concrete distribution.

    Args:
        temperature: 0 would be the categorical distribution itself.
        probs: The probabilities in the last dimension.
        logits: Their logarithms up to a constant, instead.
        validate_args: Whether parameters and samples are checked.

    Example:
        >>> d = fg.distributions.RelaxedOneHotCategorical(fg.tensor(1.0), probs=fg.ones(2))
        >>> d.log_prob(fg.tensor([0.5, 0.5])).abs() < 1e-6
        tensor(True)
    """

    arg_constraints: ClassVar[dict[str, Constraint]] = {
        "probs": constraints.simplex,
        "logits": constraints.real_vector,
    }

    def __init__(
        self,
        temperature: Tensor | float,
        probs: Tensor | None = None,
        logits: Tensor | None = None,
        validate_args: bool | None = None,
    ) -> None:
        base = ExpRelaxedCategorical(temperature, probs, logits, validate_args)
        super().__init__(base, ExpTransform(), validate_args)

    @property
    def support(self) -> Constraint:
        """Vectors of probabilities."""
        return constraints.simplex


class ContinuousBernoulli(_ByProbability):
    """Numbers from 0 to 1 with a density proportional to p**x (1 - p)**(1 - x).

    Args:
        probs: p.
        logits: Its log-odds, instead.
        lims: Between these, series take the place of formulas that cancel around 1/2.
        validate_args: Whether parameters and samples are checked.

    Example:
        >>> fg.distributions.ContinuousBernoulli(0.5).log_prob(fg.tensor(0.3))
        tensor(0.)
    """

    has_rsample = True

    def __init__(
        self,
        probs: Tensor | float | None = None,
        logits: Tensor | float | None = None,
        lims: tuple[float, float] = (0.499, 0.501),
        validate_args: bool | None = None,
    ) -> None:
        self._lims = lims
        name, given = probabilities_and_logits(probs, logits)
        self.__dict__[name] = given
        super().__init__(given.shape, validate_args=validate_args)
        if name == "probs":
            margin = tiny(given.dtype)
            self.__dict__[name] = given.clamp(margin, 1 - margin)

    @staticmethod
    def _to_probs(logits: Tensor) -> Tensor:
        margin = tiny(logits.dtype)
        return logits.sigmoid().clamp(margin, 1 - margin)

    @property
    def support(self) -> Constraint:
        """From 0 to 1."""
        return constraints.unit_interval

    @property
    def _middle(self) -> Tensor:
        return (self.probs > self._lims[0]) & (self.probs <= self._lims[1])

    @property
    def _away(self) -> Tensor:
        """The probabilities, but for those in the middle a number for which formulas are safe."""
        return _core.where(self._middle, self._lims[0], self.probs)

    def _log_norm(self) -> Tensor:
        gap = 1 - 2 * self._away
        outside = (2 * _core.atanh(gap) / gap).log()
        x = (self.probs - 0.5).square()
        return _core.where(self._middle, math.log(2.0) + (4 / 3 + 104 / 45 * x) * x, outside)

    @property
    def mean(self) -> Tensor:
        """The mean."""
        p, x = self._away, self.probs - 0.5
        outside = p / (2 * p - 1) + 1 / (2 * _core.atanh(1 - 2 * p))
        return _core.where(self._middle, 0.5 + (1 / 3 + 16 / 45 * x.square()) * x, outside)

    @property
    def variance(self) -> Tensor:
        """The variance."""
        p, x = self._away, (self.probs - 0.5).square()
        outside = p * (p - 1) / (1 - 2 * p).square() + 1 / (2 * _core.atanh(1 - 2 * p)).square()
        return _core.where(self._middle, 1 / 12 - (1 / 15 - 128 / 945 * x) * x, outside)

    def rsample(self, sample_shape: Shape = ()) -> Tensor:
        """Returns the quantiles of uniform noise."""
        return self.icdf(_uniform(self._extended_shape(sample_shape), self.probs))

    def log_prob(self, value: Tensor) -> Tensor:
        """Returns the logarithm of the density."""
        self._validate_sample(value)
        logits, value = broadcast_all(self.logits, value)
        return value * logits - F.softplus(logits) + self._log_norm()

    def cdf(self, value: Tensor) -> Tensor:
        """Returns the probability of at most a value."""
        self._validate_sample(value)
        p = self._away
        outside = (p.pow(value) * (1 - p).pow(1 - value) + p - 1) / (2 * p - 1)
        inside = _core.where(self._middle, value, outside)
        return _core.where(value <= 0, 0.0, _core.where(value >= 1, 1.0, inside))

    def icdf(self, value: Tensor) -> Tensor:
        """Returns the quantile."""
        p = self._away
        above = _core.log1p(-p + value * (2 * p - 1)) - _core.log1p(-p)
        return _core.where(self._middle, value, above / (p.log() - _core.log1p(-p)))

    def entropy(self) -> Tensor:
        """Returns the entropy."""
        failed = _core.log1p(-self.probs)
        return self.mean * (failed - self.probs.log()) - self._log_norm() - failed
