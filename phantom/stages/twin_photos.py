"""The pictures and checkpoints of the twins' trainings, named by what they depend on."""

from pathlib import Path
from typing import Any

import numpy as np

from mema.runtime import durable, entry
from phantom.params import Photos, Section
from phantom.stages import twin_data
from phantom.twins.data import PhantomPhotos, phantom_photos

DRAWING = (entry.ROOT / "models", entry.ROOT / "phantom")  # whatever draws is among them


def drawn(scratch: Path, name: str, **values: Any) -> Path:
    """Return where pictures of these values lie, for all twins that want the same ones."""
    return scratch / f"{name}-{durable.fingerprint(*DRAWING, **values)}"


def rendered(scratch: Path, photos: Photos, size: int) -> PhantomPhotos:
    """Render these photos, or find them rendered for another twin by the same renderer."""
    values = photos.model_dump() | {"size": size}
    return phantom_photos(drawn(scratch, "photos", **values), **values)


def joined(scratch: Path, sets: tuple[Photos, ...], size: int) -> PhantomPhotos:
    """Return several sets of photos as one, in memory; `identity` counts on from set to set."""
    parts = [rendered(scratch, photos, size) for photos in sets]
    offsets = np.cumsum([0, *(photos.num_identities for photos in sets)])
    fields = {
        name: np.concatenate([getattr(part, name) for part in parts])
        for name in ("images", "age", "gender", "disease", "severity", "traits")
    }
    identity = np.concatenate([part.identity + offset for part, offset in zip(parts, offsets, strict=False)])
    return PhantomPhotos(identity=identity, **fields)


def unfinished(scratch: Path, stage: str, *inputs: Path, section: Section | list[Section]) -> Path:
    """Return the folder of a training's checkpoints; other code, pictures or parameters start anew."""
    folder = scratch / f"{stage}-{entry.fingerprint(stage, *DRAWING, *inputs, section=section)}"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def pairs(scratch: Path, num: int, size: int, seed: int) -> twin_data.PairedPhotos:
    """Draw these pairs, or find them drawn for another twin by the same code."""
    return twin_data.paired_photos(drawn(scratch, "pairs", num=num, size=size, seed=seed), num, size, seed)
