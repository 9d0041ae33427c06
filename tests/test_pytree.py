"""Trees: taking apart, putting together, mapping, user classes."""

import collections
import dataclasses
from typing import Any, NamedTuple

import numpy as np
import pytest

import fastgrad
from fastgrad.utils.pytree import (
    register_pytree_node,
    tree_flatten,
    tree_leaves,
    tree_map,
    tree_structure,
    tree_unflatten,
)
from reference import only_fastgrad

pytestmark = only_fastgrad


class Point(NamedTuple):
    x: Any
    y: Any


@dataclasses.dataclass(frozen=True)
class Layer:
    weight: Any
    bias: Any
    name: str = dataclasses.field(default="layer", metadata={"static": True})


@dataclasses.dataclass
class Checked:
    value: Any

    def __post_init__(self):
        if not isinstance(self.value, float):
            raise TypeError("only floats")


class Pair:
    def __init__(self, first, second):
        self.first, self.second = first, second


register_pytree_node(Pair, lambda p: ((p.first, p.second), "pair"), lambda c, _: Pair(*c))

TREES = [
    1,
    None,
    [],
    (),
    {},
    [1, [2, (3, None)], {"b": 4, "a": 5}],
    Point(1, [2, 3]),
    collections.OrderedDict(z=1, a=2),
    collections.deque([1, 2], maxlen=3),
    collections.defaultdict(list, {"a": 1}),
    Layer(1, {"b": 2}, "first"),
]


@pytest.mark.parametrize("tree", TREES, ids=repr)
def test_taking_apart_and_putting_together(tree):
    leaves, spec = tree_flatten(tree)
    again = tree_unflatten(leaves, spec)
    assert again == tree and type(again) is type(tree)
    assert spec.num_leaves == len(leaves) and spec == tree_structure(again)
    assert tree_leaves(tree) == leaves
    # In any other place the leaves come as they are.
    assert tree_map(lambda x: x, tree) == tree


def test_kinds_of_containers_keep_their_details():
    made = tree_map(lambda x: -x, collections.defaultdict(list, {"a": 1}))
    assert made.default_factory is list and made["a"] == -1
    assert tree_map(lambda x: x, collections.deque([1], maxlen=4)).maxlen == 4
    layer = tree_map(lambda x: -x, Layer(1, 2, "name"))
    assert (layer.weight, layer.bias, layer.name) == (-1, -2, "name")


def test_dataclasses_are_not_validated_again():
    assert tree_map(str, Checked(1.5)) == tree_unflatten(["1.5"], tree_structure(Checked(1.0)))


def test_named_results_of_the_library():
    found = fastgrad.max(fastgrad.tensor([[1.0, 3.0]]), 1)
    made = tree_map(lambda t: t.item(), found)
    assert type(made) is type(found) and made.values == 3.0 and made.indices == 1


def test_leaves_are_everything_else():
    t = fastgrad.ones(2)
    array = np.ones(2)
    tree = {"t": t, "a": array, "s": "text", "size": t.shape, "set": {1, 2}, "cls": Layer}
    assert [type(x) for x in tree_leaves(tree)] == [type(x) for x in tree.values()]


def test_registered_classes():
    made = tree_map(lambda x, y: x + y, Pair(1, [2]), Pair(10, [20]))
    assert (made.first, made.second) == (11, [22])
    assert repr(tree_structure([Pair(1, 2)])) == "[Pair(*, *)]"
    with pytest.raises(ValueError, match="already registered"):
        register_pytree_node(Pair, lambda p: ((), None), lambda c, _: None)


def test_is_leaf():
    assert tree_leaves([(1, 2), 3], is_leaf=lambda x: isinstance(x, tuple)) == [(1, 2), 3]
    assert tree_leaves([None, 1], is_leaf=lambda x: x is None) == [None, 1]


def test_mapping_several_trees():
    assert tree_map(lambda x, y: (x, y), {"a": 1, "b": 2}, {"b": [3], "a": 4}) == {
        "a": (1, 4),
        "b": (2, [3]),
    }
    for other in ([1, 2], {"a": 1}, {"a": 1, "b": 2, "c": 3}):
        with pytest.raises(ValueError, match="expected"):
            tree_map(lambda x, y: x, {"a": 1, "b": 2}, other)
    with pytest.raises(ValueError, match=r"structure \[\*, \*\]"):
        tree_map(lambda x, y: x, [1, 2], [1])


def test_structures_compare_by_kind_and_keys():
    assert tree_structure([1, (2,)]) == tree_structure([3, (4,)])
    assert hash(tree_structure([1])) == hash(tree_structure([2]))
    for other in ((1, (2,)), [1, [2]], [1], [1, (2, 3)], [1, (None,)]):
        assert tree_structure([1, (2,)]) != tree_structure(other)
    assert tree_structure(Layer(1, 2, "a")) != tree_structure(Layer(1, 2, "b"))
    assert tree_structure(1).is_leaf() and not tree_structure([1]).is_leaf()
    assert repr(tree_structure({"a": 1, "b": (2, None)})) == "{'a': *, 'b': (*, None)}"


def test_wrong_number_of_leaves():
    with pytest.raises(ValueError, match="has length 1 but the spec refers to a pytree that holds"):
        tree_unflatten([1], tree_structure([1, 2]))
