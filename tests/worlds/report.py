"""A world for the report: shards of phantoms and metrics of every stage, small and with known outcomes."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import torch

from mema.runtime import durable, shards
from models.cohort.legibility import legibility
from models.diseases import DISEASES, SEVERITIES
from models.images import encode_png, image_id
from models.statistics.leakage import average_rate, leak_rate
from phantom.drawing import render, sample_phantom, sample_shot
from phantom.twins.onnx_export import export_onnx
from tasks import schemas

RNG = np.random.default_rng(5)
NAMES = ("arcface", "cosface")
THRESHOLD = 0.5
WEIGHTS = (0.0, 0.2, 0.4, 1.0)
CONDITIONS = [("normal", ""), *((d, s) for d in DISEASES[1:] for s in SEVERITIES)]


class Mosaic(torch.nn.Module):
    """A face's likeness is its coarse colours."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        pooled = torch.nn.functional.avg_pool2d(images, 14).flatten(1)
        return pooled - pooled.mean(1, keepdim=True)


def phantom(disease: str = "normal", severity: str = "") -> np.ndarray:
    return render(sample_phantom(RNG), sample_shot(RNG), disease=disease, severity=severity).image


def noisy(image: np.ndarray) -> np.ndarray:
    return np.clip(image + RNG.integers(-9, 10, image.shape), 0, 255).astype(np.uint8)


def write(folder: Path, schema: pa.Schema, images: list[np.ndarray], **columns: list) -> None:
    """Write shards whose unnamed columns are empty."""
    blank = {"float": 0.0, "int64": 0, "list<item: string>": [], "list<element: string>": []}
    values = {field.name: [blank.get(str(field.type), "")] * len(images) for field in schema}
    values |= {"image": [encode_png(i) for i in images], "image_id": [image_id(i) for i in images]}
    shards.write_shards(pa.table(values | columns, schema=schema), folder, shard_rows=16)


def screened(folder: Path, images: list[np.ndarray], similarity: float, rows: list[tuple]) -> None:
    """Write samples; a row is arm, disease, severity, weight, donor, source_row."""
    arm, disease, severity, weight, donor, source = map(list, zip(*rows, strict=True))
    schema = schemas.screened(list(NAMES))
    more = {f"similarity_{name}": [similarity - 0.01 * k for k in range(len(rows))] for name in NAMES}
    reason = ["resembles_patient:arcface" if similarity > THRESHOLD else ""] * len(rows)
    write(
        folder, schema, images, plan_row=list(range(len(rows))), arm=arm, disease=disease, severity=severity,
        injection_weight=weight, donor_id=donor, source_row=source, reason=reason,
        age_bin=["20-40"] * len(rows), gender=["female"] * len(rows), **more,
    )  # fmt: skip


def leakage(direct: int, injected: int) -> dict:
    def rate(leaked: int, n: int) -> dict:
        return leak_rate(np.array([1.0] * leaked + [0.0] * (n - leaked)), THRESHOLD)

    arms = {
        "direct": rate(direct, 100),
        "injected": rate(injected, 200),
        "floor": rate(1, 100),
        "ceiling": rate(19, 20),
    }
    row = {"threshold": THRESHOLD, "fpir": 0.008, "fpir_ci95": [0.001, 0.02], "num_calibration": 250, "fmr": 1e-4}
    return {
        "recognisers": {name: row | arms for name in NAMES},
        "average": {name: average_rate([arm, arm]) for name, arm in arms.items()},
        "screened": {"n": 44, "kept": 38, "rejected": 6, "reasons": {"resembles_patient:arcface": 6}},
    }


def recheck(released: int = 1, n: int = 200, seen: int = 30) -> dict:
    """What a recogniser that did not screen finds among the released faces, strangers and held-out photos."""

    def rate(leaked: int, n: int) -> dict:
        return leak_rate(np.array([1.0] * leaked + [0.0] * (n - leaked)), THRESHOLD)

    row = {"threshold": THRESHOLD, "released": rate(released, n), "floor": rate(2, 100), "ceiling": rate(seen, 30)}
    return {"recognisers": {"stranger": row}}


def distribution(guided: float = 0.02) -> dict:
    def pair(low: float) -> dict:
        measured = {"guided": low, "random": 0.15}
        return {arm: {"value": v, "ci95": [v - 0.01, v + 0.01], "n": 40} for arm, v in measured.items()}

    labels = {"disease": DISEASES, "age": ("0-20", "20-40", "40-60", "60-80", "80-101"), "gender": ("female", "male")}
    return {
        "wasserstein": {name: pair(guided) for name in labels},
        "planned": {name: {"guided": 0.004, "random": 0.2} for name in labels},
        "n": {"guided": 40, "random": 40},
        "profile_error": {"disease": 0.136, "age": 0.105, "gender": 0.054},
        "shortfall": {"cells": [], "total": 0, "share": 0.0},
        "histograms": {
            name: {arm: {label: 1 / len(part) for label in part} for arm in ("patients", "guided", "random")}
            for name, part in labels.items()
        },
    }


def write_metrics(data: Path, **changes: dict) -> None:
    index = RNG.integers(0, 8, 60)
    seen = np.where(RNG.random(60) < 0.8, index, 0)
    severity = ["" if k == 0 else SEVERITIES[i % 3] for i, k in enumerate(index)]
    ingested = {"in": 14, "kept": 12, "quarantined": 2, "reasons": {"file_missing": 2}, "flags": {}}
    values = {
        "ingest_public": ingested | {"reasons": {"<b>odd</b>": 2}}, "leakage": leakage(30, 3),
        "recheck_identity": recheck(),
        "distribution": distribution(), "legibility": legibility(index, severity, seen),
    }  # fmt: skip
    for name, value in (values | changes).items():
        durable.write_json(data / f"metrics/{name}.json", value)


def build(root: Path) -> None:
    """Write six patients, donors, a released face for each condition but one, and strips with two rejects."""
    data, faces = root / "data", [phantom() for _ in range(12)]
    write(data / "patients/faces", schemas.PATIENT_FACE, faces, patient_id=[f"secret-{k}" for k in range(12)])
    public = [phantom() for _ in range(6)]
    write(data / "public/faces", schemas.PUBLIC_FACE, public)
    ids = [image_id(image) for image in public]
    made = [phantom(*condition) for condition in CONDITIONS[:-1]]
    rows = [("injected", *c, 0.2 + 0.01 * k, ids[k % 6], -1) for k, c in enumerate(CONDITIONS[:-1])]
    screened(data / "selected", made, 0.4, rows)
    lines = [("strip", "ptosis", "mid", w, ids[0] if w else "", k) for k in range(2) for w in WEIGHTS]
    drawn = [phantom("ptosis", "mid") for _ in lines]
    passed, failed = [k for k in range(8) if k not in (0, 4)], [0, 4]
    screened(data / "screened/kept", made + [drawn[k] for k in passed], 0.4, rows + [lines[k] for k in passed])
    direct = [("direct", "bcc", "heavy", 0.0, "", -1)] * 4
    bad = [drawn[k] for k in failed] + [noisy(face) for face in faces[:4]]
    screened(data / "screened/rejected", bad, 0.9, [lines[k] for k in failed] + direct)
    plan = {field.name: [field.type.to_pandas_dtype()()] * 29 for field in schemas.PLAN if field.name != "arm"}
    arms = ["injected"] * 21 + ["strip"] * 8
    (data / "plan").mkdir()
    shards.write_table(data / "plan/plan.parquet", pa.table({**plan, "arm": arms}, schema=schemas.PLAN))
    write_metrics(data)
    for name in NAMES:
        export_onnx(Mosaic(), root / f"{name}.onnx", torch.zeros(1, 3, 112, 112), alignment="frame")
