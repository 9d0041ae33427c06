"""Distributions made of others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from fastgrad import _core
from fastgrad._core import Tensor
from fastgrad.autograd import no_grad
from fastgrad.distributions import constraints
from fastgrad.distributions.constraints import Constraint
from fastgrad.distributions.continuous import Normal
from fastgrad.distributions.discrete import Categorical
from fastgrad.distributions.distribution import Distribution, Shape, broadcast_all, sum_last
from fastgrad.distributions.transforms import ComposeTransform, ExpTransform, Transform


class Independent(Distribution):
    """A batch of distributions as one: its last batch dimensions become part of the event.

    Args:
        base_distribution: The batch.
        reinterpreted_batch_ndims: How many of its dimensions.
        validate_args: Whether samples are checked.

    Example:
        >>> d = fg.distributions.Normal(fg.zeros(3), fg.ones(3))
        >>> fg.distributions.Independent(d, 1).log_prob(fg.zeros(3)).shape
        fastgrad.Size([])
    """

    def __init__(
        self,
        base_distribution: Distribution,
        reinterpreted_batch_ndims: int,
        validate_args: bool | None = None,
    ) -> None:
        batch = base_distribution.batch_shape
        if reinterpreted_batch_ndims > len(batch):
            raise ValueError(
                "Expected reinterpreted_batch_ndims <= len(base_distribution.batch_shape), "
                f"actual {reinterpreted_batch_ndims} vs {len(batch)}"
            )
        self.base_dist = base_distribution
        self.reinterpreted_batch_ndims = reinterpreted_batch_ndims
        self.has_rsample = base_distribution.has_rsample
        kept = len(batch) - reinterpreted_batch_ndims
        super().__init__(batch[:kept], batch[kept:] + base_distribution.event_shape, validate_args)

    def expand(self, batch_shape: Shape) -> Independent:
        """Returns the same distribution over a larger batch."""
        inner = self._event_shape[: self.reinterpreted_batch_ndims]
        return Independent(
            self.base_dist.expand((*batch_shape, *inner)),
            self.reinterpreted_batch_ndims,
            validate_args=self._validate_args,
        )

    @property
    def support(self) -> Constraint:
        """What the base distribution allows, in every entry."""
        return constraints.independent(self.base_dist.support, self.reinterpreted_batch_ndims)

    @property
    def mean(self) -> Tensor:
        """The mean."""
        return self.base_dist.mean

    @property
    def mode(self) -> Tensor:
        """The most probable value."""
        return self.base_dist.mode

    @property
    def variance(self) -> Tensor:
        """The variance of each entry."""
        return self.base_dist.variance

    def sample(self, sample_shape: Shape = ()) -> Tensor:
        """Returns samples, without gradients."""
        return self.base_dist.sample(sample_shape)

    def rsample(self, sample_shape: Shape = ()) -> Tensor:
        """Returns samples with gradients."""
        return self.base_dist.rsample(sample_shape)

    def log_prob(self, value: Tensor) -> Tensor:
        """Returns the sum of the entries' log-probabilities."""
        return sum_last(self.base_dist.log_prob(value), self.reinterpreted_batch_ndims)

    def entropy(self) -> Tensor:
        """Returns the sum of the entries' entropies."""
        return sum_last(self.base_dist.entropy(), self.reinterpreted_batch_ndims)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.base_dist}, {self.reinterpreted_batch_ndims})"


class MixtureSameFamily(Distribution):
    """A mixture of distributions of one kind.

    Args:
        mixture_distribution: The probabilities of the components.
        component_distribution: The components, along the last batch dimension.
        validate_args: Whether samples are checked.

    Example:
        >>> weights = fg.distributions.Categorical(fg.tensor([0.5, 0.5]))
        >>> parts = fg.distributions.Normal(fg.tensor([-1.0, 1.0]), fg.ones(2))
        >>> fg.distributions.MixtureSameFamily(weights, parts).mean
        tensor(0.)
    """

    def __init__(
        self,
        mixture_distribution: Categorical,
        component_distribution: Distribution,
        validate_args: bool | None = None,
    ) -> None:
        if not isinstance(mixture_distribution, Categorical):
            raise ValueError(
                "The Mixture distribution needs to be an instance of distributions.Categorical"
            )
        batch = component_distribution.batch_shape
        count = mixture_distribution.param_shape[-1]
        if not batch or batch[-1] != count:
            raise ValueError(
                f"`mixture_distribution component` ({count}) does not equal "
                f"`component_distribution.batch_shape[-1]` ({batch[-1] if batch else None})"
            )
        self._mixture_distribution = mixture_distribution
        self._component_distribution = component_distribution
        super().__init__(batch[:-1], component_distribution.event_shape, validate_args)

    @property
    def mixture_distribution(self) -> Categorical:
        """The probabilities of the components."""
        return self._mixture_distribution

    @property
    def component_distribution(self) -> Distribution:
        """The components."""
        return self._component_distribution

    @property
    def support(self) -> Constraint:
        """What the components allow."""
        return self._component_distribution.support

    def _weights(self) -> Tensor:
        return self._mixture_distribution.probs.reshape(
            self._mixture_distribution.probs.shape + (1,) * len(self._event_shape)
        )

    @property
    def _place(self) -> int:
        return -1 - len(self._event_shape)

    @property
    def mean(self) -> Tensor:
        """The mean."""
        return (self._weights() * self._component_distribution.mean).sum(self._place)

    @property
    def variance(self) -> Tensor:
        """The variance: the mean of the components', and that of their means."""
        parts, weights = self._component_distribution, self._weights()
        spread = (parts.mean - self.mean.unsqueeze(self._place)).square()
        return (weights * (parts.variance + spread)).sum(self._place)

    def sample(self, sample_shape: Shape = ()) -> Tensor:
        """Returns samples, without gradients."""
        with no_grad():
            chosen = self._mixture_distribution.sample(sample_shape)
            drawn = self._component_distribution.sample(sample_shape)
            events = (1,) * len(self._event_shape)
            index = chosen.reshape((*chosen.shape, 1, *events))
            sizes = [*drawn.shape]
            sizes[self._place] = 1
            return drawn.gather(self._place, index.expand(sizes)).squeeze(self._place)

    def log_prob(self, value: Tensor) -> Tensor:
        """Returns the logarithm of the density."""
        self._validate_sample(value)
        parts = self._component_distribution.log_prob(value.unsqueeze(self._place))
        return _core.logsumexp(parts + self._mixture_distribution.logits.log_softmax(-1), -1)

    def cdf(self, value: Tensor) -> Tensor:
        """Returns the probability of at most a value."""
        parts = self._component_distribution.cdf(value.unsqueeze(self._place))
        return (parts * self._mixture_distribution.probs).sum(-1)

    def __repr__(self) -> str:
        return (
            f"MixtureSameFamily(\n  {self._mixture_distribution},\n  "
            f"{self._component_distribution})"
        )


class TransformedDistribution(Distribution):
    """What invertible maps make of the samples of a distribution.

    Args:
        base_distribution: The distribution.
        transforms: The map, or several; the first is applied first.
        validate_args: Whether samples are checked.

    Example:
        >>> from fastgrad.distributions import Normal, TransformedDistribution
        >>> from fastgrad.distributions.transforms import ExpTransform
        >>> TransformedDistribution(Normal(0.0, 1.0), ExpTransform()).log_prob(fg.tensor(1.0))
        tensor(-0.9189)
    """

    arg_constraints: ClassVar[dict[str, Constraint]] = {}

    def __init__(
        self,
        base_distribution: Distribution,
        transforms: Transform | Sequence[Transform],
        validate_args: bool | None = None,
    ) -> None:
        self.transforms = [transforms] if isinstance(transforms, Transform) else list(transforms)
        joined = ComposeTransform(self.transforms)
        extra = max(joined.event_dim - len(base_distribution.event_shape), 0)
        self.base_dist = Independent(base_distribution, extra) if extra else base_distribution
        self.has_rsample = base_distribution.has_rsample
        super().__init__(self.base_dist.batch_shape, self.base_dist.event_shape, validate_args)

    def expand(self, batch_shape: Shape) -> Any:
        """Returns the same distribution over a larger batch."""
        made = super().expand(batch_shape)
        made.base_dist = self.base_dist.expand(batch_shape)
        return made

    def _mapped(self, x: Tensor) -> Tensor:
        for transform in self.transforms:
            x = transform(x)
        return x

    def sample(self, sample_shape: Shape = ()) -> Tensor:
        """Returns samples, without gradients."""
        with no_grad():
            return self._mapped(self.base_dist.sample(sample_shape))

    def rsample(self, sample_shape: Shape = ()) -> Tensor:
        """Returns samples with gradients."""
        return self._mapped(self.base_dist.rsample(sample_shape))

    def log_prob(self, value: Tensor) -> Tensor:
        """Returns the logarithm of the density, of samples too at the cost of an inverse."""
        self._validate_sample(value)
        events = len(self._event_shape)
        changes = []
        y = value
        for transform in reversed(self.transforms):
            x = transform._inv_call(y)
            change = transform.log_abs_det_jacobian(x, y)
            changes.append(sum_last(change, events - transform.event_dim))
            y = x
        result = self.base_dist.log_prob(y)
        for change in changes:
            result = result - change
        return result

    def _increasing(self) -> Tensor | float:
        sign: Tensor | float = ComposeTransform(self.transforms).sign
        return sign

    def cdf(self, value: Tensor) -> Tensor:
        """Returns the probability of at most a value."""
        y = value
        for transform in reversed(self.transforms):
            y = transform._inv_call(y)
        return (self.base_dist.cdf(y) - 0.5) * self._increasing() + 0.5

    def icdf(self, value: Tensor) -> Tensor:
        """Returns the quantile."""
        value = (value - 0.5) * self._increasing() + 0.5
        return self._mapped(self.base_dist.icdf(value))


class LogNormal(TransformedDistribution):
    """The exponential of a normal number.

    Args:
        loc: The mean of the logarithm.
        scale: Its standard deviation.
        validate_args: Whether parameters and samples are checked.

    Example:
        >>> fg.distributions.LogNormal(0.0, 1.0).mean
        tensor(1.6487)
    """

    arg_constraints: ClassVar[dict[str, Constraint]] = {
        "loc": constraints.real,
        "scale": constraints.positive,
    }

    def __init__(
        self, loc: Tensor | float, scale: Tensor | float, validate_args: bool | None = None
    ) -> None:
        self.loc, self.scale = broadcast_all(loc, scale)
        base = Normal(self.loc, self.scale, validate_args)
        super().__init__(base, ExpTransform(), validate_args)

    @property
    def support(self) -> Constraint:
        """Positive numbers."""
        return constraints.positive

    @property
    def mean(self) -> Tensor:
        """The mean."""
        return (self.loc + self.scale.square() / 2).exp()

    @property
    def mode(self) -> Tensor:
        """The most probable value."""
        return (self.loc - self.scale.square()).exp()

    @property
    def variance(self) -> Tensor:
        """The variance."""
        square = self.scale.square()
        return square.expm1() * (2 * self.loc + square).exp()

    def entropy(self) -> Tensor:
        """Returns the entropy."""
        return self.base_dist.entropy() + self.loc
