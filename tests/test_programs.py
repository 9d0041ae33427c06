"""Programs in files: what was saved runs on, and what does not verify is refused."""

from __future__ import annotations

import copy
import io
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import fastgrad as fg
from compiled import same
from examples import FACTOR
from fastgrad._programs import Program
from fastgrad.serialization import LoadError


def saved(fn: Any) -> bytes:
    file = io.BytesIO()
    fg.save_program(fn, file)
    return file.getvalue()


def loaded(data: bytes) -> Program:
    return fg.load_program(io.BytesIO(data))


def recorded(fn: Callable[..., Any], *args: Any) -> Any:
    compiled = fg.compile(fn, fullgraph=True)
    compiled(*args)
    return compiled


def again(fn: Callable[..., Any], *args: Any) -> Program:
    return loaded(saved(recorded(fn, *args)))


def chain(x: fg.Tensor) -> Any:
    y = (100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()
    return y.detach(), fg.autograd.grad(y, x)[0]


def products(x: fg.Tensor) -> Any:
    y = fg.cat([x @ x.t(), x.mv(x[0])[:, None]], 1)
    return {"a": fg.stack([y, y * 2]).softmax(-1), "b": [y.logsumexp(0), y.argmax(1), 3, None]}


def selections(x: fg.Tensor) -> Any:
    i = (x[0] > 0).long()
    y = x[i, 1:3].masked_fill(x[i, 1:3] > 1, 0.5)
    return y, x.max(1).values.cumsum(0), x.tril().flip(0), (x.bool().any(), x.var(1))


def classified(x: fg.Tensor) -> Any:
    target = (x.sum(1) > 0).long()
    loss = fg.nn.functional.cross_entropy(x, target)
    return loss.detach(), fg.autograd.grad(loss, x)[0]


def positions(x: fg.Tensor) -> Any:
    """Whatever chooses places in memory."""
    order, i = x.sort(1)
    j = (x[0] * 3).long().remainder(4)
    y = x.gather(1, i) + x.take(j) + x.index_select(0, j) + order.flip(0)
    y = y.scatter_add(1, i, x * 2).index_add(0, j, x).index_fill(1, j, 0.5)
    y = y.scatter(0, i, 0.25) + fg.nn.functional.embedding(j, x) + x.topk(2, 0).values.repeat(2, 1)
    y = y + x.kthvalue(2, 1).values + x.median(1).values + x.cummax(0).values + x.roll(1, 0)
    z = fg.take_along_dim(y, i, 1).masked_select(x.detach().bool())
    at = x.nonzero()[:, 0], fg.nn.functional.one_hot(j, 4), fg.searchsorted(order[0], x[1])
    (g,) = fg.autograd.grad((y * y).sum() + (z * z).sum(), x)
    return y.detach(), z.detach(), g, at, x.logcumsumexp(1).detach(), fg.diag_embed(x.detach())


def matrices(x: fg.Tensor) -> Any:
    """Linear algebra."""
    a = x @ x.t() + 4 * fg.eye(4, dtype=x.dtype)
    lower = fg.linalg.cholesky(a)
    y = fg.linalg.solve(a, x) + fg.linalg.inv(a) + fg.linalg.solve_triangular(lower, x, upper=False)
    s = fg.linalg.det(a) + fg.linalg.slogdet(a)[1] + fg.linalg.pinv(x[:3]).sum() + a.trace()
    q, r = fg.linalg.qr(x)
    w, v = fg.linalg.eigh(a)
    u, d, vh = fg.linalg.svd(x.detach(), full_matrices=False)
    p, lo, up = fg.linalg.lu(x.detach())
    z = fg.linalg.cross(x[:, :3], x[:, 1:]) + fg.linalg.matrix_exp(x * 0.1)[:, :3]
    z = z + fg.cdist(x[:3, :2], x[:, 2:]).t() + fg.linalg.lstsq(x, x).solution[:, 1:]
    (g,) = fg.autograd.grad((y + q + r + v).tanh().sum() + s + w.sum() + z.sum(), x)
    return y.detach(), g, u, d, vh, p, lo, up, fg.linalg.svdvals(x.detach())


def layers(x: fg.Tensor) -> Any:
    """What networks are made of."""
    F = fg.nn.functional
    image = x.reshape(1, 2, 4, 2)
    y = F.conv2d(image, image[:, :, :2].reshape(2, 1, 2, 2), x[0, :2], padding=1, groups=2)
    y = F.conv_transpose2d(y, image[:, :1, :2].expand(2, 1, 2, 2), stride=2)
    y = F.max_pool2d(y, 2) + F.avg_pool2d(y, 2) + F.adaptive_avg_pool2d(y, 1)
    y = F.pad(y, (1, 2, 0, 1), "reflect").sum() + F.unfold(image, 2).sum()
    n = F.layer_norm(x, (4,), x[1], x[2]) + F.group_norm(image, 2).reshape(4, 4)
    n = n + F.batch_norm(x, None, None, x[3], training=True) + F.dropout(x, 0.5)
    h = F.scaled_dot_product_attention(image, image * 2, image, fg.ones(4, 4).bool().tril())
    loss = F.nll_loss(n.log_softmax(1), (x[1] > 0).long()) + h.tanh().sum() + y
    z = x.clone()
    z[1:, 1:].diagonal()[:2].mul_(x[0, 0])
    gates = fg.nn.GRU(4, 3, dtype=x.dtype)
    for k, w in enumerate(gates.parameters()):
        w.data.fill_(0.1 * (k + 1))
    steps, last = gates(x)
    (g,) = fg.autograd.grad(loss + (z * z).sum() + steps.sum() + last.sum(), x)
    return n.detach(), g, h.detach(), steps.detach(), fg.frexp(x.detach())


FUNCTIONS = [chain, products, selections, classified, positions, matrices, layers]
IDS = [f.__name__ for f in FUNCTIONS]


def argument(fn: Callable[..., Any], seed: int) -> fg.Tensor:
    fg.manual_seed(seed)
    x = fg.randn(4, dtype=fg.float64) if fn is chain else fg.randn(4, 4, dtype=fg.float64)
    return x.requires_grad_()


@pytest.mark.parametrize("fn", FUNCTIONS, ids=IDS)
def test_a_loaded_program_does_what_the_function_does(fn: Callable[..., Any]) -> None:
    program = again(fn, argument(fn, 0))
    with fg.no_grad() if fn in (products, selections) else fg.enable_grad():
        for seed in range(5):
            x = argument(fn, seed)
            with fg.enable_grad():
                expected = fn(x)
            argument(fn, seed)  # for the same random numbers
            for got, want in zip(flat(program(x)), flat(expected), strict=True):
                assert same(got, want.detach() if isinstance(want, fg.Tensor) else want)
    assert program.graph() and program.explain() and program.dot().startswith("digraph")
    assert "instructions" in repr(program)


def flat(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        value = [*value, *value.values()]
    if isinstance(value, (list, tuple)):
        for item in value:
            yield from flat(item)
    else:
        yield value


@pytest.mark.parametrize("name", ["SGD", "Adam"])
@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_a_training_step_goes_on_where_it_was(name: str, momentum: float) -> None:
    def build() -> tuple[list[fg.Tensor], Any]:
        fg.manual_seed(0)
        net = fg.nn.Sequential(fg.nn.Linear(3, 8), fg.nn.Tanh(), fg.nn.Linear(8, 1))
        extra = {"momentum": momentum} if name == "SGD" else {"amsgrad": momentum > 0}
        optimiser = getattr(fg.optim, name)(net.parameters(), lr=0.1, **extra)

        def step(x: fg.Tensor, y: fg.Tensor) -> fg.Tensor:
            optimiser.zero_grad()
            loss = ((net(x) - y) ** 2).mean()
            loss.backward()
            optimiser.step()
            return loss.detach()

        return list(net.parameters()), fg.compile(step, fullgraph=True)

    x, y = fg.randn(5, 3), fg.randn(5, 1)
    _, step = build()
    for _ in range(4):
        step(x, y)
    data = saved(step)
    program = loaded(data)
    expected = [step(x, y) for _ in range(5)]
    assert same([program(x, y) for _ in range(2)], expected[:2])
    half_way = loaded(saved(program))  # the state is saved as it is by then
    assert same([program(x, y) for _ in range(3)], expected[2:])
    assert same([half_way(x, y) for _ in range(3)], expected[2:])
    assert same(loaded(data)(x, y), expected[0])
    assert program.state


def test_gradients_that_accumulate_are_state() -> None:
    w = fg.ones(3, requires_grad=True)

    def step(x: fg.Tensor) -> None:
        (w * x).sum().backward()

    compiled = fg.compile(step, fullgraph=True)
    x = fg.tensor([1.0, 2.0, 3.0])
    for _ in range(3):
        compiled(x)
    program = loaded(saved(compiled))
    program(x)
    assert any(same(t, 4 * x) for t in program.state)


def test_arguments_are_written_in_place() -> None:
    def write(x: fg.Tensor) -> fg.Tensor:
        x.mul_(2)
        return x

    program = again(write, fg.ones(3))
    x = fg.tensor([1.0, 2.0, 3.0])
    version = x._version
    y = program(x)
    assert x.tolist() == y.tolist() == [2.0, 4.0, 6.0] and x._version == version + 1
    with pytest.raises(ValueError, match="strides"):
        program(fg.ones(3, 2)[:, 0])


def test_structures_and_values() -> None:
    def f(pair: Any, *, scale: float, mode: str) -> Any:
        a, b = pair["a"], pair["b"][0]
        return {"sum": (a + b) * scale, mode: [a, 1]}

    call = ({"a": fg.ones(2), "b": [fg.ones(2)]},)
    compiled = fg.compile(f, fullgraph=True)
    compiled(*call, scale=2.0, mode="m")
    program = loaded(saved(compiled))
    assert same(program(*call, scale=2.0, mode="m"), f(*call, scale=2.0, mode="m"))
    with pytest.raises(ValueError, match=r"scale was 2\.0"):
        program(*call, scale=3.0, mode="m")
    with pytest.raises(TypeError, match="keywords"):
        program(*call, scale=2.0)
    with pytest.raises(TypeError, match="must be a dict"):
        program([fg.ones(2)], scale=2.0, mode="m")
    with pytest.raises(TypeError, match="must have the keys"):
        program({"a": fg.ones(2), "c": [fg.ones(2)]}, scale=2.0, mode="m")
    with pytest.raises(TypeError, match="must be a Tensor"):
        program({"a": 1, "b": [fg.ones(2)]}, scale=2.0, mode="m")
    with pytest.raises(ValueError, match=r"float32\[2\]"):
        program({"a": fg.ones(3), "b": [fg.ones(2)]}, scale=2.0, mode="m")


def test_other_branches_are_errors() -> None:
    program = again(lambda x: x * 2 if x.sum() > 0 else -x, fg.ones(3))
    assert same(program(fg.ones(3)), fg.full((3,), 2.0))
    with pytest.raises(RuntimeError, match="another branch"):
        program(-fg.ones(3))


def test_random_numbers_come_from_the_default_generator() -> None:
    program = again(lambda x: x + fg.rand(3), fg.zeros(3))
    fg.manual_seed(5)
    first = program(fg.zeros(3))
    fg.manual_seed(5)
    assert same(first, fg.rand(3))
    assert not same(program(fg.zeros(3)), first)


def eigenvalues(x: fg.Tensor) -> fg.Tensor:
    """Through complex numbers, which files do not have."""
    return fg.linalg.eigvals(x).real


def test_what_cannot_be_saved_says_so(tmp_path: Path) -> None:
    path = tmp_path / "f.fgp"
    with pytest.raises(TypeError, match=r"expected a function of fastgrad\.compile"):
        fg.save_program(lambda x: x, path)
    with pytest.raises(RuntimeError, match="has not been called"):
        fg.save_program(fg.compile(lambda x: x * 1), path)
    with pytest.raises(RuntimeError, match="no form for linalg_eig"):
        fg.save_program(recorded(eigenvalues, fg.eye(2)), path)
    with pytest.raises(RuntimeError, match="shares memory"):
        base = fg.ones(4)
        fg.save_program(recorded(lambda a, b: a + b, base[:2], base[1:3]), path)
    x = fg.ones(2, requires_grad=True)
    with pytest.raises(RuntimeError, match="return the gradient"):
        fg.save_program(recorded(lambda x: (x * x).sum().backward(), x), path)
    assert not path.exists()


def test_results_with_a_history_have_none_when_loaded() -> None:
    program = again(lambda x: x * x, fg.ones(2, requires_grad=True))
    assert not program(fg.ones(2)).requires_grad
    with pytest.raises(RuntimeError, match="has no gradient"):
        program(fg.ones(2, requires_grad=True))
    with fg.no_grad():
        assert program(fg.ones(2, requires_grad=True)).tolist() == [1.0, 1.0]


def test_a_file_is_replaced_in_one_step(tmp_path: Path) -> None:
    path = tmp_path / "f.fgp"
    fg.save_program(recorded(lambda x: x * 2, fg.ones(2)), path)
    before = path.read_bytes()
    with pytest.raises(RuntimeError):
        fg.save_program(recorded(eigenvalues, fg.eye(2)), path)
    assert path.read_bytes() == before and len(list(tmp_path.iterdir())) == 1
    assert fg.load_program(path)(fg.ones(2)).tolist() == [2.0, 2.0]


def test_other_files_are_refused(tmp_path: Path) -> None:
    for content in ({"a": 1}, [1], {"format": "fastgrad program", "version": 2}):
        file = io.BytesIO()
        fg.save(content, file)
        with pytest.raises(LoadError):
            fg.load_program(file)
    (tmp_path / "f").write_bytes(b"nothing")
    with pytest.raises(LoadError):
        fg.load_program(tmp_path / "f")


@pytest.mark.parametrize("fn", FUNCTIONS, ids=IDS)
def test_every_cut_and_flipped_byte(fn: Callable[..., Any]) -> None:
    data = saved(recorded(fn, argument(fn, 0)))
    draw = random.Random(1)
    for end in draw.sample(range(len(data)), 60):
        with pytest.raises(LoadError):
            loaded(data[:end])
    for place in draw.sample(range(len(data)), 300):
        damaged = bytearray(data)
        damaged[place] ^= 1 << draw.randrange(8)
        try:
            loaded(bytes(damaged))
        except LoadError:
            continue


def places_in(form: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yields where every dictionary entry and list item of a form stands."""
    items = form.items() if isinstance(form, dict) else enumerate(form)
    for key, value in items:
        yield (*path, key)
        if isinstance(value, (dict, list)):
            yield from places_in(value, (*path, key))


def changed(value: Any, draw: random.Random) -> Any:
    """Returns something else in a value's place: near it, far off, or of another kind."""
    if draw.random() < 0.15:
        return draw.choice([None, True, "Mul", 3, 2.5, [], {}, -1, 1 << 70, (), float("nan")])
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        near = [value + 1, value - 1, value * 2, -value, value + 8, 0, 1]
        return draw.choice([*near, 1 << 31, 1 << 40, (1 << 62) + 1, -(1 << 62)])
    if isinstance(value, float):
        return draw.choice([-value, 0.0, float("inf"), 1e300])
    if isinstance(value, str):
        names = "Mul Add Where Sum Mm Softmax Index Cat copy fill sgd_step first_index float32 Sort"
        names += " Scatter TakeAlong Solve Svd ConvForward MaxPool RowNorm Recurrent Pad one_hot"
        return draw.choice([*names.split(), "int64", "bool", "complex64", "outside", "inside", "x"])
    if isinstance(value, list) and value:
        some = list(value)
        at = draw.randrange(len(some))
        action = draw.randrange(3)
        if action == 0:
            del some[at]
        elif action == 1:
            some.insert(at, copy.copy(some[at]))
        else:
            draw.shuffle(some)
        return some
    return None


def with_change(form: Any, path: tuple[Any, ...], draw: random.Random) -> Any:
    """Returns a form with something else at a path; what is beside it is shared."""
    if not path:
        return changed(form, draw)
    if not isinstance(form, (dict, list)):
        return form  # another change was made above
    key, *rest = path
    edited = copy.copy(form)
    try:
        edited[key] = with_change(form[key], tuple(rest), draw)
    except (KeyError, IndexError, TypeError):
        return form
    return edited


@pytest.mark.parametrize("fn", [*FUNCTIONS, "step"], ids=[*IDS, "step"])
def test_every_edited_field_is_refused_or_harmless(fn: Any) -> None:
    def input_of(seed: int) -> fg.Tensor:
        return argument(fn, seed).detach() if is_step else argument(fn, seed)

    is_step = fn == "step"
    if is_step:
        w = fg.randn(4, 4, dtype=fg.float64).requires_grad_()
        optimiser = fg.optim.Adam([w])

        def fn(x: fg.Tensor) -> None:
            optimiser.zero_grad()
            (x @ w).tanh().sum().backward()
            optimiser.step()

        fn(input_of(0))
    form = fg.load(io.BytesIO(saved(recorded(fn, input_of(0)))))
    everywhere = list(places_in(form))
    draw = random.Random(2)
    refused = 0
    edits = (1500 if fn in FUNCTIONS[:4] or is_step else 400) * max(FACTOR, 1)
    for _ in range(edits):
        edited = form
        for _ in range(draw.choice([1, 1, 1, 2])):
            edited = with_change(edited, draw.choice(everywhere), draw)
        try:
            program = Program(edited)
        except LoadError:
            refused += 1
            continue
        try:
            program(input_of(1))
        except (ValueError, TypeError, RuntimeError, IndexError):
            continue
    assert refused > edits * 0.45


def form_of(fn: Callable[..., Any], *args: Any) -> Any:
    """What a file says, to be changed and made a program of."""
    return fg.load(io.BytesIO(saved(recorded(fn, *args))))


def test_state_is_given_out_as_tensors_of_their_own() -> None:
    first, second = fg.full((500,), 2.0), fg.full((500,), 3.0)
    program = again(lambda x: x * first + second, fg.ones(500))
    program.state[0].data = fg.zeros(1)
    assert program(fg.ones(500)).tolist() == [5.0] * 500
    for kept in program.state:
        kept.mul_(2)
    assert program(fg.ones(500)).tolist() == [10.0] * 500


def test_state_in_another_order_is_saved_in_that_order() -> None:
    first, second = fg.full((3,), 2.0), fg.full((3,), 3.0)
    form = form_of(lambda x: x * first + second, fg.ones(3))
    form["state"].reverse()
    program = Program(form)
    next(t for t in program.state if t[0] == 3.0).mul_(10)
    assert loaded(saved(program))(fg.ones(3)).tolist() == [32.0] * 3


def test_numbers_must_have_the_same_sign_of_zero() -> None:
    program = again(lambda x, s: x * s, fg.ones(2), 0.0)
    assert program(fg.ones(2), 0.0).tolist() == [0.0, 0.0]
    with pytest.raises(ValueError, match=r"was 0\.0 when"):
        program(fg.ones(2), -0.0)


def instruction(form: Any, op: str) -> Any:
    return next(i for i in form["task"]["instructions"] if i.get("op") == op)


def test_sizes_whose_products_overflow_are_refused() -> None:
    weight = fg.ones(3)
    form = form_of(lambda x: weight + 1, fg.ones(3))
    form["inputs"][0][4] = [1 << 61]  # with which the third element seems to lie on the first
    form["task"]["storages"][form["inputs"][0][0]]["last"] = 4
    with pytest.raises(LoadError):
        Program(form)

    form = form_of(lambda x: fg.nn.functional.fold(x, (3, 3), 2), fg.ones(1, 4, 4))
    padding, kernel = [1 << 22] * 3, [1 << 22] * 3  # which is 2^66 elements
    sizes = [3, *[1] * 3, *padding, *[1] * 3, *[3] * 3, *[1] * 3, *kernel]
    instruction(form, "Col2Im")["attributes"]["lists"][0] = sizes
    with pytest.raises(LoadError):
        Program(form)

    form = form_of(lambda x: x.repeat(2, 2), fg.ones(1, 4))
    instruction(form, "Repeat")["attributes"]["lists"][0] = [1 << 31, 1 << 62]
    with pytest.raises(LoadError):
        Program(form)


def test_positions_of_no_dimension_are_refused() -> None:
    form = form_of(lambda x: x.gather(1, x.max(1, keepdim=True).indices), fg.randn(3, 4))
    instruction(form, "Max")["attributes"]["numbers"][0] = 0
    with pytest.raises(LoadError):
        Program(form)
