"""Modules that spread work over devices; with the CPU alone they call their module."""

from __future__ import annotations

from typing import Any

from fastgrad.nn.modules.module import Module


class DataParallel(Module):
    """Holds a module as `module` and calls it.

    PyTorch spreads a batch over CUDA devices here; this build has none, and nothing is spread. The
    names of the state dictionary begin with `module.`, as there.

    Args:
        module: The module to call.
        device_ids: CUDA devices; accepted and not used.
        output_device: The device of the result; accepted and not used.
        dim: The dimension of the batch.

    Example:
        >>> m = fg.nn.DataParallel(fg.nn.Linear(2, 1, bias=False))
        >>> list(m.state_dict())
        ['module.weight']
    """

    def __init__(
        self, module: Module, device_ids: Any = None, output_device: Any = None, dim: int = 0
    ) -> None:
        super().__init__()
        self.module = module
        self.dim = dim
        self.device_ids: list[int] = []

    def forward(self, *inputs: Any, **kwargs: Any) -> Any:
        """Returns what the module returns."""
        return self.module(*inputs, **kwargs)
