"""What fewer steps of DPM-Solver++ cost: images a second, legible signs, resemblance to patients, distribution.

    python -m benchmarks.studies.sampling_steps --steps 4 --steps 12 --steps 50

Each number of steps runs the stages sample, screen_identity and select on a part of the plan, in a folder of its own
that goes afterwards; it needs the outputs up to plan_sampling (`dvc repro plan_sampling`). Rates stand with their 95 %
intervals. The images come from the plan's own seeds, so rows differ by the steps alone.
"""

import json
import time
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from benchmarks import harness
from mema.params import Params, load
from mema.runtime import durable, shards
from tasks.synthesize import sample, screen_identity, select

COLUMNS = (
    "steps", "images/s", "disease read as asked", "leak rate, injected", "leak rate, direct", "W1 age",
    "TV disease", "TV gender",
)  # fmt: skip


def part_of_plan(plan: Path, every: int) -> Path:
    """Write every n-th row of the plan, all arms alike, and return the file."""
    rows = shards.read_table(plan)
    shards.write_table(Path("plan.parquet"), rows.take(list(range(0, rows.num_rows, every))))
    return Path("plan.parquet")


def measure(data: Path, params: Params, steps: int, every: int) -> dict[str, Any]:
    """Sample, screen and select with `steps` in the current folder; return the metrics of all three."""
    Path("data").symlink_to(data)  # params.yaml names the networks from here
    section = params.sample.model_copy(update={"num_inference_steps": steps})
    plan, public = part_of_plan(data / "plan/plan.parquet", every), data / "public/faces"
    patients = data / "patients/faces"
    warm = shards.read_table(plan).slice(0, section.batch_size)
    shards.write_table(Path("warm.parquet"), warm)  # the generator stays loaded between stages
    sample.run(Path("warm.parquet"), data / "lora", public, Path("warm"), params.generator, section)
    start = time.perf_counter()
    num = sample.run(plan, data / "lora", public, Path("samples"), params.generator, section)
    seconds = time.perf_counter() - start
    screen_identity.run(
        Path("samples"), patients, public, Path("screened"), Path("leakage.json"), params.screen_identity
    )
    wanted = {"num_images": params.select.num_images // every, "max_shortfall": 1.0}
    chosen = params.model_copy(update={"select": params.select.model_copy(update=wanted)})
    select.run(
        Path("screened/kept"), data / "profile/cohort.json", patients, Path("selected"),
        Path("distribution.json"), Path("legibility.json"), chosen, Path("exact.json"),
    )  # fmt: skip
    names = ("leakage", "distribution", "legibility")
    return {"steps": steps, "images": num, "images_per_second": num / seconds} | {
        name: json.loads(Path(f"{name}.json").read_text()) for name in names
    }


def line(found: dict[str, Any]) -> list[str]:
    """Return a row of the table."""
    read = found["legibility"]["confusion"]["asked_by_judged"]
    hits, asked = sum(row[i] for i, row in enumerate(read)), sum(map(sum, read))
    leaks, distances = found["leakage"]["average"], found["distribution"]["wasserstein"]
    return [
        str(found["steps"]), f"{found['images_per_second']:.2f}", harness.rate(hits, asked),
        *(harness.rate(leaks[arm]["leaked"], leaks[arm]["n"]) for arm in ("injected", "direct")),
        *(_distance(distances[name]["guided"]) for name in ("age", "disease", "gender")),
    ]  # fmt: skip


def _distance(found: dict[str, Any]) -> str:
    low, high = found["ci95"]
    return f"{found['value']:.3f} [{low:.3f}, {high:.3f}]"


def main(
    steps: Annotated[list[int] | None, typer.Option(min=1, help="numbers of steps, each by itself")] = None,
    every: Annotated[int, typer.Option(min=1, help="take each n-th row of the plan")] = 3,
    out: Annotated[Path, typer.Option(resolve_path=True, help="file for all metrics, as JSON")] = Path(
        ".bench/sampling_steps.json"
    ),
) -> None:
    """Print the table of what fewer steps cost."""
    params, data, found = load(Path("params.yaml")), Path("data").resolve(), []
    harness.need_plan(data)
    if every > params.select.num_images:
        raise typer.BadParameter(f"--every: {every}; allowed: 1 to {params.select.num_images}")
    for number in steps or [4, 8, 12, 20, 25, 50]:
        harness.in_new_folder(lambda _, number=number: found.append(measure(data, params, number, every)))
    durable.write_json(out, found)
    table = Table(*COLUMNS)
    for row in found:
        table.add_row(*line(row))
    Console(width=180).print(table)


if __name__ == "__main__":
    typer.run(main)
