"""Automatic differentiation with PyTorch's API, NumPy's footprint and C++ speed.

Example:
    >>> import fastgrad as fg
    >>> x = fg.tensor([1.0, 2.0], requires_grad=True)
    >>> (x**2).sum().backward()
    >>> x.grad
    tensor([2., 4.])
"""

from __future__ import annotations

import math as _math
import sys as _sys
from typing import Any

from fastgrad import _core
from fastgrad._core import Tensor

# Every public function of the core is a function of the package: the core's registry is the list.
# `backward` and `grad` stand in fastgrad.autograd, as in PyTorch.
_NOT_AT_TOP = {"backward", "grad", "OpFunction", "Node", "op_table", "linalg", "nn"}
globals().update(
    {k: v for k, v in vars(_core).items() if not k.startswith("_") and k not in _NOT_AT_TOP}
)

# Made by the core, but a module of this package: pickled results are looked up in it.
_sys.modules["fastgrad.return_types"] = _core.return_types


_TENSOR_DOC = """An array of numbers of one element type that can record how it was computed.

Make one with `fastgrad.tensor` or another function that creates tensors. Called itself, the class
works as PyTorch's old constructor: `Tensor(2, 3)` has these sizes and elements that are not set,
`Tensor([1, 2])` these values, in the default element type.

Example:
    >>> import fastgrad as fg
    >>> fg.Tensor([1, 2])
    tensor([1., 2.])
"""


def _complete_tensor() -> None:
    """Gives Tensor the methods that are written in Python."""
    from fastgrad._printing import tensor_repr
    from fastgrad._tensor_methods import METHODS

    def array_ufunc(self: Tensor, *args: Any, **kwargs: Any) -> Any:
        from fastgrad._numpy_protocol import array_ufunc

        return array_ufunc(self, *args, **kwargs)

    def array_function(self: Tensor, *args: Any, **kwargs: Any) -> Any:
        from fastgrad._numpy_protocol import array_function

        return array_function(self, *args, **kwargs)

    methods: dict[str, Any] = {
        "__doc__": _TENSOR_DOC,
        "__repr__": tensor_repr,
        "__str__": tensor_repr,
        "__array_ufunc__": array_ufunc,
        "__array_function__": array_function,
        "__array_priority__": 1000,  # before ndarray in a binary operation of NumPy
        "_make_subclass": staticmethod(_core._make_subclass),
    }
    methods.update((method.__name__, method) for method in METHODS)
    for name, method in methods.items():
        setattr(Tensor, name, method)


def _collect_cycles_too() -> None:
    """Lets Python's garbage collector free the cycles that close through ``.grad``."""
    import gc

    def collect(phase: str, _: object) -> None:
        if phase == "stop":
            _core._collect_gradient_cycles()

    gc.callbacks.append(collect)


_complete_tensor()
_collect_cycles_too()

from fastgrad import (  # noqa: E402
    autograd,
    func,
    linalg,
    memory,
    numeric,
    random,
    testing,
    utils,
)
from fastgrad._compile import compile  # noqa: E402
from fastgrad._legacy_types import (  # noqa: E402
    BFloat16Tensor,
    BoolTensor,
    ByteTensor,
    CharTensor,
    DoubleTensor,
    FloatTensor,
    HalfTensor,
    IntTensor,
    LongTensor,
    ShortTensor,
)
from fastgrad._printing import (  # noqa: E402
    get_printoptions,
    printoptions,
    set_printoptions,
)
from fastgrad._type_info import finfo, iinfo  # noqa: E402
from fastgrad.autograd import (  # noqa: E402
    enable_grad,
    inference_mode,
    no_grad,
    set_grad_enabled,
)
from fastgrad.func import grad, vmap  # noqa: E402
from fastgrad.gradient_tape import GradientTape  # noqa: E402
from fastgrad.variable import Variable, stop_gradient  # noqa: E402

__version__ = "0.1.0"

# The constants of `math` under PyTorch's names.
e = _math.e
inf = _math.inf
nan = _math.nan
pi = _math.pi
newaxis = None

# In-place methods that PyTorch offers as functions too.
_IN_PLACE = (
    "abs acos acosh addmv arccos arccosh arcsin arcsinh arctan arctanh as_strided asin asinh atan "
    "atanh ceil clamp clamp_max clamp_min clip cos cosh deg2rad detach erf erfc exp exp2 expm1 fix "
    "floor frac gcd i0 index_put lcm ldexp log log10 log1p log2 logit nan_to_num neg negative "
    "rad2deg reciprocal resize_as round rsqrt sigmoid sin sinc sinh sqrt square tan tanh trunc "
    "xlogy"
)
globals().update({f"{name}_": getattr(Tensor, f"{name}_") for name in _IN_PLACE.split()})

# Modules that not everybody needs: imported when they are first asked for.
_LATER = (
    "accelerator",
    "amp",
    "backends",
    "compiler",
    "cpu",
    "cuda",
    "distributed",
    "distributions",
    "integrate",
    "jit",
    "mps",
    "multiprocessing",
    "nn",
    "optim",
    "optimize",
    "serialization",
    "types",
    "version",
    "xpu",
)
# ... and names that stand in one of these.
_LATER_NAMES = {
    name: module
    for module, names in {
        "serialization": "load save",
        "_programs": "load_program save_program",
        "amp": "autocast GradScaler is_autocast_enabled",
        "_assertions": (
            "_assert _check _check_index _check_is_size _check_not_implemented _check_type "
            "_check_value"
        ),
        "_functions": (
            "adaptive_max_pool1d alpha_dropout are_deterministic_algorithms_enabled batch_norm "
            "blackman_window dropout embedding get_float32_matmul_precision gradient histogram "
            "get_num_interop_threads hamming_window hann_window instance_norm "
            "is_deterministic_algorithms_warn_only_enabled isin renorm "
            "set_default_tensor_type set_float32_matmul_precision set_flush_denormal "
            "set_num_interop_threads typename unravel_index use_deterministic_algorithms"
        ),
        "nn.functional": (
            "adaptive_avg_pool1d avg_pool1d bilinear celu celu_ channel_shuffle conv1d conv2d "
            "conv3d conv_transpose1d conv_transpose2d conv_transpose3d cosine_similarity "
            "group_norm hardshrink layer_norm max_pool1d max_pool2d max_pool3d pairwise_distance "
            "pdist pixel_shuffle pixel_unshuffle prelu rms_norm rrelu rrelu_ selu selu_ threshold "
            "threshold_"
        ),
    }.items()
    for name in names.split()
}


def __getattr__(name: str) -> Any:
    import importlib

    if name in _LATER:
        return importlib.import_module(f"fastgrad.{name}")
    if name.startswith("_foreach_"):
        found = getattr(importlib.import_module("fastgrad._foreach"), name, None)
        if found is not None:
            return found
    if name in _LATER_NAMES:
        found = getattr(importlib.import_module(f"fastgrad.{_LATER_NAMES[name]}"), name)
        globals()[name] = found  # the next access does not come here
        return found
    raise AttributeError(f"module 'fastgrad' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_LATER, *_LATER_NAMES})
