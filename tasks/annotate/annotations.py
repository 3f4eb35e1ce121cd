"""Stage annotations: what the readers said, as votes, and what in their exports is no vote, with reasons."""

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import pyarrow as pa
import typer

from mema.params import load
from mema.params.annotate import Annotations
from mema.runtime import durable, shards, stage
from models.annotation.completeness import Gaps, gaps
from models.annotation.export import FINDINGS, REASONS, Reading, Unusable
from models.annotation.manifest import Manifest
from models.annotation.provenance import PROVENANCES, ProposalLog
from models.annotation.votes import image_sizes, read_readers, vote_table
from models.diseases import TUMOURS
from models.statistics.leakage import wilson_interval
from tasks import schemas

STAGE = "annotations"
NAMED = 5  # tasks that an error names; all of them stand in unusable.parquet
DECIMALS = 6
log = logging.getLogger(__name__)


def measure(
    manifest: Manifest,
    readings: Mapping[str, Reading],
    proposals: ProposalLog,
    sizes: Mapping[str, Any],
    wanted: set[str],
) -> dict[str, Any]:
    """Return the counts of the stage: no names, no ids, no text."""
    unusable = [one for reading in readings.values() for one in reading.unusable]
    votes = [vote for reading in readings.values() for vote in reading.votes]
    reasons, masks = Counter(one.reason for one in unusable), Counter(v["mask_provenance"] for v in votes)
    found = Counter(one.reason for reading in readings.values() for one in reading.findings)
    asked = {task.image_id for reader in manifest.readers.values() for task in reader.tasks}
    skipped = sum(reading.skipped for reading in readings.values())
    shown, accepted = (sum(getattr(one, name) for one in readings.values()) for name in ("offered", "accepted"))
    received = len(votes) + skipped + len(unusable)
    outlined = [v for v in votes if v["disease"] in TUMOURS and v["image_id"] in wanted]
    return {
        "source": manifest.source,
        "tasks": sum(len(reader.tasks) for reader in manifest.readers.values()),
        "votes": len(votes),
        "skipped": skipped,
        "missing": sum(reading.missing for reading in readings.values()),
        "images_never_pushed": len(sizes.keys() - asked),
        "answers_retired": sum(reading.retired for reading in readings.values()),
        "findings": {name: found[name] for name in FINDINGS},
        "unusable": {
            "total": len(unusable),
            "share": round(len(unusable) / received, DECIMALS) if received else 0.0,
            "reasons": {name: reasons[name] for name in REASONS},
        },
        "masks": {name: masks[name] for name in PROVENANCES},
        "outlines": {"wanted": len(outlined), "drawn": sum(vote["mask"] is not None for vote in outlined)},
        "proposals": {
            "shown": shown,
            "accepted": accepted,
            "share": round(accepted / shown, DECIMALS) if shown else None,
            "ci95": [round(edge, DECIMALS) for edge in wilson_interval(accepted, shown)],
            "unreadable_lines": proposals.num_unreadable,
        },
    }


def refuse_unusable(unusable: Sequence[Unusable], share: float, section: Annotations) -> None:
    """Raise ValueError where more is unusable than annotations.max_unusable allows: which tasks, and why."""
    if share <= section.max_unusable:
        if unusable:
            log.warning("%s: %d annotations are unusable; see the metrics", STAGE, len(unusable))
        return
    named = ", ".join(f"{one.reader} {one.key or '(no key)'} ({one.reason})" for one in unusable[:NAMED])
    more = f" and {len(unusable) - NAMED} more" if len(unusable) > NAMED else ""
    raise ValueError(
        f"annotations.max_unusable: {len(unusable)} annotations or tasks are unusable ({share:.1%}, allowed "
        f"{section.max_unusable:.1%}): {named}{more}; see unusable.parquet, have them done again and pull"
    )


def run(selected: Path, subset: Path, exports: Path, annotations: Path, metrics: Path, section: Annotations) -> int:
    """Write the metrics, refuse what is half read; write votes, findings, who read; refuse too much unusable.

    Return the number of votes. The stage before `assemble` refuses, so that what `assemble` made stays.
    """
    sizes = image_sizes(selected)
    outlines = shards.read_table(subset, columns=["image_id", "outline"]).to_pylist()
    manifest, readings, proposals = read_readers(exports, sizes)
    wanted = {row["image_id"] for row in outlines if row["outline"]}
    measured = measure(manifest, readings, proposals, sizes, wanted)
    unusable = [one for reading in readings.values() for one in reading.unusable]
    findings = [one for reading in readings.values() for one in reading.findings]
    votes = vote_table(readings)
    durable.write_json(metrics, measured)
    refuse_incomplete(gaps(manifest, readings, votes, set(sizes)), section)
    shards.write_table(annotations / "votes.parquet", votes)
    for name, found in (("unusable", unusable), ("findings", findings)):
        table = pa.Table.from_pylist([vars(one) for one in found], schema=schemas.UNUSABLE)
        shards.write_table(annotations / f"{name}.parquet", table)
    durable.write_json(annotations / "readers.json", who_read(manifest))
    if findings:
        log.warning(
            "%s: %d answers hold a click or box whose outline was never taken: findings.parquet tells which",
            STAGE, len(findings),
        )  # fmt: skip
    refuse_unusable(unusable, measured["unusable"]["share"], section)
    return votes.num_rows


def refuse_incomplete(found: Gaps, section: Annotations) -> None:
    """Raise ValueError where the readers are not done, unless that is allowed."""
    if found and section.allow_incomplete:
        log.warning("%s: not complete, and allowed to be: %s", STAGE, found)
    elif found:
        raise ValueError(
            f"annotations: not complete: {found}. To go on with what is there, set "
            f"annotations.allow_incomplete: true. MeMa stays as it is; what DVC has removed of the last "
            f"annotations, dvc checkout data/annotations brings back (mema repro does it by itself)"
        )


def who_read(manifest: Manifest) -> dict[str, Any]:
    """Return {source, readers, senior, confusions}: names without accounts, and simulated readers' skill."""
    reading = manifest.of_round("reading")
    return {
        "source": manifest.source,
        "readers": list(reading),
        "senior": next(iter(manifest.of_round("adjudication")), None),
        "confusions": {name: one.confusion for name, one in reading.items() if one.confusion} or None,
    }


def main(
    selected: Annotated[Path, typer.Option(help="shards of the images that were read")],
    subset: Annotated[Path, typer.Option(help="on which images a tumour was to be outlined")],
    exports: Annotated[Path, typer.Option(help="folder of manifest, exports and the log of proposals")],
    annotations: Annotated[Path, typer.Option(help="out: folder of votes.parquet and unusable.parquet")],
    metrics: Annotated[Path, typer.Option(help="out: counts and reasons as JSON")],
) -> None:
    """Read what the readers said."""
    params = load(Path("params.yaml"))
    with shards.timing(STAGE) as record:
        record.images = run(selected, subset, exports, annotations, metrics, params.annotations)


if __name__ == "__main__":
    stage.start(main)
