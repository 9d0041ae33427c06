"""What optimisers refuse, in PyTorch's words."""

import pytest

from reference import fg, only_fastgrad, torch

x = fg.ones(2, requires_grad=True)
ERRORS = {
    "a tensor": (lambda: fg.optim.SGD(x), TypeError, "params argument given to the optimizer"),
    "empty": (lambda: fg.optim.SGD([]), ValueError, "optimizer got an empty parameter list"),
    "no tensor": (lambda: fg.optim.SGD([1.0]), TypeError, "optimizer can only optimize Tensors"),
    "not a leaf": (lambda: fg.optim.SGD([x * 2]), ValueError, "can't optimize a non-leaf Tensor"),
    "set": (lambda: fg.optim.SGD([{"params": {x}}]), TypeError, "ordered collections"),
    "twice": (
        lambda: fg.optim.SGD([{"params": [x]}, {"params": [x]}]),
        ValueError,
        "some parameters appear in more than one parameter group",
    ),
    "group": (lambda: fg.optim.SGD([x]).add_param_group([x]), TypeError, "must be a dict"),
    "lr": (lambda: fg.optim.Adam([x], lr=-1.0), ValueError, "Invalid learning rate: -1.0"),
    "lr elements": (lambda: fg.optim.SGD([x], lr=fg.ones(2)), ValueError, "must be 1-element"),
    "eps": (lambda: fg.optim.Adam([x], eps=-1.0), ValueError, "Invalid epsilon value: -1.0"),
    "betas": (
        lambda: fg.optim.RAdam([x], betas=(0.9, 1.0)),
        ValueError,
        "Invalid beta parameter at index 1: 1.0",
    ),
    "int beta": (
        lambda: fg.optim.Adam([x], betas=(0, 0.9)),
        ValueError,
        "betas must be either both floats or both Tensors",
    ),
    "momentum": (lambda: fg.optim.SGD([x], momentum=-1), ValueError, "Invalid momentum value"),
    "nesterov": (
        lambda: fg.optim.SGD([x], nesterov=True),
        ValueError,
        "Nesterov momentum requires a momentum and zero dampening",
    ),
    "etas": (lambda: fg.optim.Rprop([x], etas=(0.5, 0.9)), ValueError, "Invalid eta values"),
    "rho": (lambda: fg.optim.Adadelta([x], rho=1.5), ValueError, "Invalid rho value: 1.5"),
    "alpha": (lambda: fg.optim.RMSprop([x], alpha=-1), ValueError, "Invalid alpha value: -1"),
    "fused and foreach": (
        lambda: fg.optim.SGD([x], fused=True, foreach=True),
        RuntimeError,
        "cannot be `True` together",
    ),
    "fused and differentiable": (
        lambda: fg.optim.Adam([x], fused=True, differentiable=True),
        RuntimeError,
        "`fused` does not support `differentiable`",
    ),
    "groups of L-BFGS": (
        lambda: fg.optim.LBFGS([{"params": [x]}, {"params": [fg.ones(1, requires_grad=True)]}]),
        ValueError,
        "LBFGS doesn't support per-parameter options",
    ),
    "line search": (
        lambda: fg.optim.LBFGS([x], line_search_fn="armijo").step(lambda: (x * 0).sum()),
        RuntimeError,
        "only 'strong_wolfe' is supported",
    ),
    "required": (
        lambda: fg.optim.Optimizer([x], {"lr": fg.optim.optimizer.required}),
        ValueError,
        "didn't specify a value of required optimization parameter lr",
    ),
    "base": (lambda: fg.optim.Optimizer([x], {}).step(), NotImplementedError, "^$"),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors(name):
    f, error, text = ERRORS[name]
    if fg is torch and name == "line search":
        pytest.skip("PyTorch looks at it after the first evaluation")
    with pytest.raises(error, match=text):
        f()


@only_fastgrad
def test_errors_of_a_step():
    z = fg.ones(2, dtype=fg.complex64)
    z.requires_grad_()
    z.grad = fg.ones(2, dtype=fg.complex64)
    with pytest.raises(NotImplementedError, match="complex64; keep real and imaginary parts"):
        fg.optim.SGD([z]).step()
    p = fg.ones(2, requires_grad=True)
    p.grad = fg.ones(2)
    opt = fg.optim.Adam([p])
    opt.step()
    del opt.state[p]["exp_avg_sq"]
    with pytest.raises(KeyError, match="exp_avg_sq"):
        opt.step()
    opt.state[p]["exp_avg_sq"] = fg.ones(3)
    with pytest.raises(RuntimeError, match="state of a parameter of shape"):
        opt.step()
    opt.state[p]["exp_avg_sq"] = 1.0
    with pytest.raises(TypeError, match="'exp_avg_sq' is a tensor, got float"):
        opt.step()
    del opt.param_groups[0]["eps"]
    with pytest.raises(KeyError, match="eps"):
        opt.step()


@only_fastgrad
def test_lbfgs_of_complex_parameters():
    z = fg.ones(2, dtype=fg.complex64)
    z.requires_grad_()
    with pytest.raises(NotImplementedError, match="keep real and imaginary parts"):
        fg.optim.LBFGS([z]).step(lambda: 1.0)
