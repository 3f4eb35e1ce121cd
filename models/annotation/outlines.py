"""The readers' outlines by image, and the one that is held true."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
from jaxtyping import Bool

from models.annotation.consensus import Method, consensus
from models.annotation.provenance import weakest
from models.segmentation.masks import decode_mask, encode_mask

COLUMNS = ["image_id", "reader", "copy", "mask", "mask_provenance"]


@dataclass(frozen=True)
class Outline:
    """One reader's mask, or the consensus of `num_masks`; as PNG, for ten thousand of them must fit."""

    png: bytes = field(repr=False)
    provenance: str
    num_masks: int = 1

    @property
    def mask(self) -> Bool[np.ndarray, "h w"]:
        """The mask, decoded anew."""
        return decode_mask(self.png)


def outlines_by_image(votes: pa.Table, images: Collection[str]) -> dict[str, dict[str, Outline]]:
    """Return {image_id: {reader: outline}} of the images given; hidden repeats are left out."""
    drawn: dict[str, dict[str, Outline]] = {}
    wanted = set(images)
    keep = [
        name in wanted and copy == 0 and has_mask
        for name, copy, has_mask in zip(
            votes["image_id"].to_pylist(), votes["copy"].to_pylist(), votes["mask"].is_valid().to_pylist(), strict=True
        )
    ]
    for vote in votes.select(COLUMNS).filter(keep).to_pylist():
        outline = Outline(vote["mask"], vote["mask_provenance"])
        drawn.setdefault(vote["image_id"], {})[vote["reader"]] = outline
    return drawn


def consensus_outlines(
    drawn: Mapping[str, Mapping[str, Outline]], num_readers: int, method: Method
) -> dict[str, Outline]:
    """Return the consensus of every image with outlines by more than half of `num_readers`, unless empty.

    The senior's outline counts like any other.
    """
    found = {}
    for image_id, outlines in drawn.items():
        if 2 * len(outlines) <= num_readers:
            continue
        mask = consensus(np.stack([one.mask for one in outlines.values()]), method)
        if mask.any():
            kind = weakest(one.provenance for one in outlines.values())
            found[image_id] = Outline(encode_mask(mask), kind, len(outlines))
    return found
