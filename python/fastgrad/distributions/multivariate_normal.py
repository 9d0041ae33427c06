"""The normal distribution over vectors."""

from __future__ import annotations

import math
from typing import Any, ClassVar

from fastgrad import _core
from fastgrad._core import Tensor
from fastgrad.distributions import constraints
from fastgrad.distributions.constraints import Constraint
from fastgrad.distributions.distribution import Distribution, Shape


class MultivariateNormal(Distribution):
    """The normal distribution over vectors; one of three matrices says how they vary.

    Args:
        loc: The mean.
        covariance_matrix: The covariance matrix.
        precision_matrix: Its inverse, instead.
        scale_tril: Its lower Cholesky factor, instead: the cheapest of the three.
        validate_args: Whether parameters and samples are checked.

    Example:
        >>> d = fg.distributions.MultivariateNormal(fg.zeros(2), fg.eye(2))
        >>> d.log_prob(fg.zeros(2))
        tensor(-1.8379)
    """

    arg_constraints: ClassVar[dict[str, Constraint]] = {
        "loc": constraints.real_vector,
        "covariance_matrix": constraints.positive_definite,
        "precision_matrix": constraints.positive_definite,
        "scale_tril": constraints.lower_cholesky,
    }
    has_rsample = True

    loc: Tensor
    covariance_matrix: Tensor
    precision_matrix: Tensor
    scale_tril: Tensor
    _factor: Tensor

    def __init__(
        self,
        loc: Tensor,
        covariance_matrix: Tensor | None = None,
        precision_matrix: Tensor | None = None,
        scale_tril: Tensor | None = None,
        validate_args: bool | None = None,
    ) -> None:
        if loc.dim() < 1:
            raise ValueError("loc must be at least one-dimensional.")
        matrices = {
            "covariance_matrix": covariance_matrix,
            "scale_tril": scale_tril,
            "precision_matrix": precision_matrix,
        }
        given = {name: matrix for name, matrix in matrices.items() if matrix is not None}
        if len(given) != 1:
            raise ValueError(
                "Exactly one of covariance_matrix or precision_matrix or scale_tril may be "
                "specified."
            )
        ((name, matrix),) = given.items()
        if matrix.dim() < 2:
            raise ValueError(
                f"{name} must be at least two-dimensional, with optional leading batch dimensions"
            )
        batch = _core.broadcast_tensors(matrix[..., 0, 0], loc[..., 0])[0].shape
        self.loc = loc.expand((*batch, -1))
        matrix = matrix.expand((*batch, -1, -1))
        self.__dict__[name] = matrix
        super().__init__(batch, loc.shape[-1:], validate_args)
        if name == "scale_tril":
            self._factor = matrix
        elif name == "covariance_matrix":
            self._factor = _core.linalg.cholesky(matrix)
        else:
            # The factor of P reversed in both dimensions, transposed and inverted, is that of P⁻¹.
            reversed_factor = _core.linalg.cholesky(matrix.flip((-2, -1)))
            upper = reversed_factor.flip((-2, -1)).mT
            one = _core.eye(loc.shape[-1], dtype=loc.dtype)
            self._factor = _core.linalg.solve_triangular(upper, one, upper=False)

    def __getattr__(self, name: str) -> Any:
        if name == "scale_tril" and "_factor" in self.__dict__:
            return self._factor
        if name == "covariance_matrix" and "_factor" in self.__dict__:
            return self._factor @ self._factor.mT
        if name == "precision_matrix" and "_factor" in self.__dict__:
            return _core.cholesky_inverse(self._factor)
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def expand(self, batch_shape: Shape) -> Any:
        """Returns the same distribution over a larger batch."""
        made = super().expand(batch_shape)
        made._factor = self._factor.expand((*batch_shape, -1, -1))
        return made

    @property
    def support(self) -> Constraint:
        """All vectors."""
        return constraints.real_vector

    @property
    def mean(self) -> Tensor:
        """The mean."""
        return self.loc

    @property
    def mode(self) -> Tensor:
        """The mean."""
        return self.loc

    @property
    def variance(self) -> Tensor:
        """The variance of each entry."""
        return self._factor.square().sum(-1).expand(self._batch_shape + self._event_shape)

    def rsample(self, sample_shape: Shape = ()) -> Tensor:
        """Returns loc + scale_tril @ noise."""
        shape = self._extended_shape(sample_shape)
        noise = _core.empty(shape, dtype=self.loc.dtype).normal_()
        if self._factor.dim() == 2:  # one matrix for all
            return self.loc + noise @ self._factor.mT
        return self.loc + (self._factor @ noise.unsqueeze(-1)).squeeze(-1)

    def log_prob(self, value: Tensor) -> Tensor:
        """Returns the logarithm of the density."""
        self._validate_sample(value)
        k = self._event_shape[0]
        distance = value - self.loc
        if self._factor.ndim == 2:  # one factor for all: they are the columns of one system
            columns = distance.reshape(-1, k).mT
            white = _core.linalg.solve_triangular(self._factor, columns, upper=False)
            length = white.square().sum(0).reshape(distance.shape[:-1])
        else:
            columns = distance.unsqueeze(-1)
            white = _core.linalg.solve_triangular(self._factor, columns, upper=False)
            length = white.squeeze(-1).square().sum(-1)
        return -0.5 * (k * math.log(2 * math.pi) + length) - self._half_log_det()

    def entropy(self) -> Tensor:
        """Returns the entropy."""
        k = self._event_shape[0]
        total = 0.5 * k * (1.0 + math.log(2 * math.pi)) + self._half_log_det()
        return total.expand(self._batch_shape)

    def _half_log_det(self) -> Tensor:
        return self._factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)
