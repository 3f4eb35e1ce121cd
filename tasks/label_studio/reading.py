"""Who reads which image when: an order per reader, hidden repeats, opaque keys. No request, no file."""

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass

REPEAT_DISTANCE_SHARE = 1 / 3


@dataclass(frozen=True)
class PlannedTask:
    """One image to be read; copy 1 is the hidden repeat of copy 0."""

    key: str
    image_id: str
    copy: int


def task_key(seed: int, reader: str, image_id: str, copy: int) -> str:
    """Return the 16 hex digits by which a task is known: they tell neither the image nor the copy."""
    return _digest(seed, reader, image_id, str(copy))[:16]


def reading_order(
    image_ids: Sequence[str],
    reader: str,
    *,
    seed: int,
    repeat_share: float,
    repeated: Collection[str] = (),
) -> list[PlannedTask]:
    """Return one reader's tasks in the order of reading, independent of the order of `image_ids`.

    A share of the images, at least one where the share is not 0, comes a second time, no nearer to the
    first than a third of the list. `repeated`: images repeated by an earlier push, which stay repeated.
    """
    if len(set(image_ids)) < len(image_ids):
        raise ValueError("image_id: stands twice in data/selected; run the stage select again")
    ordered = sorted(image_ids, key=lambda image_id: _digest(seed, reader, image_id, "order"))
    places: list[tuple[float, PlannedTask]] = [
        (float(place), PlannedTask(task_key(seed, reader, image_id, 0), image_id, 0))
        for place, image_id in enumerate(ordered)
    ]
    first = {image_id: place for place, image_id in enumerate(ordered)}
    distance = max(1, round(len(ordered) * REPEAT_DISTANCE_SHARE))
    for image_id in _repeats(ordered, distance, reader, seed, repeat_share, frozenset(repeated)):
        earliest = min(first[image_id] + distance, len(ordered) - 1)
        place = earliest + _uniform(seed, reader, image_id, "place") * (len(ordered) - earliest)
        places.append((place, PlannedTask(task_key(seed, reader, image_id, 1), image_id, 1)))
    return [task for _, task in sorted(places, key=lambda item: (item[0], item[1].copy, item[1].key))]


def _repeats(
    ordered: list[str],
    distance: int,
    reader: str,
    seed: int,
    share: float,
    repeated: frozenset[str],
) -> list[str]:
    """Return the images to repeat: those repeated already, then by lot among those with room behind them."""
    kept = [image_id for image_id in ordered if image_id in repeated]
    wanted = max(1, round(share * len(ordered))) if share and len(ordered) > 1 else 0
    roomy = [image_id for image_id in ordered[: len(ordered) - distance] if image_id not in repeated]
    by_lot = sorted(roomy, key=lambda image_id: _digest(seed, reader, image_id, "repeat"))
    return kept + by_lot[: max(0, wanted - len(kept))]


def _digest(seed: int, reader: str, image_id: str, purpose: str) -> str:
    return hashlib.sha256("\0".join((str(seed), reader, image_id, purpose)).encode()).hexdigest()


def _uniform(seed: int, reader: str, image_id: str, purpose: str) -> float:
    """Return a number within 0 and 1 that belongs to these words."""
    return int(_digest(seed, reader, image_id, purpose)[:13], 16) / 16**13
