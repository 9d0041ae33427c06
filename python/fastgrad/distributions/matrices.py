"""Normal vectors of low rank, and distributions over matrices."""

from __future__ import annotations

import math
from typing import Any, ClassVar

from fastgrad import _core
from fastgrad._core import Tensor
from fastgrad._type_info import finfo
from fastgrad.autograd import no_grad
from fastgrad.distributions import constraints
from fastgrad.distributions.constraints import Constraint
from fastgrad.distributions.distribution import Distribution, Shape, broadcast_all
from fastgrad.distributions.gamma import Beta, standard_gamma


def _half_log_det(factor: Tensor) -> Tensor:
    """Returns half the logarithm of the determinant of a matrix, by its Cholesky factor."""
    return factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)


class LowRankMultivariateNormal(Distribution):
    """The normal distribution over vectors with covariance W W' + diag(d).

    Args:
        loc: The mean, of size n.
        cov_factor: W, n x m with m below n.
        cov_diag: d, positive.
        validate_args: Whether parameters and samples are checked.

    Example:
        >>> d = fg.distributions.LowRankMultivariateNormal(fg.zeros(2), fg.ones(2, 1), fg.ones(2))
        >>> d.covariance_matrix
        tensor([[2., 1.],
                [1., 2.]])
    """

    arg_constraints: ClassVar[dict[str, Constraint]] = {
        "loc": constraints.real_vector,
        "cov_factor": constraints.independent(constraints.real, 2),
        "cov_diag": constraints.independent(constraints.positive, 1),
    }
    has_rsample = True

    def __init__(
        self,
        loc: Tensor,
        cov_factor: Tensor,
        cov_diag: Tensor,
        validate_args: bool | None = None,
    ) -> None:
        if loc.dim() < 1:
            raise ValueError("loc must be at least one-dimensional.")
        n = loc.shape[-1:]
        if cov_factor.dim() < 2:
            raise ValueError(
                "cov_factor must be at least two-dimensional, with optional leading batch "
                "dimensions"
            )
        if cov_factor.shape[-2:-1] != n:
            raise ValueError(f"cov_factor must be a batch of matrices with shape {n[0]} x m")
        if cov_diag.shape[-1:] != n:
            raise ValueError(f"cov_diag must be a batch of vectors with shape {n}")
        batch = _core.broadcast_shapes(loc.shape[:-1], cov_factor.shape[:-2], cov_diag.shape[:-1])  # type: ignore[call-overload]
        self.loc, self.cov_diag = loc.expand((*batch, -1)), cov_diag.expand((*batch, -1))
        self.cov_factor = cov_factor.expand((*batch, -1, -1))
        super().__init__(batch, n, validate_args)

    @property
    def _capacitance(self) -> Tensor:
        """The Cholesky factor of 1 + W' diag(d)^-1 W, by which the inverse is known."""
        scaled = self.cov_factor / self.cov_diag.unsqueeze(-1)
        one = _core.eye(self.cov_factor.shape[-1], dtype=self.loc.dtype)
        return _core.linalg.cholesky(one + self.cov_factor.mT @ scaled)

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
        return self.cov_factor.square().sum(-1) + self.cov_diag

    @property
    def covariance_matrix(self) -> Tensor:
        """The covariance matrix."""
        return self.cov_factor @ self.cov_factor.mT + _core.diag_embed(self.cov_diag)

    @property
    def precision_matrix(self) -> Tensor:
        """The inverse of the covariance matrix."""
        scaled = self.cov_factor.mT / self.cov_diag.unsqueeze(-2)
        a = _core.linalg.solve_triangular(self._capacitance, scaled, upper=False)
        return _core.diag_embed(self.cov_diag.reciprocal()) - a.mT @ a

    @property
    def scale_tril(self) -> Tensor:
        """The Cholesky factor of the covariance matrix."""
        return _core.linalg.cholesky(self.covariance_matrix)

    def rsample(self, sample_shape: Shape = ()) -> Tensor:
        """Returns loc + W noise + sqrt(d) noise."""
        shape = self._extended_shape(sample_shape)
        common = _core.empty((*shape[:-1], self.cov_factor.shape[-1]), dtype=self.loc.dtype)
        own = _core.empty(shape, dtype=self.loc.dtype).normal_()
        moved = (self.cov_factor @ common.normal_().unsqueeze(-1)).squeeze(-1)
        return self.loc + moved + self.cov_diag.sqrt() * own

    def log_prob(self, value: Tensor) -> Tensor:
        """Returns the logarithm of the density."""
        self._validate_sample(value)
        off = value - self.loc
        inner = (self.cov_factor.mT @ (off / self.cov_diag).unsqueeze(-1)).squeeze(-1)
        white = _core.linalg.solve_triangular(
            self._capacitance, inner.unsqueeze(-1), upper=False
        ).squeeze(-1)
        length = (off.square() / self.cov_diag).sum(-1) - white.square().sum(-1)
        k = self._event_shape[0]
        return -0.5 * (k * math.log(2 * math.pi) + self._log_det() + length)

    def _log_det(self) -> Tensor:
        return 2 * _half_log_det(self._capacitance) + self.cov_diag.log().sum(-1)

    def entropy(self) -> Tensor:
        """Returns the entropy."""
        k = self._event_shape[0]
        return 0.5 * (k * (1.0 + math.log(2 * math.pi)) + self._log_det())


class Wishart(Distribution):
    """The Wishart distribution over covariance matrices of normal vectors.

    Args:
        df: The degrees of freedom, above the size of the matrix less one.
        covariance_matrix: The scale matrix.
        precision_matrix: Its inverse, instead.
        scale_tril: Its lower Cholesky factor, instead.
        validate_args: Whether parameters and samples are checked.

    Example:
        >>> fg.distributions.Wishart(fg.tensor(3.0), fg.eye(2)).mean
        tensor([[3., 0.],
                [0., 3.]])
    """

    arg_constraints: ClassVar[dict[str, Constraint]] = {
        "df": constraints.positive,
        "covariance_matrix": constraints.positive_definite,
        "precision_matrix": constraints.positive_definite,
        "scale_tril": constraints.lower_cholesky,
    }

    def __init__(
        self,
        df: Tensor | float,
        covariance_matrix: Tensor | None = None,
        precision_matrix: Tensor | None = None,
        scale_tril: Tensor | None = None,
        validate_args: bool | None = None,
    ) -> None:
        given = [m for m in (covariance_matrix, precision_matrix, scale_tril) if m is not None]
        if len(given) != 1:
            raise ValueError(
                "Exactly one of covariance_matrix or precision_matrix or scale_tril may be "
                "specified."
            )
        (matrix,) = given
        if matrix.dim() < 2:
            raise ValueError(
                "scale_tril must be at least two-dimensional, with optional leading batch "
                "dimensions"
            )
        df = _core.as_tensor(df, dtype=matrix.dtype)
        batch = _core.broadcast_shapes(matrix.shape[:-2], df.shape)  # type: ignore[call-overload]
        size = matrix.shape[-1]
        if bool((df <= size - 1).any()):
            raise ValueError(f"Value of df={df} expected to be greater than ndim - 1 = {size - 1}.")
        self.df = df.expand(batch)
        matrix = matrix.expand((*batch, -1, -1))
        if covariance_matrix is not None:
            self.covariance_matrix, self._factor = matrix, _core.linalg.cholesky(matrix)
        elif scale_tril is not None:
            self.scale_tril = self._factor = matrix
        else:
            self.precision_matrix = matrix
            self._factor = _core.linalg.cholesky(_core.linalg.inv(matrix))
        super().__init__(batch, matrix.shape[-2:], validate_args)

    def __getattr__(self, name: str) -> Any:
        if name in self.arg_constraints and "_factor" in self.__dict__:
            if name == "scale_tril":
                return self._factor
            if name == "covariance_matrix":
                return self._factor @ self._factor.mT
            return _core.cholesky_inverse(self._factor)
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def expand(self, batch_shape: Shape) -> Any:
        """Returns the same distribution over a larger batch."""
        made = super().expand(batch_shape)
        made._factor = self._factor.expand((*batch_shape, -1, -1))
        return made

    @property
    def support(self) -> Constraint:
        """Positive definite matrices."""
        return constraints.positive_definite

    @property
    def mean(self) -> Tensor:
        """The mean."""
        return self.df[..., None, None] * (self._factor @ self._factor.mT)

    @property
    def mode(self) -> Tensor:
        """The most probable matrix; NaN where the density has no maximum."""
        factor = self.df - self._event_shape[-1] - 1
        factor = _core.where(factor > 0, factor, math.nan)
        return factor[..., None, None] * (self._factor @ self._factor.mT)

    @property
    def variance(self) -> Tensor:
        """The variance of each entry."""
        v = self._factor @ self._factor.mT
        d = v.diagonal(dim1=-2, dim2=-1)
        return self.df[..., None, None] * (v.square() + d.unsqueeze(-1) * d.unsqueeze(-2))

    def sample(self, sample_shape: Shape = ()) -> Tensor:
        """Returns samples, without gradients: Bartlett's decomposition."""
        with no_grad():
            shape = self._extended_shape(sample_shape)
            n = shape[-1]
            freedom = self.df.unsqueeze(-1) - _core.arange(n, dtype=self.df.dtype)
            squares = 2 * standard_gamma((freedom / 2).expand((*shape[:-2], n)))
            noise = _core.randn(shape, dtype=self.df.dtype).tril(-1)
            half = self._factor @ (noise + _core.diag_embed(squares.sqrt()))
            return half @ half.mT

    def _log_norm(self) -> Tensor:
        n, df = self._event_shape[-1], self.df
        log_two = df * n / 2 * math.log(2)
        return log_two + df * _half_log_det(self._factor) + _core.mvlgamma(df / 2, n)

    def log_prob(self, value: Tensor) -> Tensor:
        """Returns the logarithm of the density."""
        self._validate_sample(value)
        n = self._event_shape[-1]
        factor = self._factor.expand((*value.shape[:-2], n, n))
        ratio = _core.cholesky_solve(value, factor)
        trace = ratio.diagonal(dim1=-2, dim2=-1).sum(-1)
        log_det = _core.linalg.slogdet(value)[1]
        return (self.df - n - 1) / 2 * log_det - trace / 2 - self._log_norm()

    def entropy(self) -> Tensor:
        """Returns the entropy."""
        n, df = self._event_shape[-1], self.df
        parts = df.unsqueeze(-1) / 2 - _core.arange(n, dtype=df.dtype) / 2
        log_det = _core.digamma(parts).sum(-1) + n * math.log(2) + 2 * _half_log_det(self._factor)
        return self._log_norm() - (df - n - 1) / 2 * log_det + df * n / 2


class LKJCholesky(Distribution):
    """Cholesky factors of correlation matrices, with density proportional to det**(c - 1).

    Args:
        dim: The size of the matrices.
        concentration: c; 1 makes all correlation matrices equally probable.
        validate_args: Whether parameters and samples are checked.

    Example:
        >>> fg.distributions.LKJCholesky(2, 1.0).log_prob(fg.eye(2))
        tensor(-0.6931)
    """

    arg_constraints: ClassVar[dict[str, Constraint]] = {"concentration": constraints.positive}

    def __init__(
        self,
        dim: int,
        concentration: Tensor | float = 1.0,
        validate_args: bool | None = None,
    ) -> None:
        if dim < 2:
            raise ValueError(
                f"Expected dim to be an integer greater than or equal to 2. Found dim={dim}."
            )
        self.dim = dim
        (self.concentration,) = broadcast_all(concentration)
        super().__init__(self.concentration.shape, (dim, dim), validate_args)

    @property
    def support(self) -> Constraint:
        """Cholesky factors of correlation matrices."""
        return constraints.corr_cholesky

    def sample(self, sample_shape: Shape = ()) -> Tensor:
        """Returns samples, without gradients, row by row: a radius and a direction each."""
        with no_grad():
            c = self.concentration
            # Row i > 0 has i entries before the diagonal; row 0, which has none, draws in vain.
            entries = _core.arange(self.dim, dtype=c.dtype).clamp(min=1)
            a, b = entries / 2, c.unsqueeze(-1) + (self.dim - 1 - entries) / 2
            shape = self._extended_shape(sample_shape)
            squares = Beta(a.expand_as(b), b, validate_args=False).sample(sample_shape)
            squares = squares.unsqueeze(-1)
            noise = _core.randn(shape, dtype=c.dtype).tril(-1)
            length = noise.square().sum(-1, keepdim=True).sqrt()
            direction = _core.where(length > 0, noise / length, 0.0)
            rows = squares.sqrt() * direction
            rows[..., 0, :] = 0.0
            rest = (1 - rows.square().sum(-1)).clamp(min=finfo(c.dtype).tiny).sqrt()
            return rows + _core.diag_embed(rest)

    def log_prob(self, value: Tensor) -> Tensor:
        """Returns the logarithm of the density."""
        self._validate_sample(value)
        c, n = self.concentration, self.dim
        diagonal = value.diagonal(dim1=-1, dim2=-2)[..., 1:]
        order = 2 * (c - 1).unsqueeze(-1) + n - _core.arange(2, n + 1, dtype=c.dtype)
        unnormalised = (order * diagonal.log()).sum(-1)
        alpha = c + 0.5 * (n - 1)
        norm = 0.5 * (n - 1) * math.log(math.pi) + _core.mvlgamma(alpha - 0.5, n - 1)
        return unnormalised - norm + _core.lgamma(alpha) * (n - 1)
