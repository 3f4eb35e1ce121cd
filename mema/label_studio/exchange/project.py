"""A reader's project: interface, images, SAM backend and webhook, found or made, never made twice."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mema.label_studio.exchange.client import LabelStudio, NotFoundError
from models.annotation.manifest import Round

TITLES: dict[Round, str] = {"reading": "MeMa reading", "adjudication": "MeMa adjudication"}
BACKEND_SECONDS = 100
SHOWN_COLUMNS, DISPLAYS = ("inner_id", "total_annotations"), ("explore", "labeling")
WEBHOOK_ACTIONS = ["ANNOTATION_CREATED", "ANNOTATION_UPDATED"]


@dataclass(frozen=True)
class Template:
    """What all readers' projects have in common."""

    label_config: str
    instructions: str
    images: Path  # the folder below the server's document root, as the server writes it
    show_predictions: bool
    sam_url: str  # empty: neither machine masks nor a webhook


def set_up(client: LabelStudio, round_: Round, template: Template) -> int:
    """Return the id of the reader's project of a round, made or brought up to the template."""
    title = TITLES[round_]
    fields = {
        "label_config": template.label_config,
        "expert_instruction": template.instructions,
        "show_instruction": True,
        "show_skip_button": False,  # rejecting a picture is an answer, with a reason
        "show_collab_predictions": template.show_predictions,
        "evaluate_predictions_automatically": False,
        "enable_empty_annotation": False,
        "maximum_annotations": 1,
        "sampling": "Sequential sampling",
    }
    project = client.ensure(
        lambda: _find(client, "/api/projects", {"title": title}, results="results"),
        lambda: client.post("/api/projects", {"title": title, **fields}),
    )
    client.patch(f"/api/projects/{project['id']}", fields)
    _serve_images(client, project["id"], template.images)
    if template.sam_url:
        _connect_sam(client, project["id"], template.sam_url)
        _call_back(client, project["id"], f"{template.sam_url}/webhook")
    return int(project["id"])


def require(client: LabelStudio, project: int) -> dict[str, Any]:
    """Return a project of the manifest; raises ValueError with the remedy where it is gone."""
    try:
        return client.get(f"/api/projects/{project}")
    except NotFoundError:
        raise ValueError(
            f"{client.who}: project {project} of data/label_studio/manifest.json is not on {client.url}; "
            f"restore the server's database, or push again, which starts a new and empty project"
        ) from None


def _find(
    client: LabelStudio, path: str, wanted: dict[str, Any], results: str = "", **params: Any
) -> dict[str, Any] | None:
    """Return the oldest entry of a list that has the wanted fields."""
    entries = list(client.pages(path, results, **params)) if results else client.get(path, **params)
    alike = [entry for entry in entries if all(entry.get(name) == value for name, value in wanted.items())]
    return min(alike, key=lambda entry: entry["id"], default=None)


def _serve_images(client: LabelStudio, project: int, images: Path) -> None:
    """Declare the folder of images, without which the server hides them from the reader."""
    path = "/api/storages/localfiles"
    body = {"project": project, "path": str(images), "title": "images", "use_blob_urls": True}
    client.ensure(lambda: _find(client, path, {"path": str(images)}, project=project), lambda: client.post(path, body))


def hide_columns(client: LabelStudio, project: int) -> None:
    """Leave the reader's list of tasks a number and whether it is done: nothing else there is his business.

    To be called when the tasks are there, since their data are columns too.
    """
    columns = client.get("/api/dm/columns", project=project)["columns"]
    hidden = [column_name(one) for one in columns if one["id"] not in SHOWN_COLUMNS]
    data = {"title": "Tasks", "type": "list", "target": "tasks", "hiddenColumns": dict.fromkeys(DISPLAYS, hidden)}
    views = client.get("/api/dm/views", project=project)
    if not views:
        client.ensure(
            lambda: next(iter(client.get("/api/dm/views", project=project)), None),
            lambda: client.post("/api/dm/views", {"project": project, "data": data}),
        )
    for view in views:
        if view["data"].get("hiddenColumns") != data["hiddenColumns"]:
            client.patch(f"/api/dm/views/{view['id']}", {"data": {**view["data"], **data}})


def column_name(column: dict[str, Any]) -> str:
    """Return the name by which views know a column."""
    within = f"{column['parent']}." if column.get("parent") else ""
    return f"{column['target']}:{within}{column['id']}"


def _connect_sam(client: LabelStudio, project: int, url: str) -> None:
    """Register the backend for clicks; one registered at another address is moved."""
    body = {"project": project, "url": url, "title": "SAM", "is_interactive": True, "timeout": BACKEND_SECONDS}
    try:
        backend = client.ensure(
            lambda: _find(client, "/api/ml", {"title": "SAM"}, project=project), lambda: client.post("/api/ml", body)
        )
        if backend["url"] != url or not backend["is_interactive"]:
            client.patch(f"/api/ml/{backend['id']}", body)
    except ValueError as error:
        raise ValueError(f"{error}; is the SAM backend up at {url}? make label-studio starts it") from None


def _call_back(client: LabelStudio, project: int, url: str) -> None:
    """Let the server tell of each annotation, so that nobody has to ask every minute."""
    body = {
        "project": project,
        "url": url,
        "send_payload": False,
        "send_for_all_actions": False,
        "actions": WEBHOOK_ACTIONS,
    }
    hook = client.ensure(
        lambda: _find(client, "/api/webhooks", {"project": project}, project=project),
        lambda: client.post("/api/webhooks", body),
    )
    if hook["url"] != url:
        client.patch(f"/api/webhooks/{hook['id']}", {"url": url, "actions": WEBHOOK_ACTIONS})
