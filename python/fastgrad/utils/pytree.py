"""Trees of Python containers whose leaves are tensors, or anything else.

Nodes are dicts (also ``OrderedDict`` and ``defaultdict``), lists, tuples, named tuples, deques,
dataclasses, and classes given to :func:`register_pytree_node`. ``None`` is a tree without leaves:
it stays where it is. Everything else is a leaf; of lists, tuples and dicts so are subclasses.

Example:
    >>> from fastgrad.utils.pytree import tree_map
    >>> tree_map(lambda x: 10 * x, {"a": 1, "b": [2, (3, None)]})
    {'a': 10, 'b': [20, (30, None)]}
"""

from __future__ import annotations

from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from fastgrad._core import Tensor

__all__ = [
    "TreeSpec",
    "register_pytree_node",
    "tree_flatten",
    "tree_leaves",
    "tree_map",
    "tree_structure",
    "tree_unflatten",
]

FlattenFn = Callable[[Any], tuple[Iterable[Any], Any]]
UnflattenFn = Callable[[Iterable[Any], Any], Any]
_Node = tuple[FlattenFn, UnflattenFn]


class TreeSpec:
    """The structure of a tree: what remains when its leaves are taken out.

    Attributes:
        type: The class of the container; None for a leaf.
        context: What the container needs besides its children to be made again, such as keys.
        children: The structures of its children.
        num_leaves: How many leaves the tree has.

    Example:
        >>> from fastgrad.utils.pytree import tree_structure
        >>> tree_structure({"a": 1, "b": [2, None]})
        {'a': *, 'b': [*, None]}
    """

    __slots__ = ("children", "context", "num_leaves", "type")

    def __init__(self, type: Any, context: Any, children: list[TreeSpec]) -> None:
        self.type = type
        self.context = context
        self.children = children
        self.num_leaves: int = 1 if type is None else sum(child.num_leaves for child in children)

    def is_leaf(self) -> bool:
        """Return whether the tree is a single leaf."""
        return self.type is None

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        return (
            isinstance(other, TreeSpec)
            and self.type is other.type
            and self.context == other.context
            and self.children == other.children
        )

    def __hash__(self) -> int:
        return hash((self.type, self.num_leaves, len(self.children)))

    def __repr__(self) -> str:
        if self.is_leaf():
            return "*"
        children = list(map(repr, self.children))
        if self.type in _NODES and self.type not in _BUILT_IN:
            return f"{self.type.__name__}({', '.join(children)})"
        return repr(self._build(map(_Shown, children)))

    def _build(self, children: Iterable[Any]) -> Any:
        return _node(self.type)[1](children, self.context)  # type: ignore[index]

    def _make(self, leaves: Iterator[Any]) -> Any:
        if self.type is None:
            return next(leaves)
        return self._build([child._make(leaves) for child in self.children])

    def flatten_up_to(self, tree: Any) -> list[Any]:
        """Return what a tree of this structure holds at the leaves.

        Args:
            tree: A tree that has at least the nodes of this structure; below its leaves there may
                be more. The order of keys in dicts does not matter.

        Raises:
            ValueError: If the tree has another structure.

        Example:
            >>> from fastgrad.utils.pytree import tree_structure
            >>> tree_structure({"a": 1, "b": 2}).flatten_up_to({"b": "y", "a": ["x"]})
            [['x'], 'y']
        """
        found: list[Any] = []
        self._collect(tree, found)
        return found

    def _collect(self, tree: Any, found: list[Any]) -> None:
        if self.type is None:
            found.append(tree)
            return
        if type(tree) is not self.type:
            raise ValueError(f"expected the structure {self}, got {tree_structure(tree)}")
        children, context = _node(self.type)[0](tree)  # type: ignore[index]
        children = list(children)
        if self.type in _MAPPINGS:
            if set(tree) != set(self._keys()):
                raise ValueError(f"expected the keys {self._keys()}, got {list(tree)}")
            children = [tree[key] for key in self._keys()]
        elif context != self.context or len(children) != len(self.children):
            raise ValueError(f"expected the structure {self}, got {tree_structure(tree)}")
        for spec, child in zip(self.children, children):
            spec._collect(child, found)

    def _keys(self) -> list[Any]:
        return self.context[1] if self.type is defaultdict else self.context  # type: ignore[no-any-return]


class _Shown(str):
    """A text that stands for itself in the repr of a container."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


_LEAF = TreeSpec(None, None, [])
_MAPPINGS = (dict, OrderedDict, defaultdict)
_NODES: dict[type, _Node] = {
    type(None): (lambda tree: ((), None), lambda children, context: None),
    list: (lambda tree: (tree, None), lambda children, context: list(children)),
    tuple: (lambda tree: (tree, None), lambda children, context: tuple(children)),
    dict: (
        lambda tree: (tree.values(), list(tree)),
        lambda children, keys: dict(zip(keys, children)),
    ),
    OrderedDict: (
        lambda tree: (tree.values(), list(tree)),
        lambda children, keys: OrderedDict(zip(keys, children)),
    ),
    defaultdict: (
        lambda tree: (tree.values(), (tree.default_factory, list(tree))),
        lambda children, context: defaultdict(context[0], zip(context[1], children)),
    ),
    deque: (
        lambda tree: (tree, tree.maxlen),
        lambda children, maxlen: deque(children, maxlen=maxlen),
    ),
}
_BUILT_IN = frozenset(_NODES)
# Classes that turned out to be leaves, or nodes by their kind; what register_pytree_node says wins.
_KNOWN: dict[type, _Node | None] = {}


def _node(cls: type) -> _Node | None:
    """Return how to take a class's instances apart and make them; None if they are leaves."""
    found = _NODES.get(cls)
    if found is not None:
        return found
    try:
        return _KNOWN[cls]
    except KeyError:
        found = _KNOWN[cls] = _node_by_kind(cls)
        return found


def _node_by_kind(cls: type) -> _Node | None:
    if issubclass(cls, tuple) and hasattr(cls, "_fields"):  # a named tuple
        return (lambda tree: (tree, None), lambda children, context: cls(*children))
    if issubclass(cls, tuple) and hasattr(cls, "n_sequence_fields"):  # fastgrad.return_types
        return (lambda tree: (tree, None), lambda children, context: cls(tuple(children)))
    if hasattr(cls, "__dataclass_fields__"):
        return _dataclass_node(cls)
    return None


def _dataclass_node(cls: Any) -> _Node:
    fields = {name: f.metadata for name, f in cls.__dataclass_fields__.items()}
    dynamic = [name for name, metadata in fields.items() if not metadata.get("static", False)]
    static = [name for name, metadata in fields.items() if metadata.get("static", False)]

    def flatten(tree: Any) -> tuple[list[Any], Any]:
        return [getattr(tree, name) for name in dynamic], [getattr(tree, name) for name in static]

    def unflatten(children: Iterable[Any], context: Any) -> Any:
        # Not through __init__: it may convert or check what only real values pass.
        made = object.__new__(cls)
        for name, value in (*zip(dynamic, children), *zip(static, context)):
            object.__setattr__(made, name, value)
        return made

    return flatten, unflatten


def register_pytree_node(cls: type[Any], flatten_fn: FlattenFn, unflatten_fn: UnflattenFn) -> None:
    """Make the instances of a class nodes of trees.

    Dataclasses are nodes without this; a field declared with ``field(metadata={"static": True})``
    is part of the structure instead of a child.

    Args:
        cls: The class; its subclasses are not concerned.
        flatten_fn: ``flatten_fn(obj) -> (children, context)``. The context is compared with ``==``
            when two structures are.
        unflatten_fn: ``unflatten_fn(children, context) -> obj``.

    Raises:
        ValueError: If the class is a node already.

    Example:
        >>> from fastgrad.utils.pytree import register_pytree_node, tree_leaves
        >>> class Line:
        ...     def __init__(self, slope, offset):
        ...         self.slope, self.offset = slope, offset
        >>> register_pytree_node(
        ...     Line, lambda l: ((l.slope, l.offset), None), lambda c, _: Line(*c)
        ... )
        >>> tree_leaves([Line(1.0, 2.0), 3.0])
        [1.0, 2.0, 3.0]
    """
    if cls in _NODES:
        raise ValueError(f"{cls} is already registered as pytree node.")
    _NODES[cls] = (flatten_fn, unflatten_fn)


def _flatten(tree: Any, leaves: list[Any], is_leaf: Callable[[Any], bool] | None) -> TreeSpec:
    cls = type(tree)
    if cls is Tensor or (is_leaf is not None and is_leaf(tree)):
        leaves.append(tree)
        return _LEAF
    node = _node(cls)
    if node is None:
        leaves.append(tree)
        return _LEAF
    children, context = node[0](tree)
    return TreeSpec(cls, context, [_flatten(child, leaves, is_leaf) for child in children])


def tree_flatten(
    tree: Any, is_leaf: Callable[[Any], bool] | None = None
) -> tuple[list[Any], TreeSpec]:
    """Take the leaves out of a tree.

    Args:
        tree: Any nesting of containers.
        is_leaf: Returns True for what is to be a leaf although it is a container.

    Returns:
        The leaves from left to right, and the structure, for :func:`tree_unflatten`.

    Example:
        >>> from fastgrad.utils.pytree import tree_flatten
        >>> tree_flatten({"a": 1, "b": (2, 3)})
        ([1, 2, 3], {'a': *, 'b': (*, *)})
    """
    if type(tree) is Tensor:
        return [tree], _LEAF
    leaves: list[Any] = []
    return leaves, _flatten(tree, leaves, is_leaf)


def tree_unflatten(leaves: Iterable[Any], treespec: TreeSpec) -> Any:
    """Put leaves into a structure.

    Args:
        leaves: As many as the structure has, from left to right.
        treespec: The structure, from :func:`tree_flatten`.

    Raises:
        ValueError: If the number of leaves is another.

    Example:
        >>> from fastgrad.utils.pytree import tree_structure, tree_unflatten
        >>> tree_unflatten("xyz", tree_structure([1, (2, 3)]))
        ['x', ('y', 'z')]
    """
    found: Sequence[Any] = leaves if isinstance(leaves, list | tuple) else list(leaves)
    if len(found) != treespec.num_leaves:
        raise ValueError(
            f"tree_unflatten(leaves, treespec): `leaves` has length {len(found)} but the spec "
            f"refers to a pytree that holds {treespec.num_leaves} items ({treespec})."
        )
    return found[0] if treespec.type is None else treespec._make(iter(found))


def tree_map(
    func: Callable[..., Any],
    tree: Any,
    *rests: Any,
    is_leaf: Callable[[Any], bool] | None = None,
) -> Any:
    """Apply a function to the leaves of one tree, or of several together.

    Args:
        func: Takes one leaf of ``tree``, and of each of ``rests`` what is at the same place.
        tree: Says the structure of the result.
        *rests: Trees with at least the nodes of ``tree``.
        is_leaf: Returns True for what is to be a leaf although it is a container.

    Raises:
        ValueError: If one of ``rests`` does not have the structure of ``tree``.

    Example:
        >>> from fastgrad.utils.pytree import tree_map
        >>> tree_map(lambda x, y: x + y, [1, {"a": 2}], [10, {"a": 20}])
        [11, {'a': 22}]
    """
    leaves, spec = tree_flatten(tree, is_leaf)
    others = [spec.flatten_up_to(rest) for rest in rests]
    return tree_unflatten([func(*args) for args in zip(leaves, *others)], spec)


def tree_leaves(tree: Any, is_leaf: Callable[[Any], bool] | None = None) -> list[Any]:
    """Return the leaves of a tree from left to right.

    Args:
        tree: Any nesting of containers.
        is_leaf: Returns True for what is to be a leaf although it is a container.

    Example:
        >>> from fastgrad.utils.pytree import tree_leaves
        >>> tree_leaves({"a": 1, "b": [2, None]})
        [1, 2]
    """
    return tree_flatten(tree, is_leaf)[0]


def tree_structure(tree: Any, is_leaf: Callable[[Any], bool] | None = None) -> TreeSpec:
    """Return the structure of a tree.

    Args:
        tree: Any nesting of containers.
        is_leaf: Returns True for what is to be a leaf although it is a container.

    Example:
        >>> from fastgrad.utils.pytree import tree_structure
        >>> tree_structure([1, 2]) == tree_structure([3, 4])
        True
    """
    return tree_flatten(tree, is_leaf)[1]
