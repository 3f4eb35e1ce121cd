"""How far each reader is, asked of the server in four small requests a reader, however many tasks there are."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from mema.label_studio.exchange.client import LabelStudio
from mema.label_studio.exchange.project import require
from mema.label_studio.server.access import Target
from models.annotation.manifest import Manifest, Reader, Round

RECENT_DAYS = 7
TICK = timedelta(milliseconds=1)
FORMAT = "%Y-%m-%dT%H:%M:%S.%fZ"


@dataclass(frozen=True)
class Progress:
    """One reader's state; `expected_finish` is None on the first day and when nothing is left."""

    name: str
    round: Round
    done: int
    skipped: int
    missing: int  # deleted on the server, so never to be done
    total: int
    per_day: float | None  # None on the first day, whose pace says nothing
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
    recent = count(client, project, _filter("completed_at", "greater", (since - TICK).strftime(FORMAT), "Datetime"))
    days = (now - since) / timedelta(days=1)
    per_day = recent / days if days >= 1 else None
    missing = max(0, total - present)
    left = max(0, total - done - skipped - missing)
    finish = now + timedelta(days=left / per_day) if left and per_day else None
    return Progress(
        name, reader.round, done, skipped, missing, total, None if per_day is None else round(per_day, 1), finish
    )


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
