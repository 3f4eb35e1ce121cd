"""Stage train_judges: DINOv2 for the eight diseases and nnU-Net's architecture for tumours, on originals."""

import shutil
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from mema.params import load
from mema.params.deidentify import TrainJudges
from mema.runtime import durable, entry, shards, stage
from models.diseases import DISEASES
from models.judges.lesion_segmenter import (
    LesionSegmenter,
    SegmenterTraining,
    dice_and_jaccard,
    load_lesion_segmenter,
    save_lesion_segmenter,
    train_lesion_segmenter,
    write_config,
)
from models.judges.sign_classifier import (
    Faces,
    FineTuning,
    SignClassifier,
    load_sign_classifier,
    save_sign_classifier,
    train_sign_classifier,
)
from models.statistics.bootstrap import mean_with_interval
from models.statistics.recall import top1
from tasks.deidentify.judged_images import faces, outlined

STAGE = "train_judges"
NO_OUTLINES = "MeMa-Seg has no training image in this profile"


def train_classifier(mema: Path, scratch: Path, section: TrainJudges) -> tuple[SignClassifier, dict[str, Any]]:
    """Fine-tune on `train`, choose the step on `select`; `val` is not read here."""
    part = section.classifier
    tuning = FineTuning(
        steps=part.steps, batch_size=part.batch_size, learning_rate=part.learning_rate,
        layer_decay=part.layer_decay, weight_decay=part.weight_decay, label_smoothing=part.label_smoothing,
        check_every=part.check_every, seed=section.seed,
    )  # fmt: skip
    return train_sign_classifier(
        section.dinov2, faces(mema / "train", part.image_size_px), faces(mema / "select", part.image_size_px),
        tuning, size_px=part.image_size_px, checkpoint=scratch / "classifier.pt",
    )  # fmt: skip


def train_segmenter(mema_seg: Path, scratch: Path, section: TrainJudges) -> LesionSegmenter | str:
    """Train on MeMa-Seg's training split; return the reason where it is empty."""
    part = section.segmenter
    examples = outlined(mema_seg / "train", part.image_size_px)
    if not len(examples.images):
        return NO_OUTLINES
    training = SegmenterTraining(
        filters=part.filters, steps=part.steps, batch_size=part.batch_size,
        learning_rate=part.learning_rate, seed=section.seed,
    )  # fmt: skip
    return train_lesion_segmenter(examples, training, checkpoint=scratch / "segmenter.pt")


def publish(classifier: SignClassifier, segmenter: LesionSegmenter | str, judges: Path, section: TrainJudges) -> None:
    """Put both judges at `judges` in one rename."""
    incoming = judges.with_name(f".{judges.name}.incoming")
    shutil.rmtree(incoming, ignore_errors=True)
    save_sign_classifier(classifier, incoming / "classifier")
    if isinstance(segmenter, str):
        write_config(incoming / "segmenter", {"reason": segmenter})
    else:
        save_lesion_segmenter(segmenter, section.segmenter.filters, incoming / "segmenter")
    shutil.rmtree(judges, ignore_errors=True)
    incoming.replace(judges)


def measure(judges: Path, mema: Path, mema_seg: Path, section: TrainJudges) -> dict[str, Any]:
    """Return what the saved judges read on `select` and on the untouched `val`."""
    classifier = load_sign_classifier(judges / "classifier")

    def recall(split: Faces) -> dict[str, Any]:
        found = classifier.predict(split.images).argmax(1)
        return top1(found, split.disease, DISEASES, seed=section.seed, num_resamples=section.bootstrap)

    splits = {name: faces(mema / name, section.classifier.image_size_px) for name in ("select", "val")}
    report: dict[str, Any] = {"top1": {name: recall(split) for name, split in splits.items()}}
    segmenter = load_lesion_segmenter(judges / "segmenter")
    if isinstance(segmenter, str):
        return report | {"segmenter": {"reason": segmenter}}
    held_out = outlined(mema_seg / "val", section.segmenter.image_size_px)
    masks = segmenter.segment(list(held_out.images))
    overlaps = np.array([dice_and_jaccard(*pair) for pair in zip(masks, held_out.masks, strict=True)]).reshape(-1, 2)
    known = overlaps[~np.isnan(overlaps[:, 0])]
    report["segmenter"] = {
        name: mean_with_interval(known[:, k], seed=section.seed, num_resamples=section.bootstrap)
        for k, name in enumerate(("dice", "jaccard"))
    }
    return report


def run(mema: Path, mema_seg: Path, judges: Path, metrics: Path, section: TrainJudges) -> int:
    """Train both judges, going on where a killed run stopped; return the number of training images."""
    fingerprint = entry.fingerprint(STAGE, mema, mema_seg, Path(section.dinov2), section=section)
    scratch = shards.SCRATCH / f"{STAGE}-{fingerprint}"
    classifier, chosen = train_classifier(mema, scratch, section)
    segmenter = train_segmenter(mema_seg, scratch, section)
    publish(classifier, segmenter, judges, section)
    report = {"chosen": chosen, **measure(judges, mema, mema_seg, section)}
    durable.write_json(metrics, report)
    shards.clear_scratch(STAGE)
    return shards.read_table(mema / "train", columns=["disease"]).num_rows


def main(
    mema: Annotated[Path, typer.Option(help="folder of train, select and val")],
    mema_seg: Annotated[Path, typer.Option(help="folder of train and val, with masks")],
    judges: Annotated[Path, typer.Option(help="out: folder of classifier and segmenter")],
    metrics: Annotated[Path, typer.Option(help="out: top-1 and overlaps on originals as JSON")],
) -> None:
    """Train the judges of medical utility on the originals."""
    section = load(Path("params.yaml")).train_judges
    with shards.timing(STAGE) as record:
        record.images = run(mema, mema_seg, judges, metrics, section)


if __name__ == "__main__":
    stage.start(main)
