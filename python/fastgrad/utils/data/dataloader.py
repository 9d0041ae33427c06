"""Batches of a data set, in order or at random, loaded ahead by threads if asked for.

Note [Workers are threads]
PyTorch's workers are processes, because its Python code needs the interpreter's lock. Here they are
threads: nothing is pickled, copied or left behind by a crash, tensors come as they are, and a data
set may hold open files and lambdas. What reads files, decodes with NumPy or computes with tensors
lets other threads run meanwhile; pure Python code does not get faster by more workers. Batches come
in the same order for any number of them, and each batch has random numbers of its own: what a data
set draws depends on the seed of the loader and the number of the batch, not on the worker.
"""

from __future__ import annotations

import itertools
import queue
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Generic, NamedTuple, TypeVar

from fastgrad import _core
from fastgrad._core import Generator
from fastgrad.utils.data.collate import collate_rows, default_collate, default_convert
from fastgrad.utils.data.dataset import IterableDataset
from fastgrad.utils.data.sampler import BatchSampler, RandomSampler, Sampler, SequentialSampler

T_co = TypeVar("T_co", covariant=True)
_local = threading.local()


class WorkerInfo(NamedTuple):
    """What a worker knows of itself."""

    id: int
    num_workers: int
    seed: int
    dataset: Any


def get_worker_info() -> WorkerInfo | None:
    """Returns what the worker that calls it knows of itself, or None in the main thread.

    Example:
        >>> fg.utils.data.get_worker_info() is None
        True
    """
    return getattr(_local, "info", None)


class _Endless(Sampler[None]):
    """Stands for the indices of a data set that has none."""

    def __iter__(self) -> Iterator[None]:
        while True:
            yield None


class DataLoader(Generic[T_co]):
    """Batches of a data set.

    Args:
        dataset: The data set: by index with a length, or an `IterableDataset`.
        batch_size: Size of a batch; None for single items.
        shuffle: Reads in random order, another one each time.
        sampler: The order, instead.
        batch_sampler: The batches, instead of all of this.
        num_workers: Threads that load ahead; 0 loads when a batch is asked for.
        collate_fn: Makes a batch of a list of items; `default_collate` if not given.
        pin_memory: As in PyTorch; has no effect.
        drop_last: Leaves a last batch out that is not full.
        timeout: Seconds after which waiting for a worker is an error; 0 waits for ever.
        worker_init_fn: Called in each worker with its number.
        multiprocessing_context: As in PyTorch; has no effect.
        generator: Where the random order comes from.
        prefetch_factor: Batches that each worker loads ahead; 2 if not given.
        persistent_workers: As in PyTorch; has no effect.
        pin_memory_device: As in PyTorch; has no effect.
        in_order: As in PyTorch; batches always come in order.

    Raises:
        ValueError: If options contradict each other.

    Example:
        >>> data = fg.utils.data.TensorDataset(fg.arange(5), fg.arange(5) ** 2)
        >>> for x, y in fg.utils.data.DataLoader(data, batch_size=2):
        ...     print(x.tolist(), y.tolist())
        [0, 1] [0, 1]
        [2, 3] [4, 9]
        [4] [16]
    """

    def __init__(
        self,
        dataset: Any,
        batch_size: int | None = 1,
        shuffle: bool | None = None,
        sampler: Iterable[Any] | None = None,
        batch_sampler: Iterable[Any] | None = None,
        num_workers: int = 0,
        collate_fn: Callable[[list[Any]], Any] | None = None,
        pin_memory: bool = False,
        drop_last: bool = False,
        timeout: float = 0,
        worker_init_fn: Callable[[int], None] | None = None,
        multiprocessing_context: Any = None,
        generator: Generator | None = None,
        *,
        prefetch_factor: int | None = None,
        persistent_workers: bool = False,
        pin_memory_device: str = "",
        in_order: bool = True,
    ) -> None:
        if num_workers < 0:
            raise ValueError(
                "num_workers option should be non-negative; use num_workers=0 to disable "
                "multiprocessing."
            )
        if timeout < 0:
            raise ValueError("timeout option should be non-negative")
        if num_workers == 0 and prefetch_factor is not None:
            raise ValueError(
                "prefetch_factor option could only be specified in multiprocessing."
                "let num_workers > 0 to enable multiprocessing, otherwise set prefetch_factor to "
                "None."
            )
        if persistent_workers and num_workers == 0:
            raise ValueError("persistent_workers option needs num_workers > 0")
        self.dataset, self.num_workers = dataset, num_workers
        self.prefetch_factor = prefetch_factor
        self.pin_memory, self.pin_memory_device = pin_memory, pin_memory_device
        self.timeout, self.worker_init_fn = timeout, worker_init_fn
        self.multiprocessing_context = multiprocessing_context
        self.persistent_workers, self.in_order = persistent_workers, in_order
        self._iterable = isinstance(dataset, IterableDataset)
        self._check_order(shuffle, sampler, batch_sampler, batch_size, drop_last)
        if batch_sampler is not None:
            batch_size, drop_last = None, False
        order: Any = sampler
        if order is None:
            if self._iterable:
                order = _Endless()
            elif shuffle:
                order = RandomSampler(dataset, generator=generator)
            else:
                order = SequentialSampler(dataset)
        if batch_size is not None and batch_sampler is None:
            batch_sampler = BatchSampler(order, batch_size, drop_last)
        self.batch_size, self.drop_last = batch_size, drop_last
        self.sampler, self.batch_sampler, self.generator = order, batch_sampler, generator
        if collate_fn is None:
            collate_fn = default_convert if batch_sampler is None else default_collate
        self.collate_fn = collate_fn

    def _check_order(
        self,
        shuffle: bool | None,
        sampler: Any,
        batch_sampler: Any,
        batch_size: int | None,
        drop_last: bool,
    ) -> None:
        if self._iterable:
            if shuffle not in (False, None):
                raise ValueError(
                    "DataLoader with IterableDataset: expected unspecified shuffle option, "
                    f"but got shuffle={shuffle}"
                )
            for name, given in (("sampler", sampler), ("batch_sampler", batch_sampler)):
                if given is not None:
                    raise ValueError(
                        f"DataLoader with IterableDataset: expected unspecified {name} option, "
                        f"but got {name}={given}"
                    )
        if sampler is not None and shuffle:
            raise ValueError("sampler option is mutually exclusive with shuffle")
        if batch_sampler is not None:
            if batch_size != 1 or shuffle or sampler is not None or drop_last:
                raise ValueError(
                    "batch_sampler option is mutually exclusive with batch_size, shuffle, "
                    "sampler, and drop_last"
                )
        elif batch_size is None and drop_last:
            raise ValueError(
                "batch_size=None option disables auto-batching and is mutually exclusive with "
                "drop_last"
            )

    def __len__(self) -> int:
        if self._iterable:
            count = len(self.dataset)
            if self.batch_size is None:
                return count
            rounded = count if self.drop_last else count + self.batch_size - 1
            return rounded // self.batch_size
        order: Any = self.sampler if self.batch_sampler is None else self.batch_sampler
        return len(order)

    def __iter__(self) -> Iterator[Any]:
        # Drawn for any number of workers, so that the order does not depend on it.
        self._seed = int(_core.randint(2**31, (1,), generator=self.generator).item())
        if self._iterable:
            return self._stream()
        order = self.sampler if self.batch_sampler is None else self.batch_sampler
        load = self._loader()
        if not self.num_workers:
            return map(load, order)
        return self._ahead(order, load)

    def _loader(self) -> Callable[[Any], Any]:
        """Returns the function that loads what one entry of the order says."""
        dataset, collate = self.dataset, self.collate_fn
        if self.batch_sampler is None:
            return lambda index: collate(dataset[index])
        rows = collate_rows(dataset, collate)
        if rows is not None:
            return rows
        if hasattr(dataset, "__getitems__"):
            return lambda indices: collate(dataset.__getitems__(indices))
        return lambda indices: collate([dataset[i] for i in indices])

    def _stream(self) -> Iterator[Any]:
        if self.num_workers > 1:
            warnings.warn(
                "an IterableDataset is read by one worker, so that every item comes once",
                stacklevel=3,
            )
        if self.num_workers:
            source = _Stream(self._stream_items())
            return self._ahead(iter(int, 1), source.next_item)  # 0 for ever, until it ends
        return self._stream_items()

    def _stream_items(self) -> Iterator[Any]:
        items = iter(self.dataset)
        if self.batch_size is None:
            yield from map(self.collate_fn, items)
            return
        batch: list[Any] = []
        for item in items:
            batch.append(item)
            if len(batch) == self.batch_size:
                yield self.collate_fn(batch)
                batch = []
        if batch and not self.drop_last:
            yield self.collate_fn(batch)

    def _ahead(self, order: Iterable[Any], load: Callable[[Any], Any]) -> Iterator[Any]:
        count = 1 if self._iterable else self.num_workers
        pool = _Workers(self, count, load, self._seed)
        try:
            yield from pool.results(iter(order))
        finally:
            pool.stop()


class _Stream:
    """An iterator as a function; ends by StopIteration."""

    def __init__(self, items: Iterator[Any]) -> None:
        self.items = items

    def next_item(self, _: Any) -> Any:
        return next(self.items)


class _Workers:
    """Threads that load ahead, and the batches that are under way."""

    def __init__(
        self, loader: DataLoader[Any], count: int, load: Callable[[Any], Any], seed: int
    ) -> None:
        self.loader, self.load, self.count, self.seed = loader, load, count, seed
        self.todo: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.threads = [
            threading.Thread(target=self._work, args=(i,), daemon=True) for i in range(count)
        ]
        for thread in self.threads:
            thread.start()

    def _work(self, number: int) -> None:
        generator = Generator()
        _core._set_thread_generator(generator)
        try:
            self._load_batches(number, generator)
        finally:
            _core._set_thread_generator(None)

    def _load_batches(self, number: int, generator: Generator) -> None:
        loader = self.loader
        _local.info = WorkerInfo(number, self.count, self.seed + number, loader.dataset)
        failed: Exception | None = None
        generator.manual_seed(self.seed + number)
        try:
            if loader.worker_init_fn is not None:
                loader.worker_init_fn(number)
        except Exception as error:
            failed = error
        while (task := self.todo.get()) is not None:
            batch, entry, done = task
            try:
                if failed is not None:
                    raise failed
                generator.manual_seed((self.seed << 32) + batch)
                done.put((True, self.load(entry)))
            except Exception as error:
                done.put((False, error))

    def results(self, order: Iterator[Any]) -> Iterator[Any]:
        """Yields the batches in order, so many ahead as workers and prefetch_factor say."""
        waiting: list[queue.SimpleQueue[Any]] = []
        batches = itertools.count()
        ahead = self.count * (self.loader.prefetch_factor or 2)
        timeout = self.loader.timeout or None
        while True:
            while len(waiting) < ahead:
                try:
                    entry = next(order)
                except StopIteration:
                    break
                done: queue.SimpleQueue[Any] = queue.SimpleQueue()
                self.todo.put((next(batches), entry, done))
                waiting.append(done)
            if not waiting:
                return
            try:
                good, value = waiting.pop(0).get(timeout=timeout)
            except queue.Empty:
                raise RuntimeError(
                    f"DataLoader timed out after {self.loader.timeout} seconds"
                ) from None
            if not good:
                if isinstance(value, StopIteration):
                    return
                raise value
            yield value

    def stop(self) -> None:
        """Lets the threads end once they have done what they are at."""
        for _ in self.threads:
            self.todo.put(None)
