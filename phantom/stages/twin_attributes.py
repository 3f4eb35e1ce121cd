"""Train the age and gender twin on public phantoms and measure it through DeepFace on others (resumable)."""

from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer

from mema.runtime import stage
from mema.runtime.durable import write_json
from models.attributes.deepface import estimate
from models.diseases import GENDERS
from models.statistics.leakage import wilson_interval
from phantom.params import load_twins
from phantom.stages.twin_photos import joined, rendered, unfinished
from phantom.twins.attributes.export import export_deepface
from phantom.twins.attributes.network import AttributeNet
from phantom.twins.attributes.training import train_attributes
from phantom.twins.data import PhantomPhotos


def main(
    deepface: Annotated[Path, typer.Option(help="Home folder for DeepFace to write.")],
    metrics: Annotated[Path, typer.Option(help="Metrics JSON to write.")],
    params: Annotated[Path, typer.Option(help="The twins' parameters.")] = Path("data/phantom/params.yaml"),
    scratch: Annotated[Path, typer.Option(help="Checkpoints and rendered photos.")] = Path(".scratch/twins"),
) -> None:
    """Train, save as DeepFace loads it, and report age error and gender accuracy on people it never saw."""
    p = load_twins(params).twin_attributes
    photos = joined(scratch, p.photos, p.image_size_px)
    torch.manual_seed(p.seed)
    network = AttributeNet()
    kept = unfinished(scratch, "twin_attributes", section=p) / "attributes.pt"
    train_attributes(
        network, photos.images, photos.age, photos.gender, steps=p.steps, batch_size=p.batch_size,
        learning_rate=p.learning_rate, seed=p.seed, checkpoint=kept,
    )  # fmt: skip
    export_deepface(network, deepface)
    report = quality(deepface, rendered(scratch, p.unseen, p.image_size_px))
    print(report, flush=True)
    write_json(metrics, report)


def quality(deepface: Path, unseen: PhantomPhotos) -> dict:
    """Return age error and gender accuracy of the files; people are the sample, their photos averaged."""
    ages, genders = estimate(list(unseen.images), deepface)
    people = int(unseen.identity.max()) + 1
    shots = np.bincount(unseen.identity)
    error = np.bincount(unseen.identity, np.abs(ages - unseen.age)) / shots
    right = (
        np.bincount(unseen.identity, [GENDERS.index(g) == t for g, t in zip(genders, unseen.gender, strict=True)])
        / shots
    )
    half = 1.96 * float(error.std(ddof=1)) / people**0.5
    low, high = wilson_interval(float(right.sum()), people)
    mean = float(error.mean())
    return {
        "identities": people, "photos": len(ages),
        "age_error_years": {"mean": round(mean, 3), "ci95": [round(mean - half, 3), round(mean + half, 3)]},
        "gender_accuracy": {"rate": round(float(right.mean()), 4), "ci95": [round(low, 4), round(high, 4)]},
    }  # fmt: skip


if __name__ == "__main__":
    stage.start(main)
