"""Recurrent layers and cells.

A layer computes the input's part of all gates for the whole sequence in one product; only the
hidden state's part has to wait for the step before.
"""

from __future__ import annotations

import math
import warnings
from typing import Any, ClassVar

from fastgrad import _core
from fastgrad._core import Tensor
from fastgrad.nn import functional as F
from fastgrad.nn import init
from fastgrad.nn.modules.module import Module
from fastgrad.nn.parameter import Parameter
from fastgrad.nn.utils.rnn import PackedSequence


def _lstm_step(gates: Tensor, cell: Tensor) -> tuple[Tensor, Tensor]:
    """Returns o tanh(c) and c = f c' + i g of the gates i, f, g and o before their activations."""
    i, f, g, o = gates.chunk(4, -1)
    cell = f.sigmoid() * cell + i.sigmoid() * g.tanh()
    return o.sigmoid() * cell.tanh(), cell


def _rnn_step(gates: Tensor, hidden: Tensor, relu: bool) -> Tensor:
    total = gates + hidden
    return total.relu() if relu else total.tanh()


def _gru_step(gates: Tensor, hidden_gates: Tensor, hidden: Tensor) -> Tensor:
    """Returns n + z (h - n) with n = tanh(W x + r U h), of the gates r, z and n."""
    size = hidden.size(-1)
    rz = (gates[..., : 2 * size] + hidden_gates[..., : 2 * size]).sigmoid()
    r, z = rz.chunk(2, -1)
    n = (gates[..., 2 * size :] + r * hidden_gates[..., 2 * size :]).tanh()
    return n + z * (hidden - n)


class RNNBase(Module):
    """What recurrent layers share: parameters, directions, layers and packed sequences.

    Example:
        >>> issubclass(fg.nn.LSTM, fg.nn.RNNBase)
        True
    """

    _gates: ClassVar[dict[str, int]] = {"LSTM": 4, "GRU": 3, "RNN_TANH": 1, "RNN_RELU": 1}

    def __init__(
        self,
        mode: str,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.mode, self.input_size, self.hidden_size = mode, input_size, hidden_size
        self.num_layers, self.bias, self.batch_first = num_layers, bias, batch_first
        self.dropout, self.bidirectional, self.proj_size = float(dropout), bidirectional, proj_size
        if isinstance(dropout, bool) or not 0 <= dropout <= 1:
            raise ValueError(
                "dropout should be a number in range [0, 1] representing the probability of an "
                "element being zeroed"
            )
        if dropout > 0 and num_layers == 1:
            warnings.warn(
                "dropout option adds dropout after all but last recurrent layer, so non-zero "
                f"dropout expects num_layers greater than 1, but got dropout={dropout} and "
                f"num_layers={num_layers}",
                stacklevel=3,
            )
        if not isinstance(hidden_size, int):
            raise TypeError(f"hidden_size should be of type int, got: {type(hidden_size).__name__}")
        if hidden_size <= 0:
            raise ValueError("hidden_size must be greater than zero")
        if num_layers <= 0:
            raise ValueError("num_layers must be greater than zero")
        if proj_size < 0:
            raise ValueError(
                "proj_size should be a positive integer or zero to disable projections"
            )
        if proj_size >= hidden_size:
            raise ValueError("proj_size has to be smaller than hidden_size")
        self._flat_weights_names: list[str] = []
        self._all_weights: list[list[str]] = []
        options: dict[str, Any] = {"device": device, "dtype": dtype}
        directions = 2 if bidirectional else 1
        rows, out = self._gates[mode] * hidden_size, proj_size or hidden_size
        for layer in range(num_layers):
            width = input_size if layer == 0 else out * directions
            for direction in range(directions):
                sizes: dict[str, Any] = {"weight_ih": (rows, width), "weight_hh": (rows, out)}
                if bias:
                    sizes.update({"bias_ih": rows, "bias_hh": rows})
                if proj_size:
                    sizes["weight_hr"] = (proj_size, hidden_size)
                suffix = f"_l{layer}" + "_reverse" * direction
                for name, size in sizes.items():
                    setattr(self, name + suffix, Parameter(_core.empty(size, **options)))
                self._all_weights.append([name + suffix for name in sizes])
                self._flat_weights_names += self._all_weights[-1]
        self.reset_parameters()

    @property
    def all_weights(self) -> list[list[Parameter]]:
        """The parameters, one list per layer and direction."""
        return [[getattr(self, name) for name in names] for names in self._all_weights]

    def flatten_parameters(self) -> None:
        """Does nothing: parameters need no common memory here."""

    def reset_parameters(self) -> None:
        """Draws the parameters anew, uniform within ±1/sqrt(hidden_size)."""
        bound = 1.0 / math.sqrt(self.hidden_size)
        for weight in self.parameters():
            init.uniform_(weight, -bound, bound)

    def extra_repr(self) -> str:
        """Returns the sizes and the options that are not the default."""
        text = f"{self.input_size}, {self.hidden_size}"
        if self.proj_size:
            text += f", proj_size={self.proj_size}"
        if self.num_layers != 1:
            text += f", num_layers={self.num_layers}"
        if self.bias is not True:
            text += f", bias={self.bias}"
        if self.batch_first is not False:
            text += f", batch_first={self.batch_first}"
        if self.dropout != 0:
            text += f", dropout={self.dropout}"
        if self.bidirectional is not False:
            text += f", bidirectional={self.bidirectional}"
        return text

    # ---- one direction of one layer

    def _walk(
        self, gates: list[Tensor], state: tuple[Tensor, ...], names: list[str], sizes: list[int]
    ) -> tuple[list[Tensor], tuple[Tensor, ...]]:
        """Walks over the steps; sequences leave, or enter, as `sizes` says.

        Args:
            gates: The input's part of the gates of each step.
            state: The first hidden state, and cell, of all sequences.
            names: The names of the direction's parameters.
            sizes: The number of sequences of each step.
        """
        w_hh = getattr(self, names[1])
        bias = getattr(self, names[3]) if self.bias else None
        w_hr = getattr(self, names[-1]) if self.proj_size else None
        outputs = []
        full = state[0].size(0)
        whole = all(n == full for n in sizes)
        for step, n in zip(gates, sizes):
            now = state if whole else tuple(part[:n] for part in state)
            hidden = F.linear(now[0], w_hh, bias)
            if self.mode == "LSTM":
                output, cell = _lstm_step(step + hidden, now[1])
                if w_hr is not None:
                    output = F.linear(output, w_hr)
                new: tuple[Tensor, ...] = (output, cell)
            elif self.mode == "GRU":
                new = (_gru_step(step, hidden, now[0]),)
            else:
                new = (_rnn_step(step, hidden, self.mode == "RNN_RELU"),)
            outputs.append(new[0])
            if not whole and n < full:
                new = tuple(_core.cat([part, old[n:]]) for part, old in zip(new, state))
            state = new
        return outputs, state

    def _direction(
        self, x: Tensor, state: tuple[Tensor, ...], names: list[str], sizes: list[int], back: bool
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Runs one direction over packed rows; returns the rows of the outputs and the state."""
        bias = getattr(self, names[2]) if self.bias else None
        weight = getattr(self, names[0])
        if not self.proj_size and weight.dtype in (_core.float32, _core.float64):
            return self._fused(x, state, names, sizes, back)
        gates = list(F.linear(x, weight, bias).split(sizes))
        if back:
            gates.reverse()
            sizes = sizes[::-1]
        outputs, state = self._walk(gates, state, names, sizes)
        if back:
            outputs.reverse()
        return _core.cat(outputs), state

    def _fused(
        self, x: Tensor, state: tuple[Tensor, ...], names: list[str], sizes: list[int], back: bool
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Runs one direction as one operation, after one product for all inputs."""
        bias = hidden_bias = None
        if self.bias:
            bias, hidden_bias = getattr(self, names[2]), getattr(self, names[3])
            if self.mode != "GRU":  # whose hidden part is a factor of its own
                bias, hidden_bias = bias + hidden_bias, None
        gates = F.linear(x, getattr(self, names[0]), bias)
        cell = state[1] if self.mode == "LSTM" else None
        weight = getattr(self, names[1])
        found = _core._recurrent(gates, state[0], weight, cell, hidden_bias, self.mode, sizes, back)
        return found[0], found[1:]

    def _run(
        self, rows: Tensor, sizes: list[int], states: tuple[Tensor, ...]
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Runs all layers over packed rows."""
        directions = 2 if self.bidirectional else 1
        last: list[list[Tensor]] = [[] for _ in states]
        for layer in range(self.num_layers):
            found = []
            for direction in range(directions):
                number = layer * directions + direction
                state = tuple(part[number] for part in states)
                names = self._all_weights[number]
                output, state = self._direction(rows, state, names, sizes, direction == 1)
                found.append(output)
                for kept, part in zip(last, state):
                    kept.append(part)
            rows = found[0] if directions == 1 else _core.cat(found, -1)
            if self.dropout and self.training and layer < self.num_layers - 1:
                rows = F.dropout(rows, self.dropout)
        return rows, tuple(_core.stack(parts) for parts in last)

    # ---- shapes and checks

    def _state_sizes(self) -> list[int]:
        sizes = [self.proj_size or self.hidden_size]
        return [*sizes, self.hidden_size] if self.mode == "LSTM" else sizes

    def _check_states(self, states: tuple[Tensor, ...], batch: int) -> None:
        count = self.num_layers * (2 if self.bidirectional else 1)
        for i, (state, size) in enumerate(zip(states, self._state_sizes())):
            expected = (count, batch, size)
            if tuple(state.shape) != expected:
                which = "hidden" if len(states) == 1 else f"hidden[{i}]"
                raise RuntimeError(f"Expected {which} size {expected}, got {list(state.shape)}")

    def _check_input(self, x: Tensor) -> None:
        if x.size(-1) != self.input_size:
            raise RuntimeError(
                f"input.size(-1) must be equal to input_size. Expected {self.input_size}, "
                f"got {x.size(-1)}"
            )

    def forward(self, input: Any, hx: Any = None) -> Any:
        """Returns the outputs of the last layer and the last states.

        Args:
            input: (T, N, in), (N, T, in) if `batch_first`, (T, in), or a `PackedSequence`.
            hx: The first hidden state, (layers directions, N, out), zeros if not given; for an
                LSTM the pair of it and the first cell.
        """
        given = None if hx is None else (tuple(hx) if self.mode == "LSTM" else (hx,))
        if isinstance(input, PackedSequence):
            return self._forward_packed(input, given)
        if input.dim() not in (2, 3):
            raise ValueError(
                f"{type(self).__name__}: Expected input to be 2D or 3D, got {input.dim()}D instead"
            )
        self._check_input(input)
        batched = input.dim() == 3
        x = input if batched else input.unsqueeze(1)
        if self.batch_first and batched:
            x = x.transpose(0, 1)
        steps, batch, _ = x.shape
        if given is None:
            states = self._zeros(x, batch)
        else:
            wanted = 3 if batched else 2
            for state in given:
                if state.dim() != wanted:
                    raise RuntimeError(
                        f"For {'batched 3-D' if batched else 'unbatched 2-D'} input, hx should "
                        f"also be {wanted}-D but got {state.dim()}-D tensor"
                    )
            states = given if batched else tuple(state.unsqueeze(1) for state in given)
        self._check_states(states, batch)
        rows, last = self._run(x.reshape(steps * batch, -1), [batch] * steps, states)
        output = rows.reshape(steps, batch, -1)
        if not batched:
            output, last = output.squeeze(1), tuple(part.squeeze(1) for part in last)
        elif self.batch_first:
            output = output.transpose(0, 1)
        return output, (last if self.mode == "LSTM" else last[0])

    def _zeros(self, like: Tensor, batch: int) -> tuple[Tensor, ...]:
        count = self.num_layers * (2 if self.bidirectional else 1)
        return tuple(like.new_zeros((count, batch, size)) for size in self._state_sizes())

    def _forward_packed(self, packed: PackedSequence, given: tuple[Tensor, ...] | None) -> Any:
        self._check_input(packed.data)
        sizes = [int(n) for n in packed.batch_sizes]
        states = self._zeros(packed.data, sizes[0]) if given is None else given
        self._check_states(states, sizes[0])
        if given is not None and packed.sorted_indices is not None:
            states = tuple(state.index_select(1, packed.sorted_indices) for state in states)
        rows, last = self._run(packed.data, sizes, states)
        if packed.unsorted_indices is not None:
            last = tuple(part.index_select(1, packed.unsorted_indices) for part in last)
        return packed._replace(data=rows), (last if self.mode == "LSTM" else last[0])


class RNN(RNNBase):
    """h = tanh(W x + U h + biases), step by step.

    Args:
        args: `input_size`, `hidden_size`, and the options of `RNNBase` from `num_layers` on, with
            the nonlinearity in the fourth place.
        nonlinearity: `"tanh"` or `"relu"`.
        kwargs: The options by name: `num_layers`, `bias`, `batch_first`, `dropout` after all but
            the last layer, `bidirectional`, `device` and `dtype`.

    Example:
        >>> output, h = fg.nn.RNN(3, 4, num_layers=2)(fg.ones(5, 2, 3))
        >>> output.shape, h.shape
        (fastgrad.Size([5, 2, 4]), fastgrad.Size([2, 2, 4]))
    """

    def __init__(self, *args: Any, nonlinearity: str = "tanh", **kwargs: Any) -> None:
        if len(args) > 3:
            nonlinearity, args = args[3], (*args[:3], *args[4:])
        if nonlinearity not in ("tanh", "relu"):
            raise ValueError(
                f"Unknown nonlinearity '{nonlinearity}'. Select from 'tanh' or 'relu'."
            )
        if kwargs.pop("proj_size", 0):
            raise ValueError("proj_size argument is only supported for LSTM, not RNN or GRU")
        super().__init__(f"RNN_{nonlinearity.upper()}", *args, **kwargs)
        self.nonlinearity = nonlinearity


class LSTM(RNNBase):
    """Long short-term memory: a cell c = f c + i g and an output h = o tanh(c).

    Args:
        args: `input_size`, `hidden_size`, and the options of `RNNBase` from `num_layers` on.
        kwargs: The options by name: `num_layers`, `bias`, `batch_first`, `dropout` after all but
            the last layer, `bidirectional`, `proj_size`, `device` and `dtype`.

    Example:
        >>> output, (h, c) = fg.nn.LSTM(3, 4, bidirectional=True)(fg.ones(5, 2, 3))
        >>> output.shape, c.shape
        (fastgrad.Size([5, 2, 8]), fastgrad.Size([2, 2, 4]))
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__("LSTM", *args, **kwargs)


class GRU(RNNBase):
    """Gated recurrent units: h = n + z (h - n) with n = tanh(W x + r U h).

    Args:
        args: `input_size`, `hidden_size`, and the options of `RNNBase` from `num_layers` on.
        kwargs: The options by name: `num_layers`, `bias`, `batch_first`, `dropout` after all but
            the last layer, `bidirectional`, `device` and `dtype`.

    Example:
        >>> output, h = fg.nn.GRU(3, 4, batch_first=True)(fg.ones(2, 5, 3))
        >>> output.shape, h.shape
        (fastgrad.Size([2, 5, 4]), fastgrad.Size([1, 2, 4]))
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if kwargs.pop("proj_size", 0):
            raise ValueError("proj_size argument is only supported for LSTM, not RNN or GRU")
        super().__init__("GRU", *args, **kwargs)


class RNNCellBase(Module):
    """What recurrent cells share.

    Example:
        >>> issubclass(fg.nn.LSTMCell, fg.nn.RNNCellBase)
        True
    """

    weight_ih: Tensor
    weight_hh: Tensor
    bias_ih: Tensor | None
    bias_hh: Tensor | None

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool,
        num_chunks: int,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.input_size, self.hidden_size, self.bias = input_size, hidden_size, bias
        options: dict[str, Any] = {"device": device, "dtype": dtype}
        rows = num_chunks * hidden_size
        self.weight_ih = Parameter(_core.empty((rows, input_size), **options))
        self.weight_hh = Parameter(_core.empty((rows, hidden_size), **options))
        for name in ("bias_ih", "bias_hh"):
            if bias:
                setattr(self, name, Parameter(_core.empty(rows, **options)))
            else:
                self.register_parameter(name, None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws the parameters anew, uniform within ±1/sqrt(hidden_size)."""
        bound = 1.0 / math.sqrt(self.hidden_size) if self.hidden_size > 0 else 0
        for weight in self.parameters():
            init.uniform_(weight, -bound, bound)

    def extra_repr(self) -> str:
        """Returns the sizes and the options that are not the default."""
        text = f"{self.input_size}, {self.hidden_size}"
        if self.bias is not True:
            text += f", bias={self.bias}"
        if getattr(self, "nonlinearity", "tanh") != "tanh":
            text += f", nonlinearity={self.nonlinearity}"
        return text

    def _prepared(self, input: Tensor, state: Tensor | None) -> tuple[Tensor, Tensor, bool]:
        """Returns input and state with a batch, and whether they had one."""
        name = type(self).__name__
        if input.dim() not in (1, 2):
            raise ValueError(f"{name}: Expected input to be 1D or 2D, got {input.dim()}D instead")
        if state is not None and state.dim() not in (1, 2):
            raise ValueError(f"{name}: Expected hidden to be 1D or 2D, got {state.dim()}D instead")
        batched = input.dim() == 2
        x = input if batched else input.unsqueeze(0)
        if state is None:
            return x, x.new_zeros((x.size(0), self.hidden_size)), batched
        return x, state if batched else state.unsqueeze(0), batched

    def _both(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        return F.linear(x, self.weight_ih, self.bias_ih), F.linear(h, self.weight_hh, self.bias_hh)


class RNNCell(RNNCellBase):
    """One step of `RNN`.

    Args:
        input_size: Size of the input.
        hidden_size: Size of the state.
        bias: Whether there are biases.
        nonlinearity: `"tanh"` or `"relu"`.
        device: Where the parameters are.
        dtype: Their element type.

    Example:
        >>> fg.nn.RNNCell(3, 4)(fg.ones(2, 3)).shape
        fastgrad.Size([2, 4])
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: str = "tanh",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(input_size, hidden_size, bias, 1, device, dtype)
        self.nonlinearity = nonlinearity

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        """Returns the next state."""
        if self.nonlinearity not in ("tanh", "relu"):
            raise RuntimeError(f"Unknown nonlinearity: {self.nonlinearity}")
        x, h, batched = self._prepared(input, hx)
        result = _rnn_step(*self._both(x, h), self.nonlinearity == "relu")
        return result if batched else result.squeeze(0)


class LSTMCell(RNNCellBase):
    """One step of `LSTM`.

    Args:
        input_size: Size of the input.
        hidden_size: Size of the state.
        bias: Whether there are biases.
        device: Where the parameters are.
        dtype: Their element type.

    Example:
        >>> h, c = fg.nn.LSTMCell(3, 4)(fg.ones(2, 3))
        >>> h.shape, c.shape
        (fastgrad.Size([2, 4]), fastgrad.Size([2, 4]))
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(input_size, hidden_size, bias, 4, device, dtype)

    def forward(
        self, input: Tensor, hx: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Tensor, Tensor]:
        """Returns the next state and cell."""
        x, h, batched = self._prepared(input, None if hx is None else hx[0])
        _, c, _ = self._prepared(input, None if hx is None else hx[1])
        gates, hidden = self._both(x, h)
        h, c = _lstm_step(gates + hidden, c)
        return (h, c) if batched else (h.squeeze(0), c.squeeze(0))


class GRUCell(RNNCellBase):
    """One step of `GRU`.

    Args:
        input_size: Size of the input.
        hidden_size: Size of the state.
        bias: Whether there are biases.
        device: Where the parameters are.
        dtype: Their element type.

    Example:
        >>> fg.nn.GRUCell(3, 4)(fg.ones(2, 3)).shape
        fastgrad.Size([2, 4])
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(input_size, hidden_size, bias, 3, device, dtype)

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        """Returns the next state."""
        x, h, batched = self._prepared(input, hx)
        result = _gru_step(*self._both(x, h), h)
        return result if batched else result.squeeze(0)
