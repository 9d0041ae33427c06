"""Comparison of gradients with central differences."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import fastgrad as fg
from fastgrad._core import Tensor
from fastgrad.autograd.engine import grad
from fastgrad.autograd.function import Function

__all__ = ["GradcheckError", "gradcheck", "gradgradcheck"]


class GradcheckError(RuntimeError):
    """Raised by :func:`gradcheck` and :func:`gradgradcheck` when a gradient is wrong."""


class _Undefined(Function):
    """The identity forward; an absent gradient backward."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, g: Any) -> None:
        return None


def _as_tuple(value: Any) -> tuple[Any, ...]:
    return tuple(value) if isinstance(value, tuple | list) else (value,)


def _differentiable(tree: Any) -> Iterator[Tensor]:
    """Yield the tensors in nested sequences that require grad."""
    if isinstance(tree, Tensor):
        if tree.requires_grad:
            yield tree
    elif isinstance(tree, tuple | list):
        for item in tree:
            yield from _differentiable(item)


def _real_vector(t: Tensor) -> Tensor:
    """Flatten a tensor; of a complex one, first all real parts, then all imaginary parts."""
    t = t.detach()
    if t.dtype.is_complex:
        return fg.cat([t.real.reshape(-1), t.imag.reshape(-1)])
    return t.reshape(-1).clone()


def _check_inputs(inputs: tuple[Any, ...]) -> list[Tensor]:
    wanted = list(_differentiable(inputs))
    for index, x in enumerate(wanted):
        if x.dtype not in (fg.float64, fg.complex128):
            warnings.warn(
                f"Input #{index} requires gradient and is not a double precision floating point or "
                f"complex, but {x.dtype}. This check will likely fail.",
                stacklevel=4,
            )
        if any(stride == 0 and size > 1 for stride, size in zip(x.stride(), x.shape, strict=True)):
            raise RuntimeError(
                f"The {index}th input has a dimension with stride 0. gradcheck only supports "
                "inputs that are non-overlapping, since it changes one element at a time; call "
                ".contiguous() on it first."
            )
    if not wanted:
        raise ValueError(
            "gradcheck expects at least one input tensor to require gradient, but none of them "
            "have requires_grad=True."
        )
    return wanted


class _Problem:
    """A function with its arguments, seen as a real map that can be differenced."""

    def __init__(self, func: Callable[..., Any], inputs: tuple[Any, ...], eps: float) -> None:
        self.func = func
        self.inputs = inputs
        self.wanted = _check_inputs(inputs)
        self.eps = eps
        self.outputs = self.evaluate()

    def evaluate(self) -> list[Tensor]:
        """Call the function; return its real and complex outputs (indices have no derivative)."""
        return [
            o
            for o in _as_tuple(self.func(*self.inputs))
            if isinstance(o, Tensor) and (o.dtype.is_floating_point or o.dtype.is_complex)
        ]

    def difference(self, data: Tensor, move: Callable[[Any], None]) -> list[Tensor]:
        """Return central differences of every output, where ``move(h)`` shifts an input by h."""
        before = data.clone()
        sides = []
        try:
            for step in (self.eps, -self.eps):
                move(step)
                sides.append([_real_vector(o) for o in self.evaluate()])
                data.copy_(before)
        finally:
            data.copy_(before)
        plus, minus = sides
        if [p.shape for p in plus] != [m.shape for m in minus]:
            raise GradcheckError(
                "Expected the function to return outputs of the same shapes when an input is "
                f"moved by {self.eps}, got {[tuple(p.shape) for p in plus]} and "
                f"{[tuple(m.shape) for m in minus]} elements."
            )
        return [(p - m) / (2 * self.eps) for p, m in zip(plus, minus, strict=True)]

    def numerical(self, x: Tensor) -> list[Tensor]:
        """Return, per output, the Jacobian with one row per element of ``x``.

        A complex element gets the convention of gradients: d/d(real) + i d/d(imaginary).
        """
        # `.data` has its own version counter: graphs recorded before stay valid, and the values
        # are back in place when they are used.
        data = x.data
        rows: list[list[Tensor]] = []
        for index in _indices(tuple(x.shape)):

            def move(step: float, index: tuple[int, ...] = index, unit: complex = 1) -> None:
                data[index] += step * unit

            row = self.difference(data, move)
            if x.dtype.is_complex:
                imaginary = self.difference(data, functools.partial(move, unit=1j))
                row = [re + 1j * im for re, im in zip(row, imaginary, strict=True)]
            rows.append(row)
        return [
            fg.stack([row[k] for row in rows]) if rows else fg.zeros((0, _real_vector(o).numel()))
            for k, o in enumerate(self.outputs)
        ]

    def analytical(self, output: Tensor) -> list[Tensor]:
        """Return, per input, the Jacobian of ``output`` with one row per element of the input."""
        columns: list[list[Tensor]] = [[] for _ in self.wanted]
        seeds = (1.0, 1j) if output.dtype.is_complex else (1.0,)
        for seed in seeds:
            for index in _indices(tuple(output.shape)):
                direction = fg.zeros_like(output)
                direction[index] = seed
                for column, gradient in zip(columns, self.pull(output, direction), strict=True):
                    column.append(gradient.reshape(-1))
        return [
            fg.stack(column, 1) if column else fg.zeros((x.numel(), 0), dtype=x.dtype)
            for column, x in zip(columns, self.wanted, strict=True)
        ]

    def pull(self, output: Tensor, direction: Tensor) -> list[Tensor]:
        """Return the gradient of every input, zeros where there is none, after checking shapes."""
        gradients = grad(output, self.wanted, direction, retain_graph=True, allow_unused=True)
        found = []
        for gradient, x in zip(gradients, self.wanted, strict=True):
            if gradient is not None and gradient.shape != x.shape:
                raise GradcheckError(
                    f"Analytical gradient has incorrect size: {tuple(gradient.shape)} for an input "
                    f"of size {tuple(x.shape)}."
                )
            found.append(fg.zeros_like(x) if gradient is None else gradient.detach())
        return found


def _indices(shape: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    """Yield all indices of an array in row-major order."""
    if not shape:
        yield ()
        return
    for first in range(shape[0]):
        for rest in _indices(shape[1:]):
            yield (first, *rest)


def _close(a: Tensor, b: Tensor, rtol: float, atol: float) -> bool:
    common = fg.promote_types(a.dtype, b.dtype)
    return bool(fg.allclose(a.to(common), b.to(common), rtol=rtol, atol=atol))


def _mismatch(output: int, wanted: int, numerical: Tensor, analytical: Tensor) -> str:
    text = (
        f"Jacobian mismatch for output {output} with respect to input {wanted},\n"
        f"numerical:{numerical}\nanalytical:{analytical}\n"
    )
    difference = (numerical - analytical).abs()
    worst = int(difference.argmax())
    row, column = divmod(worst, int(difference.shape[1]))
    return text + (
        f"The largest difference is {difference.reshape(-1)[worst].item():.6g}, between element "
        f"{row} of the input and element {column} of the output, both flattened.\n"
    )


def _check_repeatable(first: Sequence[Tensor], second: Sequence[Tensor], nondet_tol: float) -> None:
    for a, b in zip(first, second, strict=True):
        # NaN in both runs is no lack of determinism.
        if a.numel() and bool(((a - b).abs() > nondet_tol).any()):
            raise GradcheckError(
                "Backward is not reentrant, i.e., running backward with same input and grad_output "
                "multiple times gives different values. The tolerance for nondeterminism was "
                f"{nondet_tol}; pass nondet_tol to allow more."
            )


def _check_elementwise(problem: _Problem, rtol: float, atol: float, nondet_tol: float) -> None:
    """Compare whole Jacobians."""
    numerical = [problem.numerical(x) for x in problem.wanted]
    for k, output in enumerate(problem.outputs):
        if not output.requires_grad:
            # Outputs without a gradient are constants, or their function hides a dependence.
            if not any(o.requires_grad for o in problem.outputs) and any(
                bool((jacobians[k] != 0).any()) for jacobians in numerical
            ):
                raise GradcheckError("Numerical gradient for function expected to be zero")
            continue
        analytical = problem.analytical(output)
        _check_repeatable(analytical, problem.analytical(output), nondet_tol)
        for index, (a, jacobians) in enumerate(zip(analytical, numerical, strict=True)):
            if not _close(a, jacobians[k], rtol, atol):
                raise GradcheckError(_mismatch(k, index, jacobians[k], a))


def _check_projections(problem: _Problem, rtol: float, atol: float, nondet_tol: float) -> None:
    """Compare one random projection ``v' J u`` of each Jacobian."""
    # A generator of its own leaves the user's random numbers as they are.
    generator = fg.Generator()
    generator.manual_seed(0)

    def unit(t: Tensor) -> Tensor:
        u = fg.rand(t.numel(), generator=generator, dtype=fg.float64).to(t.dtype)
        return (u / u.norm()).reshape(t.shape)

    directions = [unit(x) for x in problem.wanted]
    weights = [unit(o) for o in problem.outputs]
    pulled = []
    for output, weight in zip(problem.outputs, weights, strict=True):
        if not output.requires_grad:
            pulled.append([fg.zeros_like(x) for x in problem.wanted])
            continue
        pulled.append(problem.pull(output, weight))
        _check_repeatable(pulled[-1], problem.pull(output, weight), nondet_tol)

    for index, (x, u) in enumerate(zip(problem.wanted, directions, strict=True)):
        data = x.data

        def move(step: float, data: Tensor = data, u: Tensor = u) -> None:
            data.add_(u, alpha=step)

        pushed = problem.difference(data, move)
        for k, (jvp, weight) in enumerate(zip(pushed, weights, strict=True)):
            numerical = (jvp * weight.reshape(-1)).sum()
            analytical = (pulled[k][index] * u).sum()
            # An error of atol in every entry of J is one of atol * sum(u) * sum(v) in v' J u.
            scaled_atol = atol * float(u.sum()) * float(weight.sum())
            if _close(analytical, numerical, rtol, scaled_atol):
                continue
            if not problem.outputs[k].requires_grad:
                raise GradcheckError("Numerical gradient for function expected to be zero")
            full_numerical = problem.numerical(x)[k]
            full_analytical = problem.analytical(problem.outputs[k])[index]
            message = _mismatch(k, index, full_numerical, full_analytical)
            if _close(full_analytical, full_numerical, rtol, atol):
                message += (
                    "Only the random projection of fast mode differs; element by element the "
                    "Jacobians agree: call gradcheck with fast_mode=False.\n"
                )
            raise GradcheckError(message)


def _check_zero_gradient_out(problem: _Problem, check_dtypes: bool) -> None:
    """Zero gradients of the outputs give zero gradients of the inputs, of the right kind."""
    outputs = [o for o in problem.outputs if o.requires_grad]
    zeros = [fg.zeros_like(o) for o in outputs]
    gradients = grad(outputs, problem.wanted, zeros, retain_graph=True, allow_unused=True)
    for gradient, x in zip(gradients, problem.wanted, strict=True):
        if gradient is None:
            continue
        if not bool((gradient == 0).all()):
            raise GradcheckError("backward not multiplied by grad_output")
        if gradient.dtype != x.dtype:
            text = "Gradient has dtype mismatch" if check_dtypes else "grad is incorrect type"
            raise GradcheckError(f"{text}: {gradient.dtype} for an input of {x.dtype}.")
        if gradient.device != x.device:
            raise GradcheckError("grad is incorrect device")


def _check_undefined(problem: _Problem) -> None:
    """Absent gradients of all outputs, and of each output alone, act as zeros."""
    count = sum(o.requires_grad for o in problem.outputs)
    cases = [set(range(count))]
    if count > 1:
        cases += [{k} for k in range(count)]
    for absent in cases:
        outputs = [o for o in problem.evaluate() if o.requires_grad]
        outputs = [_Undefined.apply(o) if k in absent else o for k, o in enumerate(outputs)]
        zeros = [fg.zeros_like(o) for o in outputs]
        try:
            gradients = grad(outputs, problem.wanted, zeros, allow_unused=True)
        except RuntimeError as error:
            raise GradcheckError(
                "Expected backward function to handle undefined output grads; with the gradients "
                f"of outputs {sorted(absent)} absent it raised: {error}"
            ) from error
        if any(g is not None and not bool((g == 0).all()) for g in gradients):
            raise GradcheckError(
                "Expected all input grads to be undefined or zero when all output grads are "
                "undefined or zero."
            )


def gradcheck(
    func: Callable[..., Any],
    inputs: Any,
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    raise_exception: bool = True,
    nondet_tol: float = 0.0,
    check_undefined_grad: bool = True,
    check_grad_dtypes: bool = False,
    fast_mode: bool = False,
    masked: bool | None = None,
) -> bool:
    """Compare the gradients of ``func`` with central differences.

    For every output y and every input x that requires grad, the Jacobians must satisfy
    ``|J - N| <= atol + rtol * |N|``, where column by column ``N = (y(x + eps) - y(x - eps)) /
    (2 eps)``. Backward must also be repeatable, give zeros for zeros, and accept absent gradients.

    Args:
        func: A function of ``inputs`` that returns a tensor or a tuple of tensors.
        inputs: A tensor or a tuple of arguments; those that require grad are checked and should be
            float64. Their values are changed during the check and put back.
        eps: Step of the differences.
        atol: Absolute tolerance.
        rtol: Relative tolerance.
        raise_exception: Raise on failure; if False, return False.
        nondet_tol: How much two backward passes over the same graph may differ.
        check_undefined_grad: Whether to check that absent output gradients are accepted.
        check_grad_dtypes: Whether the error for a gradient of another dtype than its input's is
            PyTorch's for this flag; it is an error in any case.
        fast_mode: Compare one random projection of each Jacobian instead of all its entries.
            Functions with complex inputs or outputs are compared in full.
        masked: Concerns sparse tensors, which fastgrad does not have; no effect.

    Returns:
        True if all gradients agree; False otherwise, if ``raise_exception`` is False.

    Raises:
        GradcheckError: If a gradient is wrong.
        ValueError: If no input requires grad.
        RuntimeError: If an input overlaps itself in memory.

    Example:
        >>> import fastgrad as fg
        >>> x = fg.tensor([0.5, 1.5], dtype=fg.float64, requires_grad=True)
        >>> fg.autograd.gradcheck(lambda x: x.sin() * x, x)
        True
    """
    del masked
    inputs = _as_tuple(inputs)
    problem = _Problem(func, inputs, eps)
    try:
        with_complex = any(t.dtype.is_complex for t in (*problem.wanted, *problem.outputs))
        compare = _check_projections if fast_mode and not with_complex else _check_elementwise
        compare(problem, rtol, atol, nondet_tol)
        if any(o.requires_grad for o in problem.outputs):
            _check_zero_gradient_out(problem, check_grad_dtypes)
            if check_undefined_grad:
                _check_undefined(problem)
    except GradcheckError:
        if raise_exception:
            raise
        return False
    return True


def gradgradcheck(
    func: Callable[..., Any],
    inputs: Any,
    grad_outputs: Any = None,
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    gen_non_contig_grad_outputs: bool = False,
    raise_exception: bool = True,
    nondet_tol: float = 0.0,
    check_undefined_grad: bool = True,
    check_grad_dtypes: bool = False,
    fast_mode: bool = False,
    masked: bool = False,
) -> bool:
    """Compare second derivatives of ``func`` with central differences of its gradients.

    Checks ``(x, v) -> v' J(x)`` with :func:`gradcheck`, in the inputs x and the output gradients v.

    Args:
        func: A function of ``inputs`` that returns a tensor or a tuple of tensors.
        inputs: As for :func:`gradcheck`.
        grad_outputs: The v above, one per output that requires grad; random if None.
        eps: Step of the differences.
        atol: Absolute tolerance.
        rtol: Relative tolerance.
        gen_non_contig_grad_outputs: Whether random ``grad_outputs`` are made non-contiguous.
        raise_exception: Raise on failure; if False, return False.
        nondet_tol: How much two backward passes over the same graph may differ.
        check_undefined_grad: Whether to check that absent output gradients are accepted.
        check_grad_dtypes: As for :func:`gradcheck`.
        fast_mode: Compare random projections instead of all entries.
        masked: No effect, as for :func:`gradcheck`.

    Returns:
        True if all derivatives agree; False otherwise, if ``raise_exception`` is False.

    Raises:
        GradcheckError: If a derivative is wrong.

    Example:
        >>> import fastgrad as fg
        >>> x = fg.tensor([0.5, 1.5], dtype=fg.float64, requires_grad=True)
        >>> fg.autograd.gradgradcheck(lambda x: x**3, x)
        True
    """
    inputs = _as_tuple(inputs)
    if grad_outputs is None:
        from fastgrad.testing import make_tensor

        directions = tuple(
            make_tensor(
                *o.shape,
                dtype=o.dtype,
                device=o.device,
                low=-1,
                high=1,
                requires_grad=True,
                noncontiguous=gen_non_contig_grad_outputs,
            )
            for o in _differentiable(_as_tuple(func(*inputs)))
        )
    else:
        directions = _as_tuple(grad_outputs)

    def first_derivatives(*args: Any) -> tuple[Tensor, ...]:
        arguments, v = args[: len(inputs)], args[len(inputs) :]
        outputs = list(_differentiable(_as_tuple(func(*arguments))))
        gradients = grad(
            outputs, list(_differentiable(arguments)), v, create_graph=True, allow_unused=True
        )
        return tuple(g for g in gradients if g is not None)

    return gradcheck(
        first_derivatives,
        inputs + directions,
        eps=eps,
        atol=atol,
        rtol=rtol,
        raise_exception=raise_exception,
        nondet_tol=nondet_tol,
        check_undefined_grad=check_undefined_grad,
        check_grad_dtypes=check_grad_dtypes,
        fast_mode=fast_mode,
        masked=masked,
    )
