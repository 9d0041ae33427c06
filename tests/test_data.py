"""utils.data: data sets, samplers, collation, loaders."""

import threading
import time
from collections import namedtuple

import numpy as np
import pytest

from reference import fg, only_fastgrad

data = __import__("importlib").import_module(f"{fg.__name__}.utils.data")
only_threads = only_fastgrad  # PyTorch's workers are processes


class Squares(data.Dataset):
    def __init__(self, n):
        self.n = n

    def __len__(self):
        return self.n

    def __getitem__(self, i):
        if not 0 <= i < self.n:
            raise IndexError(i)
        return i, float(i * i)


class Count(data.IterableDataset):
    def __init__(self, n):
        self.n = n

    def __iter__(self):
        return iter(range(self.n))

    def __len__(self):
        return self.n


def flat(loader):
    return [x for batch in loader for x in batch.tolist()]


def test_data_sets():
    rows = data.TensorDataset(fg.arange(6).reshape(3, 2), fg.arange(3))
    assert len(rows) == 3 and rows[1][0].tolist() == [2, 3] and rows[0:2][1].tolist() == [0, 1]
    with pytest.raises(AssertionError, match="Size mismatch between tensors"):
        data.TensorDataset(fg.ones(3), fg.ones(2))
    joined = Squares(2) + Squares(3)
    assert len(joined) == 5 and joined[3] == (1, 1.0) and joined[-1] == (2, 4.0)
    with pytest.raises(ValueError, match="absolute value of index"):
        joined[-6]
    assert data.Subset(Squares(5), [4, 2])[0] == (4, 16.0) and len(data.Subset("abc", [1])) == 1
    assert list(data.ChainDataset([Count(2), Count(1)])) == [0, 1, 0]
    both = data.StackDataset(Squares(2), "ab")
    assert both[1] == ((1, 1.0), "b") and len(both) == 2
    with pytest.raises(NotImplementedError):
        data.Dataset()[0]


def test_random_split():
    parts = data.random_split(range(10), [7, 3], generator=fg.Generator().manual_seed(1))
    again = data.random_split(range(10), [7, 3], generator=fg.Generator().manual_seed(1))
    assert [list(p.indices) for p in parts] == [list(p.indices) for p in again]
    assert sorted([*parts[0], *parts[1]]) == list(range(10))
    assert [len(p) for p in data.random_split(range(10), [0.33, 0.33, 0.34])] == [4, 3, 3]
    with pytest.raises(ValueError, match="Sum of input lengths does not equal"):
        data.random_split(range(10), [7, 4])


def test_samplers():
    fg.manual_seed(0)
    assert list(data.SequentialSampler("abc")) == [0, 1, 2]
    drawn = list(data.RandomSampler(range(50)))
    assert sorted(drawn) == list(range(50)) and drawn != list(range(50))
    assert len(list(data.RandomSampler(range(3), num_samples=7))) == 7
    many = list(data.RandomSampler(range(3), replacement=True, num_samples=100))
    assert len(many) == 100 and set(many) == {0, 1, 2}
    assert sorted(data.SubsetRandomSampler([5, 7])) == [5, 7]
    weighted = list(data.WeightedRandomSampler([0.0, 3.0, 1.0], 4000))
    assert 0 not in weighted and 2700 < weighted.count(1) < 3300
    assert sorted(data.WeightedRandomSampler([1.0, 1.0], 2, replacement=False)) == [0, 1]
    batches = data.BatchSampler(data.SequentialSampler(range(5)), 2, False)
    assert list(batches) == [[0, 1], [2, 3], [4]] and len(batches) == 3
    assert len(data.BatchSampler(data.SequentialSampler(range(5)), 2, True)) == 2
    for wrong in (0, -1, 1.5, True):
        with pytest.raises(ValueError, match="batch_size should be a positive integer"):
            data.BatchSampler([], wrong, False)


def test_collation():
    Point = namedtuple("Point", "x y")
    items = [
        {"t": fg.ones(2) * i, "n": i, "f": 0.5, "a": np.ones(1), "s": "ab", "p": Point(i, [i, 2])}
        for i in range(3)
    ]
    batch = data.default_collate(items)
    assert batch["t"].shape == (3, 2) and batch["n"].tolist() == [0, 1, 2]
    assert batch["f"].dtype == fg.float64 and batch["a"].dtype == fg.float64
    assert batch["s"] == ["ab"] * 3 and batch["p"].x.tolist() == [0, 1, 2]
    assert [part.tolist() for part in batch["p"].y] == [[0, 1, 2], [2, 2, 2]]
    with pytest.raises(RuntimeError, match="should be of equal size"):
        data.default_collate([[1, 2], [1]])
    with pytest.raises(TypeError, match="batch must contain tensors"):
        data.default_collate([object()])


@pytest.mark.parametrize("workers", [0, pytest.param(3, marks=only_threads)])
def test_batches(workers):
    loader = data.DataLoader(Squares(7), batch_size=3, num_workers=workers)
    found = [(i.tolist(), x.tolist()) for i, x in loader]
    assert found == [([0, 1, 2], [0.0, 1.0, 4.0]), ([3, 4, 5], [9.0, 16.0, 25.0]), ([6], [36.0])]
    assert len(loader) == 3 and len(list(loader)) == 3
    short = data.DataLoader(Squares(7), batch_size=3, drop_last=True, num_workers=workers)
    assert len(short) == 2 and len(list(short)) == 2


@pytest.mark.parametrize("workers", [0, pytest.param(2, marks=only_threads)])
def test_the_order_is_the_seeds_alone(workers):
    orders = []
    for _ in range(2):
        loader = data.DataLoader(
            data.TensorDataset(fg.arange(20)),
            4,
            shuffle=True,
            generator=fg.Generator().manual_seed(5),
        )
        first, second = ([x for (b,) in loader for x in b.tolist()] for _ in range(2))
        assert sorted(first) == sorted(second) == list(range(20)) and first != second
        orders.append(first)
    assert orders[0] == orders[1]


@only_fastgrad
def test_workers_change_nothing_but_the_time():
    def run(workers):
        fg.manual_seed(3)
        return flat(data.DataLoader(range(30), 4, shuffle=True, num_workers=workers))

    assert run(0) == run(1) == run(4)


def test_other_ways_to_batch():
    rows = data.TensorDataset(fg.arange(4))
    assert [b[0].tolist() for b in data.DataLoader(rows, batch_sampler=[[3, 0], [1]])] == [
        [3, 0],
        [1],
    ]
    assert [b[0].item() for b in data.DataLoader(rows, batch_size=None)] == [0, 1, 2, 3]
    assert list(data.DataLoader([1, 2, 3], 2, collate_fn=sum)) == [3, 3]
    assert flat(
        data.DataLoader("ab", sampler=[1, 0], collate_fn=lambda b: fg.tensor([len(b)]))
    ) == [
        1,
        1,
    ]


@pytest.mark.parametrize("workers", [0, pytest.param(1, marks=only_threads)])
def test_iterable_data_sets(workers):
    assert flat(data.DataLoader(Count(5), 2, num_workers=workers)) == [0, 1, 2, 3, 4]
    assert flat(data.DataLoader(Count(5), 2, drop_last=True, num_workers=workers)) == [0, 1, 2, 3]
    assert len(data.DataLoader(Count(5), 2)) == 3


@only_threads
def test_errors_in_workers_come_out():
    class Bad(Squares):
        def __getitem__(self, i):
            if i == 3:
                raise KeyError("three")
            return super().__getitem__(i)

    with pytest.raises(KeyError, match="three"):
        list(data.DataLoader(Bad(6), num_workers=2))

    def broken(number):
        raise OSError("no disk")

    with pytest.raises(OSError, match="no disk"):
        list(data.DataLoader(Squares(6), num_workers=2, worker_init_fn=broken))


@only_threads
def test_workers_know_who_they_are_and_end():
    before = threading.active_count()
    seen = set()

    class Asking(Squares):
        def __getitem__(self, i):
            info = data.get_worker_info()
            seen.add((info.id, info.num_workers, info.dataset is self))
            time.sleep(0.005)
            return i

    assert flat(data.DataLoader(Asking(12), num_workers=2)) == list(range(12))
    assert seen == {(0, 2, True), (1, 2, True)} and data.get_worker_info() is None
    loader = iter(data.DataLoader(Asking(1000), num_workers=2))
    next(loader)
    del loader  # left in the middle
    for _ in range(200):
        if threading.active_count() <= before:  # one of an earlier test may have ended meanwhile
            break
        time.sleep(0.01)
    assert threading.active_count() <= before


@only_threads
def test_random_numbers_do_not_depend_on_the_workers():
    class Noisy(Squares):
        def __getitem__(self, i):
            time.sleep(0.001 * (i % 3))
            return fg.rand(2)

    def drawn(workers):
        fg.manual_seed(5)
        first = data.DataLoader(Noisy(24), batch_size=4, num_workers=workers)
        return [fg.cat([b.flatten() for b in first]).tolist() for _ in range(2)], fg.rand(1).item()

    (one, after), (two, _), (four, also) = drawn(1), drawn(2), drawn(4)
    assert one == two == four
    assert one[0] != one[1]  # the second epoch has numbers of its own
    assert after == also  # workers leave the common generator alone
    assert len(set(one[0])) == 48


@only_threads
def test_a_worker_that_hangs():
    class Slow(Squares):
        def __getitem__(self, i):
            time.sleep(0.5)
            return i

    with pytest.raises(RuntimeError, match="DataLoader timed out after"):
        list(data.DataLoader(Slow(2), num_workers=1, timeout=0.05))


@pytest.mark.parametrize(
    "options, message",
    [
        ({"sampler": [0], "shuffle": True}, "mutually exclusive with shuffle"),
        ({"batch_sampler": [[0]], "batch_size": 2}, "mutually exclusive with batch_size"),
        ({"batch_size": None, "drop_last": True}, "disables auto-batching"),
        ({"num_workers": -1}, "num_workers option should be non-negative"),
        ({"timeout": -1}, "timeout option should be non-negative"),
        ({"prefetch_factor": 2}, "prefetch_factor option could only be specified"),
    ],
)
def test_options_that_contradict(options, message):
    with pytest.raises(ValueError, match=message):
        data.DataLoader(Squares(3), **options)
    if "sampler" in options:
        with pytest.raises(ValueError, match="expected unspecified shuffle option"):
            data.DataLoader(Count(3), shuffle=True)
