"""Distributions over integers and categories."""

from __future__ import annotations

import math
from typing import Any, ClassVar

from fastgrad import _core
from fastgrad._core import Size, Tensor
from fastgrad.autograd import no_grad
from fastgrad.distributions import constraints
from fastgrad.distributions.constraints import Constraint
from fastgrad.distributions.distribution import (
    Distribution,
    Shape,
    broadcast_all,
    probabilities_and_logits,
    tiny,
)
from fastgrad.nn import functional as F


class _ByProbability(Distribution):
    """Holds `probs` or `logits`, whichever was given, and computes the other when asked."""

    arg_constraints: ClassVar[dict[str, Constraint]] = {
        "probs": constraints.unit_interval,
        "logits": constraints.real,
    }

    probs: Tensor
    logits: Tensor

    @property
    def _given(self) -> Tensor:
        given: Tensor = self.__dict__["probs" if "probs" in self.__dict__ else "logits"]
        return given

    def __getattr__(self, name: str) -> Any:
        if name == "probs" and "logits" in self.__dict__:
            return self._to_probs(self.__dict__["logits"])
        if name == "logits" and "probs" in self.__dict__:
            return self._to_logits(self.__dict__["probs"])
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    @staticmethod
    def _to_probs(logits: Tensor) -> Tensor:
        return logits.sigmoid()

    @staticmethod
    def _to_logits(probs: Tensor) -> Tensor:
        margin = tiny(probs.dtype)
        kept = probs.clamp(margin, 1 - margin)
        return kept.log() - _core.log1p(-kept)

    @property
    def param_shape(self) -> Size:
        """The shape of the parameter that was given."""
        return self._given.shape


class _Trial(_ByProbability):
    """Has one probability for each element."""

    def __init__(
        self,
        probs: Tensor | float | None = None,
        logits: Tensor | float | None = None,
        validate_args: bool | None = None,
    ) -> None:
        name, given = probabilities_and_logits(probs, logits)
        self.__dict__[name] = given
        super().__init__(given.shape, validate_args=validate_args)


class Bernoulli(_Trial):
    """1 with probability `probs`, else 0.

    Args:
        probs: The probability of 1.
        logits: Its log-odds, instead.
        validate_args: Whether parameters and samples are checked.

    Example:
        >>> fg.distributions.Bernoulli(0.25).log_prob(fg.tensor(1.0))
        tensor(-1.3863)
    """

    has_enumerate_support = True

    @property
    def support(self) -> Constraint:
        """0 and 1."""
        return constraints.boolean

    @property
    def mean(self) -> Tensor:
        """The probability of 1."""
        return self.probs

    @property
    def mode(self) -> Tensor:
        """The more probable value; NaN where both are as probable."""
        mode = (self.probs >= 0.5).to(self.probs)
        return mode.masked_fill(self.probs == 0.5, math.nan)

    @property
    def variance(self) -> Tensor:
        """The variance."""
        return self.probs * (1 - self.probs)

    def sample(self, sample_shape: Shape = ()) -> Tensor:
        """Returns samples, without gradients."""
        with no_grad():
            return _core.bernoulli(self.probs.expand(self._extended_shape(sample_shape)))

    def log_prob(self, value: Tensor) -> Tensor:
        """Returns the logarithm of the probability."""
        self._validate_sample(value)
        logits, value = broadcast_all(self.logits, value)
        return -F.binary_cross_entropy_with_logits(logits, value, reduction="none")

    def entropy(self) -> Tensor:
        """Returns the entropy."""
        return F.binary_cross_entropy_with_logits(self.logits, self.probs, reduction="none")

    def enumerate_support(self, expand: bool = True) -> Tensor:
        """Returns 0 and 1 along a new first dimension."""
        values = _core.arange(2, dtype=self._given.dtype)
        values = values.view((-1, *(1,) * len(self._batch_shape)))
        return values.expand((-1, *self._batch_shape)) if expand else values


class Geometric(_Trial):
    """The number of failures before the first success.

    Args:
        probs: The probability of success.
        logits: Its log-odds, instead.
        validate_args: Whether parameters and samples are checked.

    Example:
        >>> fg.distributions.Geometric(0.25).mean
        tensor(3.)
    """

    @property
    def support(self) -> Constraint:
        """Integers that are not negative."""
        return constraints.nonnegative_integer

    @property
    def mean(self) -> Tensor:
        """The mean."""
        return 1.0 / self.probs - 1.0

    @property
    def mode(self) -> Tensor:
        """0."""
        return _core.zeros_like(self.probs)

    @property
    def variance(self) -> Tensor:
        """The variance."""
        return (1.0 / self.probs - 1.0) / self.probs

    def sample(self, sample_shape: Shape = ()) -> Tensor:
        """Returns samples, without gradients."""
        with no_grad():
            probs = self.probs.expand(self._extended_shape(sample_shape))
            noise = _core.rand_like(probs).clamp(min=tiny(probs.dtype))
            return (noise.log() / _core.log1p(-probs)).floor()

    def log_prob(self, value: Tensor) -> Tensor:
        """Returns the logarithm of the probability."""
        self._validate_sample(value)
        value, probs = broadcast_all(value, self.probs)
        return _core.special.xlog1py(value, -probs) + probs.log()

    def entropy(self) -> Tensor:
        """Returns the entropy."""
        odds = F.binary_cross_entropy_with_logits(self.logits, self.probs, reduction="none")
        return odds / self.probs


class Binomial(_ByProbability):
    """The number of successes among `total_count`.

    Args:
        total_count: How many are tried.
        probs: The probability of success.
        logits: Its log-odds, instead.
        validate_args: Whether parameters and samples are checked.

    Example:
        >>> fg.distributions.Binomial(4, 0.5).log_prob(fg.tensor(2.0)).exp()
        tensor(0.3750)
    """

    arg_constraints: ClassVar[dict[str, Constraint]] = {
        "total_count": constraints.nonnegative_integer,
        "probs": constraints.unit_interval,
        "logits": constraints.real,
    }
    has_enumerate_support = True

    def __init__(
        self,
        total_count: Tensor | int = 1,
        probs: Tensor | float | None = None,
        logits: Tensor | float | None = None,
        validate_args: bool | None = None,
    ) -> None:
        name, given = probabilities_and_logits(probs, logits)
        count, given = broadcast_all(total_count, given)
        self.total_count = count.type_as(given)
        self.__dict__[name] = given
        super().__init__(given.shape, validate_args=validate_args)

    @property
    def support(self) -> Constraint:
        """From 0 to total_count."""
        return constraints.integer_interval(0, self.total_count)

    @property
    def mean(self) -> Tensor:
        """The mean."""
        return self.total_count * self.probs

    @property
    def mode(self) -> Tensor:
        """The most probable value."""
        return ((self.total_count + 1) * self.probs).floor().minimum(self.total_count)

    @property
    def variance(self) -> Tensor:
        """The variance."""
        return self.total_count * self.probs * (1 - self.probs)

    def sample(self, sample_shape: Shape = ()) -> Tensor:
        """Returns samples, without gradients; every trial is drawn."""
        with no_grad():
            shape = self._extended_shape(sample_shape)
            most = int(self.total_count.max()) if self.total_count.numel() else 0
            trials = _core.rand((*shape, most), dtype=self.probs.dtype)
            counted = _core.arange(most) < self.total_count.unsqueeze(-1)
            won = (trials < self.probs.unsqueeze(-1)) & counted
            return won.sum(-1).type_as(self.probs)

    def log_prob(self, value: Tensor) -> Tensor:
        """Returns the logarithm of the probability."""
        self._validate_sample(value)
        n = self.total_count
        ways = _core.lgamma(n + 1) - _core.lgamma(value + 1) - _core.lgamma(n - value + 1)
        # value * logits - n * log(1 + exp(logits)), without overflow.
        return ways + value * self.logits - n * F.softplus(self.logits)

    def entropy(self) -> Tensor:
        """Returns the entropy; the counts must be equal."""
        terms = self.log_prob(self.enumerate_support(False))
        return -(terms.exp() * terms).sum(0)

    def enumerate_support(self, expand: bool = True) -> Tensor:
        """Returns 0 to total_count, which must be the same for all, along a new first dimension."""
        most = int(self.total_count.max())
        if int(self.total_count.min()) != most:
            raise NotImplementedError(
                "Inhomogeneous total count not supported by `enumerate_support`"
            )
        values = _core.arange(1 + most, dtype=self._given.dtype)
        values = values.view((-1, *(1,) * len(self._batch_shape)))
        return values.expand((-1, *self._batch_shape)) if expand else values


class Poisson(Distribution):
    """The number of events that occur at a rate.

    Args:
        rate: The mean.
        validate_args: Whether parameters and samples are checked.

    Example:
        >>> fg.distributions.Poisson(2.0).log_prob(fg.tensor(0.0))
        tensor(-2.)
    """

    arg_constraints: ClassVar[dict[str, Constraint]] = {"rate": constraints.nonnegative}

    def __init__(self, rate: Tensor | float, validate_args: bool | None = None) -> None:
        (self.rate,) = broadcast_all(rate)
        super().__init__(self.rate.shape, validate_args=validate_args)

    @property
    def support(self) -> Constraint:
        """Integers that are not negative."""
        return constraints.nonnegative_integer

    @property
    def mean(self) -> Tensor:
        """The rate."""
        return self.rate

    @property
    def mode(self) -> Tensor:
        """The most probable value."""
        return self.rate.floor()

    @property
    def variance(self) -> Tensor:
        """The rate."""
        return self.rate

    def sample(self, sample_shape: Shape = ()) -> Tensor:
        """Returns samples, without gradients."""
        with no_grad():
            return _core.poisson(self.rate.expand(self._extended_shape(sample_shape)))

    def log_prob(self, value: Tensor) -> Tensor:
        """Returns the logarithm of the probability."""
        self._validate_sample(value)
        rate, value = broadcast_all(self.rate, value)
        return _core.xlogy(value, rate) - rate - _core.lgamma(value + 1)

    def cdf(self, value: Tensor) -> Tensor:
        """Returns the probability of at most a value."""
        self._validate_sample(value)
        rate, value = broadcast_all(self.rate, value)
        return _core.igammac(value.floor() + 1, rate)


class Categorical(_ByProbability):
    """One of several categories, 0, 1, ...

    Args:
        probs: The probabilities in the last dimension; they are divided by their sum.
        logits: Their logarithms up to a constant, instead.
        validate_args: Whether parameters and samples are checked.

    Example:
        >>> d = fg.distributions.Categorical(fg.tensor([1.0, 3.0]))
        >>> d.log_prob(fg.tensor(1)).exp(), d.entropy()
        (tensor(0.7500), tensor(0.5623))
    """

    arg_constraints: ClassVar[dict[str, Constraint]] = {
        "probs": constraints.simplex,
        "logits": constraints.real_vector,
    }
    has_enumerate_support = True

    def __init__(
        self,
        probs: Tensor | None = None,
        logits: Tensor | None = None,
        validate_args: bool | None = None,
    ) -> None:
        name, given = probabilities_and_logits(probs, logits, categories=True)
        if given.dim() < 1:
            raise ValueError(f"`{name}` parameter must be at least one-dimensional.")
        if name == "probs":
            given = given / given.sum(-1, keepdim=True)
        else:
            given = given - given.logsumexp(dim=-1, keepdim=True)
        self.__dict__[name] = given
        self._num_events = given.size(-1)
        super().__init__(given.shape[:-1], validate_args=validate_args)

    @staticmethod
    def _to_probs(logits: Tensor) -> Tensor:
        return logits.softmax(-1)

    @staticmethod
    def _to_logits(probs: Tensor) -> Tensor:
        margin = tiny(probs.dtype)
        return probs.clamp(margin, 1 - margin).log()

    @property
    def support(self) -> Constraint:
        """The numbers of the categories."""
        return constraints.integer_interval(0, self._num_events - 1)

    @property
    def mean(self) -> Tensor:
        """NaN: categories have no mean."""
        return _core.full(self._batch_shape, math.nan, dtype=self._given.dtype)

    @property
    def variance(self) -> Tensor:
        """NaN: categories have no variance."""
        return self.mean

    @property
    def mode(self) -> Tensor:
        """The most probable category."""
        return self.probs.argmax(dim=-1)

    def sample(self, sample_shape: Shape = ()) -> Tensor:
        """Returns numbers of categories."""
        shape = Size(tuple(sample_shape))
        with no_grad():
            rows = self.probs.reshape(-1, self._num_events)
            drawn = _core.multinomial(rows, shape.numel(), True)
            return drawn.T.reshape(self._extended_shape(shape))

    def log_prob(self, value: Tensor) -> Tensor:
        """Returns the logarithm of a category's probability."""
        self._validate_sample(value)
        value = value.long().unsqueeze(-1)
        value, logits = _core.broadcast_tensors(value, self.logits)
        return logits.gather(-1, value[..., :1]).squeeze(-1)

    def entropy(self) -> Tensor:
        """Returns the entropy."""
        lowest = -3.4028234663852886e38
        return -(self.logits.clamp(min=lowest) * self.probs).sum(-1)

    def enumerate_support(self, expand: bool = True) -> Tensor:
        """Returns all categories along a new first dimension."""
        values = _core.arange(self._num_events)
        values = values.view((-1, *(1,) * len(self._batch_shape)))
        return values.expand((-1, *self._batch_shape)) if expand else values


class _OverCategories(_ByProbability):
    """Vectors with an element for each category of a `Categorical`."""

    arg_constraints: ClassVar[dict[str, Constraint]] = {
        "probs": constraints.simplex,
        "logits": constraints.real_vector,
    }

    def __init__(self, categorical: Categorical, validate_args: bool | None) -> None:
        self._categorical = categorical
        name = "probs" if "probs" in categorical.__dict__ else "logits"
        self.__dict__[name] = categorical.__dict__[name]
        shape = categorical.param_shape
        super().__init__(shape[:-1], shape[-1:], validate_args)

    @staticmethod
    def _to_probs(logits: Tensor) -> Tensor:
        return Categorical._to_probs(logits)

    @staticmethod
    def _to_logits(probs: Tensor) -> Tensor:
        return Categorical._to_logits(probs)


class OneHotCategorical(_OverCategories):
    """One of several categories, as a vector with a single 1.

    Args:
        probs: The probabilities in the last dimension; they are divided by their sum.
        logits: Their logarithms up to a constant, instead.
        validate_args: Whether parameters and samples are checked.

    Example:
        >>> fg.distributions.OneHotCategorical(fg.tensor([0.0, 1.0])).sample()
        tensor([0., 1.])
    """

    has_enumerate_support = True

    def __init__(
        self,
        probs: Tensor | None = None,
        logits: Tensor | None = None,
        validate_args: bool | None = None,
    ) -> None:
        super().__init__(Categorical(probs, logits, validate_args), validate_args)

    @property
    def support(self) -> Constraint:
        """Vectors with a single 1."""
        return constraints.one_hot

    @property
    def mean(self) -> Tensor:
        """The probabilities."""
        return self.probs

    @property
    def mode(self) -> Tensor:
        """The most probable vector."""
        return F.one_hot(self.probs.argmax(-1), self.probs.size(-1)).to(self.probs)

    @property
    def variance(self) -> Tensor:
        """The variance of each entry."""
        return self.probs * (1 - self.probs)

    def expand(self, batch_shape: Shape) -> Any:
        """Returns the same distribution over a larger batch."""
        made = super().expand(batch_shape)
        made._categorical = self._categorical.expand(batch_shape)
        return made

    def sample(self, sample_shape: Shape = ()) -> Tensor:
        """Returns vectors with a single 1."""
        drawn = self._categorical.sample(sample_shape)
        return F.one_hot(drawn, self.probs.size(-1)).to(self.probs)

    def log_prob(self, value: Tensor) -> Tensor:
        """Returns the logarithm of a vector's probability."""
        self._validate_sample(value)
        return self._categorical.log_prob(value.argmax(-1))

    def entropy(self) -> Tensor:
        """Returns the entropy."""
        return self._categorical.entropy()

    def enumerate_support(self, expand: bool = True) -> Tensor:
        """Returns all vectors along a new first dimension."""
        count = self._event_shape[0]
        values = _core.eye(count, dtype=self._given.dtype)
        values = values.view((count, *(1,) * len(self._batch_shape), count))
        return values.expand((count, *self._batch_shape, count)) if expand else values
