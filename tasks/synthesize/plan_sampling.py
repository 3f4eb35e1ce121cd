"""Stage plan_sampling: profile and public donors -> a table with one row per image to make."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pyarrow as pa
import typer

from mema.hospital.release_key import release_key
from mema.params import load
from mema.params.hospital import ReleaseKey
from mema.params.synthesize import PlanSampling, ProfileCohort
from mema.runtime import durable, shards, stage
from models.cohort.cohort_profile import age_bins, age_labels
from models.cohort.quotas import Cell, cell_quotas
from models.cohort.sampling_plan import (
    ARMS,
    Donor,
    Group,
    Row,
    direct_rows,
    injected_rows,
    numbered,
    random_rows,
    strip_rows,
    total_variation,
)
from tasks import schemas

STAGE = "plan_sampling"


def read_profile(path: Path, section: ProfileCohort) -> dict[str, Any]:
    """Return the published profile, whose bins must be the parameters'."""
    if not path.is_file():
        raise ValueError(f"{path}: not found; run dvc repro profile_cohort")
    profile = json.loads(path.read_text())
    if profile["age_edges"] != list(section.age_edges):
        raise ValueError(
            f"profile_cohort.age_edges: {list(section.age_edges)} differ from the profile's "
            f"{profile['age_edges']}; run dvc repro profile_cohort"
        )
    return profile


def read_donors(public_faces: Path, age_edges: Sequence[int]) -> list[Donor]:
    """Return the public faces of the split `donor`, each once, whose age and gender are known."""
    columns = ["image_id", "age", "gender", "split"]
    faces = {
        row["image_id"]: row
        for row in shards.read_table(public_faces, columns=columns).to_pylist()
        if row["split"] == "donor" and row["age"] is not None and row["gender"]
    }
    if not faces:
        raise ValueError(
            f"{public_faces}: 0 donors, at least 1 needed; add public photos, or lower "
            "ingest_public.calibration_share and floor_share"
        )
    labels = age_labels(age_edges)
    bins = age_bins(np.array([face["age"] for face in faces.values()]), age_edges)
    return [
        Donor(image_id, labels[index], face["gender"])
        for (image_id, face), index in zip(faces.items(), bins.tolist(), strict=True)
    ]


def secret_draw(section: PlanSampling, key: ReleaseKey) -> PlanSampling:
    """Return the section with a seed that nobody outside the hospital knows; phantoms keep the published one.

    Profile, public faces and params.yaml may all be published. With the seed they would give the plan again, and its
    donors' diseases, ages and genders, which MeMa tells, would name the donor behind each pseudonym.
    """
    if key.published:
        return section
    seed = int.from_bytes(release_key(key, f"the plan's draw {section.seed}"), "big")
    return section.model_copy(update={"seed": seed})


def make_plan(
    profile: Mapping[str, Any], donors: Sequence[Donor], section: PlanSampling
) -> tuple[list[Row], dict[str, Any]]:
    """Return the rows of all arms and the metrics."""
    quotas = cell_quotas(profile["joint"], section.num_images)
    injected, borrowed = injected_rows(
        quotas,
        donors,
        age_labels(profile["age_edges"]),
        over_generation=section.over_generation,
        injection_weight=section.injection_weight,
        max_donor_uses=section.max_donor_uses,
        seed=section.seed,
    )
    rows = numbered(
        injected,
        direct_rows(injected, section.num_direct, section.seed),
        random_rows(donors, section.num_random, section.injection_weight, section.seed),
        strip_rows(injected, section.num_strips, section.seed),
    )
    joint = {(cell["disease"], cell["age_bin"], cell["gender"]): cell["p"] for cell in profile["joint"]}
    return rows, {
        "rows": len(rows),
        "arms": {arm: sum(row["arm"] == arm for row in rows) for arm in ARMS},
        "cells": len(quotas),
        "quotas": nested(quotas),
        "total_variation": {
            name: round(total_variation(quotas, joint, axes), 6)
            for name, axes in {"joint": (0, 1, 2), "disease": (0,), "age": (1,), "gender": (2,)}.items()
        },
        "borrowed": borrowing(borrowed),
        "donors": uses(injected, donors),
    }


def nested(quotas: Mapping[Cell, int]) -> dict[str, dict[str, dict[str, int]]]:
    """Return quotas by disease, age bin and gender."""
    result: dict[str, dict[str, dict[str, int]]] = {}
    for (disease, age_bin, gender), quota in quotas.items():
        result.setdefault(disease, {}).setdefault(age_bin, {})[gender] = quota
    return result


def borrowing(borrowed: Mapping[tuple[Group, str], int]) -> dict[str, Any]:
    """Return how many injected rows have a donor of another age bin than their own, and which."""
    groups = [
        {"age_bin": group.age_bin, "gender": group.gender, "from_age_bin": lender, "rows": rows}
        for (group, lender), rows in sorted(borrowed.items())
    ]
    return {"rows": sum(borrowed.values()), "groups": groups}


def uses(injected: Sequence[Row], donors: Sequence[Donor]) -> dict[str, int]:
    """Return how many donors there are, how many the product uses, and how often each of those."""
    counts = Counter(row["donor_id"] for row in injected).values()
    return {"n": len(donors), "used": len(counts), "min_uses": min(counts), "max_uses": max(counts)}


def run(
    profile: Path, public_faces: Path, plan: Path, metrics: Path, section: PlanSampling, cohort: ProfileCohort
) -> int:
    """Write the plan and its metrics; return the number of rows."""
    known = read_profile(profile, cohort)
    rows, summary = make_plan(known, read_donors(public_faces, known["age_edges"]), section)
    shards.write_table(plan, pa.Table.from_pylist(rows, schema=schemas.PLAN))
    durable.write_json(metrics, summary)
    return len(rows)


def main(
    profile: Annotated[Path, typer.Option(help="the published profile")],
    public_faces: Annotated[Path, typer.Option(help="shards of public faces")],
    plan: Annotated[Path, typer.Option(help="out: one row per image to make")],
    metrics: Annotated[Path, typer.Option(help="out: counts by arm, quotas, use of donors")],
) -> None:
    """Plan which images to make: disease, severity, age, gender, donor, weight and seed of each."""
    params = load(Path("params.yaml"))
    with shards.timing(STAGE) as record:
        section = secret_draw(params.plan_sampling, params.release_key)
        record.images = run(profile, public_faces, plan, metrics, section, params.profile_cohort)


if __name__ == "__main__":
    stage.start(main)
