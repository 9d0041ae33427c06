"""`utils.checkpoint`: the same gradients, with intermediate results recomputed."""

import contextlib
import functools
import gc
import importlib
import weakref

import pytest

from reference import MODULE_NAME, fg

module = importlib.import_module(f"{MODULE_NAME}.utils.checkpoint")
CheckpointError = module.CheckpointError
checkpoint = functools.partial(module.checkpoint, use_reentrant=False)
reentrant = functools.partial(module.checkpoint, use_reentrant=True)
BOTH = pytest.mark.parametrize("run", [checkpoint, reentrant], ids=["checkpoint", "reentrant"])


def leaf(values=(0.5, -1.5, 2.0)):
    return fg.tensor(values, dtype=fg.float64, requires_grad=True)


class Counted:
    """A function that counts its calls and how far each came."""

    def __init__(self):
        self.calls = 0
        self.steps = []

    def __call__(self, x, y=None):
        self.calls += 1
        self.steps.append(0)
        for step in (lambda t: t.sin() * t, lambda t: (-t * t).exp() * t, lambda t: t.cos() * t):
            x = step(x)
            self.steps[-1] += 1
        return x if y is None else x * y


def gradients(run, function, *args):
    xs = [a for a in args if isinstance(a, fg.Tensor) and a.requires_grad]
    for x in xs:
        x.grad = None
    outputs = run(function, *args) if run else function(*args)
    (outputs * outputs).sum().backward()
    return [x.grad.tolist() for x in xs]


@BOTH
def test_gradients_are_those_without(run):
    x, y = leaf(), leaf((1.0, 2.0, 3.0))
    assert gradients(run, Counted(), x, y) == gradients(None, Counted(), x, y)


@BOTH
def test_the_function_runs_twice(run):
    function = Counted()
    gradients(run, function, leaf())
    assert function.calls == 2


def test_intermediate_results_are_not_kept():
    alive = []

    def function(x):
        y = x.exp()
        alive.append(weakref.ref(y))
        return (y * y).sin()

    x = leaf()
    out = checkpoint(function, x)
    gc.collect()
    assert alive[0]() is None
    out.sum().backward()
    gc.collect()
    assert all(ref() is None for ref in alive)


def test_recomputation_stops_early():
    def function(x):
        counted = Counted.__call__
        y = counted(state, x)
        state.steps[-1] = "saved all"
        y = y + 1  # nothing is saved from here on
        state.steps[-1] = "finished"
        return y

    for early_stop, last in ((True, "saved all"), (False, "finished")):
        state = Counted()
        checkpoint(function, leaf(), early_stop=early_stop).sum().backward()
        assert state.steps[0] == "finished"
        assert (state.steps[1] == "finished") == (last == "finished")
    state = Counted()
    with module.set_checkpoint_early_stop(False):
        out = checkpoint(function, leaf())
    out.sum().backward()
    assert state.steps == ["finished", "finished"]


def test_backward_twice_with_retain_graph():
    x, function = leaf(), Counted()
    out = checkpoint(function, x).sum()
    out.backward(retain_graph=True)
    first = x.grad.tolist()
    out.backward()
    assert x.grad.tolist() == [2 * g for g in first]
    assert function.calls == 3


def test_parts_of_the_graph_at_different_times():
    x = leaf()
    a, b = checkpoint(lambda x: (x.exp() * x, x.sin() * x), x)
    a.sum().backward()
    b.sum().backward()
    expected = leaf()
    (expected.exp() * expected + expected.sin() * expected).sum().backward()
    fg.testing.assert_close(x.grad, expected.grad)


def test_second_derivatives():
    x = leaf()

    def second(run):
        y = run(lambda x: (x.sin() * x).exp())
        (first,) = fg.autograd.grad(y.sum(), x, create_graph=True)
        return fg.autograd.grad((first * first).sum(), x)[0]

    fg.testing.assert_close(second(lambda f: checkpoint(f, x)), second(lambda f: f(x)))


def test_autograd_grad_and_closures():
    x, w = leaf(), leaf((3.0, 2.0, 1.0))
    out = checkpoint(lambda x: (x * w).sin(), x)
    got = fg.autograd.grad(out.sum(), (x, w))
    want = fg.autograd.grad((x * w).sin().sum(), (x, w))
    fg.testing.assert_close(got, want)


def test_keyword_arguments_and_nested_inputs():
    x = leaf()
    out = checkpoint(lambda xs, scale=1.0: (xs["a"] * scale).exp(), {"a": x}, scale=2.0)
    out.sum().backward()
    fg.testing.assert_close(x.grad, (2 * x.detach()).exp() * 2)


class TestNested:
    def nest(self, depth, functions):
        def run(x):
            x = functions[depth](x)
            return checkpoint(self.nest(depth - 1, functions), x) if depth else x

        return run

    @pytest.mark.parametrize("early_stop", [True, False])
    def test_gradients(self, early_stop):
        functions = [Counted() for _ in range(4)]
        plain, nested = leaf(), leaf()
        value = plain
        for function in reversed(functions):
            value = function(value)
        value.sum().backward()
        with module.set_checkpoint_early_stop(early_stop):
            checkpoint(self.nest(3, functions), nested).sum().backward()
        fg.testing.assert_close(nested.grad, plain.grad)

    def test_inner_arguments_are_not_kept_either(self):
        alive = []

        def inner(y):
            return (y.sin() * y).exp()

        def outer(x):
            y = x.exp() * x
            alive.append(weakref.ref(y))
            return checkpoint(inner, y) * 2

        x = leaf()
        out = checkpoint(outer, x)
        gc.collect()
        assert alive[0]() is None
        out.sum().backward()
        expected = leaf()
        outer(expected).sum().backward()
        fg.testing.assert_close(x.grad, expected.grad)

    def test_backward_inside_the_function(self):
        def function(x):
            y = x.sin() * x
            (g,) = fg.autograd.grad((y * y).sum(), x, create_graph=True)
            return g * y.exp()

        x, expected = leaf(), leaf()
        checkpoint(function, x).sum().backward()
        function(expected).sum().backward()
        fg.testing.assert_close(x.grad, expected.grad)


class TestRandomness:
    @BOTH
    def test_both_runs_draw_the_same_numbers(self, run):
        masks = []

        def function(x):
            masks.append(fg.rand(3).tolist())
            return x * fg.tensor(masks[-1], dtype=fg.float64) * x

        fg.manual_seed(0)
        out = run(function, leaf())
        after = fg.get_rng_state().tolist()
        out.sum().backward()
        assert masks[0] == masks[1]
        assert fg.get_rng_state().tolist() == after

    @pytest.mark.parametrize("randomness", ["same", "different"])
    def test_examples_of_vmap_draw_the_same_numbers_again(self, randomness):
        w, x = leaf(), fg.ones(20, 3, dtype=fg.float64)

        def function(row):
            return checkpoint(lambda t: fg.nn.functional.dropout(t * w, 0.5) ** 2, row).sum()

        total = fg.vmap(function, randomness=randomness)(x).sum()
        total.backward()
        assert total.item() > 0
        assert float((w.grad * w.detach()).sum()) == pytest.approx(2 * total.item())

    def test_or_not(self):
        masks = []

        def function(x):
            masks.append(fg.rand(3).tolist())
            return x.sin() * x

        checkpoint(function, leaf(), preserve_rng_state=False).sum().backward()
        assert masks[0] != masks[1]


class TestDifferences:
    def changing(self, *functions):
        turns = iter(functions)
        return lambda x: next(turns)(x)

    def test_other_shapes(self):
        function = self.changing(lambda x: x.exp().sin(), lambda x: x[:2].exp().sin())
        out = checkpoint(function, leaf())
        with pytest.raises(CheckpointError, match="different metadata") as caught:
            out.sum().backward()
        assert "tensor at position 0" in str(caught.value)

    def test_other_shapes_are_let_through_without_the_check(self):
        function = self.changing(lambda x: x.exp() * 1, lambda x: x.float().exp() * 1)
        checkpoint(function, leaf(), determinism_check="none").sum().backward()

    def test_fewer_tensors(self):
        function = self.changing(lambda x: x.exp().sin().cos(), lambda x: x.exp())
        out = checkpoint(function, leaf())
        with pytest.raises(CheckpointError, match="different number of tensors was saved"):
            out.sum().backward()

    def test_more_tensors(self):
        function = self.changing(lambda x: x.exp(), lambda x: x.exp().sin().cos())
        out = checkpoint(function, leaf(), early_stop=False)
        with pytest.raises(CheckpointError, match="save more tensors during recomputation"):
            out.sum().backward()

    @pytest.mark.skipif(MODULE_NAME != "fastgrad", reason="PyTorch logs operators instead")
    def test_debug_shows_the_lines(self):
        function = self.changing(lambda x: x.exp().sin(), lambda x: x[:2].exp().sin())
        with module.set_checkpoint_debug_enabled(True):
            out = checkpoint(function, leaf())
        with pytest.raises(CheckpointError, match=r"test_checkpoint\.py"):
            out.sum().backward()


class TestContexts:
    def test_each_run_has_its_own(self):
        log = []

        @contextlib.contextmanager
        def note(name):
            log.append(name)
            yield

        out = checkpoint(Counted(), leaf(), context_fn=lambda: (note("forward"), note("recompute")))
        assert log == ["forward"]
        out.sum().backward()
        assert log == ["forward", "recompute"]

    def test_without_recording_it_is_a_call(self):
        function = Counted()
        with fg.no_grad():
            out = checkpoint(function, leaf())
        assert not out.requires_grad and function.calls == 1


class TestArguments:
    def test_determinism_check(self):
        with pytest.raises(ValueError, match="determinism_check should be one of"):
            checkpoint(Counted(), leaf(), determinism_check="all").sum().backward()

    def test_reentrant_takes_less(self):
        with pytest.raises(ValueError, match="Unexpected keyword arguments: scale"):
            reentrant(Counted(), leaf(), scale=2)
        with pytest.raises(ValueError, match="only supported when use_reentrant=False"):
            reentrant(Counted(), leaf(), debug=True)

    def test_reentrant_refuses_grad(self):
        x = leaf()
        out = reentrant(Counted(), x)
        with pytest.raises(RuntimeError, match=r"incompatible with \.grad\(\)"):
            fg.autograd.grad(out.sum(), x)

    def test_reentrant_warns_without_gradients(self):
        with pytest.warns(UserWarning, match="Gradients will be None"):
            reentrant(lambda x: x * 2, fg.ones(2))

    @pytest.mark.skipif(MODULE_NAME != "fastgrad", reason="PyTorch's default still warns")
    def test_the_default_is_not_reentrant(self):
        x = leaf()
        out = module.checkpoint(Counted(), x)
        assert fg.autograd.grad(out.sum(), x)[0].shape == x.shape


@pytest.mark.parametrize("segments", [1, 2, 3, 5])
@pytest.mark.parametrize("use_reentrant", [True, False])
def test_sequences(segments, use_reentrant):
    functions = [Counted() for _ in range(5)]
    x, expected = leaf(), leaf()
    out = module.checkpoint_sequential(functions, segments, x, use_reentrant=use_reentrant)
    out.sum().backward()
    value = expected
    for function in functions:
        value = function(value)
    value.sum().backward()
    fg.testing.assert_close(x.grad, expected.grad)
    # The last segment keeps its results.
    assert functions[-1].calls == 2 and functions[0].calls == (2 if segments == 1 else 3)
