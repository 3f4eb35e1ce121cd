"""Stage train_lora: LoRA of the generator on the patients' training photos, with sheets of images."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import numpy as np
import pyarrow.parquet as pq
import typer
from diffusers import UNet2DConditionModel

from mema.params import load
from mema.params.synthesize import Generator, TrainLora
from mema.runtime import durable, entry, launch, shards
from models.diffusion.fine_tuning import fine_tune, load_networks
from models.diffusion.generator import check_sha256, generator_folder
from models.diffusion.latents import cache_moments
from models.diffusion.lora import LoraSettings, save_lora
from models.diseases import prompt
from models.images import decode
from models.training.distributed import group

STAGE = "train_lora"
PUBLIC_METRICS = ("loss", "trainable_parameters")
BATCH = 64


def training_diseases(faces: Path) -> list[str]:
    """Return the disease of every photo of split `train`, in the order of the shards."""
    table = shards.read_table(faces, columns=["disease", "split"])
    rows = zip(table["disease"].to_pylist(), table["split"].to_pylist(), strict=True)
    diseases = [disease for disease, split in rows if split == "train"]
    if not diseases:
        raise ValueError(
            f"{faces}: {table.num_rows} photos, none of split train; lower ingest_patients.held_out_share "
            "or add patients, then run ingest_patients again"
        )
    return diseases


def training_images(faces: Path, size_px: int) -> Iterator[np.ndarray]:
    """Yield the photos of split `train`, a few in memory; raises ValueError on another size."""
    for file in sorted(faces.glob("*.parquet")):
        for batch in pq.ParquetFile(file).iter_batches(BATCH, columns=["image", "split"]):
            for data, split in zip(batch["image"], batch["split"], strict=True):
                if split.as_py() != "train":
                    continue
                image = decode(data.as_py())
                if image.shape[:2] != (size_px, size_px):
                    raise ValueError(
                        f"ingest_patients.image_size_px: a face of {image.shape[1]} x {image.shape[0]} px, "
                        f"where generator.path makes {size_px} x {size_px}; set it to {size_px} and run "
                        "ingest_patients again, or take another generator"
                    )
                yield image


def publish(unet: UNet2DConditionModel, grids: Path, lora: Path, settings: LoraSettings, summary: dict) -> None:
    """Put weights, grids and counts at `lora` in one rename; grids are linked: a kill leaves them in scratch."""
    incoming = lora.with_name(f".{lora.name}.incoming")
    shutil.rmtree(incoming, ignore_errors=True)
    (incoming / "grids").mkdir(parents=True)
    save_lora(unet, incoming, settings)
    for grid in sorted(grids.glob("step-*.png")):
        try:
            os.link(grid, incoming / "grids" / grid.name)
        except OSError:  # scratch on another file system
            shutil.copyfile(grid, incoming / "grids" / grid.name)
    durable.write_json(incoming / "training.json", summary)
    shutil.rmtree(lora, ignore_errors=True)
    incoming.replace(lora)


def run(faces: Path, lora: Path, metrics: Path, generator: Generator, section: TrainLora) -> int:
    """Train on the photos of split `train`, going on where a killed run stopped; return the images seen.

    In a group all processes train, and one publishes.
    """
    settings, together = section, group()
    together.share(settings.batch_size, f"{STAGE}.batch_size")  # an error before any work
    diseases = training_diseases(faces)
    folder = generator_folder(generator.path)
    # the adapter has no part in this stage
    expected = {name: digest for name, digest in generator.sha256.items() if name != "ip_adapter"}
    check_sha256(folder, Path(generator.ip_adapter), expected)
    fingerprint = entry.fingerprint(STAGE, faces, folder, section=section)
    scratch = shards.SCRATCH / f"{STAGE}-{fingerprint}"
    networks = load_networks(folder)
    images = training_images(faces, networks.image_size_px)
    moments = cache_moments(networks.vae, images, len(diseases), scratch / "latents")
    captions = [prompt(disease) for disease in diseases]
    summary = fine_tune(networks, moments, captions, settings, scratch)
    together.wait()  # nobody needs the scratch any more
    if together.is_main:
        publish(networks.unet, scratch / "grids", lora, settings, summary)
        # Metrics may leave; exact counts of patients' photos stay with the weights.
        durable.write_json(metrics, {name: summary[name] for name in PUBLIC_METRICS})
        shards.clear_scratch(STAGE)
    return summary["images_seen"]


def main(
    faces: Annotated[Path, typer.Option(help="shards of patients' faces")],
    lora: Annotated[Path, typer.Option(help="out: folder of LoRA weights and grids")],
    metrics: Annotated[Path, typer.Option(help="out: counts and loss as JSON")],
) -> None:
    """Fine-tune the generator on the patients' faces."""
    params = load(Path("params.yaml"))
    with shards.timing(STAGE) as record:
        record.images = run(faces, lora, metrics, params.generator, params.train_lora)


if __name__ == "__main__":
    launch.start(main)
