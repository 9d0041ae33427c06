"""Parametrizations of weights: by length and direction, by spectral norm, orthogonal."""

from __future__ import annotations

from fastgrad import _core
from fastgrad._core import Tensor
from fastgrad.autograd.grad_mode import no_grad
from fastgrad.nn.functional import normalize
from fastgrad.nn.modules.module import Module
from fastgrad.nn.utils import parametrize


def _norm_except(v: Tensor, dim: int | None) -> Tensor:
    """Returns the lengths of the slices along a dimension, of all elements for None."""
    if dim is None:
        return v.norm()
    others = [i for i in range(v.dim()) if i != dim % v.dim()]
    return _core.linalg.vector_norm(v, 2, others, keepdim=True) if others else v.abs()


class _WeightNorm(Module):
    def __init__(self, dim: int | None = 0) -> None:
        super().__init__()
        self.dim = None if dim == -1 else dim

    def forward(self, weight_g: Tensor, weight_v: Tensor) -> Tensor:
        return weight_v * (weight_g / _norm_except(weight_v, self.dim))

    def right_inverse(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        return _norm_except(weight, self.dim), weight


def weight_norm(module: Module, name: str = "weight", dim: int | None = 0) -> Module:
    """Parametrizes a weight by its length g and direction v: w = g v / ‖v‖.

    Args:
        module: The module.
        name: Its weight.
        dim: The dimension along which every slice has a length of its own; None for one length.

    Returns:
        The module; g and v are `parametrizations.<name>.original0` and `original1`.

    Example:
        >>> m = fg.nn.utils.parametrizations.weight_norm(fg.nn.Linear(20, 40))
        >>> m.parametrizations.weight.original0.shape
        fastgrad.Size([40, 1])
    """
    return parametrize.register_parametrization(module, name, _WeightNorm(dim), unsafe=True)


class _SpectralNorm(Module):
    """W over its largest singular value, which power iterations estimate while training."""

    _u: Tensor
    _v: Tensor

    def __init__(
        self, weight: Tensor, n_power_iterations: int = 1, dim: int = 0, eps: float = 1e-12
    ) -> None:
        super().__init__()
        if n_power_iterations <= 0:
            raise ValueError(
                "Expected n_power_iterations to be positive, but got "
                f"n_power_iterations={n_power_iterations}"
            )
        if not -weight.ndim <= dim < weight.ndim:
            raise IndexError(
                f"Dimension out of range (expected to be in range of [-{weight.ndim}, "
                f"{weight.ndim - 1}] but got {dim})"
            )
        self.dim = dim % weight.ndim
        self.eps = eps
        if weight.ndim > 1:
            self.n_power_iterations = n_power_iterations
            matrix = self._matrix(weight.detach())
            rows, columns = matrix.shape
            start_u, start_v = matrix.new_empty(rows), matrix.new_empty(columns)
            self.register_buffer("_u", normalize(start_u.normal_(), dim=0, eps=eps))
            self.register_buffer("_v", normalize(start_v.normal_(), dim=0, eps=eps))
            self._iterate(matrix, 15)

    def _matrix(self, weight: Tensor) -> Tensor:
        return weight.movedim(self.dim, 0).flatten(1)

    def _iterate(self, matrix: Tensor, times: int) -> None:
        with no_grad():
            for _ in range(times):
                self._u.copy_(normalize(matrix.mv(self._v), dim=0, eps=self.eps))
                self._v.copy_(normalize(matrix.t().mv(self._u), dim=0, eps=self.eps))

    def forward(self, weight: Tensor) -> Tensor:
        if weight.ndim == 1:
            return normalize(weight, dim=0, eps=self.eps)
        matrix = self._matrix(weight)
        if self.training:
            self._iterate(matrix.detach(), self.n_power_iterations)
        u, v = self._u.clone(), self._v.clone()
        return weight / u.dot(matrix.mv(v))

    def right_inverse(self, value: Tensor) -> Tensor:
        return value


def spectral_norm(
    module: Module,
    name: str = "weight",
    n_power_iterations: int = 1,
    eps: float = 1e-12,
    dim: int | None = None,
) -> Module:
    """Divides a weight by its largest singular value.

    Args:
        module: The module.
        name: Its weight.
        n_power_iterations: Iterations of the estimate per forward in training mode.
        eps: Keeps denominators from zero.
        dim: The dimension of the outputs; if not given, 0, or 1 for transposed convolutions.

    Returns:
        The module.

    Raises:
        ValueError: If there is no such tensor.

    Example:
        >>> fg.manual_seed(0)
        <fastgrad.Generator object at ...>
        >>> m = fg.nn.utils.parametrizations.spectral_norm(fg.nn.Linear(20, 40))
        >>> bool((fg.linalg.matrix_norm(m.weight, 2) - 1).abs() < 0.3)
        True
    """
    weight = getattr(module, name, None)
    if not isinstance(weight, Tensor):
        raise ValueError(f"Module '{module}' has no parameter or buffer with name '{name}'")
    if dim is None:
        dim = 1 if type(module).__name__.startswith("ConvTranspose") else 0
    made = _SpectralNorm(weight, n_power_iterations, dim, eps)
    return parametrize.register_parametrization(module, name, made)


class _Orthogonal(Module):
    """The exponential of a skew matrix, or products of reflections, times a fixed base."""

    base: Tensor

    def __init__(self, weight: Tensor, kind: str) -> None:
        super().__init__()
        self.kind = kind
        self.wide = weight.size(-2) < weight.size(-1)
        with no_grad():
            tall = weight.detach().mT if self.wide else weight.detach()
            q = _core.linalg.qr(tall)[0]
        self.register_buffer("base", q.clone())

    def forward(self, x: Tensor) -> Tensor:
        tall = x.mT if self.wide else x
        n, k = tall.size(-2), tall.size(-1)
        lower = tall.tril(-1)
        if n != k:
            filler = lower.new_zeros((*lower.shape[:-1], n - k))
            lower = _core.cat([lower, filler], dim=-1)
        skew = lower - lower.mT
        if self.kind == "matrix_exp":
            rotation = _core.linalg.matrix_exp(skew)
        else:
            identity = _core.eye(n, dtype=x.dtype)
            rotation = _core.linalg.solve(identity - 0.5 * skew, identity + 0.5 * skew)
        q = rotation @ self.base
        return q.mT if self.wide else q

    def right_inverse(self, value: Tensor) -> Tensor:
        with no_grad():
            tall = value.mT if self.wide else value
            self.base.copy_(_core.linalg.qr(tall)[0])
            return _core.zeros_like(value)


def orthogonal(
    module: Module,
    name: str = "weight",
    orthogonal_map: str | None = None,
    *,
    use_trivialization: bool = True,
) -> Module:
    """Keeps a weight orthogonal: its columns, or rows if it is wide, are orthonormal.

    Args:
        module: The module.
        name: Its weight, with at least two dimensions.
        orthogonal_map: `"matrix_exp"` or `"cayley"`: how a skew matrix becomes a rotation of the
            first value.
        use_trivialization: Has to be True: the rotation starts at the first value.

    Returns:
        The module.

    Raises:
        ValueError: If the weight has fewer than two dimensions, or the map is not known.

    Example:
        >>> m = fg.nn.utils.parametrizations.orthogonal(fg.nn.Linear(3, 5))
        >>> fg.allclose(m.weight.T @ m.weight, fg.eye(3), atol=1e-5)
        True
    """
    weight = getattr(module, name, None)
    if not isinstance(weight, Tensor):
        raise ValueError(f"Module '{module}' has no parameter or buffer with name '{name}'")
    if weight.ndim < 2:
        raise ValueError(
            f"Expected a matrix or batch of matrices. Got a tensor of {weight.ndim} dimensions."
        )
    if not use_trivialization:
        raise NotImplementedError("orthogonal: use_trivialization=False is not supported")
    kind = orthogonal_map or "matrix_exp"
    if kind not in ("matrix_exp", "cayley"):
        raise ValueError(
            f'orthogonal_map has to be one of "matrix_exp", "cayley". Got: {orthogonal_map}'
        )
    return parametrize.register_parametrization(module, name, _Orthogonal(weight, kind))
