"""The photos and checkpoints that the judges' trainings share, named by what they depend on."""

from pathlib import Path

import numpy as np

from models.phantom_data import PhantomPhotos, phantom_photos
from tasks.durable import fingerprint
from tasks.twin_params import Photos, Section

RENDERER = (Path("models/phantom"), Path("models/phantom_data.py"), Path("models/conditions.py"))


def rendered(scratch: Path, photos: Photos, size: int) -> PhantomPhotos:
    """Render these photos, or find them rendered for another twin by the same renderer."""
    values = photos.model_dump() | {"size": size}
    return phantom_photos(scratch / f"photos-{fingerprint(*RENDERER, **values)}", **values)


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


def checkpoint(scratch: Path, name: str, *sections: Section | tuple[Section, ...]) -> Path:
    """Return where a training of these parameters keeps its checkpoint; other parameters start anew."""
    values = [s.model_dump() if isinstance(s, Section) else [x.model_dump() for x in s] for s in sections]
    return scratch / f"{name}-{fingerprint(sections=values)}.pt"
