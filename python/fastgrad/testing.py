"""Helpers for tests: random tensors, comparison with tolerances, checks of derivatives."""

from __future__ import annotations

import cmath
import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import fastgrad as fg
from fastgrad._core import Tensor

__all__ = ["assert_close", "check_grads", "make_tensor"]

# (rtol, atol) by dtype name; exact for everything else.
_TOLERANCES = {
    "float16": (1e-3, 1e-5),
    "bfloat16": (1.6e-2, 1e-5),
    "float32": (1.3e-6, 1e-5),
    "float64": (1e-7, 1e-7),
    "complex64": (1.3e-6, 1e-5),
    "complex128": (1e-7, 1e-7),
}
_SCALAR_DTYPES = {bool: "bool", int: "int64", float: "float64", complex: "complex128"}


def _tolerances(*dtypes: str, rtol: float | None, atol: float | None) -> tuple[float, float]:
    """Return the tolerances given, or the looser ones of the dtypes."""
    if (rtol is None) != (atol is None):
        raise ValueError(
            "Both 'rtol' and 'atol' must be either specified or omitted, but got no "
            f"{'rtol' if rtol is None else 'atol'}."
        )
    if rtol is not None and atol is not None:
        return rtol, atol
    found = [_TOLERANCES.get(name, (0.0, 0.0)) for name in dtypes]
    return max(r for r, _ in found), max(a for _, a in found)


class _Rules:
    """The options of one :func:`assert_close`."""

    def __init__(self, **options: Any) -> None:
        self.rtol: float | None = options["rtol"]
        self.atol: float | None = options["atol"]
        self.equal_nan: bool = options["equal_nan"]
        self.allow_subclasses: bool = options["allow_subclasses"]
        self.check_device: bool = options["check_device"]
        self.check_dtype: bool = options["check_dtype"]
        self.check_stride: bool = options["check_stride"]


def _number(value: Any) -> Any:
    """Turn a NumPy scalar into the Python number it is; leave anything else."""
    numpy = sys.modules.get("numpy")
    return value.item() if numpy is not None and isinstance(value, numpy.generic) else value


def _pairs(
    actual: Any, expected: Any, path: tuple[Any, ...]
) -> Iterator[tuple[Any, Any, tuple[Any, ...]]]:
    """Yield what two nested structures hold at the same places, with those places."""
    where = _place(path)
    text = (str, bytes)
    if (
        isinstance(actual, Sequence)
        and isinstance(expected, Sequence)
        and not isinstance(actual, text)
        and not isinstance(expected, text)
    ):
        if len(actual) != len(expected):
            raise AssertionError(
                f"The length of the sequences mismatch: {len(actual)} != {len(expected)}{where}"
            )
        for index, (a, e) in enumerate(zip(actual, expected, strict=True)):
            yield from _pairs(a, e, (*path, index))
    elif isinstance(actual, Mapping) and isinstance(expected, Mapping):
        if actual.keys() != expected.keys():
            missing = sorted(map(repr, expected.keys() - actual.keys()))
            extra = sorted(map(repr, actual.keys() - expected.keys()))
            raise AssertionError(
                "The keys of the mappings do not match:\n"
                f"Missing keys in the actual mapping: [{', '.join(missing)}]\n"
                f"Additional keys in the actual mapping: [{', '.join(extra)}]{where}"
            )
        for key in expected:
            yield from _pairs(actual[key], expected[key], (*path, key))
    else:
        yield actual, expected, path


def _place(path: tuple[Any, ...]) -> str:
    if not path:
        return ""
    return "\n\nThe failure occurred for item " + "".join(f"[{key!r}]" for key in path)


def _difference_line(
    kind: str, difference: float, tolerance: float, exact: bool, index: str = ""
) -> str:
    allowed = "" if exact else f" (up to {tolerance} allowed)"
    return f"{kind} difference: {difference}{index}{allowed}"


def _compare_numbers(actual: Any, expected: Any, rules: _Rules) -> None:
    rtol, atol = _tolerances(
        _SCALAR_DTYPES[type(actual)],
        _SCALAR_DTYPES[type(expected)],
        rtol=rules.rtol,
        atol=rules.atol,
    )
    if rules.check_dtype and type(actual) is not type(expected):
        raise AssertionError(f"The (d)types do not match: {type(actual)} != {type(expected)}.")
    if actual == expected:
        return
    if rules.equal_nan and cmath.isnan(actual) and cmath.isnan(expected):
        return
    absolute = abs(actual - expected)
    if not (cmath.isfinite(absolute) and absolute <= atol + rtol * abs(expected)):
        raise AssertionError(_scalars_differ(actual, expected, rtol, atol))


def _scalars_differ(actual: Any, expected: Any, rtol: float, atol: float) -> str:
    exact = rtol == 0 and atol == 0
    absolute = abs(actual - expected)
    relative = absolute / abs(expected) if expected != 0 else math.inf
    return (
        f"Scalars are not {'equal' if exact else 'close'}!\n\n"
        f"Expected {expected} but got {actual}.\n"
        + _difference_line("Absolute", absolute, atol, exact)
        + "\n"
        + _difference_line("Relative", relative, rtol, exact)
    )


def _compare_tensors(actual: Tensor, expected: Tensor, rules: _Rules) -> None:
    checked = [("shape", True), ("device", rules.check_device), ("dtype", rules.check_dtype)]
    for attribute, wanted in checked:
        a, e = getattr(actual, attribute), getattr(expected, attribute)
        if wanted and a != e:
            raise AssertionError(
                f"The values for attribute '{attribute}' do not match: {a} != {e}."
            )
    if rules.check_stride and actual.stride() != expected.stride():
        raise AssertionError(
            "The values for attribute 'stride()' do not match: "
            f"{actual.stride()} != {expected.stride()}."
        )
    rtol, atol = _tolerances(
        *(str(t.dtype).rsplit(".", 1)[-1] for t in (actual, expected)),
        rtol=rules.rtol,
        atol=rules.atol,
    )
    common = fg.promote_types(actual.dtype, expected.dtype)
    actual = actual.detach().cpu().to(common)
    expected = expected.detach().cpu().to(common)
    close = fg.isclose(actual, expected, rtol=rtol, atol=atol, equal_nan=rules.equal_nan)
    if bool(close.all()):
        return
    if actual.dim() == 0:
        raise AssertionError(_scalars_differ(actual.item(), expected.item(), rtol, atol))
    raise AssertionError(_tensors_differ(actual, expected, close, rtol, atol))


def _tensors_differ(
    actual: Tensor, expected: Tensor, close: Tensor, rtol: float, atol: float
) -> str:
    shape = tuple(actual.shape)
    exact = rtol == 0 and atol == 0
    if not (actual.dtype.is_floating_point or actual.dtype.is_complex):
        # Differences of small integers and of bools do not fit their own dtype.
        actual, expected = actual.to(fg.int64), expected.to(fg.int64)
    absolute = (actual - expected).abs().masked_fill(close, 0)
    relative = (absolute / expected.abs()).masked_fill(close, 0)
    wrong, total = int((~close).sum()), close.numel()
    lines = [f"Mismatched elements: {wrong} / {total} ({wrong / total:.1%})"]
    for kind, difference, tolerance in (
        ("Greatest absolute", absolute, atol),
        ("Greatest relative", relative, rtol),
    ):
        flat = difference.reshape(-1)
        worst = int(flat.argmax())
        position = worst
        index: list[int] = []
        for size in reversed(shape):
            position, inner = divmod(position, size)
            index.insert(0, inner)
        lines.append(
            _difference_line(
                kind, flat[worst].item(), tolerance, exact, f" at index {tuple(index)}"
            )
        )
    header = f"Tensor-likes are not {'equal' if exact else 'close'}!\n\n"
    return header + "\n".join(lines)


def _compare(actual: Any, expected: Any, rules: _Rules) -> None:
    """Compare two leaves."""
    if actual is None or expected is None:
        if actual is not expected:
            raise AssertionError(f"None mismatch: {actual} is not {expected}")
        return
    actual, expected = _number(actual), _number(expected)
    if type(actual) in _SCALAR_DTYPES and type(expected) in _SCALAR_DTYPES:
        if (type(actual) is bool) != (type(expected) is bool):
            raise TypeError(_incomparable(actual, expected))
        if type(actual) is bool:
            if actual is not expected:
                raise AssertionError(f"Booleans mismatch: {actual} is not {expected}")
            return
        _compare_numbers(actual, expected, rules)
        return
    related = isinstance(actual, type(expected)) or isinstance(expected, type(actual))
    if not rules.allow_subclasses:
        related = type(actual) is type(expected)
    if not related or isinstance(actual, str | bytes):
        raise TypeError(_incomparable(actual, expected))
    if not isinstance(actual, Tensor):
        try:
            actual, expected = fg.as_tensor(actual), fg.as_tensor(expected)
        except (TypeError, ValueError, RuntimeError):
            raise TypeError(_incomparable(actual, expected)) from None
    _compare_tensors(actual, expected, rules)


def _incomparable(actual: Any, expected: Any) -> str:
    return (
        f"No comparison pair was able to handle inputs of type {type(actual)} and {type(expected)}."
    )


def assert_close(
    actual: Any,
    expected: Any,
    *,
    allow_subclasses: bool = True,
    rtol: float | None = None,
    atol: float | None = None,
    equal_nan: bool = False,
    check_device: bool = True,
    check_dtype: bool = True,
    check_layout: bool = True,
    check_stride: bool = False,
    msg: str | Callable[[str], str] | None = None,
) -> None:
    """Assert that two values, or two nested structures of values, agree within tolerances.

    Elements agree if ``|actual - expected| <= atol + rtol * |expected|``; infinities only if equal;
    NaNs only with ``equal_nan``.

    Args:
        actual: A tensor, number, array, or a sequence or mapping of such.
        expected: The same kind and structure.
        allow_subclasses: Whether a subclass may be compared with its base.
        rtol: Relative tolerance; by default that of the dtype: 1.3e-6 for float32, 1e-7 for
            float64, 1e-3 for float16, 1.6e-2 for bfloat16, 0 for integers and bools.
        atol: Absolute tolerance, given if and only if ``rtol`` is; by default 1e-5, for float64
            1e-7, for integers and bools 0.
        equal_nan: Whether NaN agrees with NaN.
        check_device: Whether devices must be the same.
        check_dtype: Whether dtypes must be the same; otherwise both are promoted.
        check_layout: Layouts are always the same in fastgrad; no effect.
        check_stride: Whether strides must be the same.
        msg: The message to raise with, or a function of the message that would be used.

    Raises:
        AssertionError: If the values do not agree.
        ValueError: If only one of ``rtol`` and ``atol`` is given.
        TypeError: If the two cannot be compared.

    Example:
        >>> import fastgrad as fg
        >>> fg.testing.assert_close(fg.tensor([1.0, 2.0]), fg.tensor([1.0, 2.5]))
        Traceback (most recent call last):
        AssertionError: Tensor-likes are not close!
        <BLANKLINE>
        Mismatched elements: 1 / 2 (50.0%)
        Greatest absolute difference: 0.5 at index (1,) (up to 1e-05 allowed)
        Greatest relative difference: 0.20000000298023224 at index (1,) (up to 1.3e-06 allowed)
    """
    del check_layout
    rules = _Rules(
        rtol=rtol,
        atol=atol,
        equal_nan=equal_nan,
        allow_subclasses=allow_subclasses,
        check_device=check_device,
        check_dtype=check_dtype,
        check_stride=check_stride,
    )
    try:
        # All of the structure first: a missing key says more than a wrong number.
        for a, e, path in list(_pairs(actual, expected, ())):
            try:
                _compare(a, e, rules)
            except (AssertionError, TypeError, ValueError) as error:
                raise type(error)(str(error) + _place(path)) from None
    except (AssertionError, TypeError, ValueError) as error:
        if msg is None:
            raise
        raise type(error)(msg(str(error)) if callable(msg) else msg) from None


def _interval(
    low: float | None, high: float | None, default: tuple[float, float], limits: tuple[float, float]
) -> tuple[float, float]:
    """Return the bounds to draw from, within what the dtype can hold."""
    low = default[0] if low is None else low
    high = default[1] if high is None else high
    if math.isnan(low) or math.isnan(high):
        raise ValueError(f"`low` and `high` cannot be NaN, but got low={low} and high={high}")
    if low >= high:
        raise ValueError(f"`low` must be less than `high`, but got {low} >= {high}")
    if high < limits[0] or low >= limits[1]:
        raise ValueError(
            f"The value interval specified by `low` and `high` is [{low}, {high}), but the dtype "
            f"only supports [{limits[0]}, {limits[1]})"
        )
    return min(max(low, limits[0]), limits[1]), min(max(high, limits[0]), limits[1])


def make_tensor(
    *shape: Any,
    dtype: Any,
    device: Any = "cpu",
    low: float | None = None,
    high: float | None = None,
    requires_grad: bool = False,
    noncontiguous: bool = False,
    exclude_zero: bool = False,
) -> Tensor:
    """Return a tensor of random values drawn uniformly from ``[low, high)``.

    Args:
        *shape: Sizes, or one sequence of sizes.
        dtype: Dtype of the result.
        device: Device of the result.
        low: Lower bound; by default 0 for bools and unsigned integers, else -9.
        high: Upper bound; by default 2 for bools, 10 for integers, 9 for floating dtypes.
        requires_grad: Whether the result requires grad; floating dtypes only.
        noncontiguous: Whether elements are spread out in memory (if there are two or more).
        exclude_zero: Whether zeros are replaced, by 1 or by the smallest normal number.

    Returns:
        A leaf of the given shape.

    Raises:
        ValueError: If the bounds are NaN, empty or out of range, or ``requires_grad`` does not go
            with the dtype.

    Example:
        >>> import fastgrad as fg
        >>> x = fg.testing.make_tensor(2, 3, dtype=fg.float64, low=-1, high=1)
        >>> x.shape, bool((x.abs() <= 1).all())
        (fastgrad.Size([2, 3]), True)
    """
    if len(shape) == 1 and isinstance(shape[0], Sequence):
        shape = tuple(shape[0])
    inexact = dtype.is_floating_point or dtype.is_complex
    if requires_grad and not inexact:
        raise ValueError(
            "`requires_grad=True` is not supported for boolean and integral dtypes, but got "
            f"dtype={dtype}"
        )
    spread = noncontiguous and math.prod(shape) > 1
    if spread:
        shape = (*shape[:-1], 2 * shape[-1])
    result: Tensor
    if inexact:
        info = fg.finfo(dtype)
        low, high = _interval(low, high, (-9, 9), (info.min, info.max))
        target = fg.empty(shape, dtype=dtype, device=device)
        parts = [target.real, target.imag] if dtype.is_complex else [target]
        for part in parts:
            # Halved, since the width of the full range is no finite number.
            part.uniform_(low / 2, high / 2).mul_(2)
        result = target
    else:
        if dtype == fg.bool:
            low, high = _interval(low, high, (0, 2), (0, 2))
        else:
            limits = fg.iinfo(dtype)
            # The bounds themselves are int64: its largest value is out of reach.
            top = limits.max + (0 if dtype == fg.int64 else 1)
            low, high = _interval(low, high, (-9, 10), (limits.min, top))
        result = fg.randint(math.ceil(low), math.ceil(high), shape, dtype=dtype, device=device)
    if spread:
        # Not from the first element on, so that a wrong storage offset shows as well.
        result = result[..., 1::2]
    if exclude_zero:
        result[result == 0] = fg.finfo(dtype).tiny if inexact else 1
    return result.requires_grad_() if requires_grad else result


# What a derivative may differ from an extrapolated difference, relatively and absolutely.
_GRADIENT_TOLERANCES = {"float64": 1e-6, "float32": 5e-3, "float16": 0.1, "bfloat16": 0.5}


def check_grads(
    func: Callable[..., Any],
    args: Sequence[Any],
    order: int = 1,
    modes: Sequence[str] = ("rev",),
    *,
    atol: float | None = None,
    rtol: float | None = None,
    eps: float | None = None,
) -> None:
    """Assert that derivatives of a function agree with differences, up to some order.

    Of order k, the gradient of a random projection of the derivative of order k - 1 is compared,
    element by element, with :func:`fastgrad.numeric.gradient` by Richardson extrapolation. Unlike
    gradcheck it takes trees, and any order.

    Args:
        func: Returns a tensor or a tree of tensors.
        args: Its arguments, a tuple: tensors, arrays or floats, or trees of such, best in float64.
        order: Up to which order to check.
        modes: Which modes of differentiation; there is reverse mode, ``"rev"``.
        atol: Absolute tolerance; by default 1e-6 for float64, 5e-3 for float32.
        rtol: Relative tolerance; by default the same.
        eps: Largest step of the differences; by default it goes with each element.

    Raises:
        AssertionError: If derivatives differ; it says which.
        ValueError: If the order is not positive, or a mode is unknown.
        RuntimeError: If an argument is not floating.

    Example:
        >>> import fastgrad as fg
        >>> x = fg.tensor([0.5, 1.0], dtype=fg.float64)
        >>> fg.testing.check_grads(lambda x, y: fg.sin(x) * y, (x, 2 * x), order=2)
    """
    from fastgrad import func as transforms
    from fastgrad.func.levels import as_input
    from fastgrad.utils.pytree import tree_flatten, tree_unflatten

    if order < 1:
        raise ValueError(f"[check_grads] expected an order of at least 1, got {order}.")
    if isinstance(modes, str):
        modes = (modes,)
    if not modes or any(mode != "rev" for mode in modes):
        raise ValueError(f"[check_grads] expected modes ('rev',), got {tuple(modes)}.")
    leaves, spec = tree_flatten(tuple(args))
    points = [as_input("check_grads", leaf) for leaf in leaves]
    everything = tuple(range(len(points)))
    generator = fg.Generator()
    generator.manual_seed(0)

    def outputs(*inputs: Tensor) -> list[Any]:
        return tree_flatten(func(*tree_unflatten(inputs, spec)))[0]

    for k in range(1, order + 1):
        weights = [
            fg.rand(tuple(y.shape), generator=generator, dtype=fg.float64).to(y.dtype) + 0.5
            for y in outputs(*points)
        ]

        def projection(
            *inputs: Tensor, outputs: Any = outputs, weights: list[Tensor] = weights
        ) -> Any:
            return sum((y * w).sum() for y, w in zip(outputs(*inputs), weights))

        derivative = transforms.grad(projection, everything)
        for i, exact in enumerate(derivative(*points)):
            _compare_with_differences(projection, points, i, exact, k, atol, rtol, eps)
        outputs = derivative


def _compare_with_differences(
    projection: Callable[..., Any],
    points: list[Tensor],
    index: int,
    exact: Tensor,
    order: int,
    atol: float | None,
    rtol: float | None,
    eps: float | None,
) -> None:
    """Compare the gradient in one argument; the others stay where they are."""
    from fastgrad import numeric

    def of_one(x: Tensor) -> Any:
        return projection(*points[:index], x, *points[index + 1 :])

    x = points[index]
    default = _GRADIENT_TOLERANCES[str(x.dtype).rsplit(".", 1)[-1]]
    assert_close(
        exact.detach(),
        numeric.gradient(of_one, x, method="richardson", step=eps),
        rtol=default if rtol is None else rtol,
        atol=default if atol is None else atol,
        msg=lambda text: (
            f"[check_grads] the derivative of order {order} with respect to input {index} (leaves "
            f"of args, counted from 0) disagrees with differences.\n{text}"
        ),
    )
