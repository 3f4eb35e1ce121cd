"""Train DINOv2's twin on pairs of public phantoms and measure it on people it never saw (resumable)."""

from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from transformers import Dinov2ForImageClassification

from mema.runtime import stage
from mema.runtime.durable import write_json
from models.diseases import DISEASES, SEVERITIES
from models.judges.dinov2_weights import Normalisation, write_preprocessor
from models.judges.disease_classifier import SIZE_PX, load_classifier
from models.statistics.recall import share_with_interval, top1
from models.training.augmentation import to_signal
from phantom.params import TwinDinov2, load_twins
from phantom.stages.twin_data import PairedPhotos
from phantom.stages.twin_photos import pairs, rendered, unfinished
from phantom.twins.data import PhantomPhotos
from phantom.twins.dinov2.pretraining import Lessons, lay_in_patches, pretrain_dinov2, twin_dinov2

BATCH = 64
HALF = (0.5, 0.5, 0.5)


def lessons(photos: PairedPhotos) -> Lessons:
    """Return both photos of each pair: the first is healthy, the second mostly wears a sign."""
    sick = np.array([DISEASES.index(name) for name in photos.disease])
    return Lessons(
        images=photos.images.reshape(-1, *photos.images.shape[2:]),
        disease=np.stack([np.full_like(sick, DISEASES.index("normal")), sick], 1).reshape(-1),
        traits=np.repeat(photos.traits, 2, axis=0),
    )


def save_twin(network: Dinov2ForImageClassification, folder: Path) -> None:
    """Write the backbone in half precision as facebook/dinov2-small is published: without a head."""
    network.dinov2.half().save_pretrained(folder)
    network.dinov2.float()
    write_preprocessor(folder, SIZE_PX, Normalisation(HALF, HALF))


@torch.no_grad()
def quality(network: Dinov2ForImageClassification, unseen: PhantomPhotos, seed: int) -> dict[str, Any]:
    """Return the share of diseases recognised by the head that pretraining used, by disease and severity."""
    parts = [unseen.images[start : start + BATCH] for start in range(0, len(unseen.images), BATCH)]
    signals = (to_signal(torch.from_numpy(np.array(part)), SIZE_PX) for part in parts)
    found = np.concatenate([network(signal).logits.argmax(1).numpy() for signal in signals])
    right = found == unseen.disease
    severities = {
        name: share_with_interval(int(right[unseen.severity == k].sum()), int((unseen.severity == k).sum()))
        for k, name in enumerate(SEVERITIES)
    }
    return {"n": len(right), "disease": top1(found, unseen.disease, DISEASES, seed=seed), "severity": severities}


def train(p: TwinDinov2, photos: PairedPhotos, classifier: Path, kept: Path) -> Dinov2ForImageClassification:
    """Train the twin of these parameters, from the checkpoint `kept` on where there is one."""
    torch.manual_seed(p.seed)
    network = twin_dinov2(p.num_layers, p.hidden_size, p.num_heads, p.mlp_ratio)
    given = lessons(photos)
    lay_in_patches(network, given.images[: p.patch_images])
    pretrain_dinov2(
        network, load_classifier(classifier), given, steps=p.steps, batch_size=p.batch_size,
        learning_rate=p.learning_rate, seed=p.seed, checkpoint=kept,
    )  # fmt: skip
    return network


def main(
    classifier: Annotated[Path, typer.Option(help="Folder of the CNN twin that teaches.")],
    dinov2: Annotated[Path, typer.Option(help="Folder to write that from_pretrained reads.")],
    metrics: Annotated[Path, typer.Option(help="Metrics JSON to write.")],
    params: Annotated[Path, typer.Option(help="The twins' parameters.")] = Path("data/phantom/params.yaml"),
    scratch: Annotated[Path, typer.Option(help="Checkpoints and rendered photos.")] = Path(".scratch/twins"),
) -> None:
    """Train on the generator twin's photos, save, and report how many signs of unseen people are read."""
    torch.set_num_threads(1)
    twins = load_twins(params)
    p, shared = twins.twin_dinov2, twins.twin_generator
    photos = pairs(scratch, shared.num_identities, shared.image_size_px, shared.seed)
    kept = unfinished(scratch, "twin_dinov2", classifier, section=[p, shared])
    network = train(p, photos, classifier, kept / "dinov2.pt")
    save_twin(network, dinov2)
    report = quality(network, rendered(scratch, p.unseen, SIZE_PX), p.seed)
    print(report, flush=True)
    write_json(metrics, report)


if __name__ == "__main__":
    stage.start(main)
