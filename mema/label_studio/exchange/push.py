"""Images and tasks into Label Studio: a project per reader, blind to the others; repeating it after a kill is safe."""

import fcntl
import logging
import re
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mema.label_studio.exchange import interface
from mema.label_studio.exchange.client import ForbiddenError, NotFoundError, check_version
from mema.label_studio.exchange.imports import existing_tasks, import_missing, renew
from mema.label_studio.exchange.manifest import known_tasks, read_manifest, remember
from mema.label_studio.exchange.project import Template, hide_columns, set_up
from mema.label_studio.exchange.reading import Lots, PlannedTask, reading_order
from mema.label_studio.exchange.task_data import pictures, read_notes, remove_undisguised, write_pictures
from mema.label_studio.server.access import Target
from mema.label_studio.server.places import SERVED_LINK, Places, read_secret
from mema.params.annotate import Annotate
from models.annotation.manifest import Assigned, Manifest, Reader, Round
from models.diseases import DISEASES

KEY = re.compile(r"[0-9a-f]{16}")
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Desk:
    """What one reader is to get, and what of it is there."""

    entry: Reader
    plan: Sequence[PlannedTask]
    present: Mapping[str, dict[str, Any]]


def push(
    images: Path,
    subset: Path | None,
    out: Path,
    annotate: Annotate,
    target: Target,
    examples: Mapping[str, bytes] | None = None,
) -> Manifest:
    """Give every reader all images of the table `images`, and write `out`/manifest.json.

    What is there already stays: a second push adds nothing, one after a kill goes on. `subset` tells on
    which images a tumour is to be outlined. `examples` are PNGs for the instructions, by disease.
    """
    return _push(annotate.readers, "reading", None, images, subset, out, annotate, target, examples)


def push_adjudication(
    image_ids: Sequence[str],
    images: Path,
    subset: Path | None,
    out: Path,
    annotate: Annotate,
    target: Target,
    examples: Mapping[str, bytes] | None = None,
) -> Manifest:
    """Give the senior the images on which the readers do not agree, each once, as blind as a reader."""
    names = (annotate.senior,)
    return _push(names, "adjudication", image_ids, images, subset, out, annotate, target, examples)


def _push(
    names: Sequence[str],
    round_: Round,
    chosen: Sequence[str] | None,
    images: Path,
    subset: Path | None,
    out: Path,
    annotate: Annotate,
    target: Target,
    examples: Mapping[str, bytes] | None,
) -> Manifest:
    """Plan for every reader of a round, write the pictures, note who gets what, then bring the tasks."""
    with _alone(target.places):
        version = check_version(target.url)
        notes = read_notes(images, subset, show_intended=annotate.show_intended_label)
        image_ids = list(notes) if chosen is None else chosen
        if unknown := sorted(set(image_ids) - set(notes)):
            raise ValueError(f"image_ids: {len(unknown)} are not in {images}, such as {unknown[0]}")
        target.places.files.mkdir(parents=True, exist_ok=True)
        template = _template(annotate, target, examples)
        desks = {name: _desk(name, round_, image_ids, out, annotate, target, template) for name in names}
        keys: defaultdict[str, list[str]] = defaultdict(list)
        for task in (task for desk in desks.values() for task in desk.plan):
            keys[task.image_id].append(task.key)
        write_pictures(images, target.places.files, keys)
        for name, desk in desks.items():  # before any task: a key in use is never unknown, nor a reader missing
            remember(out, version, name, desk.entry)
        for name, desk in desks.items():
            with target.client(name) as client:
                renew(client, desk.plan, notes, desk.present)
                import_missing(client, desk.entry.project, desk.plan, notes, desk.present)
                hide_columns(client, desk.entry.project)
        if round_ == "reading" and (old := remove_undisguised(target.places.files)):
            log.warning("%d pictures were named by their image, which told the repeats; they are renamed", old)
        manifest = read_manifest(out)
        check_blind(manifest, target)
        return manifest


def _desk(
    name: str,
    round_: Round,
    image_ids: Sequence[str],
    out: Path,
    annotate: Annotate,
    target: Target,
    template: Template,
) -> Desk:
    """Find or make one reader's project, and plan his tasks; those that were pushed before keep their keys."""
    account = target.account(name)
    known = known_tasks(out).get(name, {})
    lots = Lots(read_secret(target.places), annotate.seed, name)
    with target.client(name) as client:
        project = set_up(client, round_, template)
        present = existing_tasks(client, project)

    def key(image_id: str, copy: int) -> str:
        return known.get((image_id, copy)) or lots.key(image_id, copy)

    ordered = reading_order(
        image_ids,
        lots,
        repeat_share=annotate.repeat_share if round_ == "reading" else 0.0,
        repeated=[image_id for image_id in image_ids if key(image_id, 1) in present],
    )
    plan = [replace(task, key=key(task.image_id, task.copy)) for task in ordered]
    _check_known(name, present, plan, set(known.values()))
    tasks = [Assigned(key=task.key, image_id=task.image_id, copy=task.copy) for task in plan]
    planned = {(task.image_id, task.copy) for task in plan}
    retired = [
        Assigned(key=key, image_id=image_id, copy=copy)
        for (image_id, copy), key in known.items()
        if (image_id, copy) not in planned
    ]
    entry = Reader(
        email=account.email, user_id=account.user_id, project=project, round=round_,
        tasks=tuple(tasks), retired=tuple(retired),
    )  # fmt: skip
    return Desk(entry, plan, present)


def _check_known(name: str, present: Mapping[str, Any], plan: Sequence[PlannedTask], known: Collection[str]) -> None:
    """Refuse tasks of which nobody knows what they show; those of images no longer selected get a warning."""
    unknown = set(present) - {task.key for task in plan}
    if lost := [key for key in unknown - set(known) if KEY.fullmatch(key)]:
        raise ValueError(
            f"{name}: {len(lost)} of his tasks stand in no manifest, so every image might come twice. Put back "
            f"manifest.json, and secret in Label Studio's folder (and annotate.seed, if it was another), or "
            f"delete the project in Label Studio and lose its answers"
        )
    if unknown:
        log.warning("%s: %d tasks are of images no longer selected; they stay", name, len(unknown))


def check_blind(manifest: Manifest, target: Target) -> None:
    """Let each reader try the next one's project; raises ValueError where the server shows it."""
    names = list(manifest.readers)
    for name, other in zip(names, names[1:] + names[:1], strict=True):
        if name == other:
            continue
        with target.client(name) as client:
            for path in ("/api/dm/project", "/api/tasks"):
                try:
                    client.get(path, project=manifest.readers[other].project)
                except (NotFoundError, ForbiddenError):
                    continue
                raise ValueError(
                    f"{target.url}: shows the project of {other} to {name}, so nobody is blind; the server was "
                    f"not started by make label-studio. Stop it, and start it so"
                )


def _template(annotate: Annotate, target: Target, examples: Mapping[str, bytes] | None) -> Template:
    return Template(
        label_config=interface.labeling_config(),
        instructions=interface.instructions(examples or {}),
        images=target.places.served.resolve() / SERVED_LINK,
        show_predictions=annotate.show_intended_label,
        sam_url=target.sam_url,
    )


@contextmanager
def _alone(places: Places) -> Iterator[None]:
    """Hold the lock of the pushes: two at once would each add what the other has not added yet."""
    places.root.mkdir(parents=True, exist_ok=True)
    with (places.root / "push.lock").open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise ValueError(f"{handle.name}: another push runs; wait until it ends") from None
        yield


def read_examples(folder: Path, kept: Path, selected: Path) -> dict[str, bytes]:
    """Return <disease>.png of a folder; without the folder, screened images that were not selected."""
    if not folder.is_dir():
        return pictures(kept, selected, DISEASES) if kept.is_dir() else {}
    files = {disease: folder / f"{disease}.png" for disease in DISEASES}
    return {disease: file.read_bytes() for disease, file in files.items() if file.exists()}
