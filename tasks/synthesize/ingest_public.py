"""Stage ingest_public: public photos -> aligned faces with age, gender and split; the rest in quarantine."""

from pathlib import Path
from typing import Annotated

import typer

from mema.params import load
from mema.params.synthesize import IngestPublic
from mema.runtime import durable, shards, stage
from models.photos.listing import list_folder
from tasks import schemas
from tasks.synthesize import ingest

STAGE = "ingest_public"


def split_of(face: dict, section: IngestPublic) -> str:
    """Return calibration, floor or donor; near-duplicates share theirs, so no split leaks."""
    position = ingest.unit_hash(STAGE, face["twin_of"])
    if position < section.calibration_share:
        return "calibration"
    return "floor" if position < section.calibration_share + section.floor_share else "donor"


def run(source: Path, faces: Path, quarantine: Path, metrics: Path, section: IngestPublic, home: Path) -> None:
    """Ingest every file that the glob finds below `source`."""
    if section.calibration_share + section.floor_share >= 1:
        raise ValueError(
            f"{STAGE}.calibration_share + floor_share: {section.calibration_share + section.floor_share} "
            "must be below 1; the rest are the donors"
        )
    listing = list_folder(source, section.glob)
    files = listing.photos
    fingerprint = ingest.fingerprint(STAGE, section, source, home)
    folder = ingest.examine(list(files), files, section, STAGE, fingerprint, home)
    kept, rejected = ingest.kept_rows(ingest.checked_rows(folder), section.near_duplicate_bits)
    for face in kept:
        face["split"] = split_of(face, section)
    rejected += [{"file": name, "reason": reason, "detail": detail}
                 for name, (reason, detail) in listing.refused.items()]  # fmt: skip
    num_in = len(files) + len(listing.refused)
    summary = ingest.summary(num_in, kept, rejected, other_files=listing.count_others())
    ingest.write_outs(folder, kept, rejected, schemas.PUBLIC_FACE, faces, quarantine)
    durable.write_json(metrics, summary)
    shards.clear_scratch(STAGE, fingerprint)
    ingest.refuse_empty(summary, STAGE)
    ingest.refuse_unlisted(summary, STAGE)


def main(
    source: Annotated[Path, typer.Option(help="folder of public photos")],
    faces: Annotated[Path, typer.Option(help="out: shards of faces")],
    quarantine: Annotated[Path, typer.Option(help="out: rejected files with reasons")],
    metrics: Annotated[Path, typer.Option(help="out: counts as JSON")],
) -> None:
    """Check, align and describe public photos."""
    params = load(Path("params.yaml"))
    with shards.timing(STAGE) as record:
        run(source, faces, quarantine, metrics, params.ingest_public, Path(params.attributes.deepface_home))
        record.images = shards.read_table(faces, columns=["image_id"]).num_rows


if __name__ == "__main__":
    stage.start(main)
