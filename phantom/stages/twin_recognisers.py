"""Train the three recogniser twins on public phantoms and measure them on others (resumable)."""

from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer

from mema.runtime import stage
from mema.runtime.durable import write_json
from models.identity.network import INPUT_PX, build_recogniser
from models.identity.recogniser import load_recogniser
from models.statistics.leakage import wilson_interval
from phantom.params import RecogniserTwin, load_twins
from phantom.stages.twin_photos import rendered, unfinished
from phantom.twins.data import PhantomPhotos
from phantom.twins.identity.training import equal_error_rate, pair_similarities, tar_at_fmr, train_recogniser
from phantom.twins.onnx_export import export_onnx


def main(
    recognisers: Annotated[Path, typer.Option(help="Folder of ONNX files to write.")],
    metrics: Annotated[Path, typer.Option(help="Metrics JSON to write.")],
    params: Annotated[Path, typer.Option(help="The twins' parameters.")] = Path("data/phantom/params.yaml"),
    scratch: Annotated[Path, typer.Option(help="Checkpoints and rendered photos.")] = Path(".scratch/twins"),
) -> None:
    """Train each by its loss, save it as insightface's model zoo loads it, verify unseen people."""
    p = load_twins(params).twin_recognisers
    photos = rendered(scratch, p.photos, p.image_size_px)
    unseen = rendered(scratch, p.unseen, p.image_size_px)
    kept, report = unfinished(scratch, "twin_recognisers", section=p), {}
    for loss in ("arcface", "cosface", "sphereface"):
        twin: RecogniserTwin = getattr(p, loss)
        path = recognisers / f"{loss}.onnx"
        train(loss, twin, photos, path, kept / f"{loss}.pt")
        report[loss] = verification(path, unseen)
        print(loss, report[loss], flush=True)
    write_json(metrics, report)


def train(loss: str, twin: RecogniserTwin, photos: PhantomPhotos, path: Path, checkpoint: Path) -> None:
    """Train one recogniser by its loss, from `checkpoint` on, and write it as insightface's zoo loads it."""
    network = build_recogniser(twin.seed, twin.widths, twin.depths, twin.pooling)
    train_recogniser(
        network, photos.images, photos.identity, loss=loss, margin=twin.margin, scale=twin.scale,
        steps=twin.steps, batch_size=twin.batch_size, learning_rate=twin.learning_rate, seed=twin.seed,
        checkpoint=checkpoint,
    )  # fmt: skip
    export_onnx(network, path, torch.zeros(1, 3, INPUT_PX, INPUT_PX), alignment="frame")


def verification(path: Path, unseen: PhantomPhotos) -> dict:
    """Return the rates of true matches at false match rates, each with an interval over the unseen people."""
    embeddings = load_recogniser(path).embed(unseen.images)
    genuine, impostor = pair_similarities(embeddings, unseen.identity)
    people = int(unseen.identity.max()) + 1
    result: dict = {
        "identities": people, "photos": len(embeddings), "genuine_pairs": len(genuine),
        "impostor_pairs": len(impostor), "equal_error_rate": round(equal_error_rate(genuine, impostor), 5),
        "mean_genuine": round(float(np.mean(genuine)), 4),
        "mean_impostor": round(float(np.mean(impostor)), 4),
    }  # fmt: skip
    for name, fmr in (("1e-3", 1e-3), ("1e-4", 1e-4)):
        tar = tar_at_fmr(genuine, impostor, fmr)
        # Pairs of the same person depend on one another: the people are the sample.
        low, high = wilson_interval(tar * people, people)
        result[f"tar_at_fmr_{name}"] = {"rate": round(tar, 4), "ci95": [round(low, 4), round(high, 4)]}
    return result


if __name__ == "__main__":
    stage.start(main)
