"""What values a distribution's parameters and samples may have.

A constraint checks a tensor elementwise, or over the last dimensions that make up one event.

Example:
    >>> from fastgrad.distributions import constraints
    >>> constraints.positive.check(fg.tensor([1.0, -1.0]))
    tensor([ True, False])
"""

from __future__ import annotations

from fastgrad import _core
from fastgrad._core import Tensor
from fastgrad._type_info import finfo


class Constraint:
    """A set of allowed values.

    Attributes:
        is_discrete: Whether the set is one of separate points.
        event_dim: How many last dimensions make up one value.
    """

    is_discrete = False
    event_dim = 0

    def check(self, value: Tensor) -> Tensor:
        """Returns booleans: which values are allowed."""
        raise NotImplementedError(f"{type(self).__name__} does not say which values it allows")

    def __repr__(self) -> str:
        return type(self).__name__.lstrip("_").lower() + "()"


class _Dependent(Constraint):
    """Depends on other parameters, so it is checked nowhere."""

    def check(self, value: Tensor) -> Tensor:
        raise ValueError("Cannot determine validity of a dependent constraint")


class _Real(Constraint):
    def check(self, value: Tensor) -> Tensor:
        return value == value  # false for NaN alone


class _Boolean(Constraint):
    is_discrete = True

    def check(self, value: Tensor) -> Tensor:
        return (value == 0) | (value == 1)


class _Bound(Constraint):
    """A constraint with limits, which it shows."""

    def __init__(self, *limits: Tensor | float) -> None:
        self.limits = limits

    def __repr__(self) -> str:
        names = ("lower_bound", "upper_bound")[-len(self.limits) :]
        if len(self.limits) == 1 and "greater" in type(self).__name__.lower():
            names = ("lower_bound",)
        inside = ", ".join(f"{name}={limit}" for name, limit in zip(names, self.limits))
        return f"{_snake(type(self).__name__)}({inside})"


def _snake(name: str) -> str:
    letters = (f"_{c.lower()}" if c.isupper() else c for c in name.lstrip("_"))
    return "".join(letters).lstrip("_")


class _GreaterThan(_Bound):
    def check(self, value: Tensor) -> Tensor:
        return value > self.limits[0]


class _GreaterThanEq(_Bound):
    def check(self, value: Tensor) -> Tensor:
        return value >= self.limits[0]


class _LessThan(_Bound):
    def check(self, value: Tensor) -> Tensor:
        return value < self.limits[0]


class _Interval(_Bound):
    def check(self, value: Tensor) -> Tensor:
        return (value >= self.limits[0]) & (value <= self.limits[1])


class _IntegerInterval(_Bound):
    is_discrete = True

    def check(self, value: Tensor) -> Tensor:
        whole = value % 1 == 0
        return whole & (value >= self.limits[0]) & (value <= self.limits[1])


class _IntegerGreaterThan(_Bound):
    is_discrete = True

    def check(self, value: Tensor) -> Tensor:
        return (value % 1 == 0) & (value >= self.limits[0])


class _Simplex(Constraint):
    event_dim = 1

    def check(self, value: Tensor) -> Tensor:
        return (value >= 0).all(-1) & ((value.sum(-1) - 1).abs() < 1e-6)


class _OneHot(Constraint):
    is_discrete = True
    event_dim = 1

    def check(self, value: Tensor) -> Tensor:
        return ((value == 0) | (value == 1)).all(-1) & (value.sum(-1) == 1)


class _LowerCholesky(Constraint):
    event_dim = 2

    def check(self, value: Tensor) -> Tensor:
        lower = (value.tril() == value).flatten(-2).all(-1)
        return lower & (value.diagonal(dim1=-2, dim2=-1) > 0).all(-1)


class _PositiveDefinite(Constraint):
    event_dim = 2

    def check(self, value: Tensor) -> Tensor:
        symmetric = _core.isclose(value, value.mT, atol=1e-6).flatten(-2).all(-1)
        return symmetric & (_core.linalg.eigvalsh(value.detach()) > 0).all(-1)


class _HalfOpenInterval(_Bound):
    def check(self, value: Tensor) -> Tensor:
        return (value >= self.limits[0]) & (value < self.limits[1])


class _Multinomial(Constraint):
    is_discrete = True
    event_dim = 1

    def __init__(self, upper_bound: int) -> None:
        self.upper_bound = upper_bound

    def check(self, value: Tensor) -> Tensor:
        return (value >= 0).all(-1) & (value.sum(-1) <= self.upper_bound)


class _CorrCholesky(Constraint):
    event_dim = 2

    def check(self, value: Tensor) -> Tensor:
        room = 10 * value.size(-1) * finfo(value.dtype).eps
        unit = ((value.square().sum(-1) - 1).abs() <= room).all(-1)
        return unit & lower_cholesky.check(value)


class independent(Constraint):
    """A constraint whose values have more dimensions.

    Args:
        base: The constraint on each entry.
        dims: How many more last dimensions make up one value.

    Example:
        >>> from fastgrad.distributions import constraints
        >>> constraints.independent(constraints.positive, 1).check(fg.tensor([[1.0, -1.0]]))
        tensor([False])
    """

    def __init__(self, base: Constraint, dims: int) -> None:
        self.base, self.dims = base, dims
        self.is_discrete = base.is_discrete
        self.event_dim = base.event_dim + dims

    def check(self, value: Tensor) -> Tensor:
        """Returns which values are allowed in every entry."""
        result = self.base.check(value)
        if result.dim() < self.dims:
            raise ValueError(
                f"Expected value.dim() >= {self.event_dim} but got {value.dim()}: a value of "
                "this distribution has that many dimensions"
            )
        return result.flatten(-self.dims).all(-1) if self.dims else result

    def __repr__(self) -> str:
        return f"Independent({self.base!r}, {self.dims})"


dependent = _Dependent()
real = _Real()
boolean = _Boolean()
positive = _GreaterThan(0.0)
nonnegative = _GreaterThanEq(0.0)
nonnegative_integer = _IntegerGreaterThan(0)
unit_interval = _Interval(0.0, 1.0)
simplex = _Simplex()
one_hot = _OneHot()
lower_cholesky = _LowerCholesky()
positive_definite = _PositiveDefinite()
real_vector = independent(real, 1)
greater_than = _GreaterThan
greater_than_eq = _GreaterThanEq
less_than = _LessThan
interval = _Interval
integer_interval = _IntegerInterval
half_open_interval = _HalfOpenInterval
multinomial = _Multinomial
corr_cholesky = _CorrCholesky()
positive_integer = _IntegerGreaterThan(1)
