"""The steps of an LSTM in one node of the graph.

Note [One node for all steps]
Recorded step by step, an LSTM's backward multiplies matrices for its weight's gradient at every
step, and adds up as many gradients of the size of the weight. Here one node stands for all steps:
its backward walks back over the steps with what depends on the step before alone, and multiplies
once for the weight. What the steps need of the forward pass is combined for all steps at once:

    a = (i, f, g, o) before the activations      c = f c' + i g       h = o tanh(c)
    da = (dc, dc, dc, dh) * (g, c', i, tanh c) * activation'(a)
    dc = dc + dh o (1 - tanh(c)²)                dh' = da U           dc' = dc f

Where the gradient itself is recorded (create_graph), the steps are recorded anew and
differentiated, so that every order of derivative is there.
"""

from __future__ import annotations

from typing import Any

from fastgrad import _core
from fastgrad._core import Tensor
from fastgrad.autograd.engine import grad
from fastgrad.autograd.function import Function


def lstm_step(gates: Tensor, cell: Tensor) -> tuple[Tensor, Tensor]:
    """Returns o tanh(c) and c = f c' + i g of the gates i, f, g and o before their activations.

    Example:
        >>> from fastgrad.nn.modules.recurrence import lstm_step
        >>> lstm_step(fg.zeros(1, 4), fg.ones(1, 1))[1]
        tensor([[0.5000]])
    """
    i, f, g, o = gates.chunk(4, -1)
    cell = f.sigmoid() * cell + i.sigmoid() * g.tanh()
    return o.sigmoid() * cell.tanh(), cell


def lstm_steps(
    gates: Tensor, hidden: Tensor, cell: Tensor, weight: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Returns the outputs of all steps and the last state, recorded step by step.

    Args:
        gates: The input's part of the gates, with all biases, (T, N, 4 H).
        hidden: The first hidden state, (N, H).
        cell: The first cell, (N, H).
        weight: U, (4 H, H).

    Example:
        >>> from fastgrad.nn.modules.recurrence import lstm_steps
        >>> lstm_steps(fg.zeros(5, 2, 4), fg.zeros(2, 1), fg.zeros(2, 1), fg.ones(4, 1))[0].shape
        fastgrad.Size([5, 2, 1])
    """
    outputs = []
    across = weight.t()
    for step in gates.unbind():
        hidden, cell = lstm_step(step + hidden.mm(across), cell)
        outputs.append(hidden)
    return _core.stack(outputs), hidden, cell


class LSTMSteps(Function):
    """`lstm_steps` as one node; see Note [One node for all steps]."""

    @staticmethod
    def forward(
        ctx: Any, gates: Tensor, hidden: Tensor, cell: Tensor, weight: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Returns the outputs of all steps and the last state."""
        ctx.save_for_backward(gates, hidden, cell, weight)
        ctx.set_materialize_grads(False)
        size = hidden.size(1)
        across = weight.t().contiguous()  # small products read it row by row
        sigmoids: list[Tensor] = []
        candidates: list[Tensor] = []
        cells: list[Tensor] = [cell]
        flat_cells: list[Tensor] = []
        outputs: list[Tensor] = []
        for step in gates.unbind():
            a = step + hidden.mm(across)
            s = a.sigmoid()
            i, f, _, o = s.chunk(4, 1)
            g = a.narrow(1, 2 * size, size).tanh()
            cell = _core.addcmul(i * g, f, cell)
            flat = cell.tanh()
            hidden = o * flat
            sigmoids.append(s)
            candidates.append(g)
            cells.append(cell)
            flat_cells.append(flat)
            outputs.append(hidden)
        result = _core.stack(outputs)
        ctx.kept = (sigmoids, candidates, cells, flat_cells, result.detach())
        return result, hidden, cell

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> Any:
        """Returns the gradients of gates, first state and weight."""
        gates, hidden, cell, weight = ctx.saved_tensors
        if _core.is_grad_enabled():
            return LSTMSteps._recorded((gates, hidden, cell, weight), grads)
        sigmoids, candidates, cells, flat_cells, result = ctx.kept
        s, g, c = _core.stack(sigmoids), _core.stack(candidates), _core.stack(cells)
        flat = _core.stack(flat_cells)
        i, f, _, o = s.chunk(4, 2)
        slope = s - s * s
        slope_i, slope_f, _, slope_o = slope.chunk(4, 2)
        factor = _core.cat(
            [g * slope_i, c[:-1] * slope_f, i * (1 - g * g), flat * slope_o], 2
        ).unbind()
        to_cell = (o * (1 - flat * flat)).unbind()
        forget = f.contiguous().unbind()
        d_out, d_hidden, d_cell = grads
        steps = None if d_out is None else d_out.unbind()
        dh = _core.zeros_like(hidden) if d_hidden is None else d_hidden
        dc = _core.zeros_like(cell) if d_cell is None else d_cell
        d_gates: list[Tensor] = []
        for t in reversed(range(gates.size(0))):
            if steps is not None:
                dh = dh + steps[t]
            dc = _core.addcmul(dc, dh, to_cell[t])
            da = _core.cat([dc, dc, dc, dh], 1) * factor[t]
            d_gates.append(da)
            dh, dc = da.mm(weight), dc * forget[t]
        d_gates.reverse()
        whole = _core.stack(d_gates)
        before = _core.cat([hidden.unsqueeze(0), result[:-1]])
        rows = whole.size(0) * whole.size(1)
        d_weight = whole.reshape(rows, -1).t().mm(before.reshape(rows, -1))
        return whole, dh, dc, d_weight

    @staticmethod
    def _recorded(inputs: tuple[Tensor, ...], grads: tuple[Tensor | None, ...]) -> Any:
        wanted = [x for x in inputs if x.requires_grad]
        outputs = lstm_steps(*inputs)
        given = [(y, g) for y, g in zip(outputs, grads) if g is not None]
        found = iter(grad([y for y, _ in given], wanted, [g for _, g in given], create_graph=True))
        return tuple(next(found) if x.requires_grad else None for x in inputs)
