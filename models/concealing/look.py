"""The result looked at before it leaves: faces that stay, and faces that a recogniser still knows.

Independent of the method: it sees the picture before and after, and where faces had been found.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Float, UInt8

from models.identity.recogniser import Recogniser
from models.photos.detectors import Cnn, Hog
from models.photos.every_face import Face, Seeker, confirmed
from models.photos.regions import Region, changed_share, differs, resemblance, window
from models.photos.search import Pass, search

MIN_CHANGED = 0.95  # of the disc that holds a face's eyes
# of a coarse view of that disc: noise or other colours change every pixel and hide nobody
MAX_RESEMBLANCE = 0.93
OTHER_SCALE = 0.85  # than that of the first search: a face that slipped through its scales meets others
HOG_PIXELS = 3e6


@dataclass(frozen=True)
class Finding:
    """What was seen: regions that stay, and how alike faces found before still are to themselves (cosine)."""

    left: list[Region] = field(default_factory=list)
    similarities: list[float] = field(default_factory=list)

    @property
    def likest(self) -> float:
        """Return the largest similarity, also where a frame was named and no detector saw a face in it."""
        return max(self.similarities, default=-1.0)


@dataclass(frozen=True)
class Judge:
    """A recogniser that took no part, and the cosine that two people reach at a false match rate of 1e-3."""

    recogniser: Recogniser
    threshold: float


def look(
    before: UInt8[np.ndarray, "h w 3"],
    after: UInt8[np.ndarray, "h w 3"],
    faces: Sequence[Face],
    seeker: Seeker,
    judge: Judge,
    kept: Bool[np.ndarray, "h w"] | None = None,
) -> Finding:
    """Search the result anew and compare each face with what it was; `kept` are pixels kept on purpose."""
    changed = differs(before, after)
    seen_before = [region for face in faces for region in face.regions]
    seen_now = [region for group in search_again(after, seeker) for region in group]
    left = [
        region
        for region in (*seen_before, *seen_now)
        if changed_share(region, changed, kept) < MIN_CHANGED
        or resemblance(region, before, after, kept) >= MAX_RESEMBLANCE
    ]
    similarities = likeness(before, after, faces, judge.recogniser)
    return Finding(left, similarities)


def search_again(rgb: UInt8[np.ndarray, "h w 3"], seeker: Seeker) -> list[list[Region]]:
    """Return the faces that a search at other scales finds, in four directions as the first."""
    todo = []
    for one in seeker.plan(rgb.shape):
        scale = one.scale * OTHER_SCALE
        if isinstance(one.detector, Hog):
            scale = min(scale, (HOG_PIXELS / rgb[..., 0].size) ** 0.5)
        if isinstance(one.detector, Cnn):
            scale *= OTHER_SCALE  # a minute a picture otherwise
        todo.append(Pass(one.detector, scale, one.quarters))
    return confirmed(rgb, search(rgb, todo), seeker.detectors)


def likeness(
    before: UInt8[np.ndarray, "h w 3"], after: UInt8[np.ndarray, "h w 3"], faces: Sequence[Face], recogniser: Recogniser
) -> list[float]:
    """Return per face the cosine of its embeddings before and after, at the place where it was.

    Of a face whose squares are of one colour now nothing is left to be known by: recognisers find all such places
    alike, so they are not asked, and it has none.
    """
    faces = [face for face in faces if not all(_plain(region, after) for region in face.regions)]
    if not faces:
        return []
    eyes = [eyes_of(face) for face in faces]
    found = recogniser.embed_at([rgb for rgb in (before, after) for _ in faces], [*eyes, *eyes])
    return [float(cosine) for cosine in (found[: len(faces)] * found[len(faces) :]).sum(axis=1)]


def _plain(region: Region, rgb: UInt8[np.ndarray, "h w 3"]) -> bool:
    pixels = rgb[window(region.box(), rgb.shape)].reshape(-1, 3)
    return bool((pixels == pixels[:1]).all())


def eyes_of(face: Face) -> Float[np.ndarray, "2 2"]:
    """Return the eye centres, or where they are in the surest square, turned as its detector saw it."""
    if face.geometry is not None:
        return face.geometry.eyes
    region = max(face.regions, key=lambda r: r.score)
    angle = np.radians(region.direction)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    upright = np.array([[-0.21, -0.17], [0.21, -0.17]]) * region.side
    return upright @ turn.T + (region.x, region.y)
