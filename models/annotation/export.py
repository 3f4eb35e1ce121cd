"""A project's export -> votes, and everything in it that is no vote, each with a reason."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from models.annotation.manifest import Assigned, Reader
from models.annotation.opinion import Opinion, UnusableOpinion, read_opinion
from models.annotation.provenance import ACCEPTED, ProposalLog, provenance
from models.segmentation.masks import encode_mask

REASONS = (
    "task_deleted", "unknown_task", "not_a_reader", "duplicate_annotation", "empty_submit", "unknown_label",
    "mask_size", "rotated_image", "rle_damaged", "malformed",
)  # fmt: skip
PROMPT_WITHOUT_MASK = "prompt_without_mask"
FINDINGS = (PROMPT_WITHOUT_MASK,)
Json = Mapping[str, Any]


@dataclass(frozen=True)
class Unusable:
    """Something in an export that counts nowhere, or, as a finding, a vote that may have lost something."""

    reader: str
    key: str
    image_id: str
    reason: str
    detail: str


@dataclass(eq=False)
class Reading:
    """What became of one reader's tasks: each is a vote, skipped, missing, or stands in `unusable`."""

    votes: list[dict[str, Any]] = field(default_factory=list)
    unusable: list[Unusable] = field(default_factory=list)
    skipped: int = 0
    missing: int = 0
    retired: int = 0  # answers on images that are no longer selected
    findings: list[Unusable] = field(default_factory=list)  # about votes that count
    offered: int = 0  # votes on images for which the machine proposed a mask to this reader
    accepted: int = 0  # of those, the ones that hand in a proposed mask as it was


def read_export(
    tasks: Any, name: str, reader: Reader, size_px: Mapping[str, tuple[int, int]], log: ProposalLog
) -> Reading:
    """Return one reader's votes and what is no vote, in the manifest's order.

    `tasks` is Label Studio's JSON, `size_px` (height, width) of every image. Of several annotations of a
    task the latest usable one counts.
    """
    if not isinstance(tasks, list):
        raise ValueError(f"export-{name}.json: {type(tasks).__name__} where Label Studio writes a list of tasks")
    reading = Reading()
    exported = _by_key(tasks, name, {task.key: task for task in reader.known}, reading)
    reading.retired = sum(bool(exported.get(task.key)) for task in reader.retired)
    for task in reader.tasks:
        if task.key not in exported:
            reading.unusable.append(Unusable(name, task.key, task.image_id, "task_deleted", "not in the export"))
            continue
        _read_task(exported[task.key], name, reader, task, size_px[task.image_id], reading, log)
    return reading


def _by_key(tasks: list[Any], name: str, assigned: Mapping[str, Assigned], reading: Reading) -> dict[str, list[Any]]:
    """Return the annotations of each task that the manifest knows; a task imported twice is one."""
    exported: defaultdict[str, list[Any]] = defaultdict(list)
    for task in tasks:
        try:
            key, image_id = str(task["data"].get("key", "")), task["data"].get("image_id")
            annotations = list(task.get("annotations") or [])
        except (AttributeError, KeyError, TypeError) as error:
            reading.unusable.append(Unusable(name, "", "", "malformed", f"task: {type(error).__name__} {error}"))
            continue
        # Tasks say no more which image they show; those of earlier pushes did.
        if key not in assigned or image_id not in (None, assigned[key].image_id):
            detail = f"task {task.get('id')}: " + ("another image" if key in assigned else "not in the manifest")
            reading.unusable.append(Unusable(name, key, str(image_id or ""), "unknown_task", detail))
        else:
            exported[key] += annotations
    return exported


def _read_task(
    annotations: list[Any],
    name: str,
    reader: Reader,
    task: Assigned,
    size_px: tuple[int, int],
    reading: Reading,
    log: ProposalLog,
) -> None:
    """Put one task's annotations into `reading`; a skip counts only where nothing usable was submitted."""
    usable, faults = [], []
    for annotation in sorted(annotations, key=_moment, reverse=True):
        try:
            usable.append((annotation, _opinion(annotation, reader, size_px)))
        except UnusableOpinion as error:
            faults.append(error)
    usable.sort(key=lambda pair: pair[1] is None)
    faults += [UnusableOpinion("duplicate_annotation", "another one counts")] * (len(usable) - 1)
    reading.unusable += [Unusable(name, task.key, task.image_id, one.reason, one.detail) for one in faults]
    reading.missing += not annotations
    for annotation, opinion in usable[:1]:
        if opinion is None:
            reading.skipped += 1
            continue
        shown = log.of(reader.project, task.image_id)
        kind = provenance(opinion.regions, shown)
        if opinion.prompted and not opinion.regions:
            detail = "a click or box was submitted whose outline was never taken"
            reading.findings.append(Unusable(name, task.key, task.image_id, PROMPT_WITHOUT_MASK, detail))
        reading.votes.append(_vote(name, reader, task, annotation, opinion) | {"mask_provenance": kind})
        reading.offered += bool(shown)
        reading.accepted += kind == ACCEPTED


def _opinion(annotation: Any, reader: Reader, size_px: tuple[int, int]) -> Opinion | None:
    """Return an annotation's opinion, None for a task that was skipped; raises UnusableOpinion."""
    if not isinstance(annotation, Mapping):
        raise UnusableOpinion("malformed", f"annotation: {type(annotation).__name__}")
    if not reader.owns(annotation.get("completed_by")):
        raise UnusableOpinion("not_a_reader", f"annotation {annotation.get('id')} by another account")
    if annotation.get("was_cancelled"):
        return None
    return read_opinion(annotation.get("result"), size_px)


def _moment(annotation: Any) -> tuple[str, int]:
    """Return what orders annotations in time: Label Studio's ISO times sort as text."""
    if not isinstance(annotation, Mapping):
        return "", 0
    number = annotation.get("id")
    moment = annotation.get("updated_at") or annotation.get("created_at") or ""
    return str(moment), number if isinstance(number, int) else 0


def _vote(name: str, reader: Reader, task: Assigned, annotation: Json, opinion: Opinion) -> dict[str, Any]:
    seconds = annotation.get("lead_time")
    return {
        "image_id": task.image_id,
        "reader": name,
        "round": reader.round,
        "copy": task.repeat,
        "disease": opinion.disease,
        "severity": opinion.severity,
        "quality": opinion.quality,
        "quality_reason": opinion.quality_reason,
        "confidence": opinion.confidence,
        "comment": opinion.comment,
        "lead_time_seconds": float(seconds) if isinstance(seconds, int | float) else None,
        "mask": None if opinion.mask is None else encode_mask(opinion.mask),
    }
