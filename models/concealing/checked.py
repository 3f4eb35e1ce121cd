"""A picture concealed and looked at, and concealed once more where the look saw what the search had missed."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8

from models.concealing.hiding import Plan, plan_faces
from models.concealing.look import Finding, Judge, look
from models.concealing.pictures import Concealed, FaceCipher, conceal
from models.concealing.reinsertion import Placement
from models.photos.every_face import Face, Seeker

LOOKS = 3


@dataclass(frozen=True)
class Checked:
    """The faces in the end, what became of them, the picture, and what the last look at it saw."""

    faces: list[Face]
    plan: Plan
    concealed: Concealed
    finding: Finding


def conceal_and_look(
    rgb: UInt8[np.ndarray, "h w 3"],
    faces: Sequence[Face],
    cipher: FaceCipher,
    passwords: Callable[[int], np.ndarray],
    seeker: Seeker,
    judge: Judge,
    first: Sequence[Placement] = (),
    hide_missed: bool = True,
) -> Checked:
    """Conceal faces; what the look finds beside them is hidden whole (unless not `hide_missed`), and looked at again.

    `passwords` gives n x d of them. A face that was replaced and is still there stays found: hiding it would pass
    over a method that fails.
    """
    known = list(faces)
    for left in reversed(range(LOOKS)):
        plan = plan_faces(known, rgb.shape, cipher.image_size_px, first)
        concealed = conceal(rgb, plan.places, cipher, passwords(len(plan.places)), plan.hidden)
        finding = look(rgb, concealed.picture, known, seeker, judge)
        with_missed = [*known, *(Face((region,), None) for region in finding.left)]
        more = plan_faces(with_missed, rgb.shape, cipher.image_size_px, first).hidden
        if not (left and hide_missed and len(more) > len(plan.hidden)):
            break
        known = with_missed
    return Checked(known, plan, concealed, finding)
