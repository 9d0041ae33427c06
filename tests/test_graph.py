"""`autograd.graph`: hooks on saved tensors, versions, hooks on several gradients."""

import pytest

from reference import UNDER_TORCH, fg, only_fastgrad

graph = fg.autograd.graph


class TestSavedTensorsHooks:
    def test_what_is_packed_comes_back_for_backward(self):
        log = []

        def pack(t):
            log.append("pack")
            return t.detach().numpy().copy()

        def unpack(array):
            log.append("unpack")
            return fg.from_numpy(array)

        x = fg.tensor([2.0, 3.0], requires_grad=True)
        with graph.saved_tensors_hooks(pack, unpack):
            y = x * x
        assert set(log) == {"pack"} and log
        log.clear()
        y.sum().backward()
        assert set(log) == {"unpack"}
        assert x.grad.tolist() == [4.0, 6.0]

    def test_the_innermost_pair_applies(self):
        x = fg.ones(2, requires_grad=True)
        seen = []

        def hooks(name):
            return graph.saved_tensors_hooks(lambda t: seen.append(name) or t.detach(), lambda t: t)

        with hooks("outer"):
            with hooks("inner"):
                x.exp()
            x.sin()
        x.cos()
        assert seen == ["inner", "outer"]

    def test_saved_tensors_of_custom_functions_are_packed(self):
        class Square(fg.autograd.Function):
            @staticmethod
            def forward(ctx, x):
                ctx.save_for_backward(x)
                return x * x

            @staticmethod
            def backward(ctx, g):
                (x,) = ctx.saved_tensors
                return 2 * x * g

        x = fg.tensor(3.0, requires_grad=True)
        with graph.saved_tensors_hooks(lambda t: t.detach() * 10, lambda t: t):
            y = Square.apply(x)
        y.backward()
        assert x.grad.item() == 60.0

    def test_second_derivatives_go_through_the_hooks(self):
        x = fg.tensor(2.0, requires_grad=True)
        with graph.saved_tensors_hooks(lambda t: t.detach(), lambda t: t):
            y = x * x * x
        (first,) = fg.autograd.grad(y, x, create_graph=True)
        (second,) = fg.autograd.grad(first, x)
        assert (first.item(), second.item()) == (12.0, 12.0)

    def test_an_exception_in_a_hook_reaches_the_caller(self):
        def fail(_):
            raise KeyError("mine")

        x = fg.ones(2, requires_grad=True)
        with graph.saved_tensors_hooks(fail, lambda t: t), pytest.raises(KeyError, match="mine"):
            x * x
        with graph.saved_tensors_hooks(lambda t: 1, fail):
            y = x * x
        with pytest.raises(KeyError, match="mine"):
            y.sum().backward()
        assert x.grad is None

    def test_the_pair_is_gone_after_an_exception(self):
        seen = []
        with (
            pytest.raises(ValueError),
            graph.saved_tensors_hooks(lambda t: seen.append(1) or t.detach(), lambda t: t),
        ):
            raise ValueError
        fg.ones(2, requires_grad=True).exp()
        assert not seen

    def test_save_on_cpu(self):
        x = fg.tensor([1.0, 2.0], requires_grad=True)
        with graph.save_on_cpu():
            y = (x * x).sum()
        y.backward()
        assert x.grad.tolist() == [2.0, 4.0]

    @only_fastgrad
    def test_pinned_memory_is_refused(self):
        with pytest.raises(ValueError, match="pin_memory=False"):
            graph.save_on_cpu(pin_memory=True)

    def test_hooks_can_be_disabled(self):
        def assert_refused(message):
            with pytest.raises(RuntimeError, match=message), graph.save_on_cpu():
                pass

        with graph.disable_saved_tensors_hooks("not here"):
            assert_refused("not here")
            with graph.disable_saved_tensors_hooks("nor here"):
                assert_refused("nor here")
            assert_refused("not here")
        with graph.save_on_cpu():
            pass


def test_increment_version():
    x, y = fg.zeros(2), fg.zeros(2)
    graph.increment_version(x)
    graph.increment_version([x, y])
    assert (x._version, y._version) == (2, 1)
    w = fg.ones(2, requires_grad=True)
    out = (w.exp() * x).sum()
    graph.increment_version(x)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        out.backward()


class TestGradientEdge:
    def test_of_results_and_leaves(self):
        x = fg.ones(2, requires_grad=True)
        edge = graph.get_gradient_edge(x.sin())
        assert edge.node.name() == "SinBackward0" and edge.output_nr == 0
        assert "AccumulateGrad" in graph.get_gradient_edge(x).node.name()
        with fg.no_grad():
            assert "AccumulateGrad" in graph.get_gradient_edge(x).node.name()

    def test_of_a_constant(self):
        with pytest.raises(RuntimeError, match="does not require"):
            graph.get_gradient_edge(fg.ones(2))

    def test_nodes_are_nodes(self):
        x = fg.ones(2, requires_grad=True)
        assert isinstance(x.sin().grad_fn, graph.Node)


class TestMultiGradHook:
    def leaves(self):
        return fg.tensor(2.0, requires_grad=True), fg.tensor(3.0, requires_grad=True)

    def test_all_waits_for_every_gradient(self):
        a, b = self.leaves()
        c = a * b
        calls = []
        handle = graph.register_multi_grad_hook((a, b, c), calls.append)
        (c * c).backward()
        assert [[g.item() for g in call] for call in calls] == [[36.0, 24.0, 12.0]]
        handle.remove()
        (a * b).backward()
        assert len(calls) == 1

    def test_all_leaves_out_what_backward_does_not_reach(self):
        a, b = self.leaves()
        calls = []
        graph.register_multi_grad_hook((a, b), calls.append)
        (a * 2).backward()
        (a * b).backward()
        assert [[g is not None for g in call] for call in calls] == [[True, False], [True, True]]

    def test_all_with_chosen_inputs(self):
        a, b = self.leaves()
        c = a * b
        calls = []
        graph.register_multi_grad_hook((a, b, c), calls.append)
        (c * c).backward(inputs=(a,))
        assert [[g is not None for g in call] for call in calls] == [[True, False, True]]

    def test_any_takes_the_first(self):
        a, b = self.leaves()
        calls = []
        graph.register_multi_grad_hook((a, b), calls.append, mode="any")
        for _ in range(300):
            (a * b).backward()
        assert len(calls) == 300

    def test_an_unknown_mode(self):
        a, _ = self.leaves()
        with pytest.raises(ValueError, match=r"'all', 'any'"):
            graph.register_multi_grad_hook((a,), print, mode="some")

    @pytest.mark.skipif(UNDER_TORCH, reason="PyTorch's handle differs in type only")
    def test_the_handle_is_a_context(self):
        a, _ = self.leaves()
        calls = []
        with graph.register_multi_grad_hook((a,), calls.append):
            (a * 2).backward()
        (a * 2).backward()
        assert len(calls) == 1
