"""Batches side by side on a CPU, each on one thread of its own."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

import torch

AT_ONCE = 8  # batches, whose memory stands at the same time
Batch = TypeVar("Batch")
Result = TypeVar("Result")


def side_by_side(work: Callable[[Batch], Result], batches: Sequence[Batch], at_once: int = AT_ONCE) -> Iterator[Result]:
    """Yield `work` of each batch, in order; on a CPU as many at once as this process has threads.

    How many threads share a product decides in which order its sums are taken. On one thread a batch's last digits,
    and so a stage's bytes, depend neither on the machine's cores nor on how many workers share them. `work` is called
    from several threads, but not on a GPU, nor where it allows one batch `at_once`. Few batches leave cores idle.
    """
    if torch.cuda.is_available():
        yield from map(work, batches)
        return
    before = torch.get_num_threads()
    try:
        if min(before, at_once) == 1:
            torch.set_num_threads(1)
            yield from map(work, batches)
            return
        pool = ThreadPoolExecutor(min(before, at_once), "batch", partial(torch.set_num_threads, 1))
        try:
            yield from pool.map(work, batches)
        finally:
            pool.shutdown(cancel_futures=True)
    finally:
        torch.set_num_threads(before)  # threads that begin later take the number that was set last
