"""What orchestrating 100,000 images costs over the work itself, here, in two processes, and on a Ray cluster.

The generator does nothing but attach bytes to each row of a plan, so all that is timed beyond it is ours: slicing,
gathering, writing durable shards with checksums, verifying them, publishing. The peer is a Prefect task an image,
timed on a few and multiplied. `python benchmarks/orchestration.py --help`.
"""

import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import pyarrow as pa
import typer

from tasks import shards

PEER = """
import time
from prefect import flow, task
@task
def image(row): return row
@flow
def images(num):
    for row in range(num):
        image(row)
images(2)
start = time.perf_counter()
images(int(__import__("sys").argv[1]))
print(time.perf_counter() - start)
"""


@dataclass(frozen=True)
class NoGenerator:
    """Work: every row gets the same bytes."""

    size: int

    def load(self) -> Callable[[pa.Table], pa.Table]:
        """Return what attaches them."""
        image = np.random.default_rng(0).bytes(self.size)
        return lambda part: part.append_column("image", pa.array([image] * part.num_rows, pa.binary()))


def plan_of(num_rows: int) -> pa.Table:
    """Return a plan's columns, with a donor's embedding of 1,024 numbers left to the gathering."""
    rows = np.arange(num_rows)
    return pa.table(
        {
            "plan_row": rows,
            "prompt": [f"A face, eye with condition {row % 8}" for row in rows.tolist()],
            "donor_id": [f"{row % 4000:064x}" for row in rows.tolist()],
            "seed": rows * 7919,
            "injection_weight": 0.2 + 0.2 * (rows % 100) / 100,
        }
    )


def gather(part: pa.Table) -> pa.Table:
    """Attach what a worker needs beside the row, as sampling does."""
    donor = np.zeros(1024, np.float32)
    return part.append_column("donor", pa.array([donor] * part.num_rows, pa.list_(pa.float32())))


def main(
    images: Annotated[int, typer.Option(help="rows of the plan")] = 100_000,
    shard_rows: Annotated[int, typer.Option(help="rows of a shard")] = 64,
    image_bytes: Annotated[int, typer.Option(help="bytes that stand for an image")] = 1024,
    peer_tasks: Annotated[int, typer.Option(help="Prefect tasks to time; 0 leaves the peer out")] = 200,
) -> None:
    """Time the work alone, then the work as a stage."""
    plan, work = plan_of(images), NoGenerator(image_bytes)
    with tempfile.TemporaryDirectory(dir=".") as folder:
        os.chdir(folder)
        start = time.perf_counter()
        shards.map_shards(
            plan, work, Path("out"), shard_rows=shard_rows, stage="bench", fingerprint="f", desc="images",
            gather=gather,
        )  # fmt: skip
        seconds = time.perf_counter() - start
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        bare = 0.0
        for number, file in enumerate(sorted(Path("out").iterdir())):
            part = plan.slice(number * shard_rows, shard_rows)
            start = time.perf_counter()
            expected = work.load()(gather(part))
            bare += time.perf_counter() - start
            assert shards.read_table(file).equals(expected), number
        os.chdir("..")
    where = "Ray" if os.environ.get("RAY_ADDRESS") else f"{os.environ.get('MEMA_WORKERS') or 1} process(es)"
    print(f"{images} images in shards of {shard_rows}; the work alone {bare:.1f} s")
    print(
        f"{where}: {seconds:.1f} s, {seconds - bare:.1f} s over the work; this process's peak {memory:.2f} GiB"
    )
    if peer_tasks:
        each = prefect_task_seconds(peer_tasks)
        print(
            f"a Prefect task an image: {1000 * each:.1f} ms each ({peer_tasks} timed), {each * images:.0f} s"
        )


def prefect_task_seconds(num: int) -> float:
    """Return the seconds that one of `num` empty Prefect tasks takes, the server's start left out."""
    with tempfile.NamedTemporaryFile("w", suffix=".py") as script:
        script.write(PEER)
        script.flush()
        done = subprocess.run(
            [sys.executable, script.name, str(num)], capture_output=True, text=True, check=True,
            env=os.environ | {"PREFECT_LOGGING_LEVEL": "ERROR", "DO_NOT_TRACK": "1"},
        )  # fmt: skip
    return float(done.stdout.split()[-1]) / num


if __name__ == "__main__":
    typer.run(main)
