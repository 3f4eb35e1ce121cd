"""`mema benchmark --images DIR --name X`: somebody's de-identified images in all tables, beside the built-in rows."""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import typer

from mema.ending import ending
from mema.params import Params, load
from mema.runtime import durable, shards
from models.images import decode, encode_png
from tasks.deidentify import evaluate_identity, evaluate_medical, evaluate_utility
from tasks.deidentify.deidentify import DEIDENTIFIED, validation_images
from tasks.deidentify.judged_images import batches
from tasks.works.pseudonyms import pseudonyms

ENDINGS = (".png", ".jpg", ".jpeg")
NAME = re.compile(r"[a-z][a-z0-9_]{0,30}")
NUM_SHOWN = 10
OUT = Path(".scratch/benchmark")
TABLES = {"medical": "Table 3", "identity": "Tables 5 and 6", "utility": "Table 7"}


@dataclass
class Findings:
    """What became of the folder's files."""

    found: dict[str, bytes] = field(default_factory=dict)  # image_id -> PNG
    missing: list[str] = field(default_factory=list)
    unusable: list[str] = field(default_factory=list)  # "<file>: why"
    others: int = 0  # files that are no validation image

    def lines(self) -> Iterator[str]:
        """Yield what a user should know, at most NUM_SHOWN ids of each kind."""
        for what, items in (("missing", self.missing), ("unusable", self.unusable)):
            if items:
                more = f", and {len(items) - NUM_SHOWN} more" if len(items) > NUM_SHOWN else ""
                yield f"{len(items)} {what}: {', '.join(items[:NUM_SHOWN])}{more}"
        if self.others:
            yield f"{self.others} other files ignored; wanted are <image_id>.png or .jpg"


def read_images(folder: Path, rows: pa.Table) -> Findings:
    """Read <image_id>.png or .jpg for every validation image; the size must be the original's."""
    if not folder.is_dir():
        raise ValueError(f"--images: no folder {folder}; it holds one <image_id>.png or .jpg per validation image")
    findings, used = Findings(), set()
    for image_id, data in zip(*(rows[c].to_pylist() for c in ("image_id", "image")), strict=True):
        files = [path for ending in ENDINGS if (path := folder / f"{image_id}{ending}").is_file()]
        used.update(files)
        if not files:
            findings.missing.append(image_id)
        elif len(files) > 1:
            findings.unusable.append(f"{image_id}: both {' and '.join(path.suffix for path in files)}")
        else:
            _read(files[0], decode(data).shape, image_id, findings)
    findings.others = len([path for path in folder.iterdir() if path not in used])
    return findings


def _read(path: Path, shape: tuple[int, ...], image_id: str, findings: Findings) -> None:
    try:
        image = decode(path.read_bytes())
    except ValueError:
        findings.unusable.append(f"{path.name}: no readable picture")
        return
    if image.shape != shape:
        findings.unusable.append(f"{path.name}: {image.shape[1]}x{image.shape[0]} px of {shape[1]}x{shape[0]} px")
        return
    findings.found[image_id] = encode_png(image)


def write_method(findings: Findings, name: str, rows: pa.Table, out: Path) -> Path:
    """Write the images as the stage deidentify would; return the method's folder."""
    ids = [image_id for image_id in rows["image_id"].to_pylist() if image_id in findings.found]
    table = pa.table(
        {"image_id": ids, "image": [findings.found[i] for i in ids], "recovered": [None] * len(ids),
         "wrong": [None] * len(ids)},
        schema=DEIDENTIFIED,
    )  # fmt: skip
    shards.write_shards(table, out / name, shard_rows=64)
    durable.write_json(out / name / "method.json", {"use": "folder", "options": {}, "told_disease": False})
    return out / name


def rows_of(folder: Path, params: Params, data: Path) -> dict[str, dict[str, Any]]:
    """Return the folder's row of every table that needs no way back."""
    mema, mema_seg = data / "mema", data / "mema_seg"
    judges = evaluate_medical.Judges(data / "judges", mema, mema_seg, params.evaluate_medical)
    names = pseudonyms(params.release, params.release_key)
    identity = evaluate_identity.read_world(mema, data / "public/faces", params.evaluate_identity, names)
    utility = evaluate_utility.read_world(mema, params.evaluate_utility, params.profile)
    return {
        "medical": judges.row(folder.name, folder, batches(folder)),
        "identity": evaluate_identity.identity_row(folder, identity),
        "utility": evaluate_utility.utility_row(folder, utility),
    }


def flat(row: dict[str, Any]) -> dict[str, str]:
    """Return a row's values as text, nested columns with dots, an interval behind each."""
    cells: dict[str, str] = {}
    for name, value in row.items():
        if not isinstance(value, dict):
            cells[name] = str(value)
        elif "value" in value:
            cells[name] = _cell(value)
        else:
            cells |= {f"{name}.{key}": text for key, text in flat(value).items()}
    return cells


def _cell(value: dict[str, Any]) -> str:
    if value["value"] is None:
        return "-"
    low, high = value.get("ci95") or (None, None)
    interval = f" [{low:.3f}, {high:.3f}]" if low is not None and high is not None else ""
    return f"{value['value']:.4f}{interval} n={value['n']}"


def run(
    images: Path,
    name: str,
    params: Params,
    data: Path = Path("data"),
    out: Path = OUT,
    say: Callable[[str], None] = print,
) -> dict[str, dict[str, Any]]:
    """Evaluate a folder, write out/<name>.json, and say each table with the built-in rows before it.

    Raises ValueError where an image is missing or unusable: a row over fewer images is no row of the same table.
    """
    if not NAME.fullmatch(name):
        raise ValueError(f"--name: {name!r}; allowed: small letters, digits and _, a letter first")
    rows = validation_images(data / "mema", data / "mema_seg")
    findings = read_images(images, rows)
    lines = list(findings.lines())
    if findings.missing or findings.unusable:
        raise ValueError(f"--images {images}: of {rows.num_rows} images " + "; ".join(lines))
    for line in lines:
        say(line)
    found = rows_of(write_method(findings, name, rows, out), params, data)
    durable.write_json(out / f"{name}.json", {"profile": params.profile, "rows": found})
    for table, row in found.items():
        say(f"\n{TABLES[table]}, profile {params.profile} ({table})")
        _say_table([*built_in(data / "metrics" / f"{table}.json"), row], say)
    return found


def built_in(metrics: Path) -> list[dict[str, Any]]:
    """Return the rows that the stages wrote, none where they have not run."""
    return json.loads(metrics.read_text())["rows"] if metrics.is_file() else []


def _say_table(rows: list[dict[str, Any]], say: Callable[[str], None]) -> None:
    cells = [flat(row) for row in rows]
    for column in cells[-1]:
        if column == "method":
            continue
        say(f"  {column}")
        for cell in cells:
            say(f"    {cell['method']:16} {cell.get(column, '-')}")


def main(images: Path, name: str) -> None:
    """Do what `mema benchmark` says."""
    with ending():
        run(images, name, load(), say=typer.echo)


if __name__ == "__main__":
    typer.run(main)
