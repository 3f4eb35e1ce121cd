"""Measure the generator twin on donors it never saw: does injection move identity, can diseases be read?"""

from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from torch import Tensor
from tqdm import tqdm

from mema.runtime import stage
from mema.runtime.durable import write_json
from models.diffusion.generator import LoadedGenerator, embed_donor, load_generator
from models.diffusion.sampling import Row, SamplingSettings, sample_rows
from models.diseases import DISEASES, SEVERITIES, prompt
from models.identity.recogniser import load_recogniser
from models.images import encode_png, tile
from models.judges.disease_classifier import load_classifier, predict
from models.statistics.leakage import wilson_interval
from phantom.params import Photos, TwinQuality, load_twins
from phantom.stages.twin_photos import rendered

ALLOWED = (0.2, 0.4)  # the paper's range of injection weights


def main(
    twins: Annotated[Path, typer.Option(help="Folder of the twins.")],
    sheet: Annotated[Path, typer.Option(help="Contact sheet to write.")],
    metrics: Annotated[Path, typer.Option(help="Metrics JSON to write.")],
    params: Annotated[Path, typer.Option(help="The twins' parameters.")] = Path("data/phantom/params.yaml"),
    scratch: Annotated[Path, typer.Option(help="Rendered donors.")] = Path(".scratch/twins"),
) -> None:
    """Sample from the twin without LoRA and ask the other twins who and what is seen."""
    p = load_twins(params).twin_quality
    generator = load_generator(twins / "generator", ip_adapter=twins / "ip_adapter/ip_adapter.safetensors")
    seen = Photos(num_identities=p.num_donors, shots=1, sign_share=0.0, seed=p.seed)
    donors = rendered(scratch, seen, generator.image_size_px).images
    embeddings = [embed_donor(generator, donor) for donor in donors]
    by_weight = {weight: _sample(generator, _same_row(embeddings, weight), p) for weight in p.weights}
    graded = [(d, s) for d in DISEASES for s in (SEVERITIES if d != "normal" else ("",))]
    rows = {pair: _graded(embeddings, pair, p) for pair in graded}
    images = {pair: _sample(generator, rows[pair], p) for pair in graded}
    write_json(
        metrics, {"injection": _injection_curve(twins, donors, by_weight), "legibility": _legibility(twins, images)}
    )
    _write_sheet(sheet, donors, by_weight, images)


def _same_row(embeddings: list[Tensor], weight: float) -> list[Row]:
    """Return one healthy row per donor, equal for every weight but in the weight."""
    donor = [embedding if weight else None for embedding in embeddings]
    return [Row(prompt("normal"), seed, embedding, weight) for seed, embedding in enumerate(donor)]


def _graded(embeddings: list[Tensor], pair: tuple[str, str], p: TwinQuality) -> list[Row]:
    rng = np.random.default_rng([p.seed, DISEASES.index(pair[0])])
    return [
        Row(prompt(*pair), 1000 + k, embeddings[k % len(embeddings)], float(rng.uniform(*ALLOWED)))
        for k in range(p.num_graded)
    ]


def _sample(generator: LoadedGenerator, rows: list[Row], p: TwinQuality) -> np.ndarray:
    settings = SamplingSettings(p.num_inference_steps, p.guidance_scale, p.batch_size)
    starts = tqdm(range(0, len(rows), p.batch_size), desc=rows[0].prompt, unit=" batches", leave=False)
    return torch.cat([sample_rows(generator, rows[i : i + p.batch_size], settings) for i in starts]).numpy()


def _injection_curve(twins: Path, donors: np.ndarray, by_weight: dict[float, np.ndarray]) -> dict:
    """Return the mean cosine similarity of sample and donor per recogniser and weight."""
    curve: dict[str, dict] = {}
    for path in sorted((twins / "recognisers").glob("*.onnx")):
        recogniser = load_recogniser(path)
        wanted = recogniser.embed(list(donors))
        for weight, images in by_weight.items():
            cosine = (recogniser.embed(list(images)) * wanted).sum(1)
            error = cosine.std(ddof=1) / np.sqrt(len(cosine))
            curve.setdefault(path.stem, {})[str(weight)] = {
                "n": len(cosine),
                "cosine": round(float(cosine.mean()), 4),
                "standard_error": round(float(error), 4),
            }
    return curve


def _legibility(twins: Path, images: dict[tuple[str, str], np.ndarray]) -> dict:
    """Return the classifier's accuracy per severity and disease; normal counts in each."""
    classifier, result = load_classifier(twins / "classifier"), {}
    right = {
        pair: int((predict(classifier, faces).argmax(1) == DISEASES.index(pair[0])).sum())
        for pair, faces in images.items()
    }
    for severity in SEVERITIES:
        rates = {}
        for disease in DISEASES:
            pair = (disease, severity if disease != "normal" else "")
            n = len(images[pair])
            low, high = wilson_interval(right[pair], n)
            rates[disease] = {"n": n, "rate": round(right[pair] / n, 4), "ci95": [round(low, 4), round(high, 4)]}
        macro = float(np.mean([rate["rate"] for rate in rates.values()]))
        result[severity] = {"macro_accuracy": round(macro, 4), "diseases": rates}
    return result


def _write_sheet(
    path: Path, donors: np.ndarray, by_weight: dict[float, np.ndarray], images: dict[tuple[str, str], np.ndarray]
) -> None:
    """Draw the donors above their samples by weight, then a row per disease: slight, mid, heavy."""
    columns = 12
    rows = [donors[:columns], *(faces[:columns] for faces in by_weight.values())]
    for disease in DISEASES:
        graded = [faces for (d, _), faces in images.items() if d == disease]
        rows.append(np.concatenate([faces[: columns // len(graded)] for faces in graded]))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encode_png(tile(np.concatenate(rows), columns)))


if __name__ == "__main__":
    stage.start(main)
