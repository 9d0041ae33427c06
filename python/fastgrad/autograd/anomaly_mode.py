"""Anomaly detection: errors and NaNs in backward that name the forward line they belong to."""

from __future__ import annotations

import warnings

from fastgrad import _core

__all__ = ["detect_anomaly", "set_detect_anomaly"]


class set_detect_anomaly:
    """Turn anomaly detection on or off, at once; as a context manager, until its end.

    Args:
        mode: True to turn detection on, False to turn it off.
        check_nan: Whether a NaN in a gradient computed by backward is an error.

    Example:
        >>> import fastgrad as fg
        >>> with fg.autograd.set_detect_anomaly(True):
        ...     fg.is_anomaly_enabled()
        True
    """

    def __init__(self, mode: bool, check_nan: bool = True) -> None:
        self._before = (_core.is_anomaly_enabled(), _core.is_anomaly_check_nan_enabled())
        _core._set_anomaly(mode, check_nan)

    def __enter__(self) -> None:
        pass

    def __exit__(self, *exc_info: object) -> None:
        _core._set_anomaly(*self._before)


class detect_anomaly:
    """Detect anomalies inside a ``with`` block, and say so with a warning.

    Operations recorded inside remember where they were called; when their backward fails or, with
    ``check_nan``, produces a NaN, that place is shown. It costs time: for debugging only.

    Args:
        check_nan: Whether a NaN in a gradient computed by backward is an error.

    Example:
        >>> import warnings
        >>> import fastgrad as fg
        >>> x = fg.tensor(0.0, requires_grad=True)
        >>> with warnings.catch_warnings():
        ...     warnings.simplefilter("ignore")
        ...     with fg.autograd.detect_anomaly():
        ...         y = x * 2.0
        ...         y.backward()
        >>> x.grad
        tensor(2.)
    """

    def __init__(self, check_nan: bool = True) -> None:
        self.check_nan = check_nan
        self._before = (_core.is_anomaly_enabled(), _core.is_anomaly_check_nan_enabled())
        warnings.warn(
            "Anomaly Detection has been enabled. This mode will increase the runtime and should "
            "only be enabled for debugging.",
            stacklevel=2,
        )

    def __enter__(self) -> None:
        _core._set_anomaly(True, self.check_nan)

    def __exit__(self, *exc_info: object) -> None:
        _core._set_anomaly(*self._before)
