"""Whose work a mask is: the machine's as it was proposed, the machine's corrected, or the reader's own."""

import base64
import binascii
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import Bool

from models.segmentation.masks import decode_mask, iou, mask_sha256

ACCEPTED, EDITED, BY_HAND = PROVENANCES = ("machine_accepted", "machine_edited", "by_hand")
MIN_IOU = 0.5  # below it, what was drawn is no correction of what was proposed


@dataclass(frozen=True)
class Logged:
    """A mask that was shown to a reader."""

    sha256: str
    png: bytes = field(repr=False)


@dataclass(frozen=True)
class ProposalLog:
    """All proposals by (project, image_id), and the lines that could not be read."""

    shown: Mapping[tuple[int, str], Sequence[Logged]]
    num_unreadable: int

    def of(self, project: int, image_id: str) -> Sequence[Logged]:
        """Return what was shown in a project on an image, in that order."""
        return self.shown.get((project, image_id), ())


def read_proposals(path: Path) -> ProposalLog:
    """Read proposals.jsonl; no file is an empty log, and a line cut short by a kill is counted."""
    shown: defaultdict[tuple[int, str], list[Logged]] = defaultdict(list)
    num_unreadable = 0
    for line in path.read_bytes().splitlines() if path.exists() else ():
        try:
            entry = json.loads(line)
            png = base64.b64decode(entry["mask"], validate=True)
            if mask_sha256(decode_mask(png)) != entry["mask_sha256"]:
                raise ValueError("mask: does not match its digest")
            shown[int(entry["project"]), str(entry["image_id"])].append(Logged(entry["mask_sha256"], png))
        except (KeyError, TypeError, ValueError, binascii.Error):
            num_unreadable += 1
    return ProposalLog(shown, num_unreadable)


def provenance(regions: Sequence[Bool[np.ndarray, "h w"]], shown: Sequence[Logged]) -> str:
    """Return the provenance of one annotation's regions given what was shown; "" without a region."""
    digests = {proposal.sha256 for proposal in shown}
    kinds = [
        ACCEPTED if mask_sha256(region) in digests else EDITED if _is_near(region, shown) else BY_HAND
        for region in regions
    ]
    return weakest(kinds)


def weakest(kinds: Iterable[str]) -> str:
    """Return the provenance of a union: accepted if all are, by hand if all are, else edited; "" of none."""
    found = set(kinds) - {""}
    return next(iter(found)) if len(found) == 1 else EDITED if found else ""


def _is_near(region: Bool[np.ndarray, "h w"], shown: Sequence[Logged]) -> bool:
    masks = (decode_mask(proposal.png) for proposal in shown)
    return any(mask.shape == region.shape and iou(region, mask) >= MIN_IOU for mask in masks)
