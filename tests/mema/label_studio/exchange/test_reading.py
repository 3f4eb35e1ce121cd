import hashlib
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mema.label_studio.exchange.reading import Lots, PlannedTask, reading_order

SECRET = b"a secret"
IDS = [hashlib.sha256(str(i).encode()).hexdigest() for i in range(120)]
counts = st.integers(1, 120)
seeds = st.integers(0, 2**31)
shares = st.floats(0, 0.5)


def order(ids: list[str], reader: str = "reader_1", seed: int = 7, share: float = 0.05) -> list[PlannedTask]:
    return reading_order(ids, Lots(SECRET, seed, reader), repeat_share=share)


@settings(max_examples=60, deadline=None)
@given(counts, seeds, shares)
def test_every_image_is_read_and_the_wanted_share_twice(count: int, seed: int, share: float) -> None:
    tasks = order(IDS[:count], seed=seed, share=share)
    times = Counter(task.image_id for task in tasks)
    wanted = max(1, round(share * count)) if share and count > 1 else 0
    assert set(times) == set(IDS[:count])
    assert sum(times.values()) == count + wanted
    assert {(task.image_id, task.copy) for task in tasks} == {
        (image_id, copy) for image_id, number in times.items() for copy in range(number)
    }


@settings(max_examples=60, deadline=None)
@given(counts, seeds, shares)
def test_a_repeat_comes_at_least_a_third_of_the_list_later(count: int, seed: int, share: float) -> None:
    tasks = order(IDS[:count], seed=seed, share=share)
    place = {(task.image_id, task.copy): index for index, task in enumerate(tasks)}
    gaps = [place[image_id, 1] - place[image_id, 0] for image_id, copy in place if copy]
    assert all(gap >= max(1, round(count / 3)) for gap in gaps)


@settings(max_examples=30, deadline=None)
@given(st.permutations(IDS[:20]), seeds)
def test_the_order_does_not_depend_on_the_table_s(ids: list[str], seed: int) -> None:
    assert order(ids, seed=seed) == order(IDS[:20], seed=seed)


def test_readers_see_different_orders_keys_and_repeats() -> None:
    one, two = order(IDS, "reader_1"), order(IDS, "reader_2")
    assert [task.image_id for task in one] != [task.image_id for task in two]
    assert {task.key for task in one}.isdisjoint(task.key for task in two)
    assert {task.image_id for task in one if task.copy} != {task.image_id for task in two if task.copy}


def test_the_order_follows_neither_the_list_nor_the_id() -> None:
    shown = [task.image_id for task in order(IDS, share=0)]
    assert shown != sorted(shown)
    assert shown != IDS
    half = IDS[:60]  # as if one disease came first
    assert 10 < sum(image_id in half for image_id in shown[:60]) < 50


@settings(max_examples=60, deadline=None)
@given(counts, seeds, shares)
def test_keys_are_unique_and_tell_nothing(count: int, seed: int, share: float) -> None:
    tasks = order(IDS[:count], seed=seed, share=share)
    assert len({task.key for task in tasks}) == len(tasks)
    assert all(len(task.key) == 16 and int(task.key, 16) >= 0 for task in tasks)
    assert all(task.key not in task.image_id for task in tasks)


def test_a_key_depends_on_each_of_its_parts() -> None:
    first = Lots(SECRET, 7, "reader_1").key(IDS[0], 0)
    others = [
        Lots(b"another secret", 7, "reader_1").key(IDS[0], 0),
        Lots(SECRET, 8, "reader_1").key(IDS[0], 0),
        Lots(SECRET, 7, "reader_2").key(IDS[0], 0),
        Lots(SECRET, 7, "reader_1").key(IDS[1], 0),
        Lots(SECRET, 7, "reader_1").key(IDS[0], 1),
    ]
    assert first not in others
    assert first == Lots(SECRET, 7, "reader_1").key(IDS[0], 0)


def test_orders_and_repeats_are_drawn_from_the_secret() -> None:
    """An image_id is the digest of its pixels, so a reader can compute it; without the secret it tells nothing."""
    mine, guessed = order(IDS), reading_order(IDS, Lots(b"", 7, "reader_1"), repeat_share=0.05)
    assert [task.image_id for task in mine] != [task.image_id for task in guessed]
    assert {task.image_id for task in mine if task.copy} != {task.image_id for task in guessed if task.copy}
    plain = {
        hashlib.sha256("\0".join(("7", "reader_1", image_id, str(copy))).encode()).hexdigest()[:16]
        for image_id in IDS
        for copy in (0, 1)
    }
    assert plain.isdisjoint(task.key for task in mine)


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 60), st.integers(0, 60), shares)
def test_more_images_later_keep_the_tasks_that_are_there(before: int, more: int, share: float) -> None:
    """Else a push after a larger selection would leave tasks that no plan knows."""
    first = order(IDS[:before], share=share)
    repeated = {task.image_id for task in first if task.copy}
    later = reading_order(IDS[: before + more], Lots(SECRET, 7, "reader_1"), repeat_share=share, repeated=repeated)
    assert {task.key for task in first} <= {task.key for task in later}
    singles = [task.key for task in first if not task.copy]
    assert [task.key for task in later if task.key in set(singles)] == singles


def test_the_paper_s_number_is_planned_at_once() -> None:
    ids = [f"{i:064x}" for i in range(42_307)]
    assert len(order(ids)) == 42_307 + 2115


def test_an_image_that_stands_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="image_id: stands twice"):
        order([IDS[0], IDS[0]])
