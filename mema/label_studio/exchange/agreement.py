"""How far the readers agree on what they have read so far, while they go on reading."""

import shutil
import tempfile
from pathlib import Path
from typing import Any

from mema.label_studio.exchange.manifest import NAME
from mema.label_studio.exchange.pull import pull
from mema.label_studio.server.access import Target
from models.annotation import agreement
from models.annotation.reader_report import NONE, ratings
from models.annotation.votes import image_sizes, read_readers, vote_table
from models.diseases import DISEASES

SEED, RESAMPLES = 7, 200


def agreement_so_far(out: Path, selected: Path, target: Target) -> agreement.Kappa:
    """Return Fleiss' kappa of the diseases on the images that all readers have called usable.

    Takes a snapshot of its own: what was pulled last stays as it is.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shutil.copy(out / NAME, folder / NAME)
        pull(folder, target)
        manifest, readings, _ = read_readers(folder, image_sizes(selected), "reading")
    rated = ratings(vote_table(readings), list(manifest.of_round("reading")))
    complete = rated.disease[(rated.disease != NONE).all(1)]
    return agreement.fleiss(complete, len(DISEASES), num_resamples=RESAMPLES, seed=SEED)


def describe(kappa: dict[str, Any]) -> str:
    """Return one line for people."""
    if kappa["value"] is None:
        return f"agreement so far: not to be told from {kappa['n']} images that all readers called usable"
    low, high = kappa["ci95"]
    interval = f" [{low:.2f}, {high:.2f}]" if low is not None else ""
    return f"agreement so far: Fleiss' kappa {kappa['value']:.2f}{interval} on {kappa['n']} images"
