"""Hooks of modules: forward, backward, state."""

import pytest

from reference import fg, needs_torch

nn = fg.nn


def test_forward_hooks_change_arguments_and_output():
    m, seen = nn.Identity(), []
    m.register_forward_pre_hook(lambda module, args: (args[0] * 2,))
    m.register_forward_pre_hook(lambda module, args: args[0] + 1)
    handle = m.register_forward_hook(lambda module, args, out: seen.append(args[0].item()))
    m.register_forward_hook(lambda module, args, out: out * 10, prepend=True)
    assert m(fg.tensor(1.0)).item() == 30 and seen == [3.0]
    handle.remove()
    m(fg.tensor(1.0))
    assert seen == [3.0]


def test_hooks_with_keywords():
    class Add(nn.Module):
        def forward(self, x, y=0):
            return x + y

    m, seen = Add(), []
    m.register_forward_pre_hook(lambda mod, a, k: (a, {"y": 5}), with_kwargs=True)
    m.register_forward_hook(lambda mod, a, k, out: seen.append(dict(k)), with_kwargs=True)
    assert m(1, y=2) == 6 and seen == [{"y": 5}]
    m.register_forward_pre_hook(lambda mod, a, k: 3, with_kwargs=True)
    with pytest.raises(RuntimeError, match="forward pre-hook must return None or a tuple"):
        m(1)


def test_always_called_hooks():
    class Bad(nn.Module):
        def forward(self, x):
            raise KeyError("no")

    m, seen = Bad(), []
    m.register_forward_hook(lambda mod, a, out: seen.append(out), always_call=True)
    m.register_forward_hook(lambda mod, a, out: seen.append("not called"))
    with pytest.raises(KeyError):
        m(1)
    assert seen == [None]


def test_global_hooks():
    from importlib import import_module

    module = import_module(f"{fg.__name__}.nn.modules.module")
    seen = []
    handles = [
        module.register_module_forward_pre_hook(lambda m, a: seen.append("pre")),
        module.register_module_forward_hook(lambda m, a, out: seen.append("post")),
    ]
    nn.Identity()(1)
    for handle in handles:
        handle.remove()
    nn.Identity()(1)
    assert seen == ["pre", "post"]


def test_backward_hooks_see_and_change_gradients():
    m, seen = nn.Linear(2, 1, bias=False).double(), []
    with fg.no_grad():
        m.weight.fill_(3.0)

    def hook(module, grad_input, grad_output):
        seen.append((grad_input[0].tolist(), grad_output[0].tolist()))
        return (grad_input[0] * 10,)

    m.register_full_backward_hook(hook)
    m.register_full_backward_pre_hook(lambda module, grad_output: (grad_output[0] * 2,))
    x = fg.ones(1, 2, dtype=fg.float64, requires_grad=True)
    m(x).sum().backward()
    assert seen == [([[6.0, 6.0]], [[2.0]])]
    assert x.grad.tolist() == [[60.0, 60.0]] and m.weight.grad.tolist() == [[2.0, 2.0]]


def test_backward_hook_without_input_gradients():
    m, seen = nn.Linear(2, 1), []
    m.register_full_backward_hook(lambda mod, gi, go: seen.append((gi, go[0].shape)))
    m(fg.ones(1, 2)).sum().backward()
    assert seen == [((None,), (1, 1))]


def test_backward_hooks_of_several_inputs_and_outputs():
    class Two(nn.Module):
        def forward(self, a, n, b):
            return a * b, n, a + b

    m, seen = Two(), []
    m.register_full_backward_hook(
        lambda mod, gi, go: seen.append([None if g is None else g.item() for g in (*gi, *go)])
    )
    a, b = (fg.tensor(v, requires_grad=True) for v in (2.0, 3.0))
    product, n, total = m(a, 7, b)
    assert n == 7
    (product * 5 + total).backward()
    assert seen == [[16.0, None, 11.0, 5.0, None, 1.0]]


def test_state_dict_hooks():
    m, seen = nn.Linear(1, 1), []
    m.register_state_dict_pre_hook(lambda mod, prefix, keep: seen.append(("pre", prefix)))

    def post(mod, state, prefix, metadata):
        state[prefix + "extra"] = fg.zeros(1)

    m.register_state_dict_post_hook(post)
    state = nn.Sequential(m).state_dict()
    assert list(state) == ["0.weight", "0.bias", "0.extra"] and seen == [("pre", "0.")]

    other = nn.Linear(1, 1)
    other.register_load_state_dict_pre_hook(lambda mod, state, prefix, *rest: state.pop("extra"))
    other.register_load_state_dict_post_hook(lambda mod, keys: keys.missing_keys.clear())
    given = {"weight": fg.ones(1, 1), "extra": fg.ones(1)}
    other.load_state_dict(given)
    assert other.weight.item() == 1 and "extra" in given


@needs_torch
def test_extra_state():
    class Counter(nn.Module):
        n = 3

        def get_extra_state(self):
            return {"n": self.n}

        def set_extra_state(self, state):
            self.n = state["n"]

    a, b = Counter(), Counter()
    a.n = 8
    state = nn.Sequential(a).state_dict()
    assert state["0._extra_state"] == {"n": 8}
    nn.Sequential(b).load_state_dict(state)
    assert b.n == 8
    with pytest.raises(RuntimeError, match="Missing key"):
        nn.Sequential(b).load_state_dict({})
