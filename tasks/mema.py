"""What is known of the selected images from plan and votes, and the rows that MeMa makes of it."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from models.annotation.adjudication import Verdict, adjudicate
from models.annotation.manifest import read_json
from models.annotation.outlines import Outline
from tasks import schemas, shards

SHARD_ROWS = 256
PLAN_COLUMNS = ["image_id", "disease", "severity", "donor_id", "plan_row", "injection_weight"]
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


def mema_parts(
    selected: Path, world: World, rows: Sequence[int], split: str, masks: Mapping[str, Outline]
) -> Iterator[pa.Table]:
    """Yield the rows of one split as MEMA tables, a shard at a time; of no row one empty table."""
    ballots = _ballots(world)
    for start in range(0, max(len(rows), 1), SHARD_ROWS):
        part = rows[start : start + SHARD_ROWS]
        images = shards.take_rows(selected, part, ["image"])["image"].to_pylist() if part else []
        table = [
            _row(world, row, masks, ballots) | {"image": image, "split": split}
            for row, image in zip(part, images, strict=True)
        ]
        yield pa.Table.from_pylist(table, schema=schemas.MEMA)


def _row(
    world: World, row: int, masks: Mapping[str, Outline], ballots: Mapping[str, list[dict[str, str]]]
) -> dict[str, Any]:
    plan, verdict = world.plan[row], world.verdict(row)
    assert verdict is not None
    outline = masks.get(plan["image_id"])
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
        "plan_row": plan["plan_row"],
        "intended_disease": plan["disease"],
        "intended_severity": plan["severity"],
        "donor_id": plan["donor_id"],
        "injection_weight": plan["injection_weight"],
    }


def _ballots(world: World) -> dict[str, list[dict[str, str]]]:
    """Return each image's votes without masks, comments and times; hidden repeats are no votes."""
    found: defaultdict[str, list[dict[str, str]]] = defaultdict(list)
    for vote in world.votes.select(["image_id", "copy", *BALLOT]).to_pylist():
        if vote["copy"] == 0:
            found[vote["image_id"]].append({name: vote[name] for name in BALLOT})
    return found
