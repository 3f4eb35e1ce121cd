"""Which pictures the report shows, chosen from the shards; patients and rejects only where allowed."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from mema.runtime import shards
from models.diseases import DISEASE_NAMES, DISEASES, SEVERITIES
from models.identity.recogniser import load_recogniser
from models.identity.search import nearest
from models.images import decode
from models.report.dataset.measured import Gallery, Neighbour, Strip
from models.report.pictures import WITHHELD, Face
from tasks.works.measuring import embed_faces

OPENING, STRIPS, DONORS, NEIGHBOURS = 11, 8, 15, 5
PER_CELL, PER_NORMAL = 3, 9
Row = dict[str, Any]
Images = Mapping[str, bytes]


@dataclass(frozen=True)
class Tables:
    """Everything that stands beside the pixels."""

    kept: pa.Table
    rejected: pa.Table
    selected: pa.Table


def read_tables(data: Path) -> Tables:
    """Read all columns but the images."""
    return Tables(*(_without_pixels(data / name) for name in ("screened/kept", "screened/rejected", "selected")))


def _without_pixels(folder: Path) -> pa.Table:
    columns = [name for name in pq.read_schema(shards.shard_files(folder)[0]).names if name != "image"]
    return shards.read_table(folder, columns=columns)


def images_of(folder: Path, ids: Iterable[str]) -> dict[str, bytes]:
    """Return the encoded pictures of some images, one shard in memory at a time."""
    wanted, found = set(ids), {}
    for file in shards.shard_files(folder) if wanted else []:
        here = pq.ParquetFile(file).read(columns=["image_id"])["image_id"]
        rows = [place for place, image_id in enumerate(here.to_pylist()) if image_id in wanted]
        if rows:
            part = pq.ParquetFile(file).read(columns=["image_id", "image"]).take(rows)
            found |= dict(zip(part["image_id"].to_pylist(), part["image"].to_pylist(), strict=True))
    return found


def gallery(data: Path, tables: Tables, recognisers: Mapping[str, str], *, show_patients: bool) -> Gallery:
    """Return every picture of the page; without `show_patients` the pixels of rejects are not even read."""
    selected = sorted(tables.selected.to_pylist(), key=lambda row: row["plan_row"])
    cells = by_condition(selected)
    opening, with_donors = first_row(cells), spread(selected, DONORS)
    lines = strip_rows(tables)
    chosen = [row for rows in (*cells.values(), opening, with_donors) for row in rows]
    images = images_of(data / "selected", ids_of(chosen))
    strip_images = images_of(data / "screened/kept", ids_of(r for line in lines for r in line if not r["reason"]))
    if show_patients:
        rejected = ids_of(row for line in lines for row in line if row["reason"])
        strip_images |= images_of(data / "screened/rejected", rejected)
    donor_ids = {row["donor_id"] for row in with_donors} | {donor_of(line) for line in lines}
    donors = images_of(data / "public/faces", donor_ids - {""})
    accepted, rejects = None, None
    if show_patients:
        name, path = next(iter(recognisers.items()))
        judge = Judge(data, name, path)
        accepted, rejects = judge("selected", tables.selected), judge("screened/rejected", tables.rejected)
    return Gallery(
        opening=[face(row, images) for row in opening],
        strips=[strip(line, strip_images, donors) for line in lines],
        by_condition={cell: [face(row, images) for row in rows] for cell, rows in cells.items()},
        donors=[
            (donor(row["donor_id"], donors), face(row, images, f"weight {row['injection_weight']:.2f}"))
            for row in with_donors
        ],
        accepted=accepted,
        rejected=rejects,
        judge=next(iter(recognisers), ""),
    )


def ids_of(rows: Iterable[Row]) -> set[str]:
    """Return the rows' image ids."""
    return {row["image_id"] for row in rows}


def by_condition(rows: Sequence[Row]) -> dict[tuple[str, str], list[Row]]:
    """Return a few rows for each disease and severity."""
    cells: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        normal = row["disease"] == "normal"
        cell = cells.setdefault((row["disease"], "" if normal else row["severity"]), [])
        if len(cell) < (PER_NORMAL if normal else PER_CELL):
            cell.append(row)
    return cells


def first_row(cells: Mapping[tuple[str, str], Sequence[Row]]) -> list[Row]:
    """Return one face of each disease, heavy ones first, until the row is full."""
    order = [(disease, severity) for severity in SEVERITIES[::-1] for disease in DISEASES[1:]]
    order = [("normal", ""), *order]
    ranked = [cells[cell][k] for k in range(PER_CELL) for cell in order if len(cells.get(cell, ())) > k]
    return ranked[:OPENING]


def spread(rows: Sequence[Row], number: int) -> list[Row]:
    """Return rows of different donors, evenly spaced over the injection weights."""
    ranked, seen = [], set()
    for row in sorted(rows, key=lambda row: (row["injection_weight"], row["plan_row"])):
        if row["donor_id"] and row["donor_id"] not in seen:
            seen.add(row["donor_id"])
            ranked.append(row)
    steps = max(number - 1, 1)
    places = {round(k * (len(ranked) - 1) / steps) for k in range(number)} if ranked else set()
    return [ranked[place] for place in sorted(places)]


def strip_rows(tables: Tables) -> list[list[Row]]:
    """Return the lines of the plan's strips by growing weight, kept and rejected rows alike."""
    lines: dict[int, list[Row]] = {}
    for table in (tables.kept, tables.rejected):
        for row in table.to_pylist():
            if row["arm"] == "strip":
                lines.setdefault(row["source_row"], []).append(row)
    ordered = (sorted(lines[key], key=lambda row: row["injection_weight"]) for key in sorted(lines))
    return list(ordered)[:STRIPS]


def donor_of(line: Sequence[Row]) -> str:
    """Return the donor of a strip; the image at no injection has none."""
    return next((row["donor_id"] for row in line if row["donor_id"]), "")


def strip(line: Sequence[Row], images: Images, donors: Images) -> Strip:
    """Return a strip, a grey place where an image is withheld."""
    row = line[-1]
    people = f"{row['gender']}, {row['age_bin']} years"
    return Strip(
        label=f"{_sign(row)} · {people}",
        donor=donor(donor_of(line), donors),
        faces=[face(r, images, _weight(r)) for r in line],
    )


def _weight(row: Row) -> str:
    return f"weight {row['injection_weight']:.1f}" if row["injection_weight"] else "none"


def _sign(row: Row) -> str:
    name = DISEASE_NAMES[row["disease"]]
    return f"{name}, {row['severity']}" if row["severity"] else name


def face(row: Row, images: Images, caption: str = "") -> Face:
    """Return a generated face."""
    image = images.get(row["image_id"])
    if image is None:
        return Face(None, WITHHELD, caption)
    return Face(image, f"generated face: {_sign(row)}; {_weight(row)}", caption)


def donor(image_id: str, donors: Images) -> Face:
    """Return a donor's face; the plan may name one that the public faces no longer hold."""
    image = donors.get(image_id)
    return Face(image, "public face" if image else "no such public face", "donor")


class Judge:
    """Finds the patients nearest to a few samples by one recogniser; the patients are embedded once."""

    def __init__(self, data: Path, name: str, path: str) -> None:
        self._data, self._name = data, name
        self._recogniser = load_recogniser(path)
        self._ids, embedded = embed_faces(
            data / "patients/faces", "image_id", {name: Path(path)}, stage="report", desc="patients"
        )
        self._patients = embedded[name]

    def __call__(self, folder: str, table: pa.Table) -> list[Neighbour]:
        """Return the nearest of a folder's samples."""
        column = f"similarity_{self._name}"
        best = sorted(table.to_pylist(), key=lambda row: (-row[column], row["plan_row"]))[:NEIGHBOURS]
        if not best:
            return []
        images = images_of(self._data / folder, ids_of(best))
        embeddings = self._recogniser.embed([decode(images[row["image_id"]]) for row in best])
        similarity, index = nearest(embeddings, self._patients)
        patients = images_of(self._data / "patients/faces", self._ids[index].tolist())
        return [
            Neighbour(
                face(row, images, row["arm"]), Face(patients[str(self._ids[place])], "drawn patient", "patient"), value
            )
            for row, value, place in zip(best, similarity.tolist(), index.tolist(), strict=True)
        ]
