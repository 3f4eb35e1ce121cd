"""Stage sample: the plan's images, shard by shard; each is a function of its row and the generator alone."""

import logging
import sys
from pathlib import Path
from typing import Annotated

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import torch
import typer
from tqdm import tqdm

import models.diffusion
from models.diffusion.generator import (
    LoadedGenerator,
    check_sha256,
    embed_donor,
    file_sha256,
    files_sha256,
    generator_folder,
    load_generator,
)
from models.diffusion.images import PngWriter, decode
from models.diffusion.sampling import Row, SamplingSettings, sample_rows
from tasks import schemas, shards
from tasks.params import Generator, Sample, load

STAGE = "sample"
MODELS = Path(next(iter(models.diffusion.__path__))).parent
CODE = (MODELS / "diffusion", MODELS / "conditions.py", Path(schemas.__file__), Path(__file__))
WEIGHTS = "pytorch_lora_weights.safetensors"
BATCH = 64
log = logging.getLogger(__name__)


class Donors:
    """Embeddings of the public faces that the rest of a plan injects, each computed once, alone."""

    def __init__(self, generator: LoadedGenerator, public_faces: Path, plan: pa.Table):
        self._generator, self._faces = generator, public_faces
        self._plan_rows, self._donor_ids = plan["plan_row"], plan["donor_id"]
        self._embeddings: dict[str, torch.Tensor] = {}

    def embeddings(self, part: pa.Table) -> dict[str, torch.Tensor]:
        """Return the embeddings by id; one pass over the faces serves this part of the plan and the rest."""
        wanted = set(part["donor_id"].to_pylist()) - {""}
        if wanted - self._embeddings.keys():
            start = pc.index(self._plan_rows, part["plan_row"][0]).as_py()
            self._embed(set(self._donor_ids.slice(start).to_pylist()) - {""} - self._embeddings.keys())
        return self._embeddings

    def _embed(self, ids: set[str]) -> None:
        missing = set(ids)
        with tqdm(total=len(ids), desc="donors", unit=" images") as bar:
            for file in sorted(self._faces.glob("*.parquet")):
                for batch in pq.ParquetFile(file).iter_batches(BATCH, columns=["image_id", "image"]):
                    for image_id, data in zip(batch["image_id"].to_pylist(), batch["image"], strict=True):
                        if image_id in missing:
                            self._embeddings[image_id] = embed_donor(self._generator, decode(data.as_py()))
                            missing.remove(image_id)
                            bar.update()
        if missing:
            raise ValueError(
                f"plan: {len(missing)} of {len(ids)} donors are not in {self._faces}; run plan_sampling again"
            )


class Sampler:
    """Turns parts of the plan into samples; pictures are encoded while the next batch is computed."""

    def __init__(
        self, generator: LoadedGenerator, donors: Donors, settings: SamplingSettings, lineage: dict[str, str]
    ):
        self._generator, self._donors = generator, donors
        self._settings, self._lineage = settings, lineage

    def __call__(self, part: pa.Table) -> pa.Table:
        """Return the part with its images and their lineage, as schemas.SAMPLE."""
        rows, ids = self._rows(part), []
        size = self._settings.batch_size
        with PngWriter() as writer:
            for start in range(0, len(rows), size):
                images = sample_rows(self._generator, rows[start : start + size], self._settings).numpy()
                writer.write(images)
                ids += [schemas.image_id(image) for image in images]
            encoded = writer.collect()
        made = {"image_id": ids, "image": encoded}
        made |= {name: [digest] * len(rows) for name, digest in self._lineage.items()}
        columns = {name: part[name] for name in part.column_names} | made
        return pa.table({name: columns[name] for name in schemas.SAMPLE.names}, schema=schemas.SAMPLE)

    def _rows(self, part: pa.Table) -> list[Row]:
        embeddings = self._donors.embeddings(part)
        columns = ("prompt", "seed", "donor_id", "injection_weight")
        return [
            Row(prompt, seed, embeddings.get(donor), weight)
            for prompt, seed, donor, weight in zip(*(part[c].to_pylist() for c in columns), strict=True)
        ]


def warn_of_padding(section: Sample) -> None:
    """Tell what it costs that the last batch of every shard is filled up to the one shape of all batches."""
    computed = -(-section.shard_rows // section.batch_size) * section.batch_size
    if computed != section.shard_rows:
        log.warning(
            "%s.shard_rows: %d is no multiple of %s.batch_size %d, so %d of %d computed images of a shard "
            "are thrown away; choose %d",
            STAGE, section.shard_rows, STAGE, section.batch_size, computed - section.shard_rows, computed,
            computed,
        )  # fmt: skip


def run(
    plan: Path, lora: Path, public_faces: Path, samples: Path, generator: Generator, section: Sample
) -> int:
    """Make every image of the plan that no earlier run finished; return their number."""
    warn_of_padding(section)
    rows = shards.read_table(plan, columns=schemas.PLAN.names)
    folder, adapter, weights = generator_folder(generator.path), Path(generator.ip_adapter), lora / WEIGHTS
    for field, file in (("generator.ip_adapter", adapter), ("lora", weights)):
        if not file.is_file():
            raise ValueError(f"{field}: no file {file}; fetch it, or run the stage that makes it (dvc repro)")
    check_sha256(folder, adapter, generator.sha256)
    lineage = {"generator_sha256": files_sha256(folder, adapter), "lora_sha256": file_sha256(weights)}
    fingerprint = shards.fingerprint(plan, public_faces, *CODE, **lineage, **section.model_dump())
    loaded = load_generator(folder, ip_adapter=adapter, lora=lora, precision=section.precision)
    settings = SamplingSettings(section.num_inference_steps, section.guidance_scale, section.batch_size)
    sampler = Sampler(loaded, Donors(loaded, public_faces, rows), settings, lineage)
    shards.map_shards(
        rows, sampler, samples, shard_rows=section.shard_rows, stage=STAGE, fingerprint=fingerprint,
        desc="samples",
    )  # fmt: skip
    return rows.num_rows


def main(
    plan: Annotated[Path, typer.Option(help="one row per image to make")],
    lora: Annotated[Path, typer.Option(help="folder of LoRA weights")],
    public_faces: Annotated[Path, typer.Option(help="shards of public faces, the donors among them")],
    samples: Annotated[Path, typer.Option(help="out: shards of samples")],
) -> None:
    """Execute the plan."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    params = load(Path("params.yaml"))
    with shards.timing(STAGE) as record:
        record.images = run(plan, lora, public_faces, samples, params.generator, params.sample)


if __name__ == "__main__":
    try:
        typer.run(main)
    except ValueError as error:
        sys.exit(str(error))
