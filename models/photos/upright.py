"""Photos brought to one frame whichever way up they are, by the detectors that ingest may be told to use."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import UInt8

from models.photos.alignment import Aligned, Aligner, centre_square, crop_by_eyes
from models.photos.detectors import Cnn, Hog, load_detectors
from models.photos.every_face import Seeker
from models.photos.rejection import Rejection

SMALLEST_PX = 80  # a smaller face makes no training image


def load_upright_aligner(detector: str, detector_path: str, size: int) -> Aligner:
    """Return the function that brings a decoded photo to `size` px; it raises Rejection("no_face").

    aligned: the central square. dlib, ultraface, insightface: the largest face, in whatever direction; dlib's slow
    CNN looks only where the others see none.
    """
    if detector == "aligned":
        return lambda rgb: centre_square(rgb, size)
    if detector == "dlib" and detector_path:
        raise ValueError(f"detector_path: {detector_path!r} has no effect with dlib, which is packaged; leave it empty")
    every = load_detectors(detector, detector_path)
    quick = [Hog(0.0) if isinstance(one, Hog) else one for one in every if not isinstance(one, Cnn)]
    seekers = [Seeker(tuple(some), SMALLEST_PX) for some in (quick, every)]
    return lambda rgb: crop_largest_face(rgb, seekers, size)


def crop_largest_face(rgb: UInt8[np.ndarray, "h w 3"], seekers: Sequence[Seeker], size: int) -> Aligned:
    """Crop the largest face with certain eyes that the first seeker finds; flags say what a reader should know."""
    seen = 0
    for seeker in seekers:
        faces = seeker.faces(rgb)
        seen = max(seen, len(faces))
        largest = next((face for face in faces if face.geometry is not None), None)
        if largest is not None and largest.geometry is not None:
            crop = crop_by_eyes(rgb, largest.geometry.eyes, size)
            flags = ["several_faces"] if len(faces) > 1 else []
            return Aligned(crop.image, crop.flags + flags + (["turned"] if largest.turned else []))
    raise Rejection("no_face", f"the eyes of {seen} faces can't be placed with certainty" if seen else "")
