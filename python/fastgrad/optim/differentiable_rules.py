"""Steps as recorded operations, for `differentiable=True`.

The core updates a group in one pass, which gradients cannot follow. Here the formulas of the same
optimisers stand as operations on tensors, so that what comes after a step can be differentiated
with respect to gradients, learning rates and whatever they depend on. A rule takes the parameter's
value, its gradient, the group's options and the parameter's state, and returns the new value; it
replaces the tensors of the state and does not write them, because earlier steps may have saved
them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from fastgrad import _core
from fastgrad._core import Tensor

State: TypeAlias = dict[str, Any]
Options: TypeAlias = dict[str, Any]
Rule: TypeAlias = Callable[[Tensor, Tensor, Options, State], Any]
MakeState: TypeAlias = Callable[[Options, Tensor], State]


def step_group(rule: Rule, group: Options, states: Any, new_state: MakeState) -> None:
    """Updates every parameter of a group that has a gradient, in place and recorded.

    Args:
        rule: Of the optimiser.
        group: The parameters and options.
        states: Of all parameters.
        new_state: Makes the first state of one.

    Example:
        >>> lr = fg.tensor(0.1, requires_grad=True)
        >>> x = fg.ones(2)
        >>> x.grad = fg.tensor([1.0, 2.0])
        >>> fg.optim.SGD([x], lr=lr, differentiable=True).step()
        >>> x.sum().backward()
        >>> lr.grad
        tensor(-3.)
    """
    for p in group["params"]:
        if p.grad is None:
            continue
        kept = states.get(p) or new_state(group, p)
        if "step" in kept:
            kept["step"] = kept["step"] + 1
        g = -p.grad if group["maximize"] else p.grad
        p.copy_(rule(p.clone(), g, group, kept))
        if kept:
            states[p] = kept


def _with_decay(p: Tensor, g: Tensor, o: Options) -> Tensor:
    """Returns the gradient with that of the L2 penalty."""
    decay = o["weight_decay"]
    return g if not isinstance(decay, Tensor) and decay == 0 else g + decay * p


def _decayed(p: Tensor, g: Tensor, o: Options) -> tuple[Tensor, Tensor]:
    """Returns parameter and gradient after the weight decay, which either of them takes."""
    if not o["decoupled_weight_decay"]:
        return p, _with_decay(p, g, o)
    return p * (1 - o["lr"] * o["weight_decay"]), g


def _mean(s: State, name: str, value: Tensor, keep: Any) -> Tensor:
    """Moves a running mean towards a value; returns it."""
    mean: Tensor = keep * s[name] + (1 - keep) * value
    s[name] = mean
    return mean


def _moments(g: Tensor, o: Options, s: State) -> tuple[Tensor, Tensor, Any, Any]:
    """Returns the means of the gradient and its square, and what corrects their start at zero."""
    beta1, beta2 = o["betas"]
    t = s["step"].item()
    m, v = _mean(s, "exp_avg", g, beta1), _mean(s, "exp_avg_sq", g * g, beta2)
    return m, v, 1 - beta1**t, 1 - beta2**t


def sgd(p: Tensor, g: Tensor, o: Options, s: State) -> Any:
    """The rule of SGD; the first momentum keeps the gradient's history, which PyTorch cuts."""
    g = _with_decay(p, g, o)
    if o["momentum"] != 0:
        past = s.get("momentum_buffer")
        b = g if past is None else o["momentum"] * past + (1 - o["dampening"]) * g
        s["momentum_buffer"] = b
        g = g + o["momentum"] * b if o["nesterov"] else b
    return p - o["lr"] * g


def adam(p: Tensor, g: Tensor, o: Options, s: State) -> Any:
    """The rule of Adam and AdamW."""
    p, g = _decayed(p, g, o)
    m, v, start1, start2 = _moments(g, o, s)
    if o["amsgrad"]:
        v = s["max_exp_avg_sq"] = _core.maximum(s["max_exp_avg_sq"], v)
    return p - o["lr"] / start1 * m / (v.sqrt() / start2**0.5 + o["eps"])


def adamax(p: Tensor, g: Tensor, o: Options, s: State) -> Any:
    """The rule of Adamax."""
    beta1, beta2 = o["betas"]
    g = _with_decay(p, g, o)
    m = _mean(s, "exp_avg", g, beta1)
    u = s["exp_inf"] = _core.maximum(beta2 * s["exp_inf"], g.abs() + o["eps"])
    return p - o["lr"] / (1 - beta1 ** s["step"].item()) * m / u


def nadam(p: Tensor, g: Tensor, o: Options, s: State) -> Any:
    """The rule of NAdam."""
    p, g = _decayed(p, g, o)
    m, v, _, start2 = _moments(g, o, s)
    t, decay = s["step"].item(), o["momentum_decay"]
    now = o["betas"][0] * (1 - 0.5 * 0.96 ** (t * decay))
    following = o["betas"][0] * (1 - 0.5 * 0.96 ** ((t + 1) * decay))
    s["mu_product"] = s["mu_product"] * now
    product = s["mu_product"].item()
    size = (v / start2).sqrt() + o["eps"]
    ahead = (1 - now) / (1 - product) * g + following / (1 - product * following) * m
    return p - o["lr"] * ahead / size


def radam(p: Tensor, g: Tensor, o: Options, s: State) -> Any:
    """The rule of RAdam."""
    p, g = _decayed(p, g, o)
    m, v, start1, start2 = _moments(g, o, s)
    t, beta2 = s["step"].item(), o["betas"][1]
    longest = 2 / (1 - beta2) - 1
    length = longest - 2 * t * beta2**t / start2
    step = o["lr"] / start1 * m
    if length > 5:
        part = (length - 4) * (length - 2) * longest
        whole = (longest - 4) * (longest - 2) * length
        step = step * (part / whole) ** 0.5 * start2**0.5 / (v.sqrt() + o["eps"])
    return p - step


def adagrad(p: Tensor, g: Tensor, o: Options, s: State) -> Any:
    """The rule of Adagrad."""
    g = _with_decay(p, g, o)
    total = s["sum"] = s["sum"] + g * g
    lr = o["lr"] / (1 + (s["step"].item() - 1) * o["lr_decay"])
    return p - lr * g / (total.sqrt() + o["eps"])


def adadelta(p: Tensor, g: Tensor, o: Options, s: State) -> Any:
    """The rule of Adadelta."""
    g = _with_decay(p, g, o)
    v = _mean(s, "square_avg", g * g, o["rho"])
    d = (s["acc_delta"] + o["eps"]).sqrt() / (v + o["eps"]).sqrt() * g
    _mean(s, "acc_delta", d * d, o["rho"])
    return p - o["lr"] * d


def rmsprop(p: Tensor, g: Tensor, o: Options, s: State) -> Any:
    """The rule of RMSprop."""
    g = _with_decay(p, g, o)
    v = _mean(s, "square_avg", g * g, o["alpha"])
    if o["centered"]:
        v = v - _mean(s, "grad_avg", g, o["alpha"]) ** 2
    b = g / (v.sqrt() + o["eps"])
    if o["momentum"] > 0:
        b = s["momentum_buffer"] = o["momentum"] * s["momentum_buffer"] + b
    return p - o["lr"] * b


def rprop(p: Tensor, g: Tensor, o: Options, s: State) -> Any:
    """The rule of Rprop."""
    agreement = (g * s["prev"]).detach()
    shrink, grow = o["etas"]
    kept = agreement * 0 + 1
    factor = _core.where(agreement > 0, kept * grow, _core.where(agreement < 0, shrink, kept))
    size = s["step_size"] = (s["step_size"] * factor).clamp(*o["step_sizes"])
    g = s["prev"] = _core.where(agreement < 0, 0.0, g)
    return p - g.sign() * size


def asgd(p: Tensor, g: Tensor, o: Options, s: State) -> Any:
    """The rule of ASGD."""
    g = _with_decay(p, g, o)
    t, lr = s["step"].item(), o["lr"]
    is_exact = isinstance(lr, Tensor)
    eta = s["eta"].item() if not is_exact else lr if t == 1 else s["eta"]
    p = p * (1 - o["lambd"] * eta) - eta * g
    s["ax"] = s["ax"] + s["mu"].item() * (p - s["ax"])
    following = lr / (1 + o["lambd"] * lr * t) ** o["alpha"]
    s["eta"] = following if is_exact else s["eta"].new_tensor(following)
    s["mu"] = s["mu"].new_tensor(1 / max(1.0, t - o["t0"]))
    return p
