"""Columns of every table between stages, as code."""

import hashlib

import numpy as np
import pyarrow as pa

FACE = pa.schema(
    [
        ("image_id", pa.string()),
        ("image", pa.binary()),
        ("file", pa.string()),
        ("flags", pa.list_(pa.string())),
        ("age", pa.float32()),
        ("gender", pa.string()),
        ("split", pa.string()),
    ]
)

PATIENT_FACE = pa.schema(
    [
        *FACE,
        ("patient_id", pa.string()),
        ("visit_date", pa.string()),
        ("eye", pa.string()),
        ("disease", pa.string()),
    ]
)

PUBLIC_FACE = FACE

QUARANTINE = pa.schema(
    [
        ("file", pa.string()),
        ("row", pa.int64()),  # the record's number from 1, null for a file without one
        ("line", pa.int64()),  # its physical line in the table, likewise
        ("reason", pa.string()),
        ("detail", pa.string()),
    ]
)

PLAN = pa.schema(
    [
        ("plan_row", pa.int64()),
        ("arm", pa.string()),
        ("disease", pa.string()),
        ("severity", pa.string()),
        ("age_bin", pa.string()),
        ("gender", pa.string()),
        ("donor_id", pa.string()),
        ("injection_weight", pa.float32()),
        ("seed", pa.int64()),
        ("prompt", pa.string()),
        ("source_row", pa.int64()),  # the injected row that a direct or strip row copies, else its own
    ]
)

SAMPLE = pa.schema(
    [
        *PLAN,
        ("image_id", pa.string()),
        ("image", pa.binary()),
        ("generator_sha256", pa.string()),
        ("lora_sha256", pa.string()),
    ]
)


def screened(recognisers: list[str]) -> pa.Schema:
    """Return SAMPLE with the reason of a rejection ("" when kept) and one similarity per recogniser."""
    similarities = [(f"similarity_{name}", pa.float32()) for name in recognisers]
    return pa.schema([*SAMPLE, ("reason", pa.string()), *similarities])


selected = screened

# SAM's view of an image, so that a click costs only the decoder.
EMBEDDING = pa.schema(
    [
        ("image_id", pa.string()),
        ("height", pa.int32()),
        ("width", pa.int32()),
        ("shape", pa.list_(pa.int32())),  # channels, height and width of the embedding
        ("embedding", pa.binary()),  # fp16, little-endian, in C order
    ]
)

SUBSET = pa.schema(
    [
        ("image_id", pa.string()),
        ("outline", pa.bool_()),  # whether a tumour, if seen, is to be outlined; drawn blind to the disease
        ("first_mask", pa.binary()),  # grey PNG, or null where none could be proposed
    ]
)


VOTE = pa.schema(
    [
        ("image_id", pa.string()),
        ("reader", pa.string()),
        ("round", pa.string()),  # "reading" or "adjudication"
        ("copy", pa.int32()),  # 1 is the hidden repeat, which never votes
        ("disease", pa.string()),  # "" where the image was rejected without one
        ("severity", pa.string()),
        ("quality", pa.string()),  # "usable" or "low"
        ("quality_reason", pa.string()),
        ("confidence", pa.string()),
        ("comment", pa.string()),  # free text: stays here
        ("lead_time_seconds", pa.float32()),
        ("mask", pa.binary()),  # grey PNG, or null
        ("mask_provenance", pa.string()),  # "machine_accepted", "machine_edited", "by_hand", or ""
    ]
)

UNUSABLE = pa.schema([(name, pa.string()) for name in ("reader", "key", "image_id", "reason", "detail")])

_BALLOT = pa.struct(
    [(name, pa.string()) for name in ("reader", "disease", "severity", "quality", "confidence")]
)

MEMA = pa.schema(
    [
        ("image_id", pa.string()),
        ("image", pa.binary()),
        ("disease", pa.string()),  # as adjudicated
        ("severity", pa.string()),
        ("quality", pa.string()),
        ("decided_by", pa.string()),  # "unanimous", "majority" or "senior"
        ("votes", pa.list_(_BALLOT)),
        ("mask", pa.binary()),  # the readers' consensus as a grey PNG, or null
        ("mask_provenance", pa.string()),
        ("num_masks", pa.int32()),
        ("split", pa.string()),
        ("plan_row", pa.int64()),
        ("intended_disease", pa.string()),
        ("intended_severity", pa.string()),
        ("donor_id", pa.string()),
        ("injection_weight", pa.float32()),
    ]
)

MEMA_SEG = pa.schema(
    [
        MEMA.field(name)
        for name in (
            "image_id", "image", "mask", "mask_provenance", "num_masks", "disease", "severity", "split",
            "plan_row", "donor_id",
        )
    ]
)  # fmt: skip


def image_id(rgb: np.ndarray) -> str:
    """Return the sha256 of an RGB uint8 [H, W, 3] image's size ("HxW") and pixels, whatever its encoding."""
    if rgb.dtype != np.uint8 or rgb.ndim != 3 or rgb.shape[2] != 3:
        raise ValueError(f"image_id: {rgb.dtype} {rgb.shape} given; pass uint8 [H, W, 3] in RGB order")
    digest = hashlib.sha256(f"{rgb.shape[0]}x{rgb.shape[1]}".encode())
    digest.update(np.ascontiguousarray(rgb).data)
    return digest.hexdigest()
