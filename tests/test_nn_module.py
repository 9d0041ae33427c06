"""Modules: attributes, registries, traversal, modes, conversion, printing, copies."""

import copy
import gc
import pickle
import weakref
from collections import OrderedDict

import pytest

from reference import fg, only_fastgrad

nn = fg.nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(3, 4)
        self.act = nn.ReLU()
        self.rest = nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.1), nn.Linear(4, 2, bias=False))
        self.scale = nn.Parameter(fg.ones(2))
        self.register_buffer("count", fg.zeros(()))
        self.register_buffer("scratch", fg.zeros(2), persistent=False)

    def forward(self, x):
        return self.rest(self.act(self.first(x))) * self.scale


def names(pairs):
    return [name for name, _ in pairs]


def test_names_and_their_order():
    net = Net()
    parameters = ["scale", "first.weight", "first.bias", "rest.0.weight", "rest.0.bias"]
    assert names(net.named_parameters()) == [*parameters, "rest.2.weight"]
    assert names(net.named_parameters("net", recurse=False)) == ["net.scale"]
    assert names(net.named_buffers()) == ["count", "scratch"]
    assert names(net.named_children()) == ["first", "act", "rest"]
    assert names(net.named_modules()) == ["", "first", "act", "rest", "rest.0", "rest.1", "rest.2"]
    assert list(net.state_dict()) == [
        "scale",
        "count",
        "first.weight",
        "first.bias",
        "rest.0.weight",
        "rest.0.bias",
        "rest.2.weight",
    ]
    assert len(list(net.modules())) == 7 and len(list(net.children())) == 3


def test_shared_members_come_once():
    a = nn.Linear(2, 2)
    net = nn.Sequential(a, a)
    assert len(list(net.parameters())) == 2 and len(list(net.children())) == 1
    assert len(list(net.named_parameters(remove_duplicate=False))) == 4
    assert len(list(net.named_modules(remove_duplicate=False))) == 3
    assert len(net.state_dict()) == 4


def test_print():
    assert repr(Net()) == (
        "Net(\n"
        "  (first): Linear(in_features=3, out_features=4, bias=True)\n"
        "  (act): ReLU()\n"
        "  (rest): Sequential(\n"
        "    (0): Linear(in_features=4, out_features=4, bias=True)\n"
        "    (1): Dropout(p=0.1, inplace=False)\n"
        "    (2): Linear(in_features=4, out_features=2, bias=False)\n"
        "  )\n"
        ")"
    )

    class Two(nn.Module):
        def extra_repr(self):
            return "one=1\ntwo=2"

    assert repr(Two()) == "Two(\n  one=1\n  two=2\n)"
    assert repr(nn.ModuleList([nn.ReLU(), nn.ReLU(), nn.Tanh()])) == (
        "ModuleList(\n  (0-1): 2 x ReLU()\n  (2): Tanh()\n)"
    )


def test_attributes_find_their_registry():
    m = nn.Module()
    m.p, m.child, m.plain = nn.Parameter(fg.ones(1)), nn.ReLU(), 5
    m.b = nn.Buffer(fg.ones(1), persistent=False)
    assert list(m._parameters) == ["p"] and list(m._modules) == ["child"]
    assert list(m._buffers) == ["b"] and m._non_persistent_buffers_set == {"b"}
    m.b = fg.zeros(1)
    assert m._buffers["b"] is m.b and m.b.item() == 0
    m.p = None
    assert m._parameters == {"p": None} and m.p is None
    m.child = None
    assert m.child is None and list(m._modules) == ["child"]
    del m.p, m.child, m.b, m.plain
    for name in ("p", "child", "b", "plain"):
        assert not hasattr(m, name)
    assert not m._parameters and not m._modules and not m._buffers


def test_an_attribute_may_change_its_kind():
    m = nn.Module()
    m.x = 3
    m.x = nn.Parameter(fg.ones(1))
    assert "x" in m._parameters
    with pytest.raises(TypeError, match="as parameter 'x'"):
        m.x = nn.ReLU()
    m.y = nn.ReLU()
    m.y = nn.Parameter(fg.ones(1))
    assert "y" not in m._modules and isinstance(m.y, nn.Parameter)


def test_writes_to_the_registry_are_seen():
    m = nn.Linear(2, 2)
    new = nn.Parameter(fg.zeros(2, 2))
    m._parameters["weight"] = new
    assert m.weight is new
    del m._parameters["bias"]
    assert not hasattr(m, "bias")
    m.register_parameter("bias", None)
    assert m(fg.ones(1, 2)).tolist() == [[0.0, 0.0]]
    plain = fg.ones(2, 2) * m.weight
    m._parameters["weight"] = plain  # as functional_call does
    assert m.weight is plain


@pytest.mark.parametrize(
    "act, error, message",
    [
        (lambda m: setattr(m, "weight", fg.ones(1)), TypeError, "as parameter 'weight'"),
        (lambda m: setattr(m, "child", 3), TypeError, "as child module 'child'"),
        (lambda m: setattr(m, "buf", 3), TypeError, "as buffer 'buf'"),
        (lambda m: m.register_buffer("a.b", None), KeyError, "buffer name can"),
        (lambda m: m.register_buffer("", None), KeyError, "be empty string"),
        (lambda m: m.register_buffer(3, None), TypeError, "buffer name should be a string"),
        (lambda m: m.register_buffer("weight", None), KeyError, "already exists"),
        (lambda m: m.register_buffer("new", 3), TypeError, "object to buffer 'new'"),
        (lambda m: m.register_parameter("p", fg.ones(1)), TypeError, "object to parameter 'p'"),
        (lambda m: m.register_parameter("forward", None), KeyError, "already exists"),
        (lambda m: m.add_module("x.y", None), KeyError, "module name can"),
        (lambda m: m.add_module("x", 3), TypeError, "is not a Module subclass"),
        (lambda m: m.nope, AttributeError, "'Linear' object has no attribute 'nope'"),
        (lambda m: m.get_submodule("nope"), AttributeError, "has no attribute `nope`"),
        (lambda m: m.get_parameter("buf"), AttributeError, "is not an nn.Parameter"),
        (lambda m: m.get_buffer("weight"), AttributeError, "is not a buffer"),
        (lambda m: m.to(fg.int64), TypeError, "only accepts floating point"),
        (lambda m: m.train(1), ValueError, "training mode is expected to be boolean"),
        (lambda m: nn.Module()(1), NotImplementedError, 'missing the required "forward"'),
        (lambda m: nn.Linear(1, 1, foo=1), TypeError, "unexpected keyword argument 'foo'"),
        (lambda m: nn.Module(1), TypeError, "takes 1 positional argument but 2 were given"),
        (lambda m: m(fg.ones(3, 5)), RuntimeError, "shapes cannot be multiplied"),
    ],
)
def test_errors(act, error, message):
    m = nn.Linear(2, 2)
    m.child = nn.ReLU()
    m.register_buffer("buf", fg.ones(1))
    with pytest.raises(error, match=message):
        act(m)


def test_before_init():
    class Early(nn.Module):
        def __init__(self):
            self.weight = nn.Parameter(fg.ones(1))

    with pytest.raises(AttributeError, match="cannot assign parameters"):
        Early()


def test_parameters_are_leaves():
    m = nn.Module()
    bad = nn.Parameter(fg.ones(1))
    with pytest.raises((ValueError, TypeError)):
        m.register_parameter("p", bad * 2)


def test_lookup_by_path():
    net = Net()
    assert net.get_submodule("rest.0") is net.rest[0] and net.get_submodule("") is net
    assert net.get_parameter("rest.2.weight") is net.rest[2].weight
    assert net.get_buffer("count") is net.count
    net.set_submodule("rest.1", nn.Identity())
    assert isinstance(net.rest[1], nn.Identity)


def test_modes_and_apply():
    net = Net()
    assert net.training and net.eval() is net
    assert not any(m.training for m in net.modules())
    net.train()
    assert all(m.training for m in net.modules())
    seen = []
    assert net.apply(lambda m: seen.append(type(m).__name__)) is net
    assert seen == ["Linear", "ReLU", "Linear", "Dropout", "Linear", "Sequential", "Net"]
    net.requires_grad_(False)
    assert not any(p.requires_grad for p in net.parameters())


def test_conversion_keeps_the_parameters():
    net = Net()
    before = dict(net.named_parameters())
    (net(fg.ones(1, 3)).sum()).backward()
    net.register_buffer("steps", fg.tensor(3))
    assert net.double() is net
    after = dict(net.named_parameters())
    assert all(after[name] is before[name] for name in before)
    assert all(p.dtype == fg.float64 and p.grad.dtype == fg.float64 for p in net.parameters())
    assert net.count.dtype == fg.float64 and net.steps.dtype == fg.int64
    assert net.to(fg.float32).scale.dtype == fg.float32
    assert net.to("cpu", fg.float64).scale.dtype == fg.float64
    assert net.to(fg.ones(1)).scale.dtype == fg.float32
    assert net.half().scale.dtype == fg.float16 and net.float().scale.dtype == fg.float32
    assert net.bfloat16().count.dtype == fg.bfloat16


@pytest.mark.parametrize("set_to_none", [True, False])
def test_zero_grad(set_to_none):
    net = Net()
    net(fg.ones(1, 3)).sum().backward()
    net.zero_grad(set_to_none)
    for p in net.parameters():
        assert p.grad is None if set_to_none else not p.grad.any()


def round_trip(net):
    return pickle.loads(pickle.dumps(net))


@pytest.mark.parametrize("duplicate", [copy.deepcopy, round_trip])
def test_copies_are_independent(duplicate):
    net = Net().eval()
    other = duplicate(net)
    assert repr(other) == repr(net) and not other.training
    x = fg.ones(2, 3)
    assert fg.equal(net(x), other(x))
    for (name, p), q in zip(net.named_parameters(), other.parameters()):
        assert p is not q and fg.equal(p, q) and isinstance(q, nn.Parameter), name
    with fg.no_grad():
        other.first.weight.zero_()
    assert net.first.weight.any()
    other.first.weight = nn.Parameter(fg.ones(4, 3))
    assert other.first._parameters["weight"] is other.first.weight
    assert other._non_persistent_buffers_set == {"scratch"}


def test_a_shared_parameter_stays_shared_in_a_copy():
    net = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    net[1].weight = net[0].weight
    other = copy.deepcopy(net)
    assert other[0].weight is other[1].weight and other[0].weight is not net[0].weight


@only_fastgrad
def test_a_module_is_freed_without_the_collector():
    gc.disable()
    try:
        net = Net()
        gone = weakref.ref(net.first)
        del net
        assert gone() is None
    finally:
        gc.enable()


def test_parameter():
    p = nn.Parameter(fg.ones(2))
    assert p.requires_grad and p.is_leaf and isinstance(p, fg.Tensor)
    assert repr(p).startswith("Parameter containing:\ntensor([1., 1.], requires_grad=True)")
    assert not isinstance(p * 2, nn.Parameter) and not isinstance(p.detach(), nn.Parameter)
    assert not nn.Parameter(fg.ones(1), requires_grad=False).requires_grad
    for duplicate in (copy.deepcopy, round_trip):
        q = duplicate(p)
        assert isinstance(q, nn.Parameter) and q.requires_grad and fg.equal(p, q)
    assert nn.Parameter().shape == (0,)


def test_sequential():
    a, b, c = nn.ReLU(), nn.Tanh(), nn.Sigmoid()
    net = nn.Sequential(OrderedDict([("a", a), ("b", b)]))
    assert names(net.named_children()) == ["a", "b"] and net.a is net[0] and net[-1] is b
    assert isinstance(net[:1], nn.Sequential) and list(net[:1]) == [a]
    net = nn.Sequential(a, b)
    assert net.append(c) is net and len(net) == 3
    del net[0]
    assert list(net) == [b, c] and names(net.named_children()) == ["0", "1"]
    net.insert(0, a)
    assert list(net) == [a, b, c]
    net[1] = c
    assert net[1] is c and net.pop(1) is c and list(net) == [a, c]
    assert list(net + nn.Sequential(b)) == [a, c, b] and len(net * 2) == 4
    with pytest.raises(IndexError, match="index 9 is out of range"):
        net[9]


def test_module_list_and_dict():
    layers = nn.ModuleList([nn.ReLU()])
    layers += [nn.Tanh()]
    layers.append(nn.Sigmoid())
    layers.insert(0, nn.Identity())
    assert [type(m).__name__ for m in layers] == ["Identity", "ReLU", "Tanh", "Sigmoid"]
    assert isinstance(layers[1:3], nn.ModuleList) and len(layers[1:3]) == 2
    layers.pop(0)
    del layers[0]
    assert names(layers.named_children()) == ["0", "1"] and len(layers + layers) == 4
    table = nn.ModuleDict({"b": nn.ReLU(), "a": nn.Tanh()})
    table["c"] = nn.Sigmoid()
    table.update([("d", nn.Identity())])
    assert list(table) == ["b", "a", "c", "d"] and "a" in table and len(table) == 4
    assert isinstance(table.pop("c"), nn.Sigmoid) and list(table.keys()) == ["b", "a", "d"]
    del table["a"]
    assert [k for k, _ in table.items()] == ["b", "d"]
    table.clear()
    assert len(table) == 0


def test_parameter_list_and_dict():
    many = nn.ParameterList([fg.ones(2), nn.Parameter(fg.ones(3)), 7])
    many.append(fg.zeros(1))
    assert names(many.named_parameters()) == ["0", "1", "3"] and many[2] == 7 and len(many) == 4
    assert isinstance(many[1:], nn.ParameterList) and len(many[1:]) == 3
    table = nn.ParameterDict({"a": fg.ones(2), "b": None})
    table["c"] = nn.Parameter(fg.ones(1))
    assert list(table.keys()) == ["a", "b", "c"] and isinstance(table["a"], nn.Parameter)
    assert names(table.named_parameters()) == ["a", "c"] and table["b"] is None
    assert table.pop("a").shape == (2,) and "a" not in table and table.get("zz", 1) == 1
    assert copy.deepcopy(table)["c"].shape == (1,)
    with pytest.raises(RuntimeError, match="should not be called"):
        table(1)


def test_training_a_small_net_goes_down():
    fg.manual_seed(0)
    net = nn.Sequential(nn.Linear(2, 16), nn.Tanh(), nn.Linear(16, 1))
    x = fg.rand(64, 2)
    y = (x[:, :1] * x[:, 1:]).detach()
    opt = fg.optim.Adam(net.parameters(), lr=0.02)
    first = None
    for _ in range(200):
        opt.zero_grad()
        loss = nn.functional.mse_loss(net(x), y)
        loss.backward()
        opt.step()
        first = loss.item() if first is None else first
    assert loss.item() < first / 20
