"""Stage prelabel: what the annotation needs of SAM, embeddings by image and first masks without a click."""

import hashlib
import logging
import sys
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pyarrow as pa
import torch
import typer

import models.segmentation
from models.conditions import prompt
from models.diffusion.generator import check_sha256, generator_folder, load_generator
from models.diffusion.images import decode
from models.diffusion.sampling import Row, SamplingSettings, sample_rows
from models.identity.leakage import wilson_interval
from models.segmentation.first_mask import first_mask
from models.segmentation.masks import encode_mask
from models.segmentation.sam import Sam, load_sam
from tasks import schemas, shards
from tasks.params import Params, load
from tasks.sample import CODE as SAMPLING_CODE
from tasks.sample import WEIGHTS, Donors

STAGE = "prelabel"
FOLDER = Path(next(iter(models.segmentation.__path__)))
CODE = (*SAMPLING_CODE, *(FOLDER / f"{name}.py" for name in ("first_mask", "masks", "sam")), Path(__file__))
COLUMNS = ["image_id", "disease"]
SHARD = pa.schema([*schemas.EMBEDDING, ("first_mask", pa.binary()), ("score", pa.float32())])


def wants_outline(image_id: str, share: float, seed: int) -> bool:
    """Tell whether a tumour on this image, if there is one, is to be outlined.

    The draw depends on the image's id alone: its intended disease must not show in which images are chosen.
    """
    digest = hashlib.sha256(f"{seed}:{image_id}".encode()).digest()
    return int.from_bytes(digest[:8], "big") < share * 2**64


class Healthy:
    """Samples plan rows once more as normal, with their own donor, weight and seed; loaded when first used."""

    def __init__(self, params: Params, lora: Path, public_faces: Path, lesions: pa.Table):
        self._params, self._lora, self._faces, self._lesions = params, lora, public_faces, lesions
        section = params.sample
        self._settings = SamplingSettings(
            section.num_inference_steps, section.guidance_scale, section.batch_size
        )
        self._donors: Donors | None = None

    def __call__(self, part: pa.Table) -> list[np.ndarray]:
        """Return one uint8 [h, w, 3] a row."""
        if not part.num_rows:
            return []
        if self._donors is None:
            self._donors, self._generator = self._load()
        embeddings = self._donors.embeddings(part)
        columns = (part[name].to_pylist() for name in ("seed", "donor_id", "injection_weight"))
        rows = [
            Row(prompt("normal"), seed, embeddings.get(donor), weight)
            for seed, donor, weight in zip(*columns, strict=True)
        ]
        size = self._settings.batch_size
        batches = [rows[start : start + size] for start in range(0, len(rows), size)]
        return [
            image for rows in batches for image in sample_rows(self._generator, rows, self._settings).numpy()
        ]

    def _load(self) -> tuple[Donors, Any]:
        generator = self._params.generator
        folder, adapter = generator_folder(generator.path), Path(generator.ip_adapter)
        check_sha256(folder, adapter, generator.sha256)
        loaded = load_generator(
            folder, ip_adapter=adapter, lora=self._lora, precision=self._params.sample.precision
        )
        return Donors(loaded, self._faces, self._lesions), loaded


class Prelabeller:
    """Turns rows of the selection into SAM's embeddings, with a first mask where the plan asked for a lesion."""

    def __init__(self, sam: Sam, healthy: Healthy, selected: Path, params: Params):
        self._sam, self._healthy, self._selected = sam, healthy, selected
        self._batch_size, self._lesions = params.prelabel.batch_size, params.prelabel.lesion_diseases

    def __call__(self, part: pa.Table) -> pa.Table:
        """Return the part as SHARD."""
        table = shards.take_rows(self._selected, part["row"].to_pylist())
        images = [decode(data) for data in table["image"].to_pylist()]
        starts = range(0, len(images), self._batch_size)
        embeddings = torch.cat(
            [self._sam.embed(images[start : start + self._batch_size]) for start in starts]
        )
        masks = self._first_masks(table, images, embeddings)
        return pa.table(
            {
                "image_id": table["image_id"],
                "height": [image.shape[0] for image in images],
                "width": [image.shape[1] for image in images],
                "shape": [list(embeddings.shape[1:])] * len(images),
                "embedding": [embedding.numpy().tobytes() for embedding in embeddings],
                "first_mask": [encode_mask(found[0]) if found else None for found in masks],
                "score": [found[1] if found else None for found in masks],
            },
            schema=SHARD,
        )

    def _first_masks(
        self, table: pa.Table, images: list[np.ndarray], embeddings: torch.Tensor
    ) -> list[tuple[np.ndarray, float] | None]:
        lesions = [i for i, name in enumerate(table["disease"].to_pylist()) if name in self._lesions]
        masks: list[tuple[np.ndarray, float] | None] = [None] * len(images)
        for i, healthy in zip(lesions, self._healthy(table.take(pa.array(lesions, pa.int64()))), strict=True):
            masks[i] = first_mask(self._sam, embeddings[i], images[i], healthy)
        return masks


def subset(rows: pa.Table, made: pa.Table) -> pa.Table:
    """Return every image with whether its tumour is to be outlined, and its first mask."""
    masks = dict(zip(made["image_id"].to_pylist(), made["first_mask"].to_pylist(), strict=True))
    ids = rows["image_id"]
    columns = {
        "image_id": ids,
        "outline": rows["outline"],
        "first_mask": [masks.get(i) for i in ids.to_pylist()],
    }
    return pa.table(columns, schema=schemas.SUBSET)


def measure(rows: pa.Table, made: pa.Table, lesions: tuple[str, ...]) -> dict[str, Any]:
    """Return how many images are to be outlined, and for how many lesions a first mask could be proposed."""
    wanted = rows.filter(rows["outline"])
    asked = sum(name in lesions for name in wanted["disease"].to_pylist())
    scores = made["score"].drop_null().to_pylist()
    low, high = wilson_interval(len(scores), asked)
    return {
        "images": rows.num_rows,
        "embedded": made.num_rows,
        "first_masks": {
            "n": asked,
            "proposed": len(scores),
            "share": round(len(scores) / asked, 4) if asked else None,
            "ci95": [round(low, 4), round(high, 4)],
            "mean_score": round(float(np.mean(scores)), 4) if scores else None,
        },
        "note": "proposed: the sampled sign changed the face's colour enough; score: SAM's own estimate of the IoU",
    }


def run(
    selected: Path,
    public_faces: Path,
    lora: Path,
    embeddings: Path,
    subset_file: Path,
    metrics: Path,
    params: Params,
) -> int:
    """Write embeddings, first masks and the subset; return the number of images embedded."""
    section = params.prelabel
    rows = shards.read_table(selected, columns=[*COLUMNS, "plan_row", "donor_id"])
    outline = [wants_outline(i, section.outline_share, section.seed) for i in rows["image_id"].to_pylist()]
    rows = rows.append_column("outline", pa.array(outline)).append_column(
        "row", pa.array(range(len(outline)))
    )
    wanted = rows.filter(rows["outline"])
    if not wanted.num_rows:
        raise ValueError(
            f"prelabel.outline_share: {section.outline_share} chooses no image of {len(outline)}; raise it"
        )
    lesions = wanted.filter(
        pa.array([name in section.lesion_diseases for name in wanted["disease"].to_pylist()])
    )
    healthy = Healthy(params, lora, public_faces, lesions)
    worker = Prelabeller(load_sam(section.sam), healthy, selected, params)
    values = section.model_dump() | params.sample.model_dump()
    generator = (Path(params.generator.path), Path(params.generator.ip_adapter), lora / WEIGHTS)
    fingerprint = shards.fingerprint(selected, Path(section.sam), *generator, *CODE, **values)
    shards.map_shards(
        wanted, worker, embeddings, shard_rows=section.shard_rows, stage=STAGE, fingerprint=fingerprint,
        desc="prelabel", row_group_rows=1,
    )  # fmt: skip
    made = shards.read_table(embeddings, columns=["image_id", "first_mask", "score"])
    shards.write_table(subset_file, subset(rows, made))
    shards.write_json(metrics, measure(rows, made, section.lesion_diseases))
    return wanted.num_rows


def main(
    selected: Annotated[Path, typer.Option(help="shards of the selected images")],
    public_faces: Annotated[Path, typer.Option(help="shards of public faces, the donors among them")],
    lora: Annotated[Path, typer.Option(help="folder of LoRA weights")],
    embeddings: Annotated[Path, typer.Option(help="out: shards of SAM's embeddings")],
    subset: Annotated[Path, typer.Option(help="out: which images are to be outlined, and first masks")],
    metrics: Annotated[Path, typer.Option(help="out: counts as JSON")],
) -> None:
    """Prepare SAM's part of the annotation."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    params = load(Path("params.yaml"))
    with shards.timing(STAGE) as record:
        record.images = run(selected, public_faces, lora, embeddings, subset, metrics, params)


if __name__ == "__main__":
    try:
        typer.run(main)
    except ValueError as error:
        sys.exit(str(error))
