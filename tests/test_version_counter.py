"""`_version`: what bumps it, who shares it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from reference import fg


@pytest.mark.parametrize(
    "write",
    [
        lambda x: x.add_(1),
        lambda x: x.zero_(),
        lambda x: x.fill_(2),
        lambda x: x.copy_(fg.zeros(2, 2)),
        lambda x: x.__setitem__(0, 1.0),
        lambda x: x.__setitem__((0, 1), 1.0),
        lambda x: x.__setitem__([0, 1], 1.0),
        lambda x: x.__setitem__(x > 0, 1.0),
        lambda x: x.masked_fill_(x > 0, 1.0),
        lambda x: x.index_fill_(0, fg.tensor([0]), 1.0),
        lambda x: x.scatter_(0, fg.tensor([[0, 0]]), 1.0),
        lambda x: x.clamp_(0, 1),
        lambda x: x.normal_(),
        lambda x: x.uniform_(),
        lambda x: x[0].add_(1),
        lambda x: x.t().mul_(2),
        lambda x: fg.add(x, 1, out=x),
        lambda x: x.detach().add_(1),
    ],
)
def test_one_write_is_one_version(write: Callable[[Any], Any]) -> None:
    x = fg.ones(2, 2)
    before = x._version
    write(x)
    assert x._version == before + 1


@pytest.mark.parametrize(
    "read",
    [
        lambda x: x + 1,
        lambda x: x[0],
        lambda x: x.sum(),
        lambda x: x.view(4),
        lambda x: x.tolist(),
        lambda x: x.numpy(),
        lambda x: x.data.add_(1),
        lambda x: x.numpy().fill(3),
        lambda x: x.clone().add_(1),
        lambda x: x.requires_grad_(),
    ],
)
def test_reads_and_untracked_writes_do_not_count(read: Callable[[Any], Any]) -> None:
    x = fg.ones(2, 2)
    read(x)
    assert x._version == 0


def test_views_share_the_counter_of_their_base() -> None:
    x = fg.ones(2, 2)
    row, column = x[0], x[:, 1]
    row.add_(1)
    assert x._version == row._version == column._version == 1
    x.add_(1)
    assert row._version == 2
    assert x[1]._version == 2


def test_results_start_at_zero() -> None:
    x = fg.ones(2)
    x.add_(1)
    assert (x * 2)._version == 0 and x.clone()._version == 0


def test_chained_writes_add_up() -> None:
    x = fg.ones(2)
    x.add_(1).mul_(2).sub_(3)
    assert x._version == 3
    x += 1
    assert x._version == 4


def test_failed_write_does_not_count() -> None:
    x = fg.ones(2)
    with pytest.raises(RuntimeError):
        x.add_(fg.ones(3))
    assert x._version == 0


def test_backward_does_not_touch_leaves() -> None:
    x = fg.ones(2, requires_grad=True)
    (x * x).sum().backward()
    assert x._version == 0


def test_version_is_read_only() -> None:
    with pytest.raises(AttributeError):
        fg.ones(2)._version = 3
