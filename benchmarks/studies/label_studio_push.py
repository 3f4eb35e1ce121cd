"""Seconds of a push of many tasks, of a second one that adds nothing, and of a pull, on a real server of its own.

    python -m benchmarks.studies.label_studio_push --num-images 10000

The images are 96 px of noise: their size matters for the copy to the disk only, the server never reads them.
"""

import hashlib
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import numpy as np
import pyarrow as pa
import typer

from mema.label_studio.exchange.pull import pull
from mema.label_studio.exchange.push import push
from mema.label_studio.server import server
from mema.label_studio.server.access import Target
from mema.label_studio.server.places import Places
from mema.params.annotate import Annotate
from mema.runtime import shards
from models.images import encode_png

ANNOTATE = Annotate(readers=("reader_1",), senior="senior", seed=7, repeat_share=0.05, show_intended_label=False)


def write_images(folder: Path, count: int) -> None:
    """Write a table like data/selected; a hundred different pictures are enough."""
    noise = np.random.default_rng(7).integers(0, 256, (100, 96, 96, 3), np.uint8)
    pictures = [encode_png(picture) for picture in noise]
    ids = [hashlib.sha256(str(i).encode()).hexdigest() for i in range(count)]
    table = pa.table({"image_id": ids, "image": [pictures[i % 100] for i in range(count)], "disease": ["bcc"] * count})
    shards.write_shards(table, folder, shard_rows=1000)


def seconds(work: Callable[[], object]) -> float:
    """Return how long a call takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def main(
    num_images: Annotated[int, typer.Option(min=1)] = 10_000,
    port: Annotated[int, typer.Option(help="free port for the server")] = 18080,
) -> None:
    """Start a server, measure, stop it; the environment is .label_studio/venv or MEMA_LABEL_STUDIO_VENV."""
    with tempfile.TemporaryDirectory() as folder:
        images, out, places = Path(folder, "selected"), Path(folder, "out"), Places(Path(folder, "root"))
        if not places.venv.is_absolute() or not places.venv.exists():
            places.root.mkdir()
            places.venv.symlink_to(Places().venv.resolve())
        write_images(images, num_images)
        try:
            accounts = server.start(places, ["reader_1", "senior"], port=port, sam_port=None)
            target = Target(places, accounts.url)

            def push_all() -> object:
                return push(images, None, out, ANNOTATE, target)

            figures = {
                "push": seconds(push_all),
                "push again": seconds(push_all),
                "pull": seconds(lambda: pull(out, target)),
            }
        finally:
            server.stop(places)
    for name, figure in figures.items():
        print(f"{name:12} {figure:7.1f} s for {num_images} images")


if __name__ == "__main__":
    typer.run(main)
