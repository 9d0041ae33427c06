"""The form of the programs that bench/programs.py measures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


@dataclass
class Maker:
    """Makes a program's tensors, the same numbers in either library."""

    m: Any
    dtype: str = "float32"
    parameters: list[Any] = field(default_factory=list)
    rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(0))

    def tensor(self, values: Any) -> Any:
        """Numbers; those of floating point in the program's dtype."""
        array = np.asarray(values)
        return self.m.tensor(array.astype(self.dtype) if array.dtype == np.float64 else array)

    def parameter(self, values: Any) -> Any:
        """What the loss is differentiated by."""
        made = self.tensor(values).requires_grad_()
        self.parameters.append(made)
        return made

    def normal(self, *shape: int) -> Array:
        """Numbers of a normal distribution."""
        return self.rng.standard_normal(shape)

    def uniform(self, *shape: int) -> Array:
        """Numbers of [0, 1)."""
        return self.rng.random(shape)

    def labels(self, below: int, *shape: int) -> Any:
        """Integers of [0, below)."""
        return self.tensor(self.rng.integers(0, below, shape))

    def network(self, *layers: Any) -> Any:
        """The layer, or layers one after the other, with the same parameters in either library."""
        made = layers[0] if len(layers) == 1 else self.m.nn.Sequential(*layers)
        with self.m.no_grad():
            for p in made.parameters():
                p.copy_(self.tensor(self.normal(*p.shape) * 0.1))
        self.parameters += made.parameters()
        return made


@dataclass(frozen=True)
class Program:
    """A loss as a user writes it: `make` gets the library and what makes its tensors."""

    name: str
    make: Callable[[Any, Maker], Callable[[], Any]]
    dtype: str = "float32"


@dataclass
class Collection:
    """The programs of a file, in its order."""

    programs: list[Program] = field(default_factory=list)

    def add(self, name: str, dtype: str = "float32") -> Callable[..., Any]:
        """Notes the function below as a program."""

        def note(make: Callable[[Any, Maker], Callable[[], Any]]) -> Any:
            self.programs.append(Program(name, make, dtype))
            return make

        return note
