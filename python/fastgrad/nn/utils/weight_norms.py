"""PyTorch's older weight and spectral norms, which keep their tensors in the module itself."""

from __future__ import annotations

from typing import Any

from fastgrad._core import Tensor
from fastgrad.autograd.grad_mode import no_grad
from fastgrad.nn.modules.module import Module
from fastgrad.nn.parameter import Parameter
from fastgrad.nn.utils.parametrizations import _norm_except, _SpectralNorm


class _WeightNormHook:
    """Computes w = g v / ‖v‖ before every forward."""

    def __init__(self, name: str, dim: int | None) -> None:
        self.name, self.dim = name, dim

    def value(self, module: Any) -> Tensor:
        g, v = getattr(module, self.name + "_g"), getattr(module, self.name + "_v")
        result: Tensor = v * (g / _norm_except(v, self.dim))
        return result

    def __call__(self, module: Any, inputs: Any) -> None:
        setattr(module, self.name, self.value(module))


def weight_norm(module: Module, name: str = "weight", dim: int | None = 0) -> Module:
    """Does what `parametrizations.weight_norm` does; the parts are `<name>_g` and `<name>_v`.

    Raises:
        RuntimeError: If the weight has this form already.

    Example:
        >>> m = fg.nn.utils.weight_norm(fg.nn.Linear(2, 3))
        >>> [name for name, _ in m.named_parameters()]
        ['bias', 'weight_g', 'weight_v']
    """
    hook = _WeightNormHook(name, None if dim == -1 else dim)
    for other in module._forward_pre_hooks.values():
        if isinstance(other, _WeightNormHook) and other.name == name:
            raise RuntimeError(
                f"Cannot register two weight_norm hooks on the same parameter {name}"
            )
    weight = getattr(module, name)
    delattr(module, name)
    with no_grad():
        length = _norm_except(weight, hook.dim)
    module.register_parameter(name + "_g", Parameter(length.detach()))
    module.register_parameter(name + "_v", Parameter(weight.detach()))
    setattr(module, name, hook.value(module))
    module.register_forward_pre_hook(hook)
    return module


def remove_weight_norm(module: Module, name: str = "weight") -> Module:
    """Makes a weight an ordinary parameter again.

    Raises:
        ValueError: If it has not the form of `weight_norm`.

    Example:
        >>> m = fg.nn.utils.remove_weight_norm(fg.nn.utils.weight_norm(fg.nn.Linear(2, 3)))
        >>> [name for name, _ in m.named_parameters()]
        ['bias', 'weight']
    """
    for number, hook in module._forward_pre_hooks.items():
        if isinstance(hook, _WeightNormHook) and hook.name == name:
            value = hook.value(module)
            for part in (name, name + "_g", name + "_v"):
                delattr(module, part)
            setattr(module, name, Parameter(value.detach()))
            del module._forward_pre_hooks[number]
            return module
    raise ValueError(f"weight_norm of '{name}' not found in {module}")


class _SpectralNormHook:
    """Divides a weight by its largest singular value before every forward."""

    def __init__(self, name: str, norm: _SpectralNorm) -> None:
        self.name, self.norm = name, norm

    def __call__(self, module: Any, inputs: Any) -> None:
        self.norm.train(module.training)
        setattr(module, self.name, self.norm(getattr(module, self.name + "_orig")))


def spectral_norm(
    module: Module,
    name: str = "weight",
    n_power_iterations: int = 1,
    eps: float = 1e-12,
    dim: int | None = None,
) -> Module:
    """Does what `parametrizations.spectral_norm` does.

    The original weight is `<name>_orig`, the singular vectors are `<name>_u` and `<name>_v`.

    Raises:
        RuntimeError: If the weight has this form already.

    Example:
        >>> m = fg.nn.utils.spectral_norm(fg.nn.Linear(2, 3))
        >>> list(m.state_dict())
        ['bias', 'weight_orig', 'weight_u', 'weight_v']
    """
    for other in module._forward_pre_hooks.values():
        if isinstance(other, _SpectralNormHook) and other.name == name:
            raise RuntimeError(
                f"Cannot register two spectral_norm hooks on the same parameter {name}"
            )
    if dim is None:
        dim = 1 if type(module).__name__.startswith("ConvTranspose") else 0
    weight = module._parameters[name]
    if weight is None:
        raise ValueError(f"`SpectralNorm` cannot be applied as parameter `{name}` is None")
    norm = _SpectralNorm(weight, n_power_iterations, dim, eps)
    delattr(module, name)
    module.register_parameter(name + "_orig", weight)
    setattr(module, name, weight.data)
    module.register_buffer(name + "_u", norm._u)
    module.register_buffer(name + "_v", norm._v)
    module.register_forward_pre_hook(_SpectralNormHook(name, norm))
    return module


def remove_spectral_norm(module: Module, name: str = "weight") -> Module:
    """Makes a weight an ordinary parameter again.

    Raises:
        ValueError: If it has not the form of `spectral_norm`.

    Example:
        >>> m = fg.nn.utils.remove_spectral_norm(fg.nn.utils.spectral_norm(fg.nn.Linear(2, 3)))
        >>> [name for name, _ in m.named_parameters()]
        ['bias', 'weight']
    """
    for number, hook in module._forward_pre_hooks.items():
        if isinstance(hook, _SpectralNormHook) and hook.name == name:
            with no_grad():
                value = hook.norm.eval()(getattr(module, name + "_orig"))
            for part in (name, name + "_orig", name + "_u", name + "_v"):
                delattr(module, part)
            module.register_parameter(name, Parameter(value.detach()))
            del module._forward_pre_hooks[number]
            return module
    raise ValueError(f"spectral_norm of '{name}' not found in {module}")
