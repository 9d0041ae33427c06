"""How a tensor is written: what is behind ``repr(tensor)`` and :func:`set_printoptions`.

The values of a tensor are fetched once, as nested Python lists (only the corners, when the tensor
is summarised), and laid out from there; nothing here touches a tensor per element.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import fastgrad as fg
from fastgrad import _core
from fastgrad._core import Tensor

__all__ = ["get_printoptions", "printoptions", "set_printoptions", "tensor_repr"]

# Tensor types that print as ``tensor(...)``; any other subclass prints under its own name.
PLAIN_TYPES: set[type] = {Tensor}

_PROFILES: dict[str, dict[str, Any]] = {
    "default": {"precision": 4, "threshold": 1000, "edgeitems": 3, "linewidth": 80},
    "short": {"precision": 2, "threshold": 1000, "edgeitems": 2, "linewidth": 80},
    "full": {"precision": 4, "threshold": math.inf, "edgeitems": 3, "linewidth": 80},
}

_options: dict[str, Any] = {**_PROFILES["default"], "sci_mode": None}


def set_printoptions(
    precision: int | None = None,
    threshold: float | None = None,
    edgeitems: int | None = None,
    linewidth: int | None = None,
    profile: str | None = None,
    sci_mode: bool | None = None,
) -> None:
    """Set how tensors are printed, for the whole process.

    An option that is not given keeps its value, except ``sci_mode``, which goes back to automatic.

    Args:
        precision: Digits after the decimal point of floating-point values (initially 4).
        threshold: Tensors with more elements than this are summarised (initially 1000).
        edgeitems: Elements shown at either end of each dimension of a summary (initially 3).
        linewidth: Characters per line before a line is broken (initially 80).
        profile: ``"default"``, ``"short"`` or ``"full"``: sets all of the above first.
        sci_mode: Force scientific notation on or off; None lets the values decide.

    Raises:
        ValueError: If ``profile`` is not one of the three names.

    Example:
        >>> import fastgrad as fg
        >>> fg.set_printoptions(precision=2)
        >>> fg.tensor([1.2345])
        tensor([1.23])
        >>> fg.set_printoptions(profile="default")
    """
    if profile is not None:
        if profile not in _PROFILES:
            raise ValueError(
                f"[set_printoptions] expected profile to be one of {sorted(_PROFILES)}, "
                f"got {profile!r}."
            )
        _options.update(_PROFILES[profile])
    given = {
        "precision": precision,
        "threshold": threshold,
        "edgeitems": edgeitems,
        "linewidth": linewidth,
    }
    _options.update({name: value for name, value in given.items() if value is not None})
    _options["sci_mode"] = sci_mode


def get_printoptions() -> dict[str, Any]:
    """Return the printing options as keyword arguments for :func:`set_printoptions`.

    Example:
        >>> import fastgrad as fg
        >>> fg.get_printoptions()["precision"]
        4
    """
    return dict(_options)


@contextmanager
def printoptions(**options: Any) -> Iterator[None]:
    """Set printing options inside a ``with`` block and restore them after it.

    Args:
        **options: The arguments of :func:`set_printoptions`.

    Example:
        >>> import fastgrad as fg
        >>> with fg.printoptions(precision=1):
        ...     print(fg.tensor([0.25]))
        tensor([0.2])
    """
    before = get_printoptions()
    set_printoptions(**options)
    try:
        yield
    finally:
        _options.update(before)


def _scalars(nested: Any) -> Iterator[Any]:
    """Yield the scalars of nested lists, in order."""
    if isinstance(nested, list):
        for item in nested:
            yield from _scalars(item)
    else:
        yield nested


def _real_formatter(values: list[float]) -> tuple[Callable[[float], str], int]:
    """Choose one notation for all real values; return the formatter and its field width.

    Fixed point unless the finite non-zero magnitudes span more than a factor 1000, exceed 1e8 or
    fall below 1e-4; whole numbers are written as ``1.``.
    """
    precision = _options["precision"]
    finite = [value for value in values if value and math.isfinite(value)]
    # The smallest and the largest magnitude decide; with none, only zeros and non-finite remain.
    smallest = min(map(abs, finite), default=1.0)
    largest = max(map(abs, finite), default=1.0)
    whole = all(value == math.ceil(value) for value in finite)
    scientific: bool = False
    if finite:
        scientific = _options["sci_mode"]
        if scientific is None:
            scientific = largest / smallest > 1000.0 or largest > 1e8 or smallest < 1e-4

    if scientific:
        style = f".{precision}e"
    elif whole:
        style = ".0f"
    else:
        style = f".{precision}f"
    dot = 1 if whole and not scientific else 0
    width = max((len(format(value, style)) + dot for value in finite), default=1)

    def text(value: float) -> str:
        written = format(value, style)
        if dot and math.isfinite(value):
            written += "."
        return written.rjust(width)

    return text, width


def _formatter(values: list[Any], dtype: Any) -> tuple[Callable[[Any], str], int]:
    """Return the function that writes one element of ``dtype``, and the width of what it writes."""
    if dtype.is_complex:
        real, real_width = _real_formatter([value.real for value in values])
        imag, imag_width = _real_formatter([value.imag for value in values])

        def text(value: complex) -> str:
            imaginary = imag(value.imag).lstrip() + "j"
            sign = "" if imaginary[0] == "-" else "+"
            return real(value.real) + sign + imaginary

        return text, real_width + imag_width + 1
    if dtype.is_floating_point:
        return _real_formatter(values)
    width = max(len(str(value)) for value in values)
    return lambda value: str(value).rjust(width), width


def _corners(t: Tensor) -> tuple[Tensor, list[bool]]:
    """Keep the first and last ``edgeitems`` of every long dimension; say which were cut."""
    edge = _options["edgeitems"]
    cut = [size > 2 * edge for size in t.shape]
    for dim, size in enumerate(t.shape):
        if cut[dim]:
            kept = [*range(edge), *range(size - edge, size)]
            t = t.index_select(dim, fg.tensor(kept, dtype=fg.int64))
    return t, cut


def _rows(nested: Any, indent: int, cut: list[bool], text: Callable[[Any], str], width: int) -> str:
    """Lay out nested lists, innermost dimension on (broken) lines, the others one per row."""
    if not cut:
        return text(nested)
    edge = _options["edgeitems"]
    if len(cut) == 1:
        cells = [text(value) for value in nested]
        if cut[0]:
            cells.insert(edge, " ...")
        per_line = max(1, math.floor((_options["linewidth"] - indent) / (width + 2)))
        lines = [", ".join(cells[i : i + per_line]) for i in range(0, len(cells), per_line)]
        return "[" + (",\n" + " " * (indent + 1)).join(lines) + "]"
    rows = [_rows(row, indent + 1, cut[1:], text, width) for row in nested]
    if cut[0]:
        rows.insert(edge, "...")
    return "[" + ("," + "\n" * (len(cut) - 1) + " " * (indent + 1)).join(rows) + "]"


def _contents(t: Tensor, indent: int) -> str:
    """Write the values of ``t`` without prefix and suffixes."""
    if t.numel() == 0:
        return "[]"
    summarise = t.numel() > _options["threshold"]
    if summarise and t.dim() > 0 and not _options["edgeitems"]:
        return "[...]"
    cut = [False] * t.dim()
    if summarise:
        t, cut = _corners(t)
    nested = t.tolist()
    text, width = _formatter(list(_scalars(nested)), t.dtype)
    return _rows(nested, indent, cut, text, width)


def _dtype_shown(t: Tensor) -> bool:
    """Whether the dtype cannot be read off the values."""
    default = fg.get_default_dtype()
    if t.numel() == 0:
        return bool(t.dtype != default)
    default_complex = fg.complex128 if default == fg.float64 else fg.complex64
    return t.dtype not in (default, default_complex, fg.int64, fg.bool)


def _gradient_suffix(t: Tensor) -> str | None:
    """Return ``grad_fn=<...>`` or ``requires_grad=True``, or None."""
    try:
        node = t.grad_fn
    except RuntimeError:
        # A view changed in place where that cannot be differentiated has no valid history; its
        # values can still be shown.
        return "grad_fn=<Invalid>"
    if node is not None:
        return f"grad_fn=<{node.name()}>"
    return "requires_grad=True" if t.requires_grad else None


def tensor_repr(t: Tensor) -> str:
    """Return the text that ``repr(t)`` shows.

    Args:
        t: Any tensor.

    Returns:
        ``tensor(<values>[, size=...][, dtype=...][, grad_fn=<...> | requires_grad=True])``.

    Example:
        >>> import fastgrad as fg
        >>> fg.tensor([1, 2], dtype=fg.float64, requires_grad=True)
        tensor([1., 2.], dtype=fastgrad.float64, requires_grad=True)
    """
    prefix = "tensor(" if type(t) in PLAIN_TYPES else f"{type(t).__name__}("
    suffixes = []
    if t.device.type != "cpu":
        suffixes.append(f"device='{t.device}'")
    empty = t.numel() == 0
    if (empty and t.dim() != 1) or (not empty and not _options["edgeitems"]):
        suffixes.append(f"size={tuple(t.shape)}")
    if _dtype_shown(t):
        suffixes.append(f"dtype={t.dtype}")
    gradient = _gradient_suffix(t)
    if gradient is not None:
        suffixes.append(gradient)

    indent = len(prefix)
    was_enabled = _core.is_grad_enabled()
    _core._set_grad_enabled(False)
    try:
        parts = [prefix + _contents(t.detach(), indent)]
    finally:
        _core._set_grad_enabled(was_enabled)
    # A suffix that would not fit goes to a line of its own. PyTorch counts two characters more on
    # the first line than there are; the same is done here, so that lines break at the same place.
    used = len(parts[0]) - parts[0].rfind("\n") + 1
    for suffix in suffixes:
        if used + len(suffix) + 2 > _options["linewidth"]:
            parts.append(",\n" + " " * indent + suffix)
            used = indent + len(suffix)
        else:
            parts.append(", " + suffix)
            used += len(suffix) + 2
    return "".join(parts) + ")"
