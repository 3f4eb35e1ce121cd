"""Batches on several threads: what comes back is what one thread gives, in order."""

import threading

import pytest
import torch
from torch import Tensor, nn

from models.computing.threads import side_by_side


def test_no_bit_depends_on_the_number_of_threads(use_threads):
    generator = torch.Generator().manual_seed(0)
    batches = [torch.randn(8, 96, 24, 24, generator=generator) for _ in range(5)]
    conv = nn.Conv2d(96, 64, 1, bias=False).requires_grad_(False)  # whose sums oneDNN shares among threads
    found: list[list[Tensor]] = []
    for num in (1, 2, 4):
        use_threads(num)
        found.append(list(side_by_side(conv, batches)))
        assert torch.get_num_threads() == num
    for other in found[1:]:
        assert all(torch.equal(a, b) for a, b in zip(found[0], other, strict=True))


def test_results_come_in_order_from_as_many_threads_as_there_are(use_threads):
    use_threads(2)
    both, seen = threading.Barrier(2, timeout=60), set()

    def work(number: int) -> int:
        both.wait()  # which only two at once can pass
        seen.add(threading.get_ident())
        assert torch.get_num_threads() == 1
        return number

    assert list(side_by_side(work, range(6))) == list(range(6))
    assert len(seen) == 2
    assert threading.get_ident() not in seen


def test_one_at_once_where_told(use_threads):
    use_threads(4)

    def work(_: int) -> tuple[int, int]:
        return threading.get_ident(), torch.get_num_threads()

    assert set(side_by_side(work, range(20), at_once=1)) == {(threading.get_ident(), 1)}


def test_an_error_comes_out_and_the_threads_are_as_before(use_threads):
    use_threads(2)

    def work(number: int) -> int:
        if number == 1:
            raise ValueError("the second")
        return number

    with pytest.raises(ValueError, match="the second"):
        list(side_by_side(work, range(50)))
    assert torch.get_num_threads() == 2
    assert list(side_by_side(work, [])) == []
