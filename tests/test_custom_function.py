"""`autograd.Function`: operations with a gradient of their own."""

import gc
import weakref

import pytest

from reference import fg, only_fastgrad

Function = fg.autograd.Function


class Square(Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return 2 * x * g


def leaf(value=2.0):
    return fg.tensor(value, dtype=fg.float64, requires_grad=True)


def returning(result):
    """A function of (x, extra) whose backward returns `result`."""

    class Returning(Function):
        @staticmethod
        def forward(ctx, x, extra):
            return x * 2

        @staticmethod
        def backward(ctx, g):
            return result(g) if callable(result) else result

    return Returning


class TestForward:
    def test_value_gradient_and_name(self):
        x = leaf(3.0)
        y = Square.apply(x)
        assert y.item() == 9.0 and y.requires_grad and not y.is_leaf
        assert y.grad_fn.name() == "SquareBackward" and "grad_fn=<SquareBackward>" in repr(y)
        y.backward()
        assert x.grad.item() == 6.0

    def test_nothing_is_recorded_inside(self):
        seen = []

        class Peek(Square):
            @staticmethod
            def forward(ctx, x):
                seen.append((fg.is_grad_enabled(), (x * 2).requires_grad))
                return Square.forward(ctx, x)

        Peek.apply(leaf())
        assert seen == [(False, False)]

    def test_without_gradients_nothing_is_attached(self):
        assert not Square.apply(fg.ones(2)).requires_grad
        with fg.no_grad():
            assert not Square.apply(leaf()).requires_grad

    def test_needs_input_grad_and_other_arguments(self):
        seen = []

        class Scale(Function):
            @staticmethod
            def forward(ctx, x, factor, y, name=None):
                seen.append((ctx.needs_input_grad, factor, name))
                ctx.factor = factor
                return x * factor + y

            @staticmethod
            def backward(ctx, g):
                seen.append(ctx.needs_input_grad)
                return g * ctx.factor, None, None, None

        x = leaf()
        Scale.apply(x, 3, fg.ones(()), "n").backward()
        assert x.grad.item() == 3.0
        assert seen == [((True, False, False, False), 3, "n"), (True, False, False, False)]

    def test_keyword_arguments_are_bound_by_name(self):
        class Power(Function):
            @staticmethod
            def forward(ctx, x, exponent=2):
                ctx.save_for_backward(x)
                ctx.exponent = exponent
                return x**exponent

            @staticmethod
            def backward(ctx, g):
                (x,) = ctx.saved_tensors
                return ctx.exponent * x ** (ctx.exponent - 1) * g, None

        x = leaf()
        Power.apply(x, exponent=3).backward()
        assert x.grad.item() == 12.0
        with pytest.raises(TypeError, match="base"):
            Power.apply(x, base=3)

    def test_several_outputs(self):
        class MinMax(Function):
            @staticmethod
            def forward(ctx, x):
                low, high = x.argmin(), x.argmax()
                ctx.places, ctx.size = (low.item(), high.item()), x.shape
                return x[low].clone(), "between", x[high].clone()

            @staticmethod
            def backward(ctx, g_low, g_text, g_high):
                assert g_text is None
                grad = fg.zeros(ctx.size, dtype=g_low.dtype)
                grad[ctx.places[0]] += g_low
                grad[ctx.places[1]] += g_high
                return grad

        x = leaf([3.0, -1.0, 5.0])
        low, text, high = MinMax.apply(x)
        assert text == "between"
        (2 * low + 3 * high).backward()
        assert x.grad.tolist() == [0.0, 2.0, 3.0]

    def test_an_input_can_be_returned_as_it_is(self):
        class Same(Function):
            @staticmethod
            def forward(ctx, x):
                return x

            @staticmethod
            def backward(ctx, g):
                return g * 5

        x = leaf()
        y = Same.apply(x)
        assert y is not x and y.grad_fn is not None and x.is_leaf
        y.backward()
        assert x.grad.item() == 5.0

    def test_setup_context(self):
        class Split(Function):
            @staticmethod
            def forward(x, factor):
                return x * factor

            @staticmethod
            def setup_context(ctx, inputs, output):
                x, ctx.factor = inputs
                ctx.save_for_backward(x, output)

            @staticmethod
            def backward(ctx, g):
                x, y = ctx.saved_tensors
                assert y.item() == x.item() * ctx.factor
                return g * ctx.factor, None

        class Inherits(Split):
            pass

        for function in (Split, Inherits):
            x = leaf()
            function.apply(x, factor=4).backward()
            assert x.grad.item() == 4.0

    def test_errors_in_forward_reach_the_caller(self):
        class Fails(Function):
            @staticmethod
            def forward(ctx, x):
                raise KeyError("mine")

        with pytest.raises(KeyError, match="mine"):
            Fails.apply(leaf())

    def test_forward_and_backward_must_exist(self):
        class Nothing(Function):
            pass

        class OnlyForward(Function):
            @staticmethod
            def forward(ctx, x):
                return x * 2

        with pytest.raises(NotImplementedError, match="implement the forward"):
            Nothing.apply(leaf())
        with pytest.raises(NotImplementedError, match="backward or vjp"):
            OnlyForward.apply(leaf()).backward()

    def test_functions_are_not_instantiated(self):
        with pytest.warns(DeprecationWarning, match="should not be instantiated"):
            instance = Square()
        with pytest.raises(RuntimeError, match="static"):
            instance(leaf())

    def test_only_tensors_are_saved(self):
        class Wrong(Function):
            @staticmethod
            def forward(ctx, x):
                ctx.save_for_backward(x, 3)
                return x * 2

        with pytest.raises(TypeError, match="save_for_backward can only save variables"):
            Wrong.apply(leaf())


class TestBackward:
    @pytest.mark.parametrize(
        ("result", "message"),
        [
            ((), "incorrect number of gradients .expected 2, got 0"),
            (fg.ones(()), "incorrect number of gradients .expected 2, got 1"),
            ((None, None, fg.ones(())), "incorrect number of gradients .expected 2, got 3"),
            ((fg.ones(()), fg.ones(())), "different than None at position 2"),
            ((1.0, None), "expected Variable or None .got float"),
            ((fg.ones(3), None), "invalid gradient at index 0"),
        ],
    )
    def test_wrong_results_are_errors(self, result, message):
        with pytest.raises(RuntimeError, match=message):
            returning(result).apply(leaf([1.0, 2.0]), "extra").sum().backward()

    def test_what_may_be_returned(self):
        for result in ((lambda g: (g, None)), (lambda g: (g, None, None, None))):
            x = leaf()
            returning(result).apply(x, "extra").backward()
            assert x.grad.item() == 1.0
        x = leaf()
        returning((None, None)).apply(x, "extra").backward()
        assert x.grad is None

    def test_a_gradient_is_cast_to_the_dtype_of_its_input(self):
        x = leaf()
        returning(lambda g: (g.float(), None)).apply(x, "extra").backward()
        assert x.grad.dtype == fg.float64

    def test_vjp_is_another_name(self):
        class Vjp(Function):
            @staticmethod
            def forward(ctx, x):
                return x * 2

            @staticmethod
            def vjp(ctx, g):
                return g * 7

        class Both(Vjp):
            @staticmethod
            def backward(ctx, g):
                return g

        x = leaf()
        Vjp.apply(x).backward()
        assert x.grad.item() == 7.0
        with pytest.raises(RuntimeError, match="'backward' and 'vjp'"):
            Both.apply(x).backward()

    def test_second_derivatives_run_through_backward(self):
        x = leaf(3.0)
        (first,) = fg.autograd.grad(Square.apply(x), x, create_graph=True)
        (second,) = fg.autograd.grad(first, x)
        assert (first.item(), second.item()) == (6.0, 2.0)
        assert fg.autograd.gradgradcheck(Square.apply, leaf([0.5, 1.5]))

    def test_saved_tensors_are_checked_for_changes(self):
        x = leaf([1.0, 2.0])
        y = x * 1
        z = Square.apply(y)
        with fg.no_grad():
            y.mul_(2)
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            z.sum().backward()

    def test_backward_twice(self):
        y = Square.apply(leaf())
        y.backward(retain_graph=True)
        y.backward()
        with pytest.raises(RuntimeError, match="backward through the graph a second time"):
            y.backward()

    def test_absent_gradients(self):
        seen = []

        class Two(Function):
            @staticmethod
            def forward(ctx, x, materialize):
                ctx.set_materialize_grads(materialize)
                return x * 2, x * 3

            @staticmethod
            def backward(ctx, g1, g2):
                seen.append(g2)
                return g1, None

        for materialize in (True, False):
            Two.apply(leaf([1.0, 2.0]), materialize)[0].sum().backward()
        assert seen[0].tolist() == [0.0, 0.0] and seen[1] is None

    def test_once_differentiable(self):
        class Double(Function):
            @staticmethod
            def forward(ctx, x):
                ctx.save_for_backward(x)
                return x * x

            @staticmethod
            @fg.autograd.function.once_differentiable
            def backward(ctx, g):
                (x,) = ctx.saved_tensors
                assert not fg.is_grad_enabled()
                return 2 * x * g

        x = leaf(3.0)
        Double.apply(x).backward()
        assert x.grad.item() == 6.0
        seed = fg.ones((), dtype=fg.float64, requires_grad=True)
        (g,) = fg.autograd.grad(Double.apply(x), x, seed, create_graph=True)
        assert g.item() == 6.0 and g.requires_grad
        with pytest.raises(RuntimeError, match="marked with @once_differentiable"):
            g.backward()


class TestMarks:
    def test_non_differentiable_outputs(self):
        class Sort(Function):
            @staticmethod
            def forward(ctx, x):
                values, order = x.sort()
                ctx.mark_non_differentiable(order)
                ctx.save_for_backward(order)
                return values, order

            @staticmethod
            def backward(ctx, g, g_order):
                (order,) = ctx.saved_tensors
                return fg.zeros_like(g).scatter(0, order, g)

        x = leaf([3.0, 1.0, 2.0])
        values, order = Sort.apply(x)
        assert values.requires_grad and not order.requires_grad
        assert order.tolist() == [1, 2, 0]
        (values * fg.tensor([1.0, 10.0, 100.0], dtype=fg.float64)).sum().backward()
        assert x.grad.tolist() == [100.0, 1.0, 10.0]

    def test_dirty_inputs_become_outputs(self):
        class AddOne(Function):
            @staticmethod
            def forward(ctx, x):
                x.add_(1)
                ctx.mark_dirty(x)
                return x

            @staticmethod
            def backward(ctx, g):
                return g * 3

        x = leaf([1.0, 2.0])
        y = x * 1
        z = AddOne.apply(y)
        assert z is y and y._version > 0 and y.grad_fn.name() == "AddOneBackward"
        y.sum().backward()
        assert x.grad.tolist() == [3.0, 3.0]
        with pytest.raises(RuntimeError, match="leaf Variable that requires grad"):
            AddOne.apply(x)


class TestLifetime:
    def test_saving_an_output_makes_no_cycle(self):
        class Exp(Function):
            @staticmethod
            def forward(ctx, x):
                y = x.exp()
                ctx.save_for_backward(y)
                return y

            @staticmethod
            def backward(ctx, g):
                (y,) = ctx.saved_tensors
                return g * y

        class Alive:
            pass

        class Carries(Exp):
            @staticmethod
            def forward(ctx, x):
                ctx.alive = Alive()
                watched.append(weakref.ref(ctx.alive))
                return Exp.forward(ctx, x)

        watched = []
        gc.collect()
        gc.disable()
        try:
            y = Carries.apply(leaf())
            assert watched[0]() is not None
            del y
            assert watched[0]() is None
        finally:
            gc.enable()

    def test_attributes_of_ctx_are_there_in_backward(self):
        class Remember(Function):
            @staticmethod
            def forward(ctx, x):
                ctx.shape, ctx.note = x.shape, "note"
                return x.sum()

            @staticmethod
            def backward(ctx, g):
                assert ctx.note == "note"
                return g.expand(ctx.shape)

        x = leaf([1.0, 2.0])
        Remember.apply(x).backward()
        assert x.grad.tolist() == [1.0, 1.0]


@only_fastgrad
def test_keyword_only_arguments_are_refused():
    class Named(Function):
        @staticmethod
        def forward(ctx, x, *, factor):
            return x * factor

    with pytest.raises(TypeError, match="keyword-only"):
        Named.apply(leaf(), factor=2)
