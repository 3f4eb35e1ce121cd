"""Train the classifier of diseases on public phantoms and measure it on others (resumable)."""

from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer

from mema.runtime import stage
from mema.runtime.durable import write_json
from models.diseases import DISEASES, SEVERITIES
from models.judges.disease_classifier import (
    DiseaseClassifier,
    load_classifier,
    predict,
    save_classifier,
    train_classifier,
)
from models.statistics.leakage import wilson_interval
from phantom.params import load_twins
from phantom.stages.twin_photos import joined, rendered, unfinished
from phantom.twins.data import PhantomPhotos


def main(
    classifier: Annotated[Path, typer.Option(help="Folder for weights and config to write.")],
    metrics: Annotated[Path, typer.Option(help="Metrics JSON to write.")],
    params: Annotated[Path, typer.Option(help="The twins' parameters.")] = Path("data/phantom/params.yaml"),
    scratch: Annotated[Path, typer.Option(help="Checkpoints and rendered photos.")] = Path(".scratch/twins"),
) -> None:
    """Train, save, and report how many photos of unseen people are recognised, by disease and severity."""
    p = load_twins(params).twin_classifier
    photos = joined(scratch, p.photos, p.image_size_px)
    torch.manual_seed(p.seed)
    network = DiseaseClassifier()
    kept = unfinished(scratch, "twin_classifier", section=p) / "classifier.pt"
    train_classifier(
        network, photos.images, photos.disease, steps=p.steps, batch_size=p.batch_size,
        learning_rate=p.learning_rate, seed=p.seed, checkpoint=kept,
    )  # fmt: skip
    save_classifier(network, classifier)
    report = quality(classifier, rendered(scratch, p.unseen, p.image_size_px))
    print(report, flush=True)
    write_json(metrics, report)


def quality(classifier: Path, unseen: PhantomPhotos) -> dict:
    """Return the share recognised by disease and by severity, and the mean over the diseases."""
    found = predict(load_classifier(classifier), unseen.images).argmax(1)
    right = found == unseen.disease
    diseases = {name: _share(right[unseen.disease == k]) for k, name in enumerate(DISEASES)}
    severities = {name: _share(right[unseen.severity == s]) for s, name in enumerate(SEVERITIES)}
    rates = [disease["rate"] for disease in diseases.values() if disease["n"]]
    confusion = np.zeros((len(DISEASES), len(DISEASES)), int)
    np.add.at(confusion, (unseen.disease, found), 1)
    return {
        "n": len(right), "disease": diseases, "confusion": confusion.tolist(),
        "macro_accuracy": round(float(np.mean(rates)), 4), "severity": severities,
    }  # fmt: skip


def _share(right: np.ndarray) -> dict:
    low, high = wilson_interval(int(right.sum()), len(right))
    rate = round(float(right.mean()), 4) if len(right) else None
    return {"n": len(right), "rate": rate, "ci95": [round(low, 4), round(high, 4)]}


if __name__ == "__main__":
    stage.start(main)
