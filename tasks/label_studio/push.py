"""Images and tasks into Label Studio: a project per reader, blind to the others; repeating it after a kill is safe."""

import fcntl
import logging
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from models.annotation.manifest import Assigned, Manifest, Reader, Round
from models.conditions import DISEASES
from tasks.label_studio import interface
from tasks.label_studio.access import Target, target_here
from tasks.label_studio.client import ForbiddenError, NotFoundError, check_version
from tasks.label_studio.imports import existing_tasks, import_missing
from tasks.label_studio.manifest import read_manifest, remember
from tasks.label_studio.places import ROOT, SERVED_LINK, Places
from tasks.label_studio.project import Template, set_up
from tasks.label_studio.reading import PlannedTask, reading_order, task_key
from tasks.label_studio.task_data import Notes, pictures, read_notes, write_images
from tasks.params import Annotate, load

log = logging.getLogger(__name__)


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
    with _alone(target.places):
        version = check_version(target.url)
        notes = read_notes(images, subset, show_intended=annotate.show_intended_label)
        write_images(images, target.places.files)
        template = _template(annotate, target, examples)
        for name in annotate.readers:
            entry = _push_reader(name, "reading", list(notes), notes, annotate, target, template)
            remember(out, version, name, entry)
        manifest = read_manifest(out)
        check_blind(manifest, target)
        return manifest


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
    with _alone(target.places):
        version = check_version(target.url)
        notes = read_notes(images, subset, show_intended=annotate.show_intended_label)
        unknown = sorted(set(image_ids) - set(notes))
        if unknown:
            raise ValueError(f"image_ids: {len(unknown)} are not in {images}, such as {unknown[0]}")
        write_images(images, target.places.files, only=set(image_ids))
        template = _template(annotate, target, examples)
        name = annotate.senior
        entry = _push_reader(name, "adjudication", image_ids, notes, annotate, target, template)
        remember(out, version, name, entry)
        manifest = read_manifest(out)
        check_blind(manifest, target)
        return manifest


def _push_reader(
    name: str,
    round_: Round,
    image_ids: Sequence[str],
    notes: Mapping[str, Notes],
    annotate: Annotate,
    target: Target,
    template: Template,
) -> Reader:
    """Bring one reader's project up to the plan; return the manifest's entry."""
    account = target.account(name)
    with target.client(name) as client:
        project = set_up(client, round_, template)
        present = existing_tasks(client, project)
        plan = reading_order(
            image_ids,
            name,
            seed=annotate.seed,
            repeat_share=annotate.repeat_share if round_ == "reading" else 0.0,
            repeated=[i for i in image_ids if task_key(annotate.seed, name, i, 1) in present],
        )
        _check_known(name, present, plan)
        import_missing(client, project, plan, notes, present)
    return Reader(
        email=account.email,
        user_id=account.user_id,
        project=project,
        round=round_,
        tasks=tuple(Assigned(key=task.key, image_id=task.image_id, copy=task.copy) for task in plan),
    )


def _check_known(name: str, present: Mapping[str, str], plan: Sequence[PlannedTask]) -> None:
    """Refuse another seed over tasks that are there; tasks of images no longer selected only get a warning."""
    keys, image_ids = {task.key for task in plan}, {task.image_id for task in plan}
    unknown = [image_id for key, image_id in present.items() if key not in keys]
    if any(image_id in image_ids for image_id in unknown):
        raise ValueError(
            f"annotate.seed: the tasks of {name} were pushed with another seed, so every image would come "
            f"twice; put the old seed back, or delete the project in Label Studio"
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


def main(
    selected: Annotated[Path, typer.Option(help="images to annotate")] = Path("data/selected"),
    subset: Annotated[Path, typer.Option(help="table of prelabel")] = Path("data/prelabel/subset.parquet"),
    kept: Annotated[Path, typer.Option(help="where spare pictures are")] = Path("data/screened/kept"),
    examples: Annotated[Path, typer.Option(help="<disease>.png for the instructions")] = ROOT / "examples",
    out: Annotated[Path, typer.Option(help="out: folder of the manifest")] = Path("data/label_studio"),
    root: Annotated[Path, typer.Option(help="Label Studio's folder")] = ROOT,
    adjudicate: Annotated[
        Path | None, typer.Option(help="file of image ids, one a line, for the senior; else the readers")
    ] = None,
    sam: Annotated[bool, typer.Option(help="register the SAM backend of MEMA_SAM_PORT")] = True,
) -> None:
    """Push what params.yaml's section annotate says; repeating it adds only what is missing."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    annotate, target = load().annotate, target_here(root, sam=sam)
    shown = read_examples(examples, kept, selected)
    if adjudicate:
        ids = adjudicate.read_text().split()
        manifest = push_adjudication(ids, selected, subset, out, annotate, target, shown)
    else:
        manifest = push(selected, subset, out, annotate, target, shown)
    for name, reader in manifest.readers.items():
        print(f"{name}: {len(reader.tasks)} tasks at {target.url}/projects/{reader.project}")


if __name__ == "__main__":
    try:
        typer.run(main)
    except ValueError as error:
        sys.exit(str(error))
