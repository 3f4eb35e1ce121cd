"""All hot paths side by side: `make bench`, or `python -m benchmarks leak_nn embed`.

Each path runs in a process of its own, so that memory is its own; it ends with this one. A path that fails is told at
the end.
"""

import json
import os
import sys
import tempfile
from collections import deque
from pathlib import Path
from typing import Annotated

import torch
import typer

from benchmarks import harness
from benchmarks.harness import Row
from mema.project import process

# What `make bench` times on two cores within a quarter of an hour, and the sizes of a GPU.
CPU: dict[str, list[list[str]]] = {
    "leak_nn": [[], ["--kind", "photos of people"], ["--kind", "alike"], ["--single"]],
    "lora_step": [[]],
    "sample_batch": [["--images", "32"]],
    "image_writer": [["--images", "200", "--rounds", "3"]],
    "train_reads": [[]],
    "embed": [[]],
    "orchestration": [["--images", "20000"]],
    "deid_step": [["--batch-size", "8", "--rounds", "2"]],
    "sam_click": [["compare"]],
}
FULL = ["--width", "1", "--size-px", "512", "--precision", "bf16"]
GPU: dict[str, list[list[str]]] = {
    "lora_step": [[*FULL, "--batch-size", "32"]],
    "sample_batch": [[*FULL, "--images", "64", "--batch-size", "64", "--steps", "20"]],
    "deid_step": [["--width", "128"]],
    "sam_click": [["compare"]],
}
TOLD_LINES = 60  # of a path that fails
PHOTOGRAPHS = ("embed",)  # need MEMA_ASSETS


def main(
    paths: Annotated[
        list[str] | None, typer.Argument(help=f"hot paths, all if none is named: {', '.join(CPU)}")
    ] = None,
    gpu: Annotated[bool, typer.Option("--gpu", help=f"the sizes of a GPU: {', '.join(GPU)}")] = False,
    out: Annotated[Path, typer.Option(resolve_path=True, help="folder for the results")] = Path(".bench"),
) -> None:
    """Time the hot paths beside what one would use instead, and beside the limit of this machine."""
    sizes = GPU if gpu else CPU
    unknown = set(paths or ()) - set(sizes)
    if unknown:
        raise typer.BadParameter(f"{min(unknown)!r} is no hot path here; allowed: {', '.join(sizes)}")
    if gpu and not torch.cuda.is_available():
        raise typer.BadParameter("--gpu: no GPU is visible to PyTorch here; leave it out for the sizes of a CPU")
    rows, failed = [], []
    for name in paths or sizes:
        if name in PHOTOGRAPHS and not os.environ.get("MEMA_ASSETS"):
            typer.echo(f"{name}: left out; set MEMA_ASSETS to the folder with data/ and weights/", err=True)
            failed += [name] if paths else []
            continue
        for options in sizes[name]:
            typer.echo(" ".join((name, *options)), err=True)
            row = run(name, options, out)
            if row is None:
                failed.append(" ".join((name, *options)))
            else:
                rows.append(row)
    if rows:
        harness.show(rows)
        file = out / ("-".join(("bench", *(["gpu"] if gpu else []), *(paths or ()))) + ".json")
        harness.write(rows, file)
        typer.echo(f"written: {file}, and beside it the values, for `python -m pyperf stats`")
    if failed:
        typer.echo(f"not measured: {', '.join(failed)}; see above", err=True)
    sys.exit(bool(failed))


def run(name: str, options: list[str], out: Path) -> Row | None:
    """Run one path in a process of its own; None where it fails, its output told."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", f"benchmarks.paths.{name}", *options, "--out", folder]
        said: deque[str] = deque(maxlen=TOLD_LINES)
        if process.run(command, said.append):
            typer.echo("\n".join(said), err=True)
            return None
        out.mkdir(parents=True, exist_ok=True)
        label = "-".join((name, *(option.lstrip("-").replace(" ", "_") for option in options)))
        (out / f"{label}.pyperf.json").write_bytes(Path(folder, f"{name}.pyperf.json").read_bytes())
        return Row(**json.loads(Path(folder, f"{name}.json").read_text()))


if __name__ == "__main__":
    typer.run(main)
