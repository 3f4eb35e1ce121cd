"""Stage report_readers: one self-contained HTML page on MeMa as it was read, with pictures of train only."""

import logging
import re
from collections.abc import Hashable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from mema.params import load
from mema.project import headline
from mema.runtime import durable, shards, stage
from models.annotation.adjudication import UNANIMOUS
from models.annotation.opinion import LOW, USABLE
from models.diseases import DISEASES, SEVERITIES
from models.report.readers.measured import Disputed, Example, Outlined, ReadersGallery, ReadersMeasured
from models.report.readers.page import page as render

STAGE = "report_readers"
# Each metrics file and the stage that makes it.
METRICS = {"prelabel": "prelabel", "annotations": "annotations", "readers": "assemble", "assemble": "assemble"}
ALIAS = re.compile(r"reader_\d+|senior")
SENIOR = "senior"
COLUMNS = ["disease", "severity", "decided_by", "votes", "planned_disease"]
OUTLINE_COLUMNS = ["image", "mask", "mask_provenance", "num_masks", "disease", "severity", "planned_disease"]
SHOWN_COLUMNS = ("disease", "severity", "planned_disease")
NUM_DISPUTED, NUM_OUTLINED = 10, 24
LARGEST_MB = 4
log = logging.getLogger(__name__)
Row = dict[str, Any]


def read_metrics(folder: Path, name: str) -> dict[str, Any]:
    """Return a metrics file; raises ValueError naming the stage that has to run."""
    found = headline.read(folder / f"{name}.json")
    if found is None:
        raise ValueError(f"{folder / name}.json: not found; run the stage that makes it (dvc repro {METRICS[name]})")
    return found


def refuse_names(names: Iterable[str], where: Path) -> None:
    """Raise ValueError where a reader is anything but an alias: nobody is named on the page."""
    for name in names:
        if not ALIAS.fullmatch(name):
            raise ValueError(
                f"{where}: reader {name!r}; allowed on the page: reader_1, reader_2 ... and senior; run the "
                "stage assemble again, which gives these names"
            )


def measure(metrics: Path, title: str, profile: str) -> ReadersMeasured:
    """Return every figure of the page."""
    measured = ReadersMeasured(title, profile, **{name: read_metrics(metrics, name) for name in METRICS})
    pairs = [name for pair in measured.readers["cohen"] for name in pair.split("|")]
    refuse_names([*measured.names, *measured.readers["dice"], *pairs], metrics / "readers.json")
    return measured


def in_turn(groups: Mapping[Hashable, Sequence[int]], order: Iterable[Hashable], number: int) -> list[int]:
    """Return the first of each group, then the second of each, and so on, until there are `number`."""
    queues = [list(groups.get(key, ())) for key in order]
    longest = max(map(len, queues), default=0)
    return [queue[place] for place in range(longest) for queue in queues if place < len(queue)][:number]


def grouped(rows: Sequence[Row], places: Iterable[int], column: str) -> dict[Hashable, list[int]]:
    """Return the places of rows by a column's value."""
    found: dict[Hashable, list[int]] = {}
    for place in places:
        found.setdefault(rows[place][column], []).append(place)
    return found


def choose_examples(rows: Sequence[Row], number: int) -> list[int]:
    """Return rows of each disease, unanimous ones before others; of both heavy, mid and slight ones in turn."""
    by_disease = grouped(rows, range(len(rows)), "disease")
    order = (*SEVERITIES[::-1], "")
    chosen = []
    for disease in DISEASES:
        here = by_disease.get(disease, [])
        agreed = [place for place in here if rows[place]["decided_by"] == UNANIMOUS]
        others = [place for place in here if rows[place]["decided_by"] != UNANIMOUS]
        ranked = [in_turn(grouped(rows, places, "severity"), order, number) for places in (agreed, others)]
        chosen += [*ranked[0], *ranked[1]][:number]
    return chosen


def is_disputed(row: Row) -> bool:
    """Tell whether readers named different diseases, or some rejected the image; the senior set aside."""
    votes = [vote for vote in row["votes"] if vote["reader"] != SENIOR]
    named = {vote["disease"] for vote in votes if vote["quality"] == USABLE}
    return len(named) > 1 or any(vote["quality"] == LOW for vote in votes)


def choose_disputed(rows: Sequence[Row]) -> tuple[list[int], int]:
    """Return rows that readers disagreed about, the senior's first and diseases in turn, and their number."""
    places = [place for place, row in enumerate(rows) if is_disputed(row)]
    by_senior = grouped(rows, [p for p in places if rows[p]["decided_by"] == SENIOR], "disease")
    others = grouped(rows, [p for p in places if rows[p]["decided_by"] != SENIOR], "disease")
    ranked = [*in_turn(by_senior, DISEASES, NUM_DISPUTED), *in_turn(others, DISEASES, NUM_DISPUTED)]
    return ranked[:NUM_DISPUTED], len(places)


def choose_spread(total: int, number: int) -> list[int]:
    """Return at most `number` places evenly spread over `total`."""
    return np.unique(np.linspace(0, max(total - 1, 0), min(number, total)).round().astype(int)).tolist()


def gallery(mema: Path, mema_seg: Path, num_examples: int) -> ReadersGallery:
    """Return every picture of the page, from the split train only."""
    rows = shards.read_table(mema / "train", columns=COLUMNS).to_pylist()
    refuse_names((vote["reader"] for row in rows for vote in row["votes"]), mema / "train")
    shown = choose_examples(rows, num_examples)
    disputed, num_disputed = choose_disputed(rows)
    chosen = sorted({*shown, *disputed})
    images = shards.take_rows(mema / "train", chosen, ["image"])["image"].to_pylist() if chosen else []
    found = {
        place: Example(image, *(rows[place][name] for name in SHOWN_COLUMNS))
        for place, image in zip(chosen, images, strict=True)
    }
    outlined, num_outlined = read_outlined(mema_seg / "train")
    return ReadersGallery(
        by_disease={name: [found[p] for p in shown if rows[p]["disease"] == name] for name in DISEASES},
        disputed=[Disputed(found[p], rows[p]["decided_by"], rows[p]["votes"]) for p in disputed],
        num_disputed=num_disputed,
        outlined=outlined,
        num_outlined=num_outlined,
    )


def read_outlined(folder: Path) -> tuple[list[Outlined], int]:
    """Return some of a split of MeMa-Seg, and how many images it has."""
    total = shards.read_table(folder, columns=["num_masks"]).num_rows
    chosen = choose_spread(total, NUM_OUTLINED)
    rows = shards.take_rows(folder, chosen, OUTLINE_COLUMNS).to_pylist() if chosen else []
    return [
        Outlined(
            Example(row["image"], *(row[name] for name in SHOWN_COLUMNS)),
            row["mask"],
            row["mask_provenance"],
            row["num_masks"],
        )
        for row in rows
    ], total


def run(metrics: Path, mema: Path, mema_seg: Path, page: Path, *, title: str, profile: str, num_examples: int) -> int:
    """Write the page; return the number of pictures on it."""
    measured = measure(metrics, title, profile)
    pictures = gallery(mema, mema_seg, num_examples)
    text = render(measured, pictures)
    size_mb = len(text.encode()) / 1e6
    if size_mb > LARGEST_MB:
        log.warning("%s: %.1f MB, more than %d; lower report_readers.num_examples", page, size_mb, LARGEST_MB)
    durable.write_text(page, text)
    return text.count('"data:image/')


def main(
    metrics: Annotated[Path, typer.Option(help="folder of prelabel, annotations, readers and assemble.json")],
    mema: Annotated[Path, typer.Option(help="folder of MeMa's splits")],
    mema_seg: Annotated[Path, typer.Option(help="folder of MeMa-Seg's splits")],
    page: Annotated[Path, typer.Option(help="out: the HTML page")],
) -> None:
    """Write the page on MeMa as it was read."""
    params = load(Path("params.yaml"))
    section = params.report_readers
    with shards.timing(STAGE) as record:
        record.images = run(
            metrics,
            mema,
            mema_seg,
            page,
            title=section.title,
            profile=params.profile,
            num_examples=section.num_examples,
        )


if __name__ == "__main__":
    stage.start(main)
