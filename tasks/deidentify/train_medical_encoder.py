"""Stage train_medical_encoder: Enc_med, a network that knows the signs, from MeMa's training split alone."""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, overload

import numpy as np
import pyarrow as pa
import typer

from mema.params import Params, load
from mema.runtime import durable, entry, launch, shards
from models.deid.encoders.diffusion_encoder import DiffusionOptions
from models.deid.encoders.medical_encoder import MedicalEncoder, MedicalFaces, encoder_class
from models.diffusion.generator import check_sha256, generator_folder
from models.diffusion.lora import LoraSettings
from models.images import decode
from models.training.distributed import group

STAGE = "train_medical_encoder"
TOGETHER = ("diffusion", "vit", "vit_mae")  # kinds whose training several processes can share


class DecodedFaces(Sequence[np.ndarray]):
    """RGB images of a column of PNG bytes, decoded when asked for; raises ValueError where sizes differ."""

    def __init__(self, column: pa.ChunkedArray) -> None:
        self._column, self._shape = column, decode(column[0].as_py()).shape

    def __len__(self) -> int:
        return len(self._column)

    @overload
    def __getitem__(self, index: int) -> np.ndarray: ...
    @overload
    def __getitem__(self, index: slice) -> list[np.ndarray]: ...
    def __getitem__(self, index: int | slice) -> np.ndarray | list[np.ndarray]:
        if isinstance(index, slice):
            return [self[row] for row in range(*index.indices(len(self)))]
        if not 0 <= index < len(self):
            raise IndexError(index)
        image = decode(self._column[index].as_py())
        if image.shape != self._shape:
            raise ValueError(
                f"mema: image {index} of {image.shape[1]} x {image.shape[0]} px among images of "
                f"{self._shape[1]} x {self._shape[0]} px; run the pipeline again with one image_size_px"
            )
        return image


def training_faces(train: Path) -> MedicalFaces:
    """Return the images of MeMa's training split with the readers' diseases and severities."""
    table = shards.read_table(train, columns=["image", "disease", "severity"])
    if not table.num_rows:
        raise ValueError(f"{train}: no images; run assemble again with more images in its training split")
    columns = (table[name].to_pylist() for name in ("disease", "severity"))
    diseases, severities = columns
    return MedicalFaces(DecodedFaces(table["image"]), diseases, [told or "" for told in severities])


def options_of(kind: str, params: Params) -> Any:
    """Return the options of an encoder of this kind; one of a file of one's own gets the section's `own`."""
    section = params.train_medical_encoder
    if kind == "diffusion":
        values: dict[str, Any] = params.train_lora.model_dump() | {"epochs": section.diffusion.epochs}
        folder = generator_folder(params.generator.path)
        own = section.diffusion
        return DiffusionOptions(folder, LoraSettings(**values), timestep=own.timestep, prompt=own.prompt)
    if kind in ("vit", "vit_mae"):
        return section.vit
    return section.own


def tune(kind: str, train: Path, out: Path, params: Params, stage: str = STAGE) -> dict:
    """Write an encoder of `kind` to `out`, going on where a killed run stopped, and return its metrics.

    `stage` is the one that runs, whose entry in dvc.yaml says what the encoder follows from.
    """
    encoder = encoder_class(kind)
    options, together = options_of(kind, params), group()
    if together.num > 1 and kind not in TOGETHER:
        raise ValueError(
            f"train_medical_encoder.kind: {kind!r} trains in one process; unset MEMA_PROCESSES for this stage"
        )
    inputs = [train]
    if kind == "diffusion":
        generator = params.generator
        expected = {name: digest for name, digest in generator.sha256.items() if name != "ip_adapter"}
        check_sha256(options.generator, Path(generator.ip_adapter), expected)
        inputs.append(options.generator)
    fingerprint = entry.fingerprint(stage, *inputs, by=encoder, kind=kind, options=repr(options))
    scratch = shards.SCRATCH / f"{stage}-{fingerprint}"
    scratch.mkdir(parents=True, exist_ok=True)
    tuned, metrics = encoder.fine_tune(kind, training_faces(train), options, scratch)
    together.wait()  # nobody needs the scratch any more
    if together.is_main:
        publish(tuned, scratch / "grids", out)
    return {"kind": kind, **metrics}


def publish(tuned: MedicalEncoder, grids: Path, out: Path) -> None:
    """Put the encoder and its sheets of images at `out` in one rename."""
    incoming = out.with_name(f".{out.name}.incoming")
    shutil.rmtree(incoming, ignore_errors=True)
    tuned.save(incoming)
    for grid in sorted(grids.glob("*.png")):
        (incoming / "grids").mkdir(exist_ok=True)
        _link(grid, incoming / "grids" / grid.name)
    shutil.rmtree(out, ignore_errors=True)
    out.parent.mkdir(parents=True, exist_ok=True)
    incoming.replace(out)


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # scratch on another file system
        shutil.copyfile(source, target)


def run(train: Path, encoder: Path, metrics: Path, params: Params) -> int:
    """Train the encoder of train_medical_encoder.kind; return the images seen."""
    summary = tune(params.train_medical_encoder.kind, train, encoder, params)
    if group().is_main:
        durable.write_json(metrics, summary)
        shards.clear_scratch(STAGE)
    return summary["images_seen"]


def main(
    train: Annotated[Path, typer.Option(help="shards of MeMa's training split")],
    encoder: Annotated[Path, typer.Option(help="out: folder of the medical encoder, with sheets of images")],
    metrics: Annotated[Path, typer.Option(help="out: counts and loss as JSON")],
) -> None:
    """Train the medical semantics encoder on MeMa's training split."""
    params = load(Path("params.yaml"))
    with shards.timing(STAGE) as record:
        record.images = run(train, encoder, metrics, params)


if __name__ == "__main__":
    launch.start(main)
