"""Gives the senior what the readers do not agree on, from the exports that were pulled last."""

import logging
import sys
from pathlib import Path
from typing import Annotated

import typer

from mema.label_studio.exchange.push import push_adjudication, read_examples
from mema.label_studio.server.access import target_here
from mema.label_studio.server.places import ROOT
from mema.params import load
from models.annotation.votes import disagreements


def main(
    selected: Annotated[Path, typer.Option(help="images that were read")] = Path("data/selected"),
    subset: Annotated[Path, typer.Option(help="table of prelabel")] = Path("data/prelabel/subset.parquet"),
    kept: Annotated[Path, typer.Option(help="where spare pictures are")] = Path("data/screened/kept"),
    examples: Annotated[Path, typer.Option(help="<disease>.png for the instructions")] = ROOT / "examples",
    out: Annotated[Path, typer.Option(help="folder of manifest and exports")] = Path("data/label_studio"),
    root: Annotated[Path, typer.Option(help="Label Studio's folder")] = ROOT,
) -> None:
    """Push ties and disagreements about quality to the senior's project; repeating it adds what is missing."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    section = load().annotate
    ids = disagreements(out, selected)
    if not ids:
        print("The readers agree on every image: nothing for the senior.")
        return
    shown = read_examples(examples, kept, selected)
    manifest = push_adjudication(ids, selected, subset, out, section, target_here(root), shown)
    print(f"{section.senior}: {len(manifest.readers[section.senior].tasks)} tasks")


if __name__ == "__main__":
    try:
        typer.run(main)
    except ValueError as error:
        sys.exit(str(error))
