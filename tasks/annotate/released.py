"""What is known of the selected images from plan and votes, and the rows that MeMa makes of it."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from mema.runtime import shards
from mema.runtime.reordering import in_order
from models.annotation.adjudication import Verdict, adjudicate
from models.annotation.manifest import read_json
from models.annotation.outlines import Outline
from models.diseases import DISEASES
from tasks import schemas

SHARD_ROWS = 256
PLAN_COLUMNS = ["image_id", "disease", "severity", "age_bin", "gender", "donor_id"]
BALLOT = ("reader", "disease", "severity", "quality", "confidence")


@dataclass(frozen=True, eq=False)
class World:
    """All that is known of the selected images but their pixels; readers have aliases for names."""

    plan: list[dict[str, Any]]  # PLAN_COLUMNS, in the order of data/selected
    votes: pa.Table
    verdicts: Mapping[str, Verdict]
    readers: list[str]
    source: str
    confusions: dict[str, Any] | None  # of simulated readers

    def verdict(self, row: int) -> Verdict | None:
        """Return what is held true of a row of the plan; None where nobody voted."""
        return self.verdicts.get(self.plan[row]["image_id"])


def read_world(selected: Path, annotations: Path) -> World:
    """Read plan and votes; readers become reader_1, reader_2 ... in the manifest's order."""
    plan = shards.read_table(selected, columns=PLAN_COLUMNS).to_pylist()
    who = read_json(annotations / "readers.json")
    alias = {name: f"reader_{number}" for number, name in enumerate(who["readers"], 1)}
    alias[who["senior"]] = "senior"
    votes = shards.read_table(annotations / "votes.parquet")
    foreign = set(votes["image_id"].to_pylist()) - {row["image_id"] for row in plan}
    if foreign:
        raise ValueError(
            f"{annotations}: votes on {len(foreign)} images that are not in {selected}; "
            "run the stage annotations on this selection"
        )
    names = pa.array([alias[name] for name in votes["reader"].to_pylist()], pa.string())
    votes = votes.set_column(votes.schema.get_field_index("reader"), "reader", names)
    verdicts = {one.image_id: one for one in adjudicate(votes, len(who["readers"]))}
    skill = {alias[name]: matrix for name, matrix in (who["confusions"] or {}).items()}
    readers = [alias[name] for name in who["readers"]]
    return World(plan, votes, verdicts, readers, who["source"], skill or None)


@dataclass(frozen=True, eq=False)
class Written:
    """What a row of MeMa holds beside plan and verdict."""

    masks: Mapping[str, Outline]
    donors: Sequence[str]  # the pseudonym of each row's donor, in the order of the plan


def mema_parts(
    selected: Path, world: World, places: Sequence[int], split: str, written: Written, scratch: Path
) -> Iterator[pa.Table]:
    """Yield the rows of one split as MEMA tables, a shard at a time; of no row one empty table.

    They are sorted by image_id: the plan's order, with gaps where the screen rejected, would tell what it rejected.
    """
    ballots, rows = _ballots(world), sorted(places, key=lambda row: world.plan[row]["image_id"])
    if not rows:
        yield schemas.MEMA.empty_table()
    images = in_order(selected, rows, SHARD_ROWS, ["image"], scratch)
    for start, part in zip(range(0, len(rows), SHARD_ROWS), images, strict=True):
        table = [
            _row(world, row, written, ballots) | {"image": image, "split": split}
            for row, image in zip(rows[start : start + SHARD_ROWS], part["image"].to_pylist(), strict=True)
        ]
        yield pa.Table.from_pylist(table, schema=schemas.MEMA)


def as_released(table: pa.Table) -> pa.Table:
    """Return a table of MEMA's columns stored as `datasets` does, so that it gives pictures and labels by itself."""
    import datasets  # a second that no other stage needs
    from datasets.table import table_cast

    features = datasets.Features.from_arrow_schema(table.schema)
    for name in table.column_names:
        if name in schemas.PICTURES:
            features[name] = datasets.Image()
        elif name in schemas.LABELS:
            features[name] = datasets.ClassLabel(names=list(DISEASES))
    cast = table_cast(table, features.arrow_schema)
    fields = [field.with_metadata(table.schema.field(field.name).metadata) for field in cast.schema]
    return cast.cast(pa.schema(fields, cast.schema.metadata))


def _row(world: World, row: int, written: Written, ballots: Mapping[str, list[dict[str, str]]]) -> dict[str, Any]:
    plan, verdict = world.plan[row], world.verdict(row)
    assert verdict is not None
    outline = written.masks.get(plan["image_id"])
    return {
        "image_id": plan["image_id"],
        "disease": verdict.disease,
        "severity": verdict.severity,
        "quality": verdict.quality,
        "decided_by": verdict.decided_by,
        "votes": ballots[plan["image_id"]],
        "mask": outline.png if outline else None,
        "mask_provenance": outline.provenance if outline else "",
        "num_masks": outline.num_masks if outline else 0,
        "planned_disease": plan["disease"],
        "planned_severity": plan["severity"],
        "planned_age_bin": plan["age_bin"],
        "planned_gender": plan["gender"],
        "donor_pseudonym": written.donors[row],
    }


def _ballots(world: World) -> dict[str, list[dict[str, str]]]:
    """Return each image's votes without masks, comments and times; hidden repeats are no votes."""
    found: defaultdict[str, list[dict[str, str]]] = defaultdict(list)
    for vote in world.votes.select(["image_id", "copy", *BALLOT]).to_pylist():
        if vote["copy"] == 0:
            found[vote["image_id"]].append({name: vote[name] for name in BALLOT})
    return found
