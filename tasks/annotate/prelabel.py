"""Stage prelabel: what the annotation needs of SAM, embeddings by image and first masks without a click."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pyarrow as pa
import torch
import typer

from mema.params import Params, load
from mema.runtime import durable, entry, shards, stage
from models.computing.threads import side_by_side
from models.diffusion.sampling import SamplingSettings, sample_rows
from models.diseases import prompt
from models.images import decode
from models.segmentation.first_mask import first_mask
from models.segmentation.masks import encode_mask
from models.segmentation.sam import Sam, load_sam
from models.statistics.leakage import wilson_interval
from tasks import schemas
from tasks.works.generation import WEIGHTS, Donors, GeneratorFiles, generator_files, rows_of

STAGE = "prelabel"
COLUMNS = ["image_id", "disease"]
SHARD = pa.schema([*schemas.EMBEDDING, ("first_mask", pa.binary()), ("score", pa.float32())])


def wants_outline(image_id: str, share: float, seed: int) -> bool:
    """Tell whether a tumour on this image, if there is one, is to be outlined.

    The draw depends on the image's id alone: its intended disease must not show in which images are chosen.
    """
    digest = hashlib.sha256(f"{seed}:{image_id}".encode()).digest()
    return int.from_bytes(digest[:8], "big") < share * 2**64


@dataclass(frozen=True)
class Prelabelling:
    """Work: rows of the selection to SAM's embeddings, with a first mask where the plan asked for a lesion."""

    sam: Path
    generator: GeneratorFiles
    settings: SamplingSettings
    batch_size: int
    lesion_diseases: tuple[str, ...]

    def load(self) -> "Prelabeller":
        """Load SAM; the generator is loaded with the first lesion."""
        return Prelabeller(load_sam(str(self.sam)), self)


class Prelabeller:
    """Turns parts of the selection into SHARD."""

    def __init__(self, sam: Sam, work: Prelabelling) -> None:
        self._sam, self._work = sam, work

    def __call__(self, part: pa.Table) -> pa.Table:
        """Return the part as SHARD."""
        images = [decode(data) for data in part["image"].to_pylist()]
        size = self._work.batch_size
        batches = [images[start : start + size] for start in range(0, len(images), size)]
        embeddings = torch.cat([*side_by_side(self._sam.embed, batches)])
        masks = self._first_masks(part, images, embeddings)
        return pa.table(
            {
                "image_id": part["image_id"],
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
        self, part: pa.Table, images: list[np.ndarray], embeddings: torch.Tensor
    ) -> list[tuple[np.ndarray, float] | None]:
        lesions = [i for i, name in enumerate(part["disease"].to_pylist()) if name in self._work.lesion_diseases]
        masks: list[tuple[np.ndarray, float] | None] = [None] * len(images)
        healthy = self._healthy(part.take(pa.array(lesions, pa.int64())))

        def found(case: tuple[int, np.ndarray]) -> tuple[np.ndarray, float] | None:
            return first_mask(self._sam, embeddings[case[0]], images[case[0]], case[1])

        cases = list(zip(lesions, healthy, strict=True))
        for i, mask in zip(lesions, side_by_side(found, cases), strict=True):
            masks[i] = mask
        return masks

    def _healthy(self, part: pa.Table) -> list[np.ndarray]:
        """Sample plan rows once more as normal, with their own donor, weight and seed: uint8 [h, w, 3] each."""
        rows, settings = rows_of(part, [prompt("normal")] * part.num_rows), self._work.settings
        batches = [rows[i : i + settings.batch_size] for i in range(0, len(rows), settings.batch_size)]
        if not batches:
            return []
        generator = self._work.generator.load()
        made = side_by_side(lambda batch: sample_rows(generator, batch, settings).numpy(), batches)
        return [image for images in made for image in images]


def subset(rows: pa.Table, made: pa.Table) -> pa.Table:
    """Return every image with whether its tumour is to be outlined, and its first mask."""
    masks = dict(zip(made["image_id"].to_pylist(), made["first_mask"].to_pylist(), strict=True))
    ids = rows["image_id"]
    columns = {"image_id": ids, "outline": rows["outline"], "first_mask": [masks.get(i) for i in ids.to_pylist()]}
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
    selected: Path, public_faces: Path, lora: Path, embeddings: Path, subset_file: Path, metrics: Path, params: Params
) -> int:
    """Write embeddings, first masks and the subset; return the number of images embedded."""
    section = params.prelabel
    rows = shards.read_table(selected, columns=[*COLUMNS, "plan_row", "donor_id"])
    outline = [wants_outline(i, section.outline_share, section.seed) for i in rows["image_id"].to_pylist()]
    rows = rows.append_column("outline", pa.array(outline)).append_column("row", pa.array(range(len(outline))))
    wanted = rows.filter(rows["outline"])
    if not wanted.num_rows:
        raise ValueError(
            f"prelabel.outline_share: {section.outline_share} chooses no image of {len(outline)}; raise it"
        )
    lesions = wanted.filter(pa.array([name in section.lesion_diseases for name in wanted["disease"].to_pylist()]))
    files = generator_files(params.generator, lora, params.sample.precision)
    networks = (Path(section.sam), files.folder, Path(params.generator.ip_adapter), lora / WEIGHTS)
    values = {"section": section, "sample": params.sample}
    fingerprint = entry.fingerprint(STAGE, selected, public_faces, *networks, **values)
    donors = Donors(lesions["donor_id"].to_pylist(), public_faces, files, stage=STAGE, fingerprint=fingerprint)
    sampling = params.sample
    settings = SamplingSettings(sampling.num_inference_steps, sampling.guidance_scale, sampling.batch_size)
    work = Prelabelling(Path(section.sam), files, settings, section.batch_size, section.lesion_diseases)
    shards.map_shards(
        wanted, work, embeddings, shard_rows=section.shard_rows, stage=STAGE, fingerprint=fingerprint,
        desc="prelabel", row_group_rows=1,
        gather=lambda part: donors.beside(shards.take_rows(selected, part["row"].to_pylist())),
    )  # fmt: skip
    donors.clear()
    made = shards.read_table(embeddings, columns=["image_id", "first_mask", "score"])
    shards.write_table(subset_file, subset(rows, made))
    durable.write_json(metrics, measure(rows, made, section.lesion_diseases))
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
    params = load(Path("params.yaml"))
    with shards.timing(STAGE) as record:
        record.images = run(selected, public_faces, lora, embeddings, subset, metrics, params)


if __name__ == "__main__":
    stage.start(main)
