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
    [("file", pa.string()), ("row", pa.int64()), ("reason", pa.string()), ("detail", pa.string())]
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


def image_id(rgb: np.ndarray) -> str:
    """Return the sha256 of an RGB uint8 [H, W, 3] image's size ("HxW") and pixels, whatever its encoding."""
    if rgb.dtype != np.uint8 or rgb.ndim != 3 or rgb.shape[2] != 3:
        raise ValueError(f"image_id: {rgb.dtype} {rgb.shape} given; pass uint8 [H, W, 3] in RGB order")
    digest = hashlib.sha256(f"{rgb.shape[0]}x{rgb.shape[1]}".encode())
    digest.update(np.ascontiguousarray(rgb).data)
    return digest.hexdigest()
