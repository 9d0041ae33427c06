"""What all distributions have in common."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

from fastgrad import _core
from fastgrad._core import Size, Tensor
from fastgrad.autograd import no_grad
from fastgrad.distributions import constraints
from fastgrad.distributions.constraints import Constraint

if TYPE_CHECKING:
    from typing_extensions import Self

Shape = Iterable[int]


class Distribution:
    """A probability distribution over tensors, or a batch of them.

    Args:
        batch_shape: The shape of the batch.
        event_shape: The shape of one sample.
        validate_args: Whether parameters and samples are checked; by default they are.

    Attributes:
        arg_constraints: What each parameter may be.
        has_rsample: Whether gradients pass samples of `rsample`.
        has_enumerate_support: Whether `enumerate_support` lists all values.
    """

    arg_constraints: ClassVar[dict[str, Constraint]] = {}
    has_rsample = False
    has_enumerate_support = False
    _validate_args = True

    def __init__(
        self,
        batch_shape: Shape = (),
        event_shape: Shape = (),
        validate_args: bool | None = None,
    ) -> None:
        self._batch_shape, self._event_shape = Size(batch_shape), Size(event_shape)
        if validate_args is not None:
            self._validate_args = validate_args
        if self._validate_args:
            self._check_parameters()

    def _check_parameters(self) -> None:
        for name, constraint in self.arg_constraints.items():
            value = self.__dict__.get(name)
            if not isinstance(value, Tensor) or constraint is constraints.dependent:
                continue
            if not bool(constraint.check(value).all()):
                raise ValueError(
                    f"Expected parameter {name} ({type(value).__name__} of shape "
                    f"{tuple(value.shape)}) of distribution {self!r} to satisfy the "
                    f"constraint {constraint!r}, but found invalid values:\n{value}"
                )

    @staticmethod
    def set_default_validate_args(value: bool) -> None:
        """Sets whether parameters and samples are checked by default."""
        if value not in (True, False):
            raise ValueError(f"[set_default_validate_args] expected True or False, got {value}")
        Distribution._validate_args = value

    @property
    def batch_shape(self) -> Size:
        """The shape of the batch of distributions."""
        return self._batch_shape

    @property
    def event_shape(self) -> Size:
        """The shape of one sample of one distribution."""
        return self._event_shape

    def _lacks(self, what: str, cure: str = "") -> NoReturn:
        """Says that this distribution has no such quantity, in a closed form at least."""
        raise NotImplementedError(f"{type(self).__name__} has no {what}{cure}")

    @property
    def support(self) -> Constraint:
        """What samples may be."""
        self._lacks("support")

    @property
    def mean(self) -> Tensor:
        """The mean."""
        self._lacks("mean")

    @property
    def mode(self) -> Tensor:
        """The most probable value."""
        self._lacks("mode")

    @property
    def variance(self) -> Tensor:
        """The variance."""
        self._lacks("variance")

    @property
    def stddev(self) -> Tensor:
        """The standard deviation."""
        return self.variance.sqrt()

    def sample(self, sample_shape: Shape = ()) -> Tensor:
        """Returns samples, without gradients.

        Args:
            sample_shape: The shape of the array of samples, before those of batch and event.
        """
        with no_grad():
            return self.rsample(sample_shape)

    def rsample(self, sample_shape: Shape = ()) -> Tensor:
        """Returns samples as differentiable functions of the parameters.

        Args:
            sample_shape: The shape of the array of samples, before those of batch and event.

        Raises:
            NotImplementedError: The distribution cannot, see `has_rsample`.
        """
        self._lacks("rsample", "; use sample() where no gradient is needed")

    def sample_n(self, n: int) -> Tensor:
        """Returns n samples (PyTorch's older word for `sample((n,))`)."""
        return self.sample((n,))

    def log_prob(self, value: Tensor) -> Tensor:
        """Returns the logarithm of the density, or of the probability, at a value."""
        self._lacks("log_prob")

    def cdf(self, value: Tensor) -> Tensor:
        """Returns the probability of at most a value."""
        self._lacks("cdf")

    def icdf(self, value: Tensor) -> Tensor:
        """Returns the value at which `cdf` is the given one."""
        self._lacks("icdf")

    def entropy(self) -> Tensor:
        """Returns the entropy, in nats."""
        self._lacks("entropy")

    def perplexity(self) -> Tensor:
        """Returns the exponential of the entropy."""
        return _core.exp(self.entropy())

    def enumerate_support(self, expand: bool = True) -> Tensor:
        """Returns all values, along a new first dimension.

        Args:
            expand: Whether to repeat them over the batch.
        """
        self._lacks("enumerate_support")

    def expand(self, batch_shape: Shape) -> Self:
        """Returns the same distribution over a larger batch."""
        made = object.__new__(type(self))
        made.__dict__.update(self.__dict__)
        shape = Size(batch_shape)
        for name, constraint in self.arg_constraints.items():
            value = self.__dict__.get(name)
            if isinstance(value, Tensor):
                own = self._parameter_dims(name, constraint)
                made.__dict__[name] = value.expand(shape + value.shape[value.dim() - own :])
        made._batch_shape = shape
        return made

    def _parameter_dims(self, name: str, constraint: Constraint) -> int:
        """The number of dimensions of a parameter of one distribution."""
        return constraint.event_dim

    def _extended_shape(self, sample_shape: Shape = ()) -> Size:
        return Size((*sample_shape, *self._batch_shape, *self._event_shape))

    def _validate_sample(self, value: Any) -> None:
        if not self._validate_args:
            return
        if not isinstance(value, Tensor):
            raise ValueError("The value argument to log_prob must be a Tensor")
        events = value.shape[value.dim() - len(self._event_shape) :]
        if Size(events) != self._event_shape:
            raise ValueError(
                "The right-most size of value must match event_shape: "
                f"{value.size()} vs {self._event_shape}."
            )
        expected = self._batch_shape + self._event_shape
        for have, want in zip(reversed(value.shape), reversed(expected)):
            if have != 1 and want != 1 and have != want:
                raise ValueError(
                    f"Value is not broadcastable with batch_shape+event_shape: {value.size()} vs "
                    f"{expected}."
                )
        try:
            support = self.support
        except NotImplementedError:
            return
        if not bool(support.check(value).all()):
            raise ValueError(
                f"Expected value argument ({type(value).__name__} of shape {tuple(value.shape)}) "
                f"to be within the support ({support!r}) of the distribution {self!r}, but found "
                f"invalid values:\n{value}"
            )

    def __repr__(self) -> str:
        given = [n for n in self.arg_constraints if isinstance(self.__dict__.get(n), Tensor)]
        shown = []
        for name in given:
            value = self.__dict__[name]
            shown.append(f"{name}: {value if value.numel() == 1 else value.size()}")
        return f"{type(self).__name__}({', '.join(shown)})"


def broadcast_all(*values: Any) -> tuple[Tensor, ...]:
    """Returns numbers and tensors as tensors of one shape; numbers take the tensors' type.

    Example:
        >>> from fastgrad.distributions.distribution import broadcast_all
        >>> broadcast_all(1, fg.zeros(2))
        (tensor([1., 1.]), tensor([0., 0.]))
    """
    tensors = [v for v in values if isinstance(v, Tensor)]
    if any(not isinstance(v, Tensor | int | float) for v in values):
        raise ValueError(
            "Input arguments must all be instances of Number, torch.Tensor or objects "
            f"implementing __torch_function__; got {[type(v).__name__ for v in values]}"
        )
    dtype = tensors[0].dtype if tensors else _core.get_default_dtype()
    whole = [v if isinstance(v, Tensor) else _core.tensor(v, dtype=dtype) for v in values]
    return tuple(_core.broadcast_tensors(*whole))


def sum_last(value: Tensor, dims: int) -> Tensor:
    """Returns the sums over the last dimensions."""
    return value.flatten(value.dim() - dims).sum(-1) if dims else value


def probabilities_and_logits(
    probs: Any, logits: Any, categories: bool = False
) -> tuple[str, Tensor]:
    """Returns which of the two was given, and its value.

    Raises:
        ValueError: Both or neither was given.
    """
    if (probs is None) == (logits is None):
        raise ValueError("Either `probs` or `logits` must be specified, but not both.")
    name, given = ("probs", probs) if logits is None else ("logits", logits)
    return (name, given) if categories else (name, broadcast_all(given)[0])


def tiny(dtype: Any) -> float:
    """Returns the distance from 0 and 1 at which probabilities are kept for logarithms."""
    return math.ldexp(1.0, -52) if dtype is _core.float64 else math.ldexp(1.0, -23)
