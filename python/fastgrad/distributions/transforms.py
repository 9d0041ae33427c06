"""Invertible maps, and the logarithms of how they stretch space."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from fastgrad import _core
from fastgrad._core import Tensor
from fastgrad.distributions.distribution import sum_last
from fastgrad.nn import functional as F


class Transform:
    """An invertible map y = f(x), with log |dy / dx|.

    Derived classes give `_call`, `_inverse` and `log_abs_det_jacobian`.

    Args:
        cache_size: 1 to keep the last x and y, so that the inverse of y is x itself.

    Attributes:
        event_dim: How many last dimensions the map joins.
        sign: 1 where it increases, -1 where it decreases.
    """

    event_dim = 0
    bijective = True
    sign: Any = 1

    def __init__(self, cache_size: int = 0) -> None:
        if cache_size not in (0, 1):
            raise ValueError("cache_size must be 0 or 1")
        self._cache_size = cache_size
        self._last: tuple[Tensor, Tensor] | None = None

    @property
    def inv(self) -> Transform:
        """The inverse map."""
        return _Inverse(self)

    def __call__(self, x: Tensor) -> Tensor:
        """Returns f(x)."""
        if self._last is not None and self._last[0] is x:
            return self._last[1]
        y = self._call(x)
        if self._cache_size:
            self._last = (x, y)
        return y

    def _inv_call(self, y: Tensor) -> Tensor:
        if self._last is not None and self._last[1] is y:
            return self._last[0]
        x = self._inverse(y)
        if self._cache_size:
            self._last = (x, y)
        return x

    def _call(self, x: Tensor) -> Tensor:
        raise NotImplementedError(f"{type(self).__name__} cannot be applied")

    def _inverse(self, y: Tensor) -> Tensor:
        raise NotImplementedError(f"{type(self).__name__} has no inverse")

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        """Returns log |dy / dx|."""
        raise NotImplementedError(f"{type(self).__name__} has no log_abs_det_jacobian")

    def __repr__(self) -> str:
        return type(self).__name__ + "()"


class _Inverse(Transform):
    def __init__(self, forward: Transform) -> None:
        super().__init__()
        self._forward = forward
        self.event_dim = forward.event_dim

    @property
    def inv(self) -> Transform:
        """The map itself."""
        return self._forward

    @property
    def sign(self) -> Any:
        """That of the map itself."""
        return self._forward.sign

    def __call__(self, x: Tensor) -> Tensor:
        return self._forward._inv_call(x)

    def _inv_call(self, y: Tensor) -> Tensor:
        return self._forward(y)

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        return -self._forward.log_abs_det_jacobian(y, x)

    def __repr__(self) -> str:
        return f"_InverseTransform({self._forward!r})"


class ExpTransform(Transform):
    """y = exp(x).

    Example:
        >>> from fastgrad.distributions.transforms import ExpTransform
        >>> ExpTransform().inv(fg.tensor(1.0))
        tensor(0.)
    """

    def _call(self, x: Tensor) -> Tensor:
        return x.exp()

    def _inverse(self, y: Tensor) -> Tensor:
        return y.log()

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        """Returns x."""
        return x


class PowerTransform(Transform):
    """y = x ** exponent, of positive numbers."""

    def __init__(self, exponent: Tensor | float, cache_size: int = 0) -> None:
        super().__init__(cache_size)
        self.exponent = _core.as_tensor(exponent)
        self.sign = self.exponent.sign()

    def _call(self, x: Tensor) -> Tensor:
        return x.pow(self.exponent)

    def _inverse(self, y: Tensor) -> Tensor:
        return y.pow(1 / self.exponent)

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        """Returns log |exponent * y / x|."""
        return (self.exponent * y / x).abs().log()


class SigmoidTransform(Transform):
    """y = 1 / (1 + exp(-x))."""

    def _call(self, x: Tensor) -> Tensor:
        return x.sigmoid()

    def _inverse(self, y: Tensor) -> Tensor:
        return y.log() - _core.log1p(-y)

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        """Returns log(y (1 - y)), computed from x."""
        return -F.softplus(-x) - F.softplus(x)


class SoftplusTransform(Transform):
    """y = log(1 + exp(x))."""

    def _call(self, x: Tensor) -> Tensor:
        return F.softplus(x)

    def _inverse(self, y: Tensor) -> Tensor:
        return _core.log(-_core.expm1(-y)) + y

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        """Returns the logarithm of the sigmoid."""
        return -F.softplus(-x)


class TanhTransform(Transform):
    """y = tanh(x).

    Example:
        >>> from fastgrad.distributions.transforms import TanhTransform
        >>> t = TanhTransform(cache_size=1)
        >>> t.inv(t(fg.tensor(0.5)))
        tensor(0.5000)
    """

    def _call(self, x: Tensor) -> Tensor:
        return x.tanh()

    def _inverse(self, y: Tensor) -> Tensor:
        return y.atanh()

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        """Returns log(1 - y**2), computed from x."""
        return 2.0 * (math.log(2.0) - x - F.softplus(-2.0 * x))


class AffineTransform(Transform):
    """y = loc + scale * x.

    Args:
        loc: What is added.
        scale: What is multiplied with.
        event_dim: How many last dimensions make up one event.
        cache_size: As for `Transform`.
    """

    def __init__(
        self,
        loc: Tensor | float,
        scale: Tensor | float,
        event_dim: int = 0,
        cache_size: int = 0,
    ) -> None:
        super().__init__(cache_size)
        self.loc, self.scale, self.event_dim = loc, scale, event_dim

    @property
    def sign(self) -> Any:
        """The sign of the scale."""
        return _core.as_tensor(self.scale).sign()

    def _call(self, x: Tensor) -> Tensor:
        return self.loc + self.scale * x

    def _inverse(self, y: Tensor) -> Tensor:
        return (y - self.loc) / self.scale

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        """Returns log |scale|."""
        scale = _core.as_tensor(self.scale, dtype=x.dtype)
        return sum_last(scale.abs().log().expand(x.shape), self.event_dim)


class ComposeTransform(Transform):
    """Several maps, one after the other.

    Args:
        parts: The maps; the first is applied first.
        cache_size: As for `Transform`.
    """

    def __init__(self, parts: Sequence[Transform], cache_size: int = 0) -> None:
        super().__init__(cache_size)
        self.parts = list(parts)
        self.event_dim = max((part.event_dim for part in parts), default=0)

    @property
    def sign(self) -> Any:
        """The product of the signs."""
        return math.prod((part.sign for part in self.parts), start=1)

    def _call(self, x: Tensor) -> Tensor:
        for part in self.parts:
            x = part(x)
        return x

    def _inverse(self, y: Tensor) -> Tensor:
        for part in reversed(self.parts):
            y = part._inv_call(y)
        return y

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        """Returns the sum over the maps."""
        total: Tensor = _core.zeros_like(sum_last(x, self.event_dim))
        for part in self.parts:
            out = part(x)
            change = part.log_abs_det_jacobian(x, out)
            total = total + sum_last(change, self.event_dim - part.event_dim)
            x = out
        return total
