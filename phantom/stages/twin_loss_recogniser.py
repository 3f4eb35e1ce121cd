"""Train the recogniser that MedSem-DeID's losses ask (phi in the paper), which no evaluation may use (resumable)."""

from pathlib import Path
from typing import Annotated

import typer

from mema.runtime import stage
from mema.runtime.durable import write_json
from phantom.params import load_twins
from phantom.stages.twin_photos import rendered, unfinished
from phantom.stages.twin_recognisers import train, verification


def main(
    recogniser: Annotated[Path, typer.Option(help="Folder of the ONNX file to write.")],
    metrics: Annotated[Path, typer.Option(help="Metrics JSON to write.")],
    params: Annotated[Path, typer.Option(help="The twins' parameters.")] = Path("data/phantom/params.yaml"),
    scratch: Annotated[Path, typer.Option(help="Checkpoints and rendered photos.")] = Path(".scratch/twins"),
) -> None:
    """Train an ArcFace of another network, seed and people than the recognisers of the evaluation."""
    p = load_twins(params).twin_loss_recogniser
    photos = rendered(scratch, p.photos, p.image_size_px)
    path = recogniser / "arcface.onnx"
    kept = unfinished(scratch, "twin_loss_recogniser", section=p)
    train("arcface", p.arcface, photos, path, kept / "arcface.pt")
    report = {"arcface": verification(path, rendered(scratch, p.unseen, p.image_size_px))}
    print(report, flush=True)
    write_json(metrics, report)


if __name__ == "__main__":
    stage.start(main)
