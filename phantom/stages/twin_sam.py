"""Train SAM's twin on public phantoms and measure it on others, clicks and boxes apart (resumable)."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from tqdm import tqdm

from mema.runtime import stage
from mema.runtime.durable import write_json
from models.diseases import DISEASES, TUMOURS
from models.segmentation.masks import iou
from models.segmentation.prompts import correction, inner_point, loose_box, random_point
from models.segmentation.sam import Prompt, Sam, load_sam
from models.statistics.bootstrap import mean_with_interval
from phantom.params import load_twins
from phantom.stages.twin_photos import drawn, unfinished
from phantom.twins.sam.phantom_scenes import Scenes, phantom_scenes
from phantom.twins.sam.pretraining import pretrain_encoder
from phantom.twins.sam.training import train_sam
from phantom.twins.sam.twin_network import save_twin, twin_sam

MAX_CLICKS = 3
Mask = np.ndarray


def scenes(scratch: Path, num_scenes: int, size: int, seed: int) -> Scenes:
    """Render these scenes, or find them rendered."""
    values = {"num_scenes": num_scenes, "size": size, "seed": seed}
    return phantom_scenes(drawn(scratch, "scenes", **values), **values)


def clicked(sam: Sam, embedding: torch.Tensor, truth: Mask, first: tuple[int, int], num_clicks: int) -> list[float]:
    """Return the IoU after 1, 2, ... clicks: the first as given, each further one on the largest mistake."""
    points, positive, found = [first], [True], []
    for _ in range(num_clicks):
        mask = sam.segment(embedding, truth.shape, Prompt(tuple(points), tuple(positive))).best
        found.append(iou(mask, truth))
        step = correction(truth, mask)
        point, on = step if step else (points[-1], positive[-1])
        points.append(point)
        positive.append(on)
    return found


def quality(sam: Sam, unseen: Scenes, seed: int) -> dict[str, Any]:
    """Return mean IoU on signs by kind of prompt, and on the parts of faces by one careful click."""
    rng = np.random.default_rng([seed, 1])
    rows: dict[str, list[float]] = {}

    def note(name: str, value: float) -> None:
        rows.setdefault(name, []).append(value)

    for index in tqdm(range(len(unseen.images)), desc="unseen", unit=" images"):
        (embedding,) = sam.embed([unseen.images[index]])
        disease = DISEASES[unseen.disease[index]]
        for part, truth in unseen.masks(index).items():
            if part != "sign":
                _, careful = _two_hands(sam, embedding, truth, rng, 1)
                note(f"part.{part.split('_')[0]}", careful[0])
                continue
            hasty, careful = _two_hands(sam, embedding, truth, rng, MAX_CLICKS)
            box = sam.segment(embedding, truth.shape, Prompt(box=loose_box(truth, rng))).best
            group = "tumour" if disease in TUMOURS else "other_sign"
            note(f"{group}.1_click", careful[0])
            note(f"{group}.1_click_anywhere", hasty[0])
            note(f"{group}.{MAX_CLICKS}_clicks", careful[-1])
            note(f"{group}.box", iou(box, truth))
            note(f"disease.{disease}", careful[0])
    return nest(rows, lambda values: mean_with_interval(np.array(values), seed=seed))


def _two_hands(
    sam: Sam, embedding: torch.Tensor, truth: Mask, rng: np.random.Generator, num_clicks: int
) -> tuple[list[float], list[float]]:
    hasty = clicked(sam, embedding, truth, random_point(truth, rng), 1)
    return hasty, clicked(sam, embedding, truth, inner_point(truth), num_clicks)


def nest(rows: dict[str, list[float]], value: Callable[[list[float]], Any]) -> dict[str, Any]:
    """Return {'a.b': x} as {'a': {'b': value(x)}}."""
    nested: dict[str, Any] = {}
    for name in sorted(rows):
        group, key = name.split(".")
        nested.setdefault(group, {})[key] = value(rows[name])
    return nested


def main(
    sam: Annotated[Path, typer.Option(help="Folder to write that SamModel.from_pretrained reads.")],
    metrics: Annotated[Path, typer.Option(help="Metrics JSON to write.")],
    params: Annotated[Path, typer.Option(help="The twins' parameters.")] = Path("data/phantom/params.yaml"),
    scratch: Annotated[Path, typer.Option(help="Checkpoints and rendered photos.")] = Path(".scratch/twins"),
) -> None:
    """Train, save, and report the IoU of one and three clicks and of a box on the signs of unseen people."""
    p = load_twins(params).twin_sam
    train = scenes(scratch, p.num_scenes, p.image_size_px, p.seed)
    torch.manual_seed(p.seed)
    network = twin_sam(p.image_size_px)
    schedule = {"batch_size": p.batch_size, "learning_rate": p.learning_rate, "seed": p.seed}
    kept = unfinished(scratch, "twin_sam", section=p)
    pretrain_encoder(network, train, steps=p.encoder_steps, checkpoint=kept / "encoder.pt", **schedule)
    train_sam(network, train, steps=p.steps, checkpoint=kept / "sam.pt", **schedule)
    save_twin(network, sam)
    report = quality(load_sam(str(sam)), scenes(scratch, p.num_unseen, p.image_size_px, p.seed + 1), p.seed)
    print(report, flush=True)
    write_json(metrics, report)


if __name__ == "__main__":
    stage.start(main)
