"""Derivatives by differences of function values, to check others or where there are no others.

| method | first derivative | error | default step, times the scale of x |
|---|---|---|---|
| ``forward`` | (f(x + h) - f(x)) / h | O(h) | eps^(1/2) |
| ``central`` | (f(x + h) - f(x - h)) / 2h | O(h^2) | eps^(1/3) |
| ``complex`` | Im f(x + ih) / h | O(h^2), no cancellation | 1e-20 |
| ``richardson`` | central, extrapolated to h = 0 | estimated, and minimised | 0.1, halved 7 times |

eps is the spacing of numbers of x's dtype at 1. The steps of the first two balance truncation
against rounding [1, section 5.7; 2, section 8.6]; they are rounded so that x + h is a number.
Extrapolation follows Ridders [3], the complex step Squire and Trapp [4], and its use for second
derivatives Ridout [5]. The scale of an element is its magnitude, but at least 0.01, and 1 for
zero, which says nothing about the scale.

1. Press, Teukolsky, Vetterling, Flannery: Numerical Recipes, 3rd edition. Cambridge, 2007.
2. Gill, Murray, Wright: Practical Optimization. Academic Press, 1981.
3. Ridders: Accurate computation of F'(x) and F'(x) F''(x). Advances in Engineering Software 4 (2),
   75-76, 1982.
4. Squire, Trapp: Using complex variables to estimate derivatives of real functions. SIAM Review
   40 (1), 110-112, 1998.
5. Ridout: Statistical applications of the complex-step method of numerical differentiation. The
   American Statistician 63 (1), 66-74, 2009.

Example:
    >>> import fastgrad as fg
    >>> round(fg.numeric.gradient(lambda x: x**3, 2.0), 6)
    12.0
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import fastgrad as fg
from fastgrad._core import Tensor

if TYPE_CHECKING:
    import numpy as np

__all__ = ["gradient", "hessian", "jacobian"]

METHODS = ("forward", "central", "complex", "richardson")
_LEVELS = 8
_COMPLEX_STEP = 1e-20
_LARGEST_STEP = 0.1


class _Function:
    """A function of a flat float64 array, made from one of the user's kind of argument.

    Attributes:
        x: The point, flat.
        shape: Its shape.
        eps: Spacing of numbers of its dtype.
    """

    def __init__(self, name: str, func: Callable[[Any], Any], x: Any) -> None:
        import numpy as np

        self.name = name
        self.func = func
        self.kind = "tensor" if isinstance(x, Tensor) else "array"
        if isinstance(x, Tensor):
            self.dtype: Any = x.dtype
            real = x.dtype.is_floating_point
            values = x.detach().to(fg.float64).numpy() if real else None
        else:
            if isinstance(x, int | float) and not isinstance(x, bool | np.generic):
                self.kind, x = "number", float(x)
            found = np.asarray(x)
            self.dtype = found.dtype
            real = found.dtype.kind == "f"
            values = found.astype(np.float64) if real else None
        if values is None:
            raise TypeError(
                f"[numeric.{name}] expected x to be real and floating, got dtype {self.dtype}; "
                "convert it first."
            )
        self.shape = tuple(values.shape)
        self.x: np.ndarray[Any, Any] = values.reshape(-1).copy()
        info = fg.finfo(self.dtype) if self.kind == "tensor" else np.finfo(self.dtype)
        self.eps = float(info.eps)
        self.result_shape: tuple[int, ...] | None = None

    def _argument(self, flat: Any) -> Any:
        """Return a point in the user's kind; a complex one in NumPy's."""
        complex_valued = flat.dtype.kind == "c"
        if self.kind == "number":
            return complex(flat[0]) if complex_valued else float(flat[0])
        array = flat.reshape(self.shape)
        if complex_valued:
            return array
        return (
            fg.tensor(array).to(self.dtype) if self.kind == "tensor" else array.astype(self.dtype)
        )

    def rounded(self, flat: Any) -> Any:
        """Return a point as the user's dtype can hold it."""
        import numpy as np

        if self.dtype in (fg.float64, np.dtype(np.float64)):
            return flat
        if self.kind == "tensor":
            return fg.tensor(flat).to(self.dtype).to(fg.float64).numpy()
        return flat.astype(self.dtype).astype(np.float64)

    def __call__(self, flat: Any) -> Any:
        """Return the value at a point as a float64 or complex128 array."""
        import numpy as np

        value = self.func(self._argument(flat))
        if isinstance(value, Tensor):
            value = value.detach()
            value = value.to(fg.complex128 if value.dtype.is_complex else fg.float64).numpy()
        result = np.asarray(value)
        if result.dtype.kind not in "fciub":
            raise TypeError(
                f"[numeric.{self.name}] expected the function to return numbers, got "
                f"{type(value).__name__}."
            )
        result = result.astype(np.complex128 if result.dtype.kind == "c" else np.float64)
        self.result_shape = tuple(result.shape)
        return result

    def imaginary(self, flat: Any) -> Any:
        """Return the imaginary part of the value at a complex point."""
        try:
            value = self(flat)
        except (TypeError, RuntimeError, NotImplementedError) as error:
            raise TypeError(
                f"[numeric.{self.name}] method='complex' needs a function that takes complex "
                f"numbers, but this one raised {type(error).__name__}: {error}"
            ) from error
        if value.dtype.kind != "c":
            raise ValueError(
                f"[numeric.{self.name}] method='complex' needs a function that returns complex "
                "numbers for complex arguments, but this one returned real ones (does it use abs "
                "or float?)."
            )
        return value.imag

    def steps(self, method: str, step: Any, power: float) -> Any:
        """Return one step per element."""
        import numpy as np

        if method not in METHODS:
            raise ValueError(
                f"[numeric.{self.name}] expected method to be one of {', '.join(METHODS)}; got "
                f"{method!r}."
            )
        if step is not None:
            given = np.asarray(step.numpy() if isinstance(step, Tensor) else step, dtype=np.float64)
            if not np.all(given > 0):
                raise ValueError(f"[numeric.{self.name}] expected a positive step, got {step}.")
            return np.broadcast_to(given, self.shape).reshape(-1)
        size = np.abs(self.x)
        scale = np.where(size == 0, 1.0, np.maximum(size, 0.01))
        if method == "richardson":
            # A small argument is likely to be one that must not change its sign.
            largest: Any = np.where(size > 1e-6, size / 2, np.inf)
            return np.minimum(_LARGEST_STEP * scale, largest)
        return (_COMPLEX_STEP if method == "complex" else self.eps**power) * scale

    def moved(self, *moves: tuple[int, float]) -> Any:
        """Return the point with some elements moved."""
        flat = self.x.copy()
        for i, h in moves:
            flat[i] += h
        return self.rounded(flat)

    def moved_up_the_imaginary_axis(self, i: int, h: float) -> Any:
        """Return the point with i h added to an element."""
        import numpy as np

        flat = self.x.astype(np.complex128)
        flat[i] += 1j * h
        return flat

    def returned(self, values: Any, shape: tuple[int, ...]) -> Any:
        """Return derivatives in the kind of x."""
        import numpy as np

        array = np.asarray(values, dtype=np.float64).reshape(shape)
        if self.kind == "number" and shape == ():
            return float(array)
        if self.kind == "tensor":
            return fg.tensor(array).to(self.dtype)
        return array.astype(self.dtype)


def _extrapolated(estimate: Callable[[float], Any]) -> Any:
    """Return the limit of estimates with an error in even powers of the step.

    Args:
        estimate: Takes the factor by which to shrink the largest step.

    Of Neville's table the entry is taken, element by element, that differs least from those it was
    made of (Ridders).
    """
    import numpy as np

    row = [estimate(1.0)]
    best = row[0]
    error = np.full(np.shape(best), np.inf)
    for k in range(1, _LEVELS):
        previous, row = row, [estimate(0.5**k)]
        factor = 1.0
        for j in range(1, k + 1):
            factor *= 4.0
            row.append((factor * row[j - 1] - previous[j - 1]) / (factor - 1.0))
            with np.errstate(invalid="ignore"):
                found = np.maximum(abs(row[j] - row[j - 1]), abs(row[j] - previous[j - 1]))
            better = found < error
            best = np.where(better, row[j], best)
            error = np.where(better, found, error)
    return best


def _first_derivatives(f: _Function, method: str, step: Any) -> Any:
    """Return the derivatives with respect to each element of x, stacked in front."""
    import numpy as np

    steps = f.steps(method, step, 0.5 if method == "forward" else 1 / 3)
    here: Any = f(f.x) if method == "forward" or not f.x.size else None

    def derivative(i: int) -> Any:
        h = steps[i]
        if method == "complex":
            return f.imaginary(f.moved_up_the_imaginary_axis(i, h)) / h

        def difference(shrink: float) -> Any:
            up, down = f.moved((i, h * shrink)), f.moved((i, -h * shrink))
            return (f(up) - f(down)) / (up[i] - down[i])

        if method == "forward":
            up = f.moved((i, h))
            return (f(up) - here) / (up[i] - f.x[i])
        return _extrapolated(difference) if method == "richardson" else difference(1.0)

    if not f.x.size:
        return np.zeros((0, *np.shape(here)))
    return np.stack([derivative(i) for i in range(f.x.size)])


def gradient(
    func: Callable[[Any], Any], x: Any, *, method: str = "central", step: Any = None
) -> Any:
    """Return the gradient of a scalar function by differences.

    Args:
        func: Takes a point of the kind of ``x`` and returns one number, or an array or tensor with
            one element. With ``method="complex"`` it gets a complex number or array of NumPy's, and
            returns such.
        x: A float, an array or a tensor.
        method: ``"forward"``, ``"central"``, ``"complex"`` or ``"richardson"``.
        step: The step, or one per element; for ``"richardson"`` the largest. By default it goes
            with the size of each element.

    Returns:
        The derivatives in the kind, shape and dtype of ``x``.

    Raises:
        TypeError: If ``x`` is not floating, or ``func`` does not take complex numbers.
        ValueError: If ``func`` returns several elements, or real numbers for complex ones; if the
            method is unknown or the step not positive.

    Example:
        >>> import fastgrad as fg
        >>> fg.numeric.gradient(lambda x: (x**2).sum(), np.array([1.0, 2.0]), method="complex")
        array([2., 4.])
    """
    f = _Function("gradient", func, x)
    derivatives = _first_derivatives(f, method, step)
    if derivatives.size != f.x.size:
        raise ValueError(
            "[numeric.gradient] expected the function to return one element, got the shape "
            f"{f.result_shape}; call numeric.jacobian."
        )
    return f.returned(derivatives.reshape(f.shape), f.shape)


def jacobian(
    func: Callable[[Any], Any], x: Any, *, method: str = "central", step: Any = None
) -> Any:
    """Return the Jacobian of a function by differences: J_ij = dy_i/dx_j.

    Args:
        func: Takes a point of the kind of ``x`` and returns a number, an array or a tensor.
        x: As for :func:`gradient`.
        method: As for :func:`gradient`.
        step: As for :func:`gradient`.

    Returns:
        The derivatives in shape ``y.shape + x.shape``, in the kind and dtype of ``x``.

    Raises:
        TypeError: As for :func:`gradient`.
        ValueError: As for :func:`gradient`.

    Example:
        >>> import fastgrad as fg
        >>> fg.numeric.jacobian(lambda x: x * x.sum(), np.array([1.0, 2.0])).round(6)
        array([[4., 1.],
               [2., 5.]])
    """
    import numpy as np

    f = _Function("jacobian", func, x)
    derivatives = _first_derivatives(f, method, step)
    shape = tuple(derivatives.shape[1:]) + f.shape
    return f.returned(np.moveaxis(derivatives, 0, -1), shape)


def hessian(
    func: Callable[[Any], Any], x: Any, *, method: str = "central", step: Any = None
) -> Any:
    """Return the second derivatives of a scalar function by differences of its values.

    ``"complex"`` takes a central difference of complex-step derivatives. For a function whose
    gradient is known, ``jacobian(gradient, x)`` is more accurate.

    Args:
        func: As for :func:`gradient`.
        x: As for :func:`gradient`.
        method: As for :func:`gradient`.
        step: As for :func:`gradient`; for ``"complex"`` the step of the central difference. The
            default is larger than for first derivatives, as differences of differences are rounded
            more: eps^(1/3) for ``"forward"`` and ``"complex"``, eps^(1/4) for ``"central"``.

    Returns:
        The derivatives in shape ``x.shape + x.shape``, in the kind and dtype of ``x``.

    Raises:
        TypeError: As for :func:`gradient`.
        ValueError: As for :func:`gradient`.

    Example:
        >>> import fastgrad as fg
        >>> fg.numeric.hessian(lambda x: x[0] ** 2 * x[1], np.array([1.0, 2.0])).round(4)
        array([[4., 2.],
               [2., 0.]])
    """
    import numpy as np

    f = _Function("hessian", func, x)
    if method == "complex":
        steps = f.steps("central", step, 1 / 3)
    else:
        steps = f.steps(method, step, 1 / 3 if method == "forward" else 1 / 4)
    here = f(f.x)
    if here.size != 1:
        raise ValueError(
            "[numeric.hessian] expected the function to return one element, got the shape "
            f"{f.result_shape}."
        )

    def forward(i: int, j: int) -> Any:
        a, b = f.moved((i, steps[i])), f.moved((j, steps[j]))
        both = f.moved((i, steps[i]), (j, steps[j]))
        return (f(both) - f(a) - f(b) + here) / ((a[i] - f.x[i]) * (b[j] - f.x[j]))

    def central(i: int, j: int, shrink: float = 1.0) -> Any:
        h, k = steps[i] * shrink, steps[j] * shrink
        up, down = f.moved((i, h)), f.moved((i, -h))
        if i == j:
            half = (up[i] - down[i]) / 2
            return (f(up) - 2 * here + f(down)) / half**2
        right, left = f.moved((j, k)), f.moved((j, -k))
        area = (up[i] - down[i]) * (right[j] - left[j])
        return (
            f(f.moved((i, h), (j, k)))
            - f(f.moved((i, h), (j, -k)))
            - f(f.moved((i, -h), (j, k)))
            + f(f.moved((i, -h), (j, -k)))
        ) / area

    def by_complex_step(i: int, j: int) -> Any:
        h = _COMPLEX_STEP * max(abs(f.x[i]), 0.01)
        up, down = f.moved_up_the_imaginary_axis(i, h), f.moved_up_the_imaginary_axis(i, h)
        up[j] += steps[j]
        down[j] -= steps[j]
        return (f.imaginary(up) - f.imaginary(down)) / (h * (up[j] - down[j]).real)

    def second(i: int, j: int) -> float:
        if method == "forward":
            found = forward(i, j)
        elif method == "central":
            found = central(i, j)
        elif method == "complex":
            found = (by_complex_step(i, j) + by_complex_step(j, i)) / 2
        else:
            found = _extrapolated(lambda shrink: central(i, j, shrink))
        return float(np.asarray(found).reshape(()))

    n = f.x.size
    values = np.zeros((n, n))
    for i in range(n):
        for j in range(i + 1):
            values[i, j] = values[j, i] = second(i, j)
    return f.returned(values, f.shape + f.shape)
