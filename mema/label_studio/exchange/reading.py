"""Who reads which image when: an order per reader, hidden repeats, opaque keys. No request, no file."""

import hashlib
import hmac
from collections.abc import Collection, Sequence
from dataclasses import dataclass

REPEAT_DISTANCE_SHARE = 1 / 3


@dataclass(frozen=True)
class PlannedTask:
    """One image to be read; copy 1 is the hidden repeat of copy 0."""

    key: str
    image_id: str
    copy: int


@dataclass(frozen=True)
class Lots:
    """What a reader's order, repeats and keys are drawn from: nobody without the secret can draw them again."""

    secret: bytes
    seed: int
    reader: str

    def digest(self, image_id: str, purpose: str) -> str:
        """Return the hex digits that belong to an image and a purpose."""
        text = "\0".join((str(self.seed), self.reader, image_id, purpose))
        return hmac.new(self.secret, text.encode(), hashlib.sha256).hexdigest()

    def uniform(self, image_id: str, purpose: str) -> float:
        """Return a number within 0 and 1 that belongs to them."""
        return int(self.digest(image_id, purpose)[:13], 16) / 16**13

    def key(self, image_id: str, copy: int) -> str:
        """Return the 16 hex digits by which a task is known: they tell neither the image nor the copy."""
        return self.digest(image_id, str(copy))[:16]


def reading_order(
    image_ids: Sequence[str], lots: Lots, *, repeat_share: float, repeated: Collection[str] = ()
) -> list[PlannedTask]:
    """Return one reader's tasks in the order of reading, independent of the order of `image_ids`.

    A share of the images, at least one where the share is not 0, comes a second time, no nearer to the
    first than a third of the list. `repeated`: images repeated by an earlier push, which stay repeated.
    """
    if len(set(image_ids)) < len(image_ids):
        raise ValueError("image_id: stands twice in data/selected; run the stage select again")
    ordered = sorted(image_ids, key=lambda image_id: lots.digest(image_id, "order"))
    places: list[tuple[float, PlannedTask]] = [
        (float(place), PlannedTask(lots.key(image_id, 0), image_id, 0)) for place, image_id in enumerate(ordered)
    ]
    first = {image_id: place for place, image_id in enumerate(ordered)}
    distance = max(1, round(len(ordered) * REPEAT_DISTANCE_SHARE))
    for image_id in _repeats(ordered, distance, lots, repeat_share, frozenset(repeated)):
        earliest = min(first[image_id] + distance, len(ordered) - 1)
        place = earliest + lots.uniform(image_id, "place") * (len(ordered) - earliest)
        places.append((place, PlannedTask(lots.key(image_id, 1), image_id, 1)))
    return [task for _, task in sorted(places, key=lambda item: (item[0], item[1].copy, item[1].key))]


def _repeats(ordered: list[str], distance: int, lots: Lots, share: float, repeated: frozenset[str]) -> list[str]:
    """Return the images to repeat: those repeated already, then by lot among those with room behind them."""
    kept = [image_id for image_id in ordered if image_id in repeated]
    wanted = max(1, round(share * len(ordered))) if share and len(ordered) > 1 else 0
    roomy = [image_id for image_id in ordered[: len(ordered) - distance] if image_id not in repeated]
    by_lot = sorted(roomy, key=lambda image_id: lots.digest(image_id, "repeat"))
    return kept + by_lot[: max(0, wanted - len(kept))]
