"""One entrance to all signs: which eye, which disease, how severe."""

import numpy as np

from models.diseases import DISEASES, SEVERITIES
from models.photos.eyes import EyeLandmarks
from phantom.drawing.painter import Painter
from phantom.drawing.signs.inflammation import draw_conjunctivitis, draw_uveitis
from phantom.drawing.signs.lids import draw_ptosis, draw_tao
from phantom.drawing.signs.motility import draw_strabismus
from phantom.drawing.signs.tumours import draw_bcc, draw_scc

_SIGNS = {
    "bcc": draw_bcc,
    "conjunctivitis": draw_conjunctivitis,
    "uveitis": draw_uveitis,
    "ptosis": draw_ptosis,
    "scc": draw_scc,
    "strabismus": draw_strabismus,
    "tao": draw_tao,
}
_AMOUNTS = dict(zip(SEVERITIES, (0.30, 0.62, 1.0), strict=True))
_VISIBLE = 0.10  # coverage from which a pixel belongs to the sign


def draw_sign(
    image: np.ndarray, eyes: EyeLandmarks, disease: str, severity: str, eye: str, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return a copy of an RGB photo wearing the sign, and the sign's mask (uint8, 255 where it lies).

    `eye` is "left", "right" or "both" as the viewer sees them. The mask holds every pixel that the sign
    changed visibly, the raised brow of ptosis included. `normal` with an empty severity changes nothing.
    """
    if disease not in DISEASES:
        raise ValueError(f"disease: {disease!r} is not one of {', '.join(DISEASES)}")
    chosen = eyes.chosen(eye)
    if disease == "normal":
        if severity:
            raise ValueError(f"severity: {severity!r} for 'normal'; leave it empty")
        return image.copy(), np.zeros(image.shape[:2], np.uint8)
    if severity not in SEVERITIES:
        raise ValueError(f"severity: {severity!r} for {disease!r} is not one of {', '.join(SEVERITIES)}")
    painter = Painter(image.astype(np.float32), track=True)
    for one in chosen:
        _SIGNS[disease](painter, one, _AMOUNTS[severity], rng)
    assert painter.coverage is not None
    mask = np.where(painter.coverage > _VISIBLE, 255, 0).astype(np.uint8)
    return np.clip(painter.pixels + 0.5, 0, 255).astype(np.uint8), mask
