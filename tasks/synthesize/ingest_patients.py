"""Stage ingest_patients: photos and records -> aligned faces with what is known; rejects in quarantine."""

import logging
import math
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from mema.params import load
from mema.params.synthesize import IngestPatients
from mema.runtime import durable, shards, stage
from models.photos.listing import Listing, list_folder
from models.records.cells import OLDEST
from models.records.identity import judge_files, judge_persons
from models.records.reading import Table
from models.records.record import Record, read_records
from tasks import schemas
from tasks.synthesize import ingest
from tasks.synthesize.ingest_account import account, of_the_table
from tasks.synthesize.ingest_identity import Resolver, judge_pictures

STAGE = "ingest_patients"
KNOWN = ("patient_id", "visit_date", "eye", "disease", "gender")
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Matched:
    """A folder and its table: who is said to be on which photo, and what cannot be used."""

    listing: Listing
    table: Table
    records: list[Record]
    unread: Counter[str]
    naming: dict[str, list[Record]]  # photo -> all rows that may mean it

    @property
    def good(self) -> dict[str, Record]:
        """The records that nothing speaks against, by photo."""
        return {record.file: record for record in self.records if not record.reason}

    @property
    def compared(self) -> set[str]:
        """Photos that rows name and that are out, of which a copy must be known."""
        return {name for name in self.naming if name in self.listing.photos} - set(self.good)

    @property
    def rejected(self) -> list[dict]:
        """QUARANTINE rows of bad records, and of everything that lies there and no record names."""
        columns = ("file", "row", "line", "reason", "detail")
        records = [{name: getattr(record, name) for name in columns} for record in self.records if record.reason]
        return records + without_record(self.listing, self.records)


def match(source: Path, section: IngestPatients) -> Matched:
    """Read the table and the folder, and judge all rows of one person, and of one file, together."""
    listing = list_folder(source, section.glob)
    for found in (listing.photos, listing.others):
        found.pop(section.records, None)
    records, table, unread = read_records(source / section.records)
    judge_persons(records)
    naming = judge_files(records, Resolver(listing, source, section.glob))
    return Matched(listing, table, records, unread, naming)


def without_record(listing: Listing, records: list[Record]) -> list[dict]:
    """Return QUARANTINE rows of what lies in the folder and no record names, photos first."""
    named = {record.file for record in records}
    alike = listing.ambiguous()
    found = [
        (name, "ambiguous_file_name", "another name differs in case or Unicode form alone; rename one of them")
        if name in alike
        else (name, "photo_without_record", "no row of the table names it by its path")
        for name in listing.photos
    ]
    found += [(name, *why) for name, why in listing.refused.items()]
    return [
        {"file": name, "row": None, "line": None, "reason": reason, "detail": detail}
        for name, reason, detail in found
        if name not in named
    ]


def describe(face: dict, record: Record) -> None:
    """Add the record's columns to a face; ages beyond the published bins are capped, unknowns are null."""
    face |= {name: getattr(record, name) for name in KNOWN}
    face["flags"] += record.flags
    face["gender"] = record.gender or None
    face["age"] = None if math.isnan(record.age) else min(record.age, OLDEST)
    if record.age > OLDEST:
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
    """Ingest records and photos of `source`; every physical line, every photo and every other file is counted."""
    matched = match(source, section)
    good, rejected = matched.good, matched.rejected
    num_in = len(good) + len(rejected)
    fingerprint = ingest.fingerprint(STAGE, section, source)
    folder = ingest.examine(sorted(good), matched.listing.photos, section, STAGE, fingerprint, None, matched.compared)
    rows = ingest.checked_rows(folder)
    against = judge_pictures(rows, matched.naming)
    kept, bad_photos = ingest.kept_rows(rows, section.near_duplicate_bits, against)
    for face in kept:
        describe(face, good[face["file"]])
    for row in bad_photos:
        row |= {"row": good[row["file"]].row, "line": good[row["file"]].line}
    hold_out(kept, section.held_out_share)
    rejected += bad_photos
    summary = ingest.summary(
        num_in, kept, rejected, records=len(matched.records), photos_without_record=num_in - len(matched.records),
        patients=len({face["patient_id"] for face in kept}),
        **of_the_table(matched.table, matched.records, matched.unread, matched.listing),
    )  # fmt: skip
    ingest.write_outs(folder, kept, rejected, schemas.PATIENT_FACE, faces, quarantine)
    durable.write_json(metrics, summary)
    log.info("%s", account(summary, matched.table))
    shards.clear_scratch(STAGE, fingerprint)
    ingest.refuse_empty(summary, STAGE)
    ingest.refuse_unlisted(summary, STAGE)


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
