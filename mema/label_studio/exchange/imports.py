"""Tasks into a project, each once, whatever breaks in between."""

import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from tqdm import tqdm

from mema.label_studio.exchange.client import LabelStudio, UnclearError
from mema.label_studio.exchange.reading import PlannedTask
from mema.label_studio.exchange.task_data import Notes, task_body

BATCH_TASKS = 500
IMPORT_SECONDS = 300
ROUNDS = 5
log = logging.getLogger(__name__)


def existing_tasks(client: LabelStudio, project: int) -> dict[str, dict[str, Any]]:
    """Return the task of each key in the project.

    A key stands twice where a request was sent again while the first was still at work: the surplus task is
    deleted, never one that has an annotation or a draft.
    """
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for task in client.pages("/api/tasks", "tasks", project=project, fields="task_only"):
        found[str(task["data"].get("key", f"foreign {task['id']}"))].append(task)
    return {key: tasks[0] if len(tasks) == 1 else _only(client, key, tasks) for key, tasks in found.items()}


def _only(client: LabelStudio, key: str, found: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Delete the surplus tasks of a key; return one that stays."""
    tasks = [client.get(f"/api/tasks/{task_id}") for task_id in sorted(task["id"] for task in found)]
    touched = [task["id"] for task in tasks if task.get("annotations") or task.get("drafts")]
    kept = touched or [tasks[0]["id"]]
    for task in tasks:
        if task["id"] not in kept:
            log.warning("%s: task %d of %s stands twice, deleted", key, task["id"], client.who)
            client.delete(f"/api/tasks/{task['id']}")
    return next(task for task in tasks if task["id"] in kept)


def import_missing(
    client: LabelStudio,
    project: int,
    plan: Sequence[PlannedTask],
    notes: Mapping[str, Notes],
    present: Mapping[str, Any],
) -> None:
    """Import the planned tasks that are not `present`, in their order; after a doubt look before sending again."""
    with tqdm(total=len(plan), desc=f"Tasks of {client.who}", unit=" tasks") as progress:
        for _ in range(ROUNDS):
            missing = [task for task in plan if task.key not in present]
            progress.update(len(plan) - len(missing) - progress.n)
            if not missing:
                return
            try:
                for start in range(0, len(missing), BATCH_TASKS):
                    batch = missing[start : start + BATCH_TASKS]
                    body = [task_body(task, notes[task.image_id]) for task in batch]
                    client.post(f"/api/projects/{project}/import", body, timeout_seconds=IMPORT_SECONDS)
                    progress.update(len(batch))
            except UnclearError as error:
                log.warning("%s; looking what arrived", error)
            present = existing_tasks(client, project)
    raise ValueError(f"{client.who}: {client.url} keeps losing tasks; look at the server's log, then push again")


def renew(
    client: LabelStudio, plan: Sequence[PlannedTask], notes: Mapping[str, Notes], present: Mapping[str, dict[str, Any]]
) -> None:
    """Bring the data of tasks that are there to what the plan says; answers and drafts stay as they are."""
    for task in plan:
        wanted = task_body(task, notes[task.image_id])["data"]
        there = present.get(task.key)
        if there and there["data"] != wanted:
            client.patch(f"/api/tasks/{there['id']}", {"data": wanted})
