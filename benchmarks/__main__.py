"""All hot paths side by side: `make bench`, or `python -m benchmarks leak_nn embed`.

Each path runs in a process of its own, so that memory is its own; a path that fails is told at the end.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import torch
import typer

from benchmarks import harness
from benchmarks.harness import Row

# What `make bench` times on two cores within a quarter of an hour, and the sizes of a GPU.
CPU: dict[str, list[list[str]]] = {
    "leak_nn": [[], ["--people"]],
    "lora_step": [[]],
    "sample_batch": [[]],
    "image_writer": [["--images", "200", "--rounds", "3"]],
    "train_reads": [[]],
    "embed": [[]],
    "orchestration": [["--images", "20000"]],
    "deid_step": [["--batch-size", "4"]],
    "sam_click": [[]],
}
FULL = ["--width", "1", "--size-px", "512", "--precision", "bf16"]
GPU: dict[str, list[list[str]]] = {
    "lora_step": [[*FULL, "--batch-size", "32"]],
    "sample_batch": [[*FULL, "--images", "64", "--batch-size", "64", "--steps", "20"]],
    "deid_step": [["--width", "128"]],
    "sam_click": [[]],
}
PHOTOGRAPHS = ("embed",)  # need MEMA_ASSETS


def main(
    paths: Annotated[
        list[str] | None, typer.Argument(help=f"of {', '.join(CPU)}; all of them if none is named")
    ] = None,
    gpu: Annotated[bool, typer.Option("--gpu", help="the sizes of a GPU")] = False,
    out: Annotated[Path, typer.Option(resolve_path=True, help="folder for the results")] = Path(".bench"),
) -> None:
    """Time the hot paths beside what one would use instead, and beside the limit of this machine."""
    if gpu and not torch.cuda.is_available():
        raise typer.BadParameter(
            "--gpu: no GPU is visible to PyTorch here; leave it out for the sizes of a CPU"
        )
    unknown = set(paths or ()) - set(CPU)
    if unknown:
        raise typer.BadParameter(f"{min(unknown)!r} is no hot path; allowed: {', '.join(CPU)}")
    sizes, rows, failed = GPU if gpu else CPU, [], []
    for name in paths or sizes:
        if name in PHOTOGRAPHS and not os.environ.get("MEMA_ASSETS"):
            failed.append(f"{name}: needs MEMA_ASSETS, the folder with data/ and weights/")
            continue
        for options in sizes.get(name, []):
            typer.echo(" ".join((name, *options)), err=True)
            row = run(name, options, out)
            if row is None:
                failed.append(f"{name} {' '.join(options)}: failed; see above")
            else:
                rows.append(row)
    if rows:
        harness.show(rows)
        harness.write(rows, out / "bench.json")
        typer.echo(f"written to {out}: bench.json, and values for `python -m pyperf stats`")
    for line in failed:
        typer.echo(line, err=True)
    sys.exit(bool(failed))


def run(name: str, options: list[str], out: Path) -> Row | None:
    """Run one path in a process of its own; None where it fails, its output told."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", f"benchmarks.{name}", *options, "--out", folder]
        done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        if done.returncode:
            typer.echo(done.stderr[-4000:], err=True)
            return None
        out.mkdir(parents=True, exist_ok=True)
        label = "-".join((name, *(option.lstrip("-") for option in options)))
        (out / f"{label}.pyperf.json").write_bytes(Path(folder, f"{name}.pyperf.json").read_bytes())
        return Row(**json.loads(Path(folder, f"{name}.json").read_text()))


if __name__ == "__main__":
    typer.run(main)
