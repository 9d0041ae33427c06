"""`autograd.backward` and `autograd.grad`: their arguments, and what they refuse."""

import pytest

from reference import UNDER_TORCH, fg

grad, backward = fg.autograd.grad, fg.autograd.backward


def leaf(values=(1.0, 2.0)):
    return fg.tensor(values, dtype=fg.float64, requires_grad=True)


def ones(*shape):
    return fg.ones(shape, dtype=fg.float64)


class TestBackward:
    def test_several_roots(self):
        x = leaf()
        backward([x * 2, (x * 3).sum()], [ones(2), None])
        assert x.grad.tolist() == [5.0, 5.0]
        backward((x * x).sum(), ones())
        assert x.grad.tolist() == [7.0, 9.0]
        backward([])

    def test_chosen_inputs(self):
        x, y = leaf(), leaf()
        z = x * y
        backward(z.sum(), inputs=x)
        assert x.grad is not None and y.grad is None
        backward((x * y).exp().sum(), inputs=[y])
        assert y.grad is not None

    def test_create_graph_keeps_the_graph(self):
        x = leaf(3.0)
        y = x**3
        grads = grad(y, x, create_graph=True)
        assert grads[0].item() == 27.0
        assert grad(y, x)[0].item() == 27.0
        with pytest.raises(RuntimeError, match="second time"):
            y.backward()

    @pytest.mark.parametrize(
        ("arguments", "error", "message"),
        [
            (lambda x: ((x * 2).sum(), None, None, False, []), RuntimeError, "cannot be empty"),
            (lambda x: (x * 2,), RuntimeError, "implicitly created only for scalar outputs"),
            (lambda x: (x * 2, ones(3)), RuntimeError, "Mismatch in shape: grad_output.0."),
            (lambda x: (x.detach().sum(),), RuntimeError, "element 0 of tensors does not require"),
        ],
    )
    def test_refuses(self, arguments, error, message):
        tensors, *rest = arguments(leaf())
        names = ("grad_tensors", "retain_graph", "create_graph", "inputs")
        with pytest.raises(error, match=message):
            backward(tensors, **dict(zip(names, rest)))

    @pytest.mark.skipif(UNDER_TORCH, reason="PyTorch ignores some of these, asserts others")
    def test_refuses_what_is_no_tensor(self):
        x = leaf()
        for roots in ("a", 3.0, [x.sum(), 1]):
            with pytest.raises(TypeError, match="Expected output to be"):
                backward(roots)
        with pytest.raises(TypeError, match="gradients can be either Tensors or None"):
            backward(x * 2, [3.0])
        with pytest.raises(RuntimeError, match="got 1 tensors and 2 gradients"):
            backward(x * 2, [ones(2), ones(2)])


class TestGrad:
    def test_values_and_structure(self):
        x, y = leaf(), leaf((3.0, 4.0))
        z = (x * y).sum()
        result = grad(z, [x, y], retain_graph=True)
        assert isinstance(result, tuple)
        assert [g.tolist() for g in result] == [[3.0, 4.0], [1.0, 2.0]]
        assert grad(z, {"a": x}, retain_graph=True)["a"].tolist() == [3.0, 4.0]
        assert grad([z, z], x, [ones(), ones()])[0].tolist() == [6.0, 8.0]
        assert x.grad is None and y.grad is None

    def test_of_an_intermediate_result(self):
        x = leaf()
        y = x * 2
        assert grad((y * y).sum(), y)[0].tolist() == [4.0, 8.0]

    def test_unused_inputs(self):
        x, y = leaf(), leaf()
        z = (x * 2).sum()
        with pytest.raises(RuntimeError, match="appears to not have been used in the graph"):
            grad(z, [x, y], retain_graph=True)
        assert grad(z, [x, y], allow_unused=True, retain_graph=True)[1] is None
        assert grad(z, [x, y], materialize_grads=True, retain_graph=True)[1].tolist() == [0.0, 0.0]
        with pytest.raises(ValueError, match="allow_unused=False"):
            grad(z, y, materialize_grads=True, allow_unused=False)

    def test_a_batch_of_output_gradients(self):
        x = leaf()
        seeds = fg.tensor([[1.0, 0.0], [0.0, 1.0], [2.0, 2.0]], dtype=fg.float64)
        (rows,) = grad(x * x, x, seeds, is_grads_batched=True)
        assert rows.tolist() == [[2.0, 0.0], [0.0, 4.0], [4.0, 8.0]]
        with pytest.raises(RuntimeError, match="first dimension of each grad_output"):
            grad(x * x, x, ones(3, 3), is_grads_batched=True)

    def test_refuses(self):
        x = leaf()
        with pytest.raises(RuntimeError, match="cannot be empty"):
            grad((x * 2).sum(), [])
        with pytest.raises(RuntimeError, match="differentiated Tensors does not require grad"):
            grad((x * 2).sum(), ones(2))
        with pytest.raises(RuntimeError, match="all inputs have to be Tensors"):
            grad((x * 2).sum(), [x, None])
