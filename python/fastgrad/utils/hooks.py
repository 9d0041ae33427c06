"""Handles of registered hooks, as in PyTorch's `torch.utils.hooks`."""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Callable, MutableMapping
from types import TracebackType
from typing import Any, ClassVar

Hook = Callable[..., Any]


class RemovableHandle:
    """Stands for a hook in a dictionary of hooks, and takes it out again.

    Args:
        hooks: The dictionary that the hook is in, under `id`. It is not kept alive; it must be of a
            type that weak references can point to, such as `collections.OrderedDict`.

    Example:
        >>> from collections import OrderedDict
        >>> from fastgrad.utils.hooks import RemovableHandle
        >>> hooks = OrderedDict()
        >>> handle = RemovableHandle(hooks)
        >>> hooks[handle.id] = print
        >>> handle.remove()
        >>> len(hooks)
        0
    """

    _ids: ClassVar[itertools.count[int]] = itertools.count()

    def __init__(self, hooks: MutableMapping[int, Any]) -> None:
        self.id = next(RemovableHandle._ids)
        self._hooks = weakref.ref(hooks)

    def remove(self) -> None:
        """Takes the hook out. Does nothing when it is out already."""
        hooks = self._hooks()
        if hooks is not None:
            hooks.pop(self.id, None)

    def __enter__(self) -> RemovableHandle:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.remove()
