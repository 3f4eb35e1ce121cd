"""Time and memory of the leak search and of sampling at 1, 4 and 16 times the work, each in a process of its own.

    python -m benchmarks.studies.growth plot --out docs/images/growth.svg

Time should grow as the work does, memory not at all: what is counted is the peak of the resident memory above what
stood there before (the embeddings; the loaded generator). The search asks for 6,250 to 100,000 samples among 39,000
photos. Sampling is the stage itself, shard by shard, on the plan of `dvc repro plan_sampling` laid end to end.
"""

import json
import tempfile
from pathlib import Path
from typing import Annotated, Any, Literal

import matplotlib.pyplot as plt
import numpy as np
import pyarrow as pa
import typer

from benchmarks import harness
from benchmarks.paths.leak_nn import BLOCK_ROWS, KINDS, embeddings
from mema.params import load
from mema.project import process
from mema.runtime import durable, memory, shards
from models.identity.search import nearest
from tasks.synthesize import sample

FACTORS = (1, 4, 16)
QUERIES, GALLERY, DIM = 6_250, 39_000, 512
IMAGES, STEPS = 64, 4
TITLES = {"search": "samples searched among 39,000 photos", "sampling": f"images sampled in {STEPS} steps"}
app = typer.Typer(add_completion=False)


def search(factor: int) -> dict[str, Any]:
    """Search `factor` times QUERIES samples, made in blocks so that nothing but them stands in memory."""
    rng = np.random.default_rng(0)
    gallery = embeddings(GALLERY, DIM, KINDS[0], rng)
    queries = np.empty((factor * QUERIES, DIM), np.float32)
    for start in range(0, len(queries), QUERIES):
        queries[start : start + QUERIES] = embeddings(QUERIES, DIM, KINDS[0], rng)
    nearest(queries[:BLOCK_ROWS], gallery)
    taken: list[float] = []
    peak, added = harness.peak_memory(
        lambda: taken.append(harness.turn(lambda: nearest(queries, gallery))), on_cpu=True
    )
    return {"work": len(queries), "seconds": taken[0], "added_gib": added / harness.GIB, "peak_gib": peak / harness.GIB}


def sampling(factor: int) -> dict[str, Any]:
    """Run the stage sample on `factor` times IMAGES rows of the plan."""
    data, params = Path("data").resolve(), load(Path("params.yaml"))
    section = params.sample.model_copy(update={"num_inference_steps": STEPS})
    found: dict[str, Any] = {}

    def work(folder: Path) -> None:
        (folder / "data").symlink_to(data)
        plan = shards.read_table(data / "plan/plan.parquet")
        rows = pa.concat_tables([plan] * (factor * IMAGES // plan.num_rows + 1))
        for name, num in (("warm", IMAGES // 4), ("plan", factor * IMAGES)):
            shards.write_table(folder / f"{name}.parquet", rows.slice(0, num))

        def run(name: str) -> None:
            files = (folder / f"{name}.parquet", data / "lora", data / "public/faces", folder / name)
            sample.run(*files, params.generator, section)

        run("warm")
        taken: list[float] = []
        peak, added = harness.peak_memory(lambda: taken.append(harness.turn(lambda: run("plan"))))
        found.update(work=factor * IMAGES, seconds=taken[0], added_gib=added / harness.GIB, peak_gib=peak / harness.GIB)

    harness.in_new_folder(work)
    return found


@app.command()
def measure(
    path: Annotated[Literal["search", "sampling"], typer.Argument()],
    factor: Annotated[int, typer.Argument(min=1)],
    out: Annotated[Path, typer.Option(help="JSON to write")],
) -> None:
    """Write the seconds and gigabytes of one size."""
    memory.keep_freed()
    durable.write_json(out, {"search": search, "sampling": sampling}[path](factor))


@app.command()
def plot(out: Annotated[Path, typer.Option(help="picture to write, with its figures beside it as JSON")]) -> None:
    """Measure all sizes and draw time and memory over the work."""
    harness.need_plan(Path("data"))
    found: dict[str, list[dict[str, Any]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for path in TITLES:
            for factor in FACTORS:
                file = Path(folder, f"{path}-{factor}.json")
                process.module("benchmarks.studies.growth", "measure", path, str(factor), "--out", str(file))
                found.setdefault(path, []).append(json.loads(file.read_text()))
                typer.echo(f"{path} {found[path][-1]}", err=True)
    durable.write_json(out.with_suffix(".json"), found)
    draw(found, out)


def draw(found: dict[str, list[dict[str, Any]]], out: Path) -> None:
    """Draw a panel for each path: seconds, a straight line where growth is linear, and gigabytes added."""
    figure, panels = plt.subplots(1, len(found), figsize=(10, 3.6), constrained_layout=True)
    for panel, (path, rows) in zip(panels, found.items(), strict=True):
        work, seconds, added = (np.array([row[name] for row in rows]) for name in ("work", "seconds", "added_gib"))
        panel.plot(work, seconds, "o-", color="#20639b", label="seconds")
        panel.plot(work, seconds[0] * work / work[0], ":", color="#20639b", label="linear from the first")
        panel.set(xscale="log", yscale="log", xlabel=TITLES[path], xticks=work, xticklabels=[f"{w:,}" for w in work])
        panel.set_yticks(seconds, [f"{value:.3g}" for value in seconds])
        panel.minorticks_off()
        panel.set_ylabel("seconds", color="#20639b")
        memory = panel.twinx()
        memory.plot(work, added, "s--", color="#c0392b", label="GiB added")
        memory.set_ylim(0, max(1.0, 1.3 * added.max()))
        memory.set_ylabel("GiB above what stood there", color="#c0392b")
        lines = panel.get_lines() + memory.get_lines()
        panel.legend(lines, [line.get_label() for line in lines], loc="upper left", frameon=False)
    figure.savefig(out, metadata={"Date": None})
    plt.close(figure)


if __name__ == "__main__":
    app()
