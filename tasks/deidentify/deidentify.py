"""Stage deidentify: every method of the benchmark on the validation images, and back again where it can."""

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pyarrow as pa
import typer

from mema.params import load
from mema.params.deidentify import Deidentify, MethodSpec
from mema.runtime import durable, entry, shards, stage
from models.computing.threads import AT_ONCE, side_by_side
from models.deid.deidentifier import Deidentifier, load_deidentifier
from models.diffusion.generator import LoadedGenerator, generator_folder
from models.images import PngWriter, decode
from models.methods.method import Method, built_in, checked, load_method
from tasks.works.generation import WEIGHTS, GeneratorFiles

STAGE = "deidentify"
WRONG = 1  # marks the draw of wrong passwords
DEIDENTIFIED = pa.schema(
    [
        ("image_id", pa.string()),  # of the original
        ("image", pa.binary()),
        ("recovered", pa.binary()),  # with the right password; null where there is no way back
        ("wrong", pa.binary()),  # with a wrong one
    ]
)


def passwords(image_ids: Sequence[str], dim: int, seed: int, *, wrong: bool = False) -> np.ndarray:
    """Return float32 [n, dim], standard normal, each row a function of its image's id and the seed alone."""
    rows = [np.random.default_rng([seed, int(i[:16], 16), 1 + wrong * WRONG]) for i in image_ids]
    drawn = [rng.standard_normal(dim, np.float32) for rng in rows]
    return np.array(drawn, np.float32).reshape(len(image_ids), dim)


def validation_images(mema: Path, mema_seg: Path) -> pa.Table:
    """Return image_id, image and disease of both validation splits, each image once, in the order of MeMa's."""
    columns = ["image_id", "image", "disease"]
    both = [shards.read_table(folder / "val", columns=columns) for folder in (mema, mema_seg)]
    table = pa.concat_tables(both)
    first = {image_id: row for row, image_id in reversed(list(enumerate(table["image_id"].to_pylist())))}
    return table.take(sorted(first.values())).combine_chunks()


@dataclass(frozen=True)
class Files:
    """What methods are made from, as files that travel to workers; None is what a method does not need."""

    generator_files: GeneratorFiles | None
    faces_folder: Path | None  # the training split
    deid_folder: Path | None

    def reduced(self, spec: MethodSpec) -> "Files":
        """Return no other files than a method needs, since workers may have to fetch them."""
        needs = getattr(built_in(spec.use), "needs", frozenset())
        return Files(
            self.generator_files if "generator" in needs else None,
            self.faces_folder if "faces" in needs else None,
            self.deid_folder if "deidentifier" in needs else None,
        )

    def paths(self) -> list[Path]:
        """Return all files and folders."""
        generator = self.generator_files
        paths = [generator.folder, generator.lora] if generator else []
        return [path for path in (*paths, self.faces_folder, self.deid_folder) if path]

    def generator(self) -> LoadedGenerator:
        """Load the fine-tuned generator."""
        assert self.generator_files
        return self.generator_files.load()

    def faces(self) -> np.ndarray:
        """Return the training split's faces, uint8 [m, s, s, 3]."""
        assert self.faces_folder
        encoded = shards.read_table(self.faces_folder, columns=["image"])["image"].to_pylist()
        return np.stack([decode(data) for data in encoded])

    def deidentifier(self) -> Deidentifier:
        """Load MedSem-DeID."""
        assert self.deid_folder
        return load_deidentifier(self.deid_folder)


@dataclass(frozen=True)
class Applying:
    """Work: validation images to what one method makes of them."""

    name: str
    spec: MethodSpec
    files: Files
    section: Deidentify

    def load(self) -> "Applier":
        """Load the method."""
        at_once = 1 if "." in self.spec.use else AT_ONCE  # another's method may not bear threads
        return Applier(load_method(self.spec.use, self.spec.options, self.files), self.name, self.section, at_once)


class Applier:
    """Applies one method to parts of the validation images."""

    def __init__(self, method: Method, name: str, section: Deidentify, at_once: int = 1) -> None:
        self._method, self._name, self._section, self._at_once = method, name, section, at_once

    def __call__(self, part: pa.Table) -> pa.Table:
        """Return the part as DEIDENTIFIED."""
        made: dict[str, list[bytes | None]] = {"image": [], "recovered": [], "wrong": []}
        size = self._section.batch_size
        batches = [part.slice(start, size) for start in range(0, part.num_rows, size)]
        with PngWriter() as writer:
            for batch, found in zip(batches, side_by_side(self._batch, batches, self._at_once), strict=True):
                for column, images in found.items():
                    if images is not None:
                        writer.write(images)
                    made[column] += [*writer.collect()] if images is not None else [None] * batch.num_rows
        return pa.table({"image_id": part["image_id"]} | made, schema=DEIDENTIFIED)

    def _batch(self, part: pa.Table) -> dict[str, np.ndarray | None]:
        ids, section, method = part["image_id"].to_pylist(), self._section, self._method
        images = np.stack([decode(data) for data in part["image"].to_pylist()])
        right = passwords(ids, section.password_dim, section.seed)
        told = (part["disease"].to_pylist(),) if told_disease(method) else ()
        changed, side_car = method.deidentify(images, right, *told)
        found: dict[str, np.ndarray | None] = {"image": checked(changed, images, self._name)}
        wrong = passwords(ids, section.password_dim, section.seed, wrong=True)
        for column, given in (("recovered", right), ("wrong", wrong)):
            back = method.recover(changed, side_car, given)
            found[column] = None if back is None else checked(back, images, f"{self._name}, {column}")
        return found


def told_disease(method: Any) -> bool:
    """Tell whether a method is given the readers' diagnosis, which its rows must say."""
    return bool(getattr(method, "told_disease", False))


def own_code(spec: MethodSpec) -> Any:
    """Return what a dotted path names, None for a built-in method or where nothing is found; `load` says why."""
    module, _, name = spec.use.rpartition(".")
    try:
        return getattr(importlib.import_module(module), name) if module else None
    except (ImportError, AttributeError):
        return None


def describe(spec: MethodSpec) -> dict[str, Any]:
    """Return what method.json says of a method beside its images."""
    told = told_disease(built_in(spec.use) or own_code(spec))
    return {"use": spec.use, "options": spec.options, "told_disease": told}


def run(mema: Path, mema_seg: Path, out: Path, section: Deidentify, files: Files) -> int:
    """Write out/<method>/shard-*.parquet and method.json; return the number of images made.

    A killed run goes on with the shards that are missing, of any method; nothing is published before all are done.
    """
    rows, made = validation_images(mema, mema_seg), {}
    for name, spec in section.methods.items():
        inputs = (mema / "val", mema_seg / "val", *files.reduced(spec).paths())
        fingerprint = entry.fingerprint(STAGE, *inputs, by=own_code(spec), section=section, method=spec)
        folder = shards.compute_shards(
            rows, Applying(name, spec, files.reduced(spec), section), shard_rows=section.shard_rows,
            stage=f"{STAGE}-{name}", fingerprint=fingerprint, desc=name,
        )  # fmt: skip
        made[name] = (folder, fingerprint)
    for name, (folder, _) in made.items():
        shards.publish(folder, out / name)
        durable.write_json(out / name / "method.json", describe(section.methods[name]))
    for name, (_, fingerprint) in made.items():
        shards.clear_scratch(f"{STAGE}-{name}", fingerprint)
    return rows.num_rows * len(made)


def main(
    mema: Annotated[Path, typer.Option(help="folder of MeMa's splits")],
    mema_seg: Annotated[Path, typer.Option(help="folder of MeMa-Seg's splits")],
    lora: Annotated[Path, typer.Option(help="folder of LoRA weights")],
    deid: Annotated[Path, typer.Option(help="folder of the trained MedSem-DeID")],
    out: Annotated[Path, typer.Option(help="out: a folder of shards per method")],
) -> None:
    """Apply every method to the validation images."""
    params = load(Path("params.yaml"))
    with shards.timing(STAGE) as record:
        folder = generator_folder(params.generator.path)
        generator = GeneratorFiles(folder, None, lora / WEIGHTS, params.sample.precision)
        files = Files(generator, mema / "train", deid)
        record.images = run(mema, mema_seg, out, params.deidentify, files)


if __name__ == "__main__":
    stage.start(main)
