"""What orchestrating many images costs over the work itself: here, in processes, or on a Ray cluster.

The generator does nothing but attach bytes to each row of a plan, so all that is timed beyond it is ours: slicing,
gathering, writing durable shards with checksums, verifying them, publishing. The peer is a Prefect task an image.
MEMA_WORKERS and RAY_ADDRESS choose the engine, as for every stage. The limit is the work alone.
"""

import logging
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pyarrow as pa
import typer

from benchmarks import harness
from benchmarks.harness import Case
from mema.runtime import engine, shards

SERVER_START_SECONDS = 120


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


@contextmanager
def prefect_tasks(num: int) -> Iterator[Callable[[], Any]]:
    """Give a flow of `num` empty tasks, on a server of its own that ends afterwards."""
    from prefect import flow, task
    from prefect.testing.utilities import prefect_test_harness

    @task
    def image(row: int) -> int:
        return row

    @flow
    def images() -> list[int]:
        return image.map(range(num)).result()

    told = logging.getLogger("prefect")
    level = told.level
    with harness.variables(DO_NOT_TRACK="1"):
        told.setLevel(logging.ERROR)  # a line a task would cost the peer more time
        try:
            with prefect_test_harness(server_startup_timeout=SERVER_START_SECONDS):
                yield images
        finally:
            told.setLevel(level)


def case(
    folder: Path, images: int, shard_rows: int, image_bytes: int, tasks: Callable[[], Any], num_tasks: int
) -> Case:
    """Return a stage over `images` rows; the peer's flow has `num_tasks` tasks, and its time is scaled."""
    plan, work = plan_of(images), NoGenerator(image_bytes)
    parts = [plan.slice(start, shard_rows) for start in range(0, images, shard_rows)]

    def stage() -> None:
        shutil.rmtree(".scratch", ignore_errors=True)
        shards.map_shards(
            plan, work, folder / "out", shard_rows=shard_rows, stage="bench", fingerprint="f", desc="images",
            gather=gather,
        )  # fmt: skip

    def bare() -> None:
        make = work.load()
        for part in parts:
            make(gather(part))

    def check() -> str:
        stage()
        files, make = sorted((folder / "out").iterdir()), work.load()
        for file, part in zip(files, parts, strict=True):
            assert shards.read_table(file).equals(make(gather(part))), file.name
        assert tasks() == list(range(num_tasks))
        return f"all {len(files)} shards hold what the work gives"

    processes = int(engine.number_of("MEMA_WORKERS", 0)) or 1
    where = "Ray" if os.environ.get("RAY_ADDRESS") else f"{processes} process" + "es" * (processes != 1)
    return Case(
        "orchestration", f"{images} images in shards of {shard_rows}, {where}", ours=stage,
        peers={"a Prefect task an image": tasks}, check=check, limit=bare, limit_name="the work alone", on_cpu=True,
        scale={"a Prefect task an image": num_tasks / images},
    )  # fmt: skip


def main(
    images: Annotated[int, typer.Option(min=1, help="rows of the plan")] = 100_000,
    shard_rows: Annotated[int, typer.Option(min=1, help="rows of a shard")] = 64,
    image_bytes: Annotated[int, typer.Option(min=1, help="bytes that stand for an image")] = 1024,
    peer_tasks: Annotated[int, typer.Option(min=1, help="Prefect tasks to time")] = 300,
    rounds: harness.Rounds = 3,
    out: harness.Out = None,
) -> None:
    """Assert equal results, then let the stage and the tasks take turns."""

    def work(folder: Path) -> None:
        with prefect_tasks(peer_tasks) as tasks:
            harness.report(case(folder, images, shard_rows, image_bytes, tasks, peer_tasks), rounds, out)

    harness.in_new_folder(work)


if __name__ == "__main__":
    typer.run(main)
