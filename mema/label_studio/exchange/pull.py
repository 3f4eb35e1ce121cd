"""Out of Label Studio: a snapshot per reader, checked against what was pushed.

A snapshot rather than pages of tasks: the server writes it within one transaction, with skipped tasks and
whole results (its task list cuts nothing either, but moves under the reader's hands while it is paged), and
its MD5 tells a download cut short. A draft that was never submitted is no annotation.
"""

import hashlib
import json
import logging
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from mema.label_studio.exchange.client import LabelStudio, UnclearError, check_version
from mema.label_studio.exchange.manifest import NAME, read_manifest
from mema.label_studio.exchange.project import require
from mema.label_studio.server.access import Target
from mema.label_studio.server.places import Places
from mema.project import dvc
from mema.runtime import durable
from models.annotation.manifest import Reader

EXPORT_SECONDS = 1800
ABANDONED_SECONDS = 300  # a snapshot whose server was killed stays "in progress" for ever
POLL_SECONDS = 2.0
REMOTE = "restricted"
OPTIONS = {
    "task_filter_options": {},
    "annotation_filter_options": {"usual": True, "ground_truth": True, "skipped": True},
    "serialization_options": {
        "drafts": {"only_id": True},
        "predictions": {"only_id": True},
        "annotations__completed_by": {"only_id": True},
    },
}
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Counts:
    """What became of one reader's tasks: each is in one of the first four."""

    annotated: int
    skipped: int
    open: int
    missing: int  # on the plan, but no longer on the server
    foreign: int  # on the server, but not on the plan


def pull(out: Path, target: Target, *, fewer: bool = False) -> dict[str, Counts]:
    """Write export-<reader>.json for each reader of the manifest, and proposals.jsonl; return the counts.

    Nothing is dropped here: what is missing or foreign is counted, and judged by the stage `annotations`.
    Raises ValueError, and writes nothing, where a task that was answered at the last pull is not any more,
    unless `fewer` allows it: a lost database or a reader's slip would overwrite what is safe here.
    """
    check_version(target.url)
    manifest = read_manifest(out)
    exports = {}
    for name, reader in manifest.readers.items():
        with target.client(name) as client:
            require(client, reader.project)
            exports[name] = snapshot(client, reader.project)
        lost = answered(_last(out, name)) - answered(exports[name])
        if lost and not fewer:
            raise ValueError(
                f"{name}: {len(lost)} tasks that were answered at the last pull are not on {target.url} any "
                f"more, {min(lost)} first; nothing was overwritten. Restore the server's database; if they were "
                f"taken back on purpose: mema annotate pull --fewer"
            )
    for name, export in exports.items():
        durable.write_text(out / f"export-{name}.json", json.dumps(export, ensure_ascii=False) + "\n")
    copy_proposals(target.places, out)
    return {name: account_for(manifest.readers[name], export) for name, export in exports.items()}


def answered(export: list[dict[str, Any]]) -> set[str]:
    """Return the keys of the tasks that a reader has answered or skipped."""
    return {str(task["data"].get("key", "")) for task in export if state_of(task) != "open"}


def _last(out: Path, name: str) -> list[dict[str, Any]]:
    """Return what was pulled last; nothing where there is none, or none that can be read."""
    try:
        return json.loads((out / f"export-{name}.json").read_text())
    except (FileNotFoundError, ValueError):
        return []


def account_for(reader: Reader, export: list[dict[str, Any]]) -> Counts:
    """Say for each task of the plan what became of it."""
    planned = {task.key for task in reader.tasks}
    states = {str(task["data"].get("key", "")): state_of(task) for task in export}
    tally = Counter(states.get(key, "missing") for key in planned)
    foreign = sum(str(task["data"].get("key", "")) not in planned for task in export)
    return Counts(tally["annotated"], tally["skipped"], tally["open"], tally["missing"], foreign)


def state_of(task: dict[str, Any]) -> str:
    """Return annotated, skipped or open; a draft alone leaves a task open."""
    annotations = task.get("annotations", [])
    if any(not annotation.get("was_cancelled") for annotation in annotations):
        return "annotated"
    return "skipped" if annotations else "open"


def snapshot(client: LabelStudio, project: int, sleep: Callable[[float], None] = time.sleep) -> list[dict[str, Any]]:
    """Let the server write a snapshot of a project, download it whole, and delete it there."""
    path = f"/api/projects/{project}/exports/"
    entry = _finished(client, path, sleep)
    try:
        return json.loads(_download(client, f"{path}{entry['id']}", entry.get("md5", "")))
    finally:
        client.delete(f"{path}{entry['id']}")


def _finished(client: LabelStudio, path: str, sleep: Callable[[float], None]) -> dict[str, Any]:
    """Ask for a snapshot and wait for its end; without Redis the server writes it within the request.

    After an unclear failure the snapshot may still be under way: it is found again by its title.
    """
    title = f"pull {uuid4().hex[:8]}"
    for _ in range(3):
        try:
            client.post(path, {"title": title, **OPTIONS}, timeout_seconds=EXPORT_SECONDS)
        except UnclearError as error:
            log.warning("%s; looking whether the snapshot was made", error)
        entry = _await(client, path, title, sleep)
        if entry is not None:
            return entry
    raise ValueError(f"{client.who}: {client.url} makes no snapshot; look at the server's log")


def _await(client: LabelStudio, path: str, title: str, sleep: Callable[[float], None]) -> dict[str, Any] | None:
    """Return the completed snapshot; None where there is none, or where it failed or its server died."""
    deadline = time.monotonic() + ABANDONED_SECONDS
    while time.monotonic() < deadline:
        entry = next((item for item in client.get(path) if item["title"] == title), None)
        if entry is None or entry["status"] == "failed":
            return None
        if entry["status"] == "completed":
            return entry
        sleep(POLL_SECONDS)
    return None


def _download(client: LabelStudio, path: str, md5: str) -> bytes:
    data = bytearray()
    for _ in range(3):
        client.download(f"{path}/download?exportType=JSON", data.extend, data.clear)
        if not md5 or hashlib.md5(data, usedforsecurity=False).hexdigest() == md5:
            return bytes(data)
        log.warning("%s: the download differs from the server's file, once more", path)
    raise ValueError(f"{client.who}: {client.url}{path} arrives damaged three times; look at the network")


def copy_proposals(places: Places, out: Path) -> None:
    """Copy the SAM backend's log, less a last line that is being written; no log makes an empty copy."""
    data = places.proposals.read_bytes() if places.proposals.exists() else b""
    whole = data[: data.rfind(b"\n") + 1]
    durable.write_text(out / "proposals.jsonl", whole.decode(errors="replace"))


def version(out: Path) -> Path:
    """Let DVC version what was pulled, for the remote `restricted`; return the file that names it."""
    pointer = dvc.add(out, REMOTE)
    (out / NAME).chmod(0o600)  # DVC may have put its own copy there
    return pointer
