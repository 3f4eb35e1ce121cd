"""How far each reader is, asked of the server in four small requests a reader, however many tasks there are."""

import json
import sys
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer

from mema.label_studio.exchange.client import LabelStudio, check_version
from mema.label_studio.exchange.manifest import read_manifest
from mema.label_studio.exchange.project import require
from mema.label_studio.server.access import Target, target_here
from mema.label_studio.server.places import ROOT
from models.annotation.manifest import Manifest, Reader, Round

RECENT_DAYS = 7
TICK = timedelta(milliseconds=1)
FORMAT = "%Y-%m-%dT%H:%M:%S.%fZ"


@dataclass(frozen=True)
class Progress:
    """One reader's state; `expected_finish` is None before the first task and when nothing is left."""

    name: str
    round: Round
    done: int
    skipped: int
    missing: int  # deleted on the server, so never to be done
    total: int
    per_day: float
    expected_finish: datetime | None

    @property
    def open(self) -> int:
        """Tasks that still wait for the reader."""
        return max(0, self.total - self.done - self.skipped - self.missing)


def progress(manifest: Manifest, target: Target, now: datetime | None = None) -> list[Progress]:
    """Return every reader's state, in the manifest's order."""
    states = []
    for name, reader in manifest.readers.items():
        with target.client(name) as client:
            states.append(_state(client, name, reader, now or datetime.now(UTC)))
    return states


def _state(client: LabelStudio, name: str, reader: Reader, now: datetime) -> Progress:
    """Return one reader's state; the pace is that of the last seven days, or of the days since the start."""
    project, total = reader.project, len(reader.tasks)
    present = int(require(client, project)["task_number"])
    answered = _filter("total_annotations", "greater", 0)
    done = count(client, project, answered)
    unanswered = _filter("total_annotations", "equal", 0)
    skipped = count(client, project, unanswered, _filter("cancelled_annotations", "greater", 0))
    week = now - timedelta(days=RECENT_DAYS)
    since = max(_first_completion(client, project) or now, week)
    recent = count(
        client, project, _filter("completed_at", "greater", (since - TICK).strftime(FORMAT), "Datetime")
    )
    per_day = recent / max(1.0, (now - since) / timedelta(days=1))
    missing = max(0, total - present)
    left = max(0, total - done - skipped - missing)
    finish = now + timedelta(days=left / per_day) if left and per_day else None
    return Progress(name, reader.round, done, skipped, missing, total, round(per_day, 1), finish)


def complete(states: Iterable[Progress], round_name: Round) -> bool:
    """Tell whether a round has readers and none of them has an open task."""
    mine = [entry for entry in states if entry.round == round_name]
    return bool(mine) and all(entry.open == 0 for entry in mine)


def count(client: LabelStudio, project: int, *filters: dict[str, Any]) -> int:
    """Return how many of a project's tasks pass all filters."""
    query = json.dumps({"filters": {"conjunction": "and", "items": list(filters)}})
    return int(client.get("/api/tasks", project=project, page_size=1, query=query)["total"])


def _first_completion(client: LabelStudio, project: int) -> datetime | None:
    query = json.dumps(
        {
            "filters": {"conjunction": "and", "items": [_filter("completed_at", "empty", False, "Datetime")]},
            "ordering": ["tasks:completed_at"],
        }
    )
    tasks = client.get("/api/tasks", project=project, page_size=1, query=query)["tasks"]
    return datetime.fromisoformat(tasks[0]["completed_at"]) if tasks else None


def _filter(field: str, operator: str, value: Any, kind: str = "Number") -> dict[str, Any]:
    return {"filter": f"filter:tasks:{field}", "operator": operator, "type": kind, "value": value}


def main(
    out: Annotated[Path, typer.Option(help="folder of the manifest")] = Path("data/label_studio"),
    root: Annotated[Path, typer.Option(help="Label Studio's folder")] = ROOT,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON list, for programs")] = False,
) -> None:
    """Show how far each reader is, and when he will be through at his present pace."""
    target = target_here(root)
    check_version(target.url)
    states = progress(read_manifest(out), target)
    if as_json:
        print(json.dumps([asdict(state) | {"open": state.open} for state in states], default=str))
        return
    for state in states:
        finish = f"{state.expected_finish:%Y-%m-%d}" if state.expected_finish else "-"
        print(
            f"{state.name:12} {state.round:12} {state.done:6} done {state.skipped:5} skipped "
            f"{state.missing:5} deleted {state.open:6} open {state.per_day:7.1f} a day, through {finish}"
        )


if __name__ == "__main__":
    try:
        typer.run(main)
    except ValueError as error:
        sys.exit(str(error))
