"""Stage readers: simulated readers of known skill, who write the files that a pull from Label Studio writes.

The truth they are measured by is the plan's disease and severity; the mask they have in mind is the first
mask of stage prelabel, jittered, and where there is none they draw none. So their masks say how the path
works, nothing of how well a machine outlines.
"""

import base64
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from mema.label_studio.exchange.reading import Lots, PlannedTask, reading_order
from mema.label_studio.sam.brush import brush_region
from mema.runtime import durable, shards, stage
from models.annotation.votes import MANIFEST, PROPOSALS, disagreements
from models.segmentation.masks import decode_mask, encode_mask, mask_sha256
from models.segmentation.prompts import inner_point
from phantom.params import load_twins
from phantom.simulated_reader import Case, Skill, confusion, read_case

STAGE = "readers"
SENIOR = "senior"
NO_SECRET = b"simulated readers look for no repeats"
FIRST_USER, FIRST_DAY, DAY = 101, datetime(2026, 1, 5, 8, tzinfo=UTC), timedelta(days=1)
NOTE = "Simulated readers of known skill. Truth: the plan's disease and severity; a mask's truth: the first mask."
COLUMNS = ["image_id", "disease", "severity"]


@dataclass(eq=False)
class Desk:
    """One simulated reader at work: a project, an account, and a clock that runs by his lead times."""

    name: str
    skill: Skill
    number: int
    round: str
    seed: int
    tasks: list[dict[str, Any]] = field(default_factory=list)
    proposals: list[str] = field(default_factory=list)

    def read_all(self, plan: Sequence[PlannedTask], cases: Mapping[str, Case]) -> None:
        """Read every task in turn; what is said of an image depends on seed, reader, image and copy alone."""
        now = FIRST_DAY + DAY * self.number
        for task in plan:
            entropy = [self.seed, self.number, int(task.image_id[:16], 16), task.copy]
            case = cases[task.image_id]
            said = read_case(case, self.skill, np.random.default_rng(entropy))
            now += timedelta(seconds=said["lead_time_seconds"] if said else 2.0)
            if said and said["mask"] is not None and case.proposal is not None:
                self.proposals.append(_proposal_line(self.number, task.image_id, case.proposal, now))
            self._submit(task, said, now)

    def _submit(self, task: PlannedTask, said: dict[str, Any] | None, now: datetime) -> None:
        number = len(self.tasks) + 1
        annotation = {
            "id": number,
            "completed_by": FIRST_USER + self.number,
            "result": _results(said, f"r{number}") if said else [],
            "was_cancelled": said is None,
            "lead_time": said["lead_time_seconds"] if said else None,
            "created_at": now.isoformat(timespec="milliseconds"),
        }
        data = {"image": f"/data/local-files/?d={task.key}.png", "key": task.key, "task_note": ""}
        self.tasks.append({"id": number, "data": data, "annotations": [annotation]})

    def entry(self, plan: Sequence[PlannedTask]) -> dict[str, Any]:
        """Return the manifest's entry; the skill stands there, so that agreement can be told in advance."""
        return {
            "email": f"{self.name}@simulated.invalid",
            "user_id": FIRST_USER + self.number,
            "project": self.number,
            "round": self.round,
            "confusion": confusion(self.skill).tolist(),
            "tasks": [{"key": task.key, "image_id": task.image_id, "copy": task.copy} for task in plan],
        }


def _results(said: Mapping[str, Any], region_id: str) -> list[dict[str, Any]]:
    """Return what is said as Label Studio's results; what was not said has none."""
    chosen = {name: said.get(name) for name in ("disease", "severity", "quality", "quality_reason", "confidence")}
    chosen |= {"quality": "low" if said["quality"] == "low" else None}
    results = [_result(name, "choices", {"choices": [value]}) for name, value in chosen.items() if value is not None]
    if said["comment"]:
        results.append(_result("comment", "textarea", {"text": [said["comment"]]}))
    if said["mask"] is not None:
        results.append(brush_region(region_id, said["mask"], 1.0))
    return results


def _result(name: str, kind: str, value: dict[str, Any]) -> dict[str, Any]:
    return {"from_name": name, "to_name": "face", "type": kind, "value": value}


def _proposal_line(project: int, image_id: str, mask: np.ndarray, now: datetime) -> str:
    line = {
        "time": now.isoformat(timespec="milliseconds"),
        "project": project,
        "image_id": image_id,
        "prompt": {"points": [inner_point(mask)], "positive": [True], "box": None},
        "mask_sha256": mask_sha256(mask),
        "mask": base64.b64encode(encode_mask(mask)).decode(),
        "sam": "simulated",
    }
    return json.dumps(line)


def read_cases(selected: Path, subset: Path, low_share: float, seed: int) -> dict[str, Case]:
    """Return every selected image as it is taken to be; which ones are of low quality is drawn by their id."""
    masks = {
        row["image_id"]: decode_mask(row["first_mask"])
        for row in shards.read_table(subset, columns=["image_id", "outline", "first_mask"]).to_pylist()
        if row["outline"] and row["first_mask"]
    }
    cases = {}
    for row in shards.read_table(selected, columns=COLUMNS).to_pylist():
        name = row["image_id"]
        is_low = np.random.default_rng([seed, int(name[:16], 16)]).random() < low_share
        mask = masks.get(name)
        cases[name] = Case(row["disease"], row["severity"], bool(is_low), mask, mask)
    return cases


def write_exports(folder: Path, desks: Sequence[Desk], plans: Mapping[str, Sequence[PlannedTask]]) -> None:
    """Write manifest, exports and the log of proposals as a pull does."""
    folder.mkdir(parents=True, exist_ok=True)
    for desk in desks:
        durable.write_text(folder / f"export-{desk.name}.json", json.dumps(desk.tasks) + "\n")
    durable.write_text(folder / PROPOSALS, "".join(f"{line}\n" for desk in desks for line in desk.proposals))
    entries = {desk.name: desk.entry(plans[desk.name]) for desk in desks}
    document = {"source": "simulated", "label_studio_version": "", "note": NOTE, "readers": entries}
    durable.write_json(folder / MANIFEST, document)


def run(
    selected: Path,
    subset: Path,
    exports: Path,
    *,
    skills: Mapping[str, Skill],
    senior: Skill,
    low_share: float,
    repeat_share: float,
    seed: int,
) -> int:
    """Let everybody read, then the senior what they disagree about; return the number of annotations."""
    cases = read_cases(selected, subset, low_share, seed)
    writing = exports.with_name(f".{exports.name}.writing")
    shutil.rmtree(writing, ignore_errors=True)
    desks = [Desk(name, skill, number, "reading", seed) for number, (name, skill) in enumerate(skills.items(), 1)]
    plans = {
        name: reading_order(list(cases), Lots(NO_SECRET, seed, name), repeat_share=repeat_share) for name in skills
    }
    for desk in desks:
        desk.read_all(plans[desk.name], cases)
    write_exports(writing, desks, plans)
    split = disagreements(writing, selected)
    chief = Desk(SENIOR, senior, len(desks) + 1, "adjudication", seed)
    plans[SENIOR] = reading_order(split, Lots(NO_SECRET, seed, SENIOR), repeat_share=0.0)
    chief.read_all(plans[SENIOR], cases)
    write_exports(writing, [*desks, chief], plans)
    shutil.rmtree(exports, ignore_errors=True)
    writing.rename(exports)
    return sum(len(desk.tasks) for desk in [*desks, chief])


def main(
    selected: Annotated[Path, typer.Option(help="shards of the images to be read")],
    subset: Annotated[Path, typer.Option(help="on which images a tumour is to be outlined, and first masks")],
    exports: Annotated[Path, typer.Option(help="out: folder of manifest, exports and the log of proposals")],
) -> None:
    """Let simulated readers read."""
    section = load_twins(Path("data/phantom/params.yaml")).readers
    skills = {name: Skill(**skill.model_dump()) for name, skill in section.skills.items()}
    with shards.timing(STAGE) as record:
        record.images = run(
            selected,
            subset,
            exports,
            skills=skills,
            senior=Skill(**section.senior.model_dump()),
            low_share=section.low_share,
            repeat_share=section.repeat_share,
            seed=section.seed,
        )


if __name__ == "__main__":
    stage.start(main)
