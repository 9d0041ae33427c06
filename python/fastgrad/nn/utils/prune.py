"""Parameters with some elements held at zero, as in `torch.nn.utils.prune`.

A pruned parameter `weight` is kept as `weight_orig`, beside a buffer `weight_mask` of ones and
zeros; `weight` itself is their product, made anew before every forward. Pruning a second time acts
on what the first has left.

Example:
    >>> from fastgrad.nn.utils import prune
    >>> m = fg.nn.Linear(4, 2)
    >>> _ = prune.l1_unstructured(m, "weight", amount=3)
    >>> int((m.weight == 0).sum()), sorted(dict(m.named_parameters()))
    (3, ['bias', 'weight_orig'])
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from fastgrad import _core
from fastgrad._core import Tensor
from fastgrad.nn.modules.module import Module

if TYPE_CHECKING:
    pass


def _check_amount(amount: float) -> None:
    if isinstance(amount, bool) or not isinstance(amount, int | float):
        raise TypeError(f"Invalid type for amount: {amount}. Must be int or float.")
    if amount < 0 or (isinstance(amount, float) and amount > 1):
        raise ValueError(
            f"amount={amount} should either be a float in the range [0, 1] or a non-negative "
            "integer"
        )


def _count(amount: float, size: int) -> int:
    """Returns how many of a number of things an amount is."""
    if not isinstance(amount, int):
        return round(amount * size)
    if amount > size:
        raise ValueError(
            f"amount={amount} should be smaller than the number of parameters to prune={size}"
        )
    return amount


def _check_structure(t: Tensor, dim: int) -> None:
    if t.dim() <= 1:
        raise ValueError(
            "Structured pruning can only be applied to multidimensional tensors. Found tensor of "
            f"shape {t.shape} with {t.dim()} dims"
        )
    if not -t.dim() <= dim < t.dim():
        raise IndexError(f"Invalid index {dim} for tensor of size {t.shape}")


def _without(mask: Tensor, dim: int, places: Tensor) -> Tensor:
    """Returns a mask with zeros in some slices along a dimension."""
    kept = _core.ones(mask.shape[dim], dtype=mask.dtype)
    kept[places] = 0
    shape = [1] * mask.dim()
    shape[dim] = -1
    return mask * kept.reshape(shape)


class BasePruningMethod(ABC):
    """A way to choose what is held at zero; derived classes give `compute_mask`.

    Attributes:
        PRUNING_TYPE: What a second pruning acts on: `"unstructured"` on single elements that are
            left, `"structured"` on slices that are left, `"global"` on everything.
    """

    PRUNING_TYPE: ClassVar[str] = "unstructured"
    _tensor_name: str

    @abstractmethod
    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        """Returns a mask of ones and zeros.

        Args:
            t: What importance is read from, in the shape of the parameter.
            default_mask: What earlier prunings have left.
        """

    def __call__(self, module: Module, inputs: Any) -> None:
        """Puts the product of mask and original in place, before a forward."""
        setattr(module, self._tensor_name, self.apply_mask(module))

    def apply_mask(self, module: Any) -> Tensor:
        """Returns the product of mask and original."""
        name = self._tensor_name
        original = getattr(module, name + "_orig")
        result: Tensor = getattr(module, name + "_mask").to(original.dtype) * original
        return result

    def prune(
        self, t: Tensor, default_mask: Tensor | None = None, importance_scores: Tensor | None = None
    ) -> Tensor:
        """Returns a tensor with what the method chooses at zero; nothing is registered.

        Args:
            t: The tensor.
            default_mask: What earlier prunings have left.
            importance_scores: What to read importance from instead of the tensor.
        """
        scores = t if importance_scores is None else importance_scores
        mask = _core.ones_like(t) if default_mask is None else default_mask
        return t * self.compute_mask(scores, mask)

    @classmethod
    def apply(
        cls,
        module: Any,
        name: str,
        *args: Any,
        importance_scores: Tensor | None = None,
        **kwargs: Any,
    ) -> BasePruningMethod:
        """Prunes a parameter of a module, in addition to earlier prunings.

        Args:
            module: The module.
            name: The name of the parameter.
            *args: For the constructor.
            importance_scores: What to read importance from instead of the parameter.
            **kwargs: For the constructor.
        """
        method: BasePruningMethod = cls(*args, **kwargs)
        method._tensor_name = name
        earlier = _hook_of(module, name)
        original = getattr(module, name + "_orig" if earlier is not None else name)
        scores = original if importance_scores is None else importance_scores
        if scores.shape != original.shape:
            raise AssertionError(
                f"importance_scores should have the same shape as parameter {name} of {module}"
            )
        if earlier is None:
            mask, hook = _core.ones_like(original.detach()), method
            del module._parameters[name]
            module.register_parameter(name + "_orig", original)
        else:
            if importance_scores is None:
                scores = getattr(module, name)
            mask = getattr(module, name + "_mask")
            module._forward_pre_hooks.pop(earlier[0])
            hook = PruningContainer(earlier[1])
            hook._tensor_name = name
            hook.add_pruning_method(method)
        mask = hook.compute_mask(scores.detach(), mask)
        module.register_buffer(name + "_mask", mask)
        setattr(module, name, hook.apply_mask(module))
        module.register_forward_pre_hook(hook)
        return hook

    def remove(self, module: Any) -> None:
        """Makes the parameter an ordinary one again, with the zeros that it has."""
        name = self._tensor_name
        pruned = self.apply_mask(module).detach()
        original = module._parameters.pop(name + "_orig")
        del module._buffers[name + "_mask"]
        if name in module.__dict__:
            delattr(module, name)
        original.data = pruned
        module.register_parameter(name, original)


def _hook_of(module: Any, name: str) -> tuple[int, BasePruningMethod] | None:
    for key, hook in module._forward_pre_hooks.items():
        if isinstance(hook, BasePruningMethod) and hook._tensor_name == name:
            return key, hook
    return None


class PruningContainer(BasePruningMethod):
    """Several prunings of one parameter, one after the other.

    Args:
        *args: The methods, or an iterable of them.
    """

    def __init__(self, *args: Any) -> None:
        given = args[0] if len(args) == 1 and isinstance(args[0], Iterable) else args
        self._pruning_methods: list[BasePruningMethod] = []
        for method in given:
            self.add_pruning_method(method)

    def add_pruning_method(self, method: BasePruningMethod) -> None:
        """Adds a method, which acts on what the earlier ones have left."""
        if not isinstance(method, BasePruningMethod):
            raise TypeError(f"{type(method)} is not a BasePruningMethod subclass")
        name = getattr(self, "_tensor_name", None)
        if name is not None and method._tensor_name != name:
            raise ValueError(
                "Can only add pruning methods acting on the parameter named "
                f"'{name}' to PruningContainer {self}. Found '{method._tensor_name}'"
            )
        if isinstance(method, PruningContainer):
            self._pruning_methods.extend(method._pruning_methods)
        else:
            self._pruning_methods.append(method)
        self._tensor_name = getattr(method, "_tensor_name", name)  # type: ignore[assignment]

    def __len__(self) -> int:
        return len(self._pruning_methods)

    def __iter__(self) -> Any:
        return iter(self._pruning_methods)

    def __getitem__(self, index: int) -> BasePruningMethod:
        return self._pruning_methods[index]

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        """Returns what the last method leaves of what the others have left."""
        method = self._pruning_methods[-1]
        if method.PRUNING_TYPE == "unstructured":
            left: Any = default_mask == 1
        elif method.PRUNING_TYPE == "structured":
            dim = method.dim % t.dim()  # type: ignore[attr-defined]
            others = [i for i in range(t.dim()) if i != dim]
            used = default_mask.sum(others) != 0
            left = (slice(None),) * dim + (used,)
        elif method.PRUNING_TYPE == "global":
            left = (slice(None),) * t.dim()
        else:
            raise ValueError(f"Unrecognized PRUNING_TYPE {method.PRUNING_TYPE}")
        mask = default_mask.clone()
        mask[left] = method.compute_mask(t[left], default_mask[left]).to(mask.dtype)
        return mask


class Identity(BasePruningMethod):
    """Prunes nothing, but makes the mask."""

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        """Returns the mask as it is."""
        return default_mask


class _ByAmount(BasePruningMethod):
    def __init__(self, amount: float) -> None:
        _check_amount(amount)
        self.amount = amount


class RandomUnstructured(_ByAmount):
    """Prunes elements at random.

    Args:
        amount: How many, or which part of them.
    """

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        """Returns the mask with zeros at random places."""
        mask = default_mask.clone()
        places = _core.randperm(t.numel())[: _count(self.amount, t.numel())]
        mask.view(-1)[places] = 0
        return mask


class L1Unstructured(_ByAmount):
    """Prunes the elements of least magnitude.

    Args:
        amount: How many, or which part of them.
    """

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        """Returns the mask with zeros where magnitudes are least."""
        mask = default_mask.clone()
        count = _count(self.amount, t.numel())
        if count:
            mask.view(-1)[_core.topk(t.abs().reshape(-1), count, largest=False).indices] = 0
        return mask


class RandomStructured(_ByAmount):
    """Prunes slices at random.

    Args:
        amount: How many, or which part of them.
        dim: The dimension that counts the slices.
    """

    PRUNING_TYPE = "structured"

    def __init__(self, amount: float, dim: int = -1) -> None:
        super().__init__(amount)
        self.dim = dim

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        """Returns the mask with zeros in random slices."""
        _check_structure(t, self.dim)
        size = t.shape[self.dim]
        places = _core.randperm(size)[: _count(self.amount, size)]
        return _without(default_mask, self.dim, places)


class LnStructured(_ByAmount):
    """Prunes the slices of least norm.

    Args:
        amount: How many, or which part of them.
        n: Which norm.
        dim: The dimension that counts the slices.
    """

    PRUNING_TYPE = "structured"

    def __init__(self, amount: float, n: Any, dim: int = -1) -> None:
        super().__init__(amount)
        self.n, self.dim = n, dim

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        """Returns the mask with zeros in the slices of least norm."""
        _check_structure(t, self.dim)
        count = _count(self.amount, t.shape[self.dim])
        others = [i for i in range(t.dim()) if i != self.dim % t.dim()]
        norms = _core.norm(t, p=self.n, dim=others)
        return _without(default_mask, self.dim, _core.topk(norms, count, largest=False).indices)


class CustomFromMask(BasePruningMethod):
    """Prunes where a mask has zeros.

    Args:
        mask: Ones and zeros.
    """

    PRUNING_TYPE = "global"

    def __init__(self, mask: Tensor) -> None:
        self.mask = mask

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        """Returns the product of both masks."""
        return default_mask * self.mask.to(default_mask.dtype)


def identity(module: Module, name: str) -> Module:
    """Makes the mask of a parameter, of ones, and prunes nothing."""
    Identity.apply(module, name)
    return module


def random_unstructured(module: Module, name: str, amount: float) -> Module:
    """Prunes elements of a parameter at random.

    Args:
        module: The module.
        name: The name of its parameter.
        amount: How many elements, or which part of them.

    Example:
        >>> from fastgrad.nn.utils import prune
        >>> m = prune.random_unstructured(fg.nn.Linear(2, 5), "weight", amount=0.3)
        >>> int(m.weight_mask.sum())
        7
    """
    RandomUnstructured.apply(module, name, amount)
    return module


def l1_unstructured(
    module: Module, name: str, amount: float, importance_scores: Tensor | None = None
) -> Module:
    """Prunes the elements of a parameter that are least in magnitude.

    Args:
        module: The module.
        name: The name of its parameter.
        amount: How many elements, or which part of them.
        importance_scores: What to read importance from instead of the parameter.
    """
    L1Unstructured.apply(module, name, amount=amount, importance_scores=importance_scores)
    return module


def random_structured(module: Module, name: str, amount: float, dim: int) -> Module:
    """Prunes slices of a parameter at random.

    Args:
        module: The module.
        name: The name of its parameter.
        amount: How many slices, or which part of them.
        dim: The dimension that counts them.
    """
    RandomStructured.apply(module, name, amount, dim)
    return module


def ln_structured(
    module: Module,
    name: str,
    amount: float,
    n: Any,
    dim: int,
    importance_scores: Tensor | None = None,
) -> Module:
    """Prunes the slices of a parameter that have the least norm.

    Args:
        module: The module.
        name: The name of its parameter.
        amount: How many slices, or which part of them.
        n: Which norm.
        dim: The dimension that counts the slices.
        importance_scores: What to read importance from instead of the parameter.
    """
    LnStructured.apply(module, name, amount, n, dim, importance_scores=importance_scores)
    return module


def custom_from_mask(module: Module, name: str, mask: Tensor) -> Module:
    """Prunes a parameter where a mask has zeros.

    Args:
        module: The module.
        name: The name of its parameter.
        mask: Ones and zeros.
    """
    CustomFromMask.apply(module, name, mask)
    return module


def global_unstructured(
    parameters: Iterable[tuple[Module, str]],
    pruning_method: type[BasePruningMethod],
    importance_scores: Mapping[tuple[Module, str], Tensor] | None = None,
    **kwargs: Any,
) -> None:
    """Prunes elements of several parameters as if they were one.

    Args:
        parameters: Pairs of a module and the name of its parameter.
        pruning_method: A class of this module that chooses single elements.
        importance_scores: What to read importance from, by pair.
        **kwargs: For the class.

    Example:
        >>> from fastgrad.nn.utils import prune
        >>> a, b = fg.nn.Linear(2, 3), fg.nn.Linear(3, 2)
        >>> both = [(a, "weight"), (b, "weight")]
        >>> prune.global_unstructured(both, prune.L1Unstructured, amount=5)
        >>> int(a.weight_mask.sum() + b.weight_mask.sum())
        7
    """
    if not isinstance(parameters, Iterable):
        raise TypeError("global_unstructured(): parameters is not an Iterable")
    pairs: Sequence[tuple[Any, str]] = list(parameters)
    given = {} if importance_scores is None else importance_scores
    values = [getattr(module, name) for module, name in pairs]
    scores = [given.get(pair, value).detach() for pair, value in zip(pairs, values)]
    masks = [
        getattr(module, name + "_mask", _core.ones_like(value.detach()))
        for (module, name), value in zip(pairs, values)
    ]
    container = PruningContainer()
    method = pruning_method(**kwargs)
    if method.PRUNING_TYPE != "unstructured":
        raise TypeError(
            'Only "unstructured" PRUNING_TYPE supported for the `pruning_method`. Found method '
            f"{pruning_method} of type {method.PRUNING_TYPE}"
        )
    method._tensor_name = "parameters"
    container.add_pruning_method(method)
    joined = container.compute_mask(
        _core.cat([x.reshape(-1) for x in scores]), _core.cat([x.reshape(-1) for x in masks])
    )
    parts = joined.split([value.numel() for value in values])
    for (module, name), value, part in zip(pairs, values, parts):
        custom_from_mask(module, name, part.view_as(value))


def remove(module: Module, name: str) -> Module:
    """Makes a pruned parameter an ordinary one again, with the zeros that it has.

    Raises:
        ValueError: The parameter is not pruned.

    Example:
        >>> from fastgrad.nn.utils import prune
        >>> m = prune.random_unstructured(fg.nn.Linear(2, 5), "weight", amount=3)
        >>> m = prune.remove(m, "weight")
        >>> sorted(m.state_dict()), int((m.weight == 0).sum())
        (['bias', 'weight'], 3)
    """
    found = _hook_of(module, name)
    if found is None:
        raise ValueError(
            f"Parameter '{name}' of module {module} has to be pruned before pruning can be removed"
        )
    found[1].remove(module)
    module._forward_pre_hooks.pop(found[0])
    return module


def is_pruned(module: Module) -> bool:
    """Returns whether a module, or one inside it, has a pruned parameter."""
    return any(
        isinstance(hook, BasePruningMethod)
        for _, part in module.named_modules()
        for hook in part._forward_pre_hooks.values()
    )
