"""The generator as work that travels, and the image embeddings of a plan's donors, each computed once, alone."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch

from mema.params.synthesize import Generator
from mema.runtime import shards
from models.computing.threads import side_by_side
from models.diffusion.generator import LoadedGenerator, check_sha256, embed_donor, generator_folder, load_generator
from models.diffusion.sampling import Row
from models.images import decode

WEIGHTS = "pytorch_lora_weights.safetensors"
SHARD_ROWS = 256
EMBEDDED = pa.schema([("image_id", pa.string()), ("embedding", pa.list_(pa.float32()))])


@dataclass(frozen=True)
class GeneratorFiles:
    """What a generator is loaded from: its folder, an IP-Adapter or none, the LoRA's weights or none."""

    folder: Path
    adapter: Path | None
    lora: Path | None
    precision: str

    def load(self) -> LoadedGenerator:
        """Load it; a process that asks again has the same one."""
        stats = [path.stat() for path in (self.adapter, self.lora) if path]
        return _loaded(self, tuple((stat.st_mtime_ns, stat.st_size) for stat in stats))


@lru_cache(maxsize=1)
def _loaded(files: GeneratorFiles, _state: tuple[tuple[int, int], ...]) -> LoadedGenerator:
    lora = files.lora.parent if files.lora else None
    return load_generator(files.folder, ip_adapter=files.adapter, lora=lora, precision=files.precision)


def generator_files(generator: Generator, lora: Path, precision: str) -> GeneratorFiles:
    """Return the files of the generator with its IP-Adapter and the LoRA of a folder; raises ValueError."""
    folder, adapter, weights = generator_folder(generator.path), Path(generator.ip_adapter), lora / WEIGHTS
    for field, file in (("generator.ip_adapter", adapter), ("lora", weights)):
        if not file.is_file():
            raise ValueError(f"{field}: no file {file}; fetch it, or run the stage that makes it (dvc repro)")
    check_sha256(folder, adapter, generator.sha256)
    return GeneratorFiles(folder, adapter, weights, precision)


@dataclass(frozen=True)
class Embedding:
    """Work: faces to the image encoder's embeddings."""

    generator: GeneratorFiles

    def load(self) -> Callable[[pa.Table], pa.Table]:
        """Return what turns rows with image_id and image into EMBEDDED."""
        loaded = self.generator.load()

        def embed(part: pa.Table) -> pa.Table:
            faces = part["image"].to_pylist()
            vectors = list(side_by_side(lambda data: embed_donor(loaded, decode(data)).numpy(), faces))
            return pa.table({"image_id": part["image_id"], "embedding": vectors}, schema=EMBEDDED)

        return embed


class Donors:
    """The embeddings of the public faces that a plan injects; `clear` forgets them on the disk."""

    def __init__(
        self, ids: Sequence[str], public_faces: Path, generator: GeneratorFiles, *, stage: str, fingerprint: str
    ) -> None:
        """Embed the donors named; "" is nobody. Raises ValueError where one is not among the public faces."""
        self._stage, self._fingerprint = f"{stage}-donors", fingerprint
        self._embeddings: dict[str, np.ndarray] = {}
        wanted = set(ids) - {""}
        if not wanted:
            return
        known = shards.read_table(public_faces, columns=["image_id"])["image_id"].to_pylist()
        place = {image_id: row for row, image_id in reversed(list(enumerate(known))) if image_id in wanted}
        if missing := wanted - place.keys():
            raise ValueError(
                f"plan: {len(missing)} of {len(wanted)} donors are not in {public_faces}; run plan_sampling again"
            )
        rows = pa.table({"row": sorted(place.values())})
        folder = shards.compute_shards(
            rows, Embedding(generator), shard_rows=SHARD_ROWS, stage=self._stage, fingerprint=fingerprint,
            desc="donors",
            gather=lambda part: shards.take_rows(public_faces, part["row"].to_pylist(), ["image_id", "image"]),
        )  # fmt: skip
        found = shards.read_table(folder)
        vectors = found["embedding"].combine_chunks()
        matrix = vectors.flatten().to_numpy().reshape(len(vectors), -1)
        self._embeddings = dict(zip(found["image_id"].to_pylist(), matrix, strict=True))

    def beside(self, part: pa.Table) -> pa.Table:
        """Return the part with a column `donor`: the embedding of each row's donor_id, null for nobody."""
        vectors = [self._embeddings.get(donor) for donor in part["donor_id"].to_pylist()]
        return part.append_column("donor", pa.array(vectors, pa.list_(pa.float32())))

    def clear(self) -> None:
        """Remove them from the scratch folder."""
        shards.clear_scratch(self._stage, self._fingerprint)


def rows_of(part: pa.Table, prompts: list[str]) -> list[Row]:
    """Return what the generator is asked for, from seed, donor and injection_weight of a plan's rows."""
    columns = (part[name].to_pylist() for name in ("seed", "donor", "injection_weight"))
    return [
        Row(prompt, seed, None if donor is None else torch.tensor(donor), weight)
        for prompt, seed, donor, weight in zip(prompts, *columns, strict=True)
    ]
