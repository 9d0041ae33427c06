"""What the graph keeps for backward, and for how long."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import pytest

from reference import fg

hooks = fg.autograd.graph.saved_tensors_hooks
f64 = fg.float64


def leaf(*values: float) -> Any:
    data = values[0] if len(values) == 1 else list(values)
    return fg.tensor(data, dtype=f64, requires_grad=True)


class TestSavedTensorsHooks:
    def test_pack_and_unpack(self) -> None:
        packed: list[Any] = []
        unpacked: list[Any] = []

        def pack(t: Any) -> Any:
            packed.append(t.tolist())
            return t.numpy() if not t.requires_grad else t.detach().numpy()

        def unpack(array: Any) -> Any:
            unpacked.append(array.tolist())
            return fg.from_numpy(array)

        x, y = leaf(2.0, 3.0), leaf(4.0, 5.0)
        with hooks(pack, unpack):
            z = x * y
        assert sorted(packed) == [[2.0, 3.0], [4.0, 5.0]] and unpacked == []
        z.sum().backward()
        assert sorted(unpacked) == [[2.0, 3.0], [4.0, 5.0]]
        assert x.grad.tolist() == [4.0, 5.0] and y.grad.tolist() == [2.0, 3.0]

    def test_every_backward_unpacks_anew(self) -> None:
        calls: list[int] = []
        x = leaf(2.0)
        with hooks(lambda t: t.detach(), lambda t: calls.append(1) or t):
            y = x.exp()
        y.backward(retain_graph=True)
        y.backward()
        assert len(calls) == 2

    def test_ops_that_save_nothing_are_not_packed(self) -> None:
        packed: list[int] = []
        x = leaf(2.0)
        with hooks(lambda t: packed.append(1) or t, lambda t: t):
            (x + 1).sum().neg()
        assert packed == []

    def test_unpack_that_returns_no_tensor(self) -> None:
        x = leaf(2.0)
        with hooks(lambda t: t, lambda t: 3):
            y = x.exp()
        with pytest.raises(TypeError, match="unpack_hook expected to be a Tensor"):
            y.backward()

    def test_packed_object_dies_with_the_graph(self) -> None:
        class Packed:
            def __init__(self, value: Any) -> None:
                self.value = value

        alive: list[Any] = []

        def pack(t: Any) -> Any:
            packed = Packed(t.detach())
            alive.append(weakref.ref(packed))
            return packed

        x = leaf(2.0)
        with hooks(pack, lambda p: p.value):
            y = x.exp()
        assert alive[0]() is not None
        y.backward()
        gc.collect()
        assert alive[0]() is None


class TestSavedTensorsLifetime:
    def test_backward_frees_what_the_graph_saved(self) -> None:
        """The graph holds an intermediate alive until backward ran."""
        x = fg.ones(3, requires_grad=True)
        y = x * 2
        alive = weakref.ref(y)
        z = (y * y).sum()
        del y
        z.backward()
        gc.collect()
        assert alive() is None

    def test_saved_result_makes_no_cycle(self) -> None:
        gc.disable()
        try:
            x = fg.ones(3, requires_grad=True)
            y = x.exp()
            alive = weakref.ref(y)
            del y
            assert alive() is None
        finally:
            gc.enable()
