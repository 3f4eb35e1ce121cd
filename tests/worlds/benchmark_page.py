"""Metrics of a small benchmark as the stages evaluate_* write them, and pictures, for the tests of its page."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa

from mema.runtime import durable, shards
from models.diseases import DISEASES
from models.images import encode_png, image_id
from models.report.benchmark.measured import BenchmarkMeasured
from phantom.drawing import render, sample_phantom, sample_shot
from tasks import schemas

# Med-Class and ID-Dis of each method.
METHODS = {
    "identity": (0.95, 0.0), "blur": (0.40, 0.71), "pixelate": (0.31, 0.93), "eye_bar": (0.20, 0.64),
    "k_same": (0.14, 1.12), "inpaint": (0.62, 1.18), "medsem": (0.72, 1.31),
}  # fmt: skip
RECOGNISERS = ("arcface", "cosface", "sphereface")
HELD_OUT = {
    "images": 42, "donors": 20, "shared": 0,
    "training": {"train": {"images": 309, "donors": 120}, "select": {"images": 34, "donors": 20}},
}  # fmt: skip
LABELS = {"n": 42, "differ_from_plan": 3}
MODELS = {"M1": 0.30, "M2": 0.41, "M3": 0.55, "M4": 0.61, "full": 0.72}
NO_GAZE = "the gaze network knows photographs, these are drawn faces"


def estimate(value: float | None, reach: float = 0.1, n: int = 42, **more: object) -> dict[str, Any]:
    if value is None:
        return {"value": None, "n": 0, "ci95": [None, None]} | more
    return {"value": value, "n": n, "ci95": [round(value - reach, 4), round(value + reach, 4)]} | more


def share(value: float, reach: float = 0.1, n: int = 42) -> dict[str, Any]:
    return estimate(value, n=n) | {"ci95": [round(max(0.0, value - reach), 4), round(min(1.0, value + reach), 4)]}


def medical() -> list[dict[str, Any]]:
    rows = []
    for name, (signs, _) in {"original": METHODS["identity"], **METHODS}.items():
        row: dict[str, Any] = {"method": name, "all": share(signs), "micro": share(min(1.0, signs + 0.01))}
        row |= {disease: share(signs, 0.3, n=5) for disease in DISEASES}
        row["planned"] = {name: share(round(signs - 0.05, 4)) for name in (*DISEASES, "all", "micro")}
        row |= {"dice": share(round(signs / 2, 4), n=4), "jaccard": share(round(signs / 3, 4), n=4)}
        rows.append(row)
    return rows


def identity() -> list[dict[str, Any]]:
    return [
        {
            "method": name,
            "reversible": name == "medsem",
            "told_disease": name == "inpaint",
            "id_dis": {
                r: estimate(max(0.0, round(distance - 0.02 * k, 2)), 0.05 * (distance > 0))
                for k, r in enumerate(RECOGNISERS)
            },
            "verification_accuracy": {r: share(1 - distance / 3, n=84) | {"reversed": 0.51} for r in RECOGNISERS},
            "match_rate": {r: share(1 - distance / 1.5) | {"gallery": 160, "chance": 0.0063} for r in RECOGNISERS},
            "match_rate_originals": {r: share(1 - distance / 1.6) for r in RECOGNISERS},
        }
        for name, (_, distance) in METHODS.items()
    ]


def utility() -> list[dict[str, Any]]:
    return [
        {
            "method": name,
            "landmark": {
                part: estimate(round(3.2 * distance, 2), 0.4 * (distance > 0))
                for part in ("all", "eye", "mouth", "nose")
            },
            "gaze": {axis: estimate(None, reason=NO_GAZE) for axis in ("pitch", "yaw")},
        }
        for name, (_, distance) in METHODS.items()
    ]


def reversibility(psnr: float = 24.3, wrong_psnr: float = 15.1) -> dict[str, Any]:
    def row(image: str, distance: float, psnr: float, signs: float) -> dict[str, Any]:
        return {
            "method": "medsem",
            "reversible": True,
            "told_disease": False,
            "image": image,
            "id_dis": {name: estimate(distance, 0.05) for name in RECOGNISERS},
            "psnr": estimate(psnr, 0.4),
            "lpips": estimate(round(0.9 - psnr / 40, 4), 0.01, stand_in="LPIPS formula, trunk of a twin"),
            "med_class": share(signs),
            "med_class_micro": share(signs),
        }

    rows = [row("recovered", 0.58, psnr, 0.88), row("wrong", 1.22, wrong_psnr, 0.52)]
    return {"rows": rows, "irreversible": [name for name in METHODS if name != "medsem"]}


def ablation() -> dict[str, Any]:
    def pair(signs: float, distance: float, **more: object) -> dict[str, Any]:
        return {"med_class": share(signs), "id_dis": estimate(distance, 0.05), "psnr": estimate(24.0, 0.5)} | more

    rows = [
        pair(
            signs, 1.33 - 0.01 * index, model=name, f_med=name in ("M3", "full"), l_med=name in ("M4", "full"),
            dataset="public" if name == "M1" else "mema",
        )
        for index, (name, signs) in enumerate(MODELS.items())
    ]  # fmt: skip
    sweeps = {
        "lambda_med": [
            pair(s, d, value=w) for w, s, d in [(0.1, 0.5, 1.36), (1, 0.63, 1.33), (10, 0.8, 1.2), (5, 0.72, 1.31)]
        ],
        "lambda_rev": [
            pair(s, d, value=w, psnr=estimate(p, 0.5))
            for w, s, d, p in [(0.01, 0.7, 1.33, 20.0), (0.1, 0.72, 1.31, 24.3), (1, 0.69, 1.22, 26.0)]
        ],
    }
    encoders = [
        pair(0.60, 1.30, encoder="vit"),
        pair(0.66, 1.30, encoder="vit_mae"),
        pair(0.72, 1.31, encoder="diffusion"),
    ]
    return {"rows": rows, "encoders": encoders, "sweeps": sweeps, "steps": 400, "recogniser": "sphereface"}


def clinical() -> dict[str, Any]:
    rows = [
        {
            "method": name, "bcc": estimate(signs, n=40), "ptosis": estimate(None, reason="one class alone"),
            "all": estimate(signs, n=40), "n": 40, "undecided": 2, "unpaired": 1,
        }
        for name, (signs, _) in METHODS.items() if name in ("blur", "medsem")
    ]  # fmt: skip
    return {"data": "drawn faces", "num_readers": 3, "rows": rows}


def metrics(profile: str = "phantom") -> dict[str, dict[str, Any]]:
    """Return the metrics files by name, without the clinical one."""
    found: dict[str, dict[str, Any]] = {
        "medical": {"rows": medical(), "labels": LABELS},
        "identity": {"rows": identity(), "held_out": HELD_OUT},
        "utility": {"rows": utility()},
        "reversibility": reversibility(), "ablation": ablation(),
    }  # fmt: skip
    return {name: values | {"profile": profile} for name, values in found.items()}


def measured(profile: str = "phantom", **changes: object) -> BenchmarkMeasured:
    return BenchmarkMeasured("T", profile, **(metrics(profile) | changes))  # type: ignore[arg-type]


def write_metrics(folder: Path, profile: str = "phantom") -> None:
    for name, values in metrics(profile).items():
        durable.write_json(folder / f"{name}.json", values)


def write_pictures(root: Path, size: int = 24, methods: Sequence[str] = tuple(METHODS)) -> None:
    """Write root/mema/val, two images a disease, and root/deidentified; each method has pictures of its own."""
    rng = np.random.default_rng(3)
    rows = []
    for index in range(16):
        disease = DISEASES[index % 8]
        severity = "" if disease == "normal" else "heavy"
        drawn = render(sample_phantom(rng), sample_shot(rng), disease=disease, severity=severity).image
        face = cv2.resize(drawn, (size, size), interpolation=cv2.INTER_AREA)
        rows.append(
            {"image_id": image_id(face), "image": face, "disease": disease, "planned_disease": disease,
             "decided_by": "unanimous", "donor_pseudonym": f"donor_{index % 8}"}
        )  # fmt: skip
    blank = {name: None for name in schemas.MEMA.names}
    mema = [blank | row | {"image": encode_png(row["image"])} for row in rows]
    shards.write_shards(pa.Table.from_pylist(mema, schema=schemas.MEMA), root / "mema/val", shard_rows=5)
    for method in methods:
        write_method(root / "deidentified" / method, method, rows[::-1])


def write_method(folder: Path, method: str, rows: Sequence[dict[str, Any]]) -> None:
    """Write what a method made: the original with a tint of the method's own, so that its pictures are told."""
    names = [pa.field("image_id", pa.string()), *(pa.field(n, pa.binary()) for n in ("image", "recovered", "wrong"))]
    made = []
    for row in rows:
        kinds = ("image", "recovered", "wrong") if method == "medsem" else ("image",)
        tinted = {kind: encode_png(_tinted(row["image"], f"{method} {kind}")) for kind in kinds}
        made.append({"image_id": row["image_id"], "recovered": None, "wrong": None} | tinted)
    table = pa.Table.from_pylist(made, schema=pa.schema(names))
    shards.write_shards(table, folder, shard_rows=9)


def _tinted(image: np.ndarray, name: str) -> np.ndarray:
    tint = np.frombuffer(hashlib.sha256(name.encode()).digest()[:3], np.uint8)
    return (0.8 * image + 0.2 * tint).round().astype(np.uint8)
