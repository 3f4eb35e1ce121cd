"""Stage sample: the plan's images, shard by shard; each is a function of its row and the generator alone."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import pyarrow as pa
import typer
from jaxtyping import UInt8

from mema.params import load
from mema.params.synthesize import Generator, Sample
from mema.runtime import entry, shards, stage
from models.computing.threads import side_by_side
from models.diffusion.generator import LoadedGenerator, file_sha256, files_sha256
from models.diffusion.sampling import Row, SamplingSettings, sample_rows
from models.images import PngWriter, image_id
from tasks import schemas
from tasks.works.generation import Donors, GeneratorFiles, generator_files, rows_of

STAGE = "sample"
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Sampling:
    """Work: rows of the plan, beside the embeddings of their donors, to samples."""

    generator: GeneratorFiles
    settings: SamplingSettings
    lineage: dict[str, str]

    def load(self) -> "Sampler":
        """Load the generator."""
        return Sampler(self.generator.load(), self.settings, self.lineage)


class Sampler:
    """Turns parts of the plan into samples; pictures are encoded while the next batch is computed."""

    def __init__(self, generator: LoadedGenerator, settings: SamplingSettings, lineage: dict[str, str]) -> None:
        self._generator, self._settings, self._lineage = generator, settings, lineage

    def __call__(self, part: pa.Table) -> pa.Table:
        """Return the part with its images and their lineage, as schemas.SAMPLE."""
        rows, ids = rows_of(part, part["prompt"].to_pylist()), []
        size = self._settings.batch_size
        with PngWriter() as writer:
            batches = [rows[start : start + size] for start in range(0, len(rows), size)]
            for images in side_by_side(self._images, batches):
                writer.write(images)
                ids += [image_id(image) for image in images]
            encoded = writer.collect()
        made = {"image_id": ids, "image": encoded}
        made |= {name: [digest] * len(rows) for name, digest in self._lineage.items()}
        columns = {name: part[name] for name in part.column_names} | made
        return pa.table({name: columns[name] for name in schemas.SAMPLE.names}, schema=schemas.SAMPLE)

    def _images(self, batch: list[Row]) -> UInt8[np.ndarray, "b h w 3"]:
        return sample_rows(self._generator, batch, self._settings).numpy()


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


def run(plan: Path, lora: Path, public_faces: Path, samples: Path, generator: Generator, section: Sample) -> int:
    """Make every image of the plan that no earlier run finished; return their number."""
    warn_of_padding(section)
    rows = shards.read_table(plan, columns=schemas.PLAN.names)
    files = generator_files(generator, lora, section.precision)
    assert files.adapter is not None
    assert files.lora is not None
    lineage = {"generator_sha256": files_sha256(files.folder, files.adapter), "lora_sha256": file_sha256(files.lora)}
    fingerprint = entry.fingerprint(STAGE, plan, public_faces, **lineage, section=section)
    settings = SamplingSettings(section.num_inference_steps, section.guidance_scale, section.batch_size)
    donors = Donors(rows["donor_id"].to_pylist(), public_faces, files, stage=STAGE, fingerprint=fingerprint)
    shards.map_shards(
        rows, Sampling(files, settings, lineage), samples, shard_rows=section.shard_rows, stage=STAGE,
        fingerprint=fingerprint, desc="samples", gather=donors.beside,
    )  # fmt: skip
    donors.clear()
    return rows.num_rows


def main(
    plan: Annotated[Path, typer.Option(help="one row per image to make")],
    lora: Annotated[Path, typer.Option(help="folder of LoRA weights")],
    public_faces: Annotated[Path, typer.Option(help="shards of public faces, the donors among them")],
    samples: Annotated[Path, typer.Option(help="out: shards of samples")],
) -> None:
    """Execute the plan."""
    params = load(Path("params.yaml"))
    with shards.timing(STAGE) as record:
        record.images = run(plan, lora, public_faces, samples, params.generator, params.sample)


if __name__ == "__main__":
    stage.start(main)
