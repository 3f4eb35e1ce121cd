"""Stage ingest_patients: photos and records -> aligned faces with what is known; rejects in quarantine."""

import math
import unicodedata
from collections import defaultdict
from pathlib import Path
from typing import Annotated

import typer

from models.records import OLDEST, check, normalise, read_records
from tasks import durable, ingest, schemas, shards, stage
from tasks.params import IngestPatients, load

STAGE = "ingest_patients"
KNOWN = ("patient_id", "visit_date", "eye", "disease", "gender")


def resolve(named: str, files: dict[str, Path], source: Path, pattern: str) -> tuple[str, str]:
    """Return a record's photo as a key of `files`, or "" with the reason.

    Tables name photos from the source folder or from the fixed beginning of the glob (`photos/`).
    """
    fixed = [part for part in Path(pattern).parts[:-1] if not set("*?[") & set(part)]
    prefix = "/".join(fixed) + "/" if fixed else ""
    wanted = unicodedata.normalize("NFC", named)
    for name in (wanted, prefix + wanted):
        if name in files:
            return name, ""
    is_folder = any((source / base / named).is_dir() for base in ("", prefix))
    return "", "not_a_file" if is_folder else "file_missing"


def match(
    source: Path, files: dict[str, Path], section: IngestPatients
) -> tuple[dict[str, dict], list[dict]]:
    """Return the good records by photo, and QUARANTINE rows of bad records and of photos without one."""
    records = normalise(read_records(source / section.records))
    good: dict[str, dict] = {}
    rejected: list[dict] = []
    claimed: set[str] = set()
    for record, reason in zip(records.to_dict("records"), check(records), strict=True):
        name, absent = resolve(record["file"], files, source, section.glob) if record["file"] else ("", "")
        if name:
            claimed.add(name)
        # "a.jpg" and "photos/a.jpg" are one photo, which the table's own check cannot see
        reason = reason or absent or ("file_named_twice" if name in good else "")
        if reason:
            rejected.append({"file": record["file"], "row": record["row"], "reason": reason, "detail": ""})
        else:
            good[name] = record
    orphans = [name for name in files if name not in claimed and name != section.records]
    rejected += [
        {"file": name, "row": None, "reason": "photo_without_record", "detail": ""} for name in orphans
    ]
    return good, rejected


def describe(face: dict, record: dict) -> None:
    """Add the record's columns to a face; ages beyond the published bins are capped, unknowns are null."""
    face |= {name: record[name] for name in KNOWN}
    face["gender"] = record["gender"] or None
    face["age"] = None if math.isnan(record["age"]) else min(record["age"], OLDEST)
    if record["age"] > OLDEST:
        face["flags"].append("age_capped")


def hold_out(faces: list[dict], share: float) -> None:
    """Set `split`: of a share of the patients with several photos the latest one is never trained on.

    A photo whose exact copy exists stays in train: held out, it would be no unseen photo.
    """
    by_patient: dict[str, list[dict]] = defaultdict(list)
    for face in faces:
        face["split"] = "train"
        by_patient[face["patient_id"]].append(face)
    latest = {
        patient: max(photos, key=lambda face: (face["visit_date"], face["file"]))
        for patient, photos in by_patient.items()
        if len(photos) > 1
    }
    eligible = [patient for patient, face in latest.items() if not face["has_duplicate"]]
    eligible.sort(key=lambda patient: (ingest.unit_hash(STAGE, patient), patient))
    for patient in eligible[: math.ceil(share * len(eligible))]:
        latest[patient]["split"] = "heldout"


def run(source: Path, faces: Path, quarantine: Path, metrics: Path, section: IngestPatients) -> None:
    """Ingest records and photos of `source`; every record, and every photo without one, is counted."""
    files = ingest.list_files(source, section.glob)
    records, rejected = match(source, files, section)
    num_in = len(records) + len(rejected)
    fingerprint = ingest.fingerprint(STAGE, section, source)
    folder = ingest.examine(sorted(records), files, section, STAGE, fingerprint, None)
    kept, bad_photos = ingest.kept_rows(folder, section.near_duplicate_bits)
    for face in kept:
        describe(face, records[face["file"]])
    for row in bad_photos:
        row["row"] = records[row["file"]]["row"]
    hold_out(kept, section.held_out_share)
    rejected += bad_photos
    orphans = sum(row["row"] is None for row in rejected)
    summary = ingest.summary(
        num_in, kept, rejected, records=num_in - orphans, photos_without_record=orphans,
        patients=len({face["patient_id"] for face in kept}),
    )  # fmt: skip
    ingest.write_outs(folder, kept, rejected, schemas.PATIENT_FACE, faces, quarantine)
    durable.write_json(metrics, summary)
    shards.clear_scratch(STAGE, fingerprint)
    ingest.refuse_empty(summary, STAGE)


def main(
    source: Annotated[Path, typer.Option(help="folder with the photos and the record table")],
    faces: Annotated[Path, typer.Option(help="out: shards of faces")],
    quarantine: Annotated[Path, typer.Option(help="out: rejected photos and records with reasons")],
    metrics: Annotated[Path, typer.Option(help="out: counts as JSON")],
) -> None:
    """Check and align patients' photos and join their records."""
    section = load(Path("params.yaml")).ingest_patients
    with shards.timing(STAGE) as record:
        run(source, faces, quarantine, metrics, section)
        record.images = shards.read_table(faces, columns=["image_id"]).num_rows


if __name__ == "__main__":
    stage.start(main)
