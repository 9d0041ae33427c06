"""gradcheck and gradgradcheck accept right gradients and find wrong ones."""

import warnings

import pytest

from reference import UNDER_TORCH, fg, only_fastgrad

Function = fg.autograd.Function
GradcheckError = fg.autograd.gradcheck.__globals__["GradcheckError"]
gradcheck, gradgradcheck = fg.autograd.gradcheck, fg.autograd.gradgradcheck


def leaf(values, dtype=None):
    return fg.tensor(values, dtype=dtype or fg.float64, requires_grad=True)


def wrong_square(error):
    """x**2 with a gradient that is off by `error` at the second element."""

    class WrongSquare(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x * x

        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            off = fg.zeros_like(x)
            off[1] = error
            return (2 * x + off) * g

    return WrongSquare.apply


@pytest.fixture(params=[False, True], ids=["elementwise", "projected"])
def fast_mode(request):
    return request.param


class TestRightGradients:
    @pytest.mark.parametrize(
        "func",
        [
            lambda x, y: x * y,
            lambda x, y: (x @ y.t(), (x.sin() * y).sum()),
            lambda x, y: [x.sum(0), y.t()[1:]],
            lambda x, y: x,
            lambda x, y: (x.exp(), x.argmax(), x.detach().round()),
        ],
    )
    def test_are_accepted(self, func, fast_mode):
        x, y = leaf([[0.5, -1.5], [2.0, 0.3]]), leaf([[1.0, 0.2], [0.7, -2.0]])
        before = [x.tolist(), y.tolist()]
        if fast_mode and not func(x, y)[-1].requires_grad:
            func = lambda x, y: x.exp() * y  # noqa: E731
        assert gradcheck(func, (x, y), fast_mode=fast_mode)
        assert [x.tolist(), y.tolist()] == before and x.grad is None

    def test_scalars_and_other_arguments(self, fast_mode):
        assert gradcheck(lambda x, p, n: x**p * n, (leaf(1.5), 3, 2.0), fast_mode=fast_mode)

    def test_views_and_strides(self, fast_mode):
        x = leaf([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]).detach().t().requires_grad_()
        assert not x.is_contiguous()
        assert gradcheck(lambda x: x.sin().sum(1), x, fast_mode=fast_mode)

    def test_empty_inputs_and_outputs(self):
        assert gradcheck(lambda x: x.sum(), fg.zeros(0, 2, dtype=fg.float64, requires_grad=True))
        assert gradcheck(lambda x: x[:0], leaf([1.0, 2.0]))

    @only_fastgrad
    def test_inputs_in_lists(self):
        xs = [leaf([1.0, 2.0]), leaf([3.0, 4.0])]
        assert gradcheck(lambda xs: fg.stack(xs).prod(0), (xs,))

    def test_a_function_of_a_parameter_it_closes_over(self):
        w = leaf([1.0, 2.0])
        assert gradcheck(lambda _: (w * w).sum(), w)

    def test_constants_need_no_gradient(self):
        assert gradcheck(lambda x: x.detach() * 0, leaf([1.0, 2.0]))


class TestWrongGradients:
    def test_are_found(self, fast_mode):
        with pytest.raises(GradcheckError, match="Jacobian mismatch for output 0 with respect to"):
            gradcheck(wrong_square(0.01), leaf([1.0, 2.0]), fast_mode=fast_mode)
        assert not gradcheck(
            wrong_square(0.01), leaf([1.0, 2.0]), fast_mode=fast_mode, raise_exception=False
        )

    def test_tolerances(self, fast_mode):
        x = leaf([1.0, 2.0])
        assert gradcheck(wrong_square(1e-7), x, fast_mode=fast_mode)
        assert gradcheck(wrong_square(0.01), x, atol=0.1, fast_mode=fast_mode)
        assert gradcheck(wrong_square(0.01), x, rtol=0.1, fast_mode=fast_mode)

    def test_a_hidden_dependence(self, fast_mode):
        func = lambda x: x.detach() * 2  # noqa: E731
        with pytest.raises(GradcheckError, match="expected to be zero"):
            gradcheck(func, leaf([1.0, 2.0]), fast_mode=fast_mode)

    def test_a_backward_that_ignores_what_it_gets(self):
        class Ignores(Function):
            @staticmethod
            def forward(ctx, x):
                return x * 1

            @staticmethod
            def backward(ctx, g):
                return fg.ones_like(g)

        with pytest.raises(GradcheckError, match="not multiplied by grad_output"):
            gradcheck(Ignores.apply, leaf([1.0]))

    def test_a_backward_that_changes_from_run_to_run(self):
        class Drifts(Function):
            runs = 0

            @staticmethod
            def forward(ctx, x):
                return x * 1

            @staticmethod
            def backward(ctx, g):
                Drifts.runs += 1
                return g * (1 + 1e-9 * Drifts.runs)

        with pytest.raises(GradcheckError, match="not reentrant"):
            gradcheck(Drifts.apply, leaf([1.0]))
        assert gradcheck(Drifts.apply, leaf([1.0]), nondet_tol=1e-6)

    def test_a_backward_that_cannot_do_without_a_gradient(self):
        class Needs(Function):
            @staticmethod
            def forward(ctx, x):
                ctx.set_materialize_grads(False)
                return x * 2, x * 3

            @staticmethod
            def backward(ctx, g1, g2):
                if g1 is None or g2 is None:
                    raise RuntimeError("a gradient is missing")
                return 2 * g1 + 3 * g2

        class Adds(Needs):
            @staticmethod
            def backward(ctx, g1, g2):
                if g2 is None:
                    return fg.ones(1, dtype=fg.float64)
                return 3 * g2 if g1 is None else 2 * g1 + 3 * g2

        # The sum of both keeps every gradient present until they are left out on purpose.
        for function in (Needs, Adds):
            both = lambda x, f=function: f.apply(x)  # noqa: E731
            with (
                warnings.catch_warnings(),
                pytest.raises((GradcheckError, RuntimeError)),
            ):
                warnings.simplefilter("ignore")
                gradcheck(both, leaf([1.0]))

    @only_fastgrad
    def test_the_message_says_where(self):
        with pytest.raises(GradcheckError) as caught:
            gradcheck(wrong_square(0.5), leaf([1.0, 2.0]))
        text = str(caught.value)
        assert "numerical:tensor" in text and "analytical:tensor" in text
        assert "largest difference is 0.5, between element 1 of the input and element 1" in text


class TestInputs:
    def test_none_requires_grad(self):
        with pytest.raises(ValueError, match="at least one input tensor to require gradient"):
            gradcheck(lambda x: x * 2, fg.ones(2, dtype=fg.float64))

    def test_overlapping_memory(self):
        x = leaf([1.0]).detach().expand(3).requires_grad_()
        with pytest.raises(RuntimeError, match="stride 0"):
            gradcheck(lambda x: x * 2, x)

    def test_single_precision_warns(self):
        with pytest.warns(UserWarning, match="not a double precision"):
            gradcheck(lambda x: x * 2, leaf([1.0], fg.float32), eps=1e-2, atol=1e-2)

    @only_fastgrad
    def test_values_are_put_back_after_an_error(self):
        calls = []

        def fails(x):
            calls.append(x)
            if len(calls) > 1:
                raise KeyError("mine")
            return x * 2

        x = leaf([1.0, 2.0])
        with pytest.raises(KeyError):
            gradcheck(fails, x)
        assert x.tolist() == [1.0, 2.0]


class TestSecondDerivatives:
    def test_right_ones(self, fast_mode):
        x, y = leaf([0.5, -1.5]), leaf([1.0, 2.0])
        assert gradgradcheck(lambda x, y: x.sin() * y**3, (x, y), fast_mode=fast_mode)
        assert gradgradcheck(lambda x: (x**3, x.exp()), x, fast_mode=fast_mode)

    def test_given_directions(self):
        x = leaf([0.5, -1.5])
        assert gradgradcheck(lambda x: x**3, x, leaf([1.0, 2.0]))

    def test_strided_directions(self):
        x = leaf([[0.5, -1.5], [1.0, 2.0]])
        assert gradgradcheck(lambda x: x**3, x, gen_non_contig_grad_outputs=True)

    def test_wrong_ones_are_found(self, fast_mode):
        class Cube(Function):
            @staticmethod
            def forward(ctx, x):
                ctx.save_for_backward(x)
                return x**3

            @staticmethod
            def backward(ctx, g):
                (x,) = ctx.saved_tensors
                return 3 * x * x.detach() * g

        x = leaf([1.0, 2.0])
        assert gradcheck(Cube.apply, x, fast_mode=fast_mode)
        with pytest.raises(GradcheckError, match="Jacobian mismatch"):
            gradgradcheck(Cube.apply, x, fast_mode=fast_mode)
        assert not gradgradcheck(Cube.apply, x, raise_exception=False, fast_mode=fast_mode)


def test_the_random_state_is_left_alone():
    fg.manual_seed(3)
    expected = fg.rand(4).tolist()
    fg.manual_seed(3)
    if not UNDER_TORCH:
        gradcheck(lambda x: x.sin(), leaf([1.0, 2.0]), fast_mode=True)
    assert fg.rand(4).tolist() == expected
