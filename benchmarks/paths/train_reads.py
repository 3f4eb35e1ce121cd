"""An epoch's reads in random order: cached moments, memory-mapped, against pictures that are decoded again.

The peers are a folder of PNG, read in the same order, and webdataset, which reads its shards one after the other and
shuffles in a buffer. Both end with pixels that an autoencoder would still have to encode; ours ends with latents drawn
for the UNet. All read in one thread. Each is checked to give every photo back as it was stored. The limit is copying
the same bytes in memory.
"""

import tarfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
import webdataset
from torch import Tensor

from benchmarks import harness
from benchmarks.harness import Case
from benchmarks.studies.pictures import pictures_of
from models.diffusion.latents import LatentMoments, to_unet
from models.images import decode, encode_png

DISTINCT = 24
SHARD_PHOTOS = 256
SHUFFLE_PHOTOS = 256
MAX_PHOTOS = 2048  # numbers that half precision tells apart, by which photos are known again
CHANNELS, DOWNSAMPLING = 4, 8  # of Stable Diffusion's latents
TARGETS = {"folder of PNG": 50.0}


def write_moments(folder: Path, num: int, size_px: int) -> LatentMoments:
    """Write moments as the cache of `train_lora` lies on the disk; the mean of photo i is i everywhere."""
    shape = (num, CHANNELS, size_px // DOWNSAMPLING, size_px // DOWNSAMPLING)
    rng, maps = np.random.default_rng(0), []
    for name in ("mean", "std"):
        moment = np.lib.format.open_memmap(folder / f"{name}.npy", "w+", np.float16, shape)
        moment[:] = np.arange(num)[:, None, None, None] if name == "mean" else rng.random(shape[1:])
        moment.flush()
        maps.append(np.load(folder / f"{name}.npy", mmap_mode="r"))
    return LatentMoments(*maps, 0.18215, 0.0)


def write_folder(folder: Path, files: list[bytes], num: int) -> list[Path]:
    """Write the photos as PNG files."""
    folder.mkdir()
    paths = [folder / f"{i:06d}.png" for i in range(num)]
    for i, path in enumerate(paths):
        path.write_bytes(files[i % len(files)])
    return paths


def write_tars(folder: Path, files: list[bytes], num: int) -> list[str]:
    """Write the same as webdataset's shards."""
    folder.mkdir()
    names = []
    for start in range(0, num, SHARD_PHOTOS):
        names.append(str(folder / f"{start:06d}.tar"))
        with tarfile.open(names[-1], "w") as tar:
            for i in range(start, min(start + SHARD_PHOTOS, num)):
                data = files[i % len(files)]
                entry = tarfile.TarInfo(f"{i:06d}.png")
                entry.size = len(data)
                tar.addfile(entry, BytesIO(data))
    return names


def case(folder: Path, num: int, size_px: int, batch_size: int) -> Case:
    """Return an epoch over `num` photos; the folder of PNG reads a part, and its time is scaled."""
    kind, pictures = pictures_of(min(DISTINCT, num), size_px)
    files = [encode_png(picture) for picture in pictures]
    moments = write_moments(folder, num, size_px)
    paths, tars = write_folder(folder / "png", files, num), write_tars(folder / "tar", files, num)
    order = torch.randperm(num, generator=torch.Generator().manual_seed(0))
    generator = torch.Generator().manual_seed(1)
    few = order[: max(batch_size, num // 8)].tolist()

    def ours() -> Iterator[Tensor]:
        for rows in order.split(batch_size):
            yield moments.draw(rows, generator)

    def png(rows: list[int]) -> Iterator[np.ndarray]:
        for row in rows:
            yield decode(paths[row].read_bytes())

    def shuffled() -> Iterator[tuple[str, np.ndarray]]:
        data = webdataset.WebDataset(tars, shardshuffle=100, seed=0, empty_check=False)
        for sample in data.shuffle(SHUFFLE_PHOTOS):
            yield sample["__key__"], decode(sample["png"])

    def drain(reads: Iterator) -> None:
        for _ in reads:
            pass

    factors = moments.scaling_factor, moments.shift_factor
    frozen = LatentMoments(moments.mean, np.zeros_like(moments.std), *factors)

    def check() -> str:
        for rows in order.split(batch_size):
            drawn = frozen.draw(rows, generator)
            assert torch.equal(drawn, to_unet(rows.half().float(), *factors)[:, None, None, None].expand_as(drawn))
        for row, picture in zip(few, png(few), strict=True):
            assert np.array_equal(picture, pictures[row % len(pictures)])
        keys = []
        for key, picture in shuffled():
            assert np.array_equal(picture, pictures[int(key) % len(pictures)])
            keys.append(int(key))
        assert sorted(keys) == list(range(num))
        return f"each of {num} photos once, as it was stored"

    size = moments.mean.nbytes + moments.std.nbytes
    source, target = np.ones(size, np.uint8), np.empty(size, np.uint8)
    return Case(
        "train_reads", f"{num} {kind} of {size_px} px, batch {batch_size}",
        ours=lambda: drain(ours()),
        peers={"folder of PNG": lambda: drain(png(few)), "webdataset": lambda: drain(shuffled())},
        check=check, limit=lambda: np.copyto(target, source), limit_name="memcpy of the moments",
        targets=TARGETS, on_cpu=True, scale={"folder of PNG": len(few) / num},
    )  # fmt: skip


def main(
    photos: Annotated[int, typer.Option(min=1, max=MAX_PHOTOS)] = 1000,
    size_px: Annotated[int, typer.Option(min=64, help="a multiple of 8")] = 512,
    batch_size: Annotated[int, typer.Option(min=1)] = 32,
    rounds: harness.Rounds = 3,
    out: harness.Out = None,
) -> None:
    """Assert that every photo comes back, then let the readers take turns."""
    if size_px % DOWNSAMPLING:
        raise typer.BadParameter(f"--size-px: {size_px}; allowed: multiples of {DOWNSAMPLING}")
    harness.in_new_folder(lambda folder: harness.report(case(folder, photos, size_px, batch_size), rounds, out))


if __name__ == "__main__":
    typer.run(main)
