"""Walks over a module's parameters, buffers and submodules, with or without their names."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from fastgrad._core import Tensor
from fastgrad.nn.modules.attributes import Attributes
from fastgrad.nn.parameter import Parameter


class Traversal(Attributes):
    """The iterators of a module.

    Example:
        >>> from fastgrad.nn.modules.traversal import Traversal
        >>> issubclass(fg.nn.Module, Traversal)
        True
    """

    def _named_members(
        self,
        get_members_fn: Callable[[Any], Any],
        prefix: str = "",
        recurse: bool = True,
        remove_duplicate: bool = True,
    ) -> Iterator[tuple[str, Any]]:
        seen: set[int] = set()
        modules = (
            self.named_modules(prefix=prefix, remove_duplicate=remove_duplicate)
            if recurse
            else iter([(prefix, self)])
        )
        for path, module in modules:
            for name, member in get_members_fn(module):
                if member is None or id(member) in seen:
                    continue
                if remove_duplicate:
                    seen.add(id(member))
                yield (f"{path}.{name}" if path else name), member

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """Yields the parameters, each once.

        Args:
            recurse: Includes those of submodules.

        Example:
            >>> sum(p.numel() for p in fg.nn.Linear(3, 2).parameters())
            8
        """
        for _, param in self.named_parameters(recurse=recurse):
            yield param

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Parameter]]:
        """Yields the parameters with their names.

        Args:
            prefix: What the names begin with.
            recurse: Includes those of submodules.
            remove_duplicate: Yields a parameter that stands in several places only once.

        Example:
            >>> [(name, p.shape) for name, p in fg.nn.Linear(3, 2).named_parameters()]
            [('weight', fastgrad.Size([2, 3])), ('bias', fastgrad.Size([2]))]
        """
        yield from self._named_members(
            lambda module: module._parameters.items(), prefix, recurse, remove_duplicate
        )

    def buffers(self, recurse: bool = True) -> Iterator[Tensor]:
        """Yields the buffers, each once.

        Args:
            recurse: Includes those of submodules.
        """
        for _, buffer in self.named_buffers(recurse=recurse):
            yield buffer

    def named_buffers(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Tensor]]:
        """Yields the buffers with their names.

        Args:
            prefix: What the names begin with.
            recurse: Includes those of submodules.
            remove_duplicate: Yields a buffer that stands in several places only once.
        """
        yield from self._named_members(
            lambda module: module._buffers.items(), prefix, recurse, remove_duplicate
        )

    def children(self) -> Iterator[Any]:
        """Yields the direct submodules, each once."""
        for _, module in self.named_children():
            yield module

    def named_children(self) -> Iterator[tuple[str, Any]]:
        """Yields the direct submodules with their names, each once."""
        seen: set[int] = set()
        for name, module in self._modules.items():
            if module is not None and id(module) not in seen:
                seen.add(id(module))
                yield name, module

    def modules(self) -> Iterator[Any]:
        """Yields this module and all submodules, each once.

        Example:
            >>> [type(m).__name__ for m in fg.nn.Sequential(fg.nn.ReLU(), fg.nn.Tanh()).modules()]
            ['Sequential', 'ReLU', 'Tanh']
        """
        for _, module in self.named_modules():
            yield module

    def named_modules(
        self, memo: set[Any] | None = None, prefix: str = "", remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Any]]:
        """Yields this module and all submodules with their names.

        Args:
            memo: Modules that are left out; those that are yielded are added.
            prefix: What the names begin with.
            remove_duplicate: Yields a module that stands in several places only once.
        """
        memo = set() if memo is None else memo
        if self in memo:
            return
        if remove_duplicate:
            memo.add(self)
        yield prefix, self
        for name, module in self._modules.items():
            if module is not None:
                path = f"{prefix}.{name}" if prefix else name
                yield from module.named_modules(memo, path, remove_duplicate)

    def get_submodule(self, target: str) -> Any:
        """Returns the submodule of this name, such as `"net.0.conv"`; this module for `""`.

        Raises:
            AttributeError: If there is none.
        """
        module: Any = self
        for name in target.split(".") if target else []:
            if not hasattr(module, name):
                raise AttributeError(f"{type(module).__name__} has no attribute `{name}`")
            module = getattr(module, name)
            if not isinstance(module, Traversal):
                raise AttributeError(f"`{name}` is not an nn.Module")
        return module

    def set_submodule(self, target: str, module: Any, strict: bool = False) -> None:
        """Puts a module in the place of the submodule of this name.

        Args:
            target: The name, such as `"net.0.conv"`.
            module: The new submodule.
            strict: Raises an error if nothing stands there yet.

        Raises:
            ValueError: If the name is empty or the module is none.
            AttributeError: If a module on the way is missing.
        """
        if not target:
            raise ValueError("Cannot set the submodule without a target name!")
        if not isinstance(module, Traversal):
            raise ValueError(f"`module` is not an nn.Module, found {type(module)}")
        path, _, name = target.rpartition(".")
        parent = self.get_submodule(path)
        if strict and not hasattr(parent, name):
            raise AttributeError(f"{type(parent).__name__} has no attribute `{name}`")
        if hasattr(parent, name) and not isinstance(getattr(parent, name), Traversal):
            raise AttributeError(f"`{name}` is not an nn.Module")
        setattr(parent, name, module)

    def get_parameter(self, target: str) -> Parameter:
        """Returns the parameter of this name, such as `"net.0.weight"`.

        Raises:
            AttributeError: If there is none.

        Example:
            >>> fg.nn.Sequential(fg.nn.Linear(2, 1)).get_parameter("0.bias").shape
            fastgrad.Size([1])
        """
        found = self._get_member(target)
        if not isinstance(found, Parameter):
            raise AttributeError(f"`{target.rpartition('.')[2]}` is not an nn.Parameter")
        return found

    def get_buffer(self, target: str) -> Tensor:
        """Returns the buffer of this name, such as `"net.1.running_mean"`.

        Raises:
            AttributeError: If there is none.
        """
        path, _, name = target.rpartition(".")
        found = self._get_member(target)
        if name not in self.get_submodule(path)._buffers:
            raise AttributeError(f"`{name}` is not a buffer")
        buffer: Tensor = found
        return buffer

    def _get_member(self, target: str) -> Any:
        path, _, name = target.rpartition(".")
        module = self.get_submodule(path)
        if not hasattr(module, name):
            raise AttributeError(f"{type(module).__name__} has no attribute `{name}`")
        return getattr(module, name)
