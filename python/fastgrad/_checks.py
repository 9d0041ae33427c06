"""Checks of arguments for functions that are written in Python, in the words of those in C++."""

from __future__ import annotations

from typing import Any

from fastgrad._core import Tensor


def check_tensors(function: str, **arguments: Any) -> None:
    """Raises a TypeError unless the arguments, the function's first ones, are tensors."""
    for position, (name, value) in enumerate(arguments.items(), 1):
        if not isinstance(value, Tensor):
            raise TypeError(
                f"{function}(): argument '{name}' (position {position}) must be Tensor, "
                f"not {type(value).__name__}"
            )


def same_shapes(function: str, input: Tensor, target: Tensor) -> bool:
    """Whether two tensors have one shape; raises a TypeError unless they are tensors."""
    try:
        return input.shape == target.shape
    except AttributeError:  # asked only now: losses are called often
        check_tensors(function, input=input, target=target)
        raise


def check_count(function: str, name: str, position: int, value: Any) -> int:
    """Returns an integer argument; raises a TypeError if it is none."""
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise TypeError(
            f"{function}(): argument '{name}' (position {position}) must be int, "
            f"not {type(value).__name__}"
        )
    return int(value)
