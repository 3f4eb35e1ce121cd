"""Tables that go wrong in the ways of hospitals' tables, from a true one whose owners and consents are known."""

import csv
import io
import random
import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import openpyxl

COLUMNS = ("patient_id", "visit_date", "eye", "diagnosis_code", "diagnosis", "age", "sex", "consent", "file")
FILES = [f"{folder}{name}" for folder in ("", "station 2/", "Ärzte/")
         for name in ("IMG_0001.jpg", "Zoë.png", "b.c.jpeg", "眼.png", "late.JPG")]  # fmt: skip
YES = ("yes", "Ja", "oui", "是", "1", "TRUE", "signed", "Erteilt")
NO = ("no", "Nein", "non", "否", "0", "refused", "widerrufen am 3.4.", "retiré", "yes, withdrawn 2021", "不同意")


@dataclass
class World:
    """The truth (photo -> owner) and the table as it is written down, row by row.

    Beside its cells a row has what it is really about: `_photo`, `_patient` ("" once nobody can tell), `_refuses`.
    """

    rng: random.Random
    rows: list[dict[str, str]] = field(default_factory=list)
    owner: dict[str, str] = field(default_factory=dict)
    raw: list[Callable[[list[str]], list[str]]] = field(default_factory=list)  # changes of the written lines

    @property
    def refused(self) -> set[str]:
        """Photos that some row refuses, itself or as their patient's."""
        refusing = [row for row in self.rows if row["_refuses"]]
        people = {row["_patient"] for row in refusing} - {""}
        return {row["_photo"] for row in refusing} | {name for name, owner in self.owner.items() if owner in people}

    @property
    def disputed(self) -> set[str]:
        """Photos that rows give to two patients."""
        said = {(row["_photo"], row["_patient"]) for row in self.rows if row["_patient"]}
        photos = [photo for photo, _ in said]
        return {photo for photo in photos if photos.count(photo) > 1}

    def pick(self) -> dict[str, str]:
        return self.rng.choice(self.rows)


def true_world(seed: int) -> World:
    """Fifteen photos of seven patients; nobody has refused."""
    world = World(random.Random(seed))
    for index, name in enumerate(FILES):
        patient = f"P{(index * 7) % 7 + index % 7 + 1:03d}"
        world.owner[name] = patient
        born = 1930 + int(patient[1:]) * 7
        world.rows.append(dict(zip(COLUMNS, (
            patient, f"{2018 + index % 5}-03-{index + 1:02d}", "OD", "H10.1", "Conjunctivitis",
            str(2018 + index % 5 - born), "F" if int(patient[1:]) % 2 else "M", "yes", f"photos/{name}"), strict=True))
            | {"_photo": name, "_patient": patient, "_refuses": ""})  # fmt: skip
    world.rng.shuffle(world.rows)
    return world


def respell_path(world: World) -> None:
    row = world.pick()
    inner = row["_photo"]
    name = f"photos/{inner}"
    row["file"] = world.rng.choice([
        inner, "./" + name, f" {name} ", f'"{name}"', f"file://{name}", f"photos/x/../{inner}", quote(name),
        name.upper(), unicodedata.normalize("NFD", name), name.replace("/", "\\"), name.replace("/", "//"),
        name.replace(".", ".\u200b", 1), f"C:\\Klinik\\{name}", f"/srv/export/{name}",
    ]) if inner else row["file"]  # fmt: skip


def respell_id(world: World) -> None:
    row = world.pick()
    if name := row["_patient"]:
        letter, number = name[0], name[1:]
        row["patient_id"] = world.rng.choice([
            f"{letter}\u200b{number}", name + "\u00a0", f'="{name}"', f"'{name}", name.lower(), f"{letter}-{number}",
            f"{letter} {number}", f"{letter}0{number}", f"{letter}{int(number)}",
            name.translate({48 + digit: 0xFF10 + digit for digit in range(10)}),
        ])  # fmt: skip


def lose_id(world: World) -> None:
    row = world.pick()
    row["_patient"] = ""
    row["patient_id"] = world.rng.choice(
        ["#N/A", "unknown", "-", "1.23E+05", "n/a", "0", "?", "", "test", "P001; P002", "2020-01-02"]
    )


def say_yes(world: World) -> None:
    row = world.pick()
    if not row["_refuses"]:
        row["consent"] = world.rng.choice(YES)


def refuse(world: World) -> None:
    row = world.pick()
    row |= {"consent": world.rng.choice(NO), "_refuses": "yes"}


def withdraw_elsewhere(world: World) -> None:
    """A row of its own, without a photo or with another spelling of one, says that somebody withdrew."""
    row = world.pick() | {"consent": world.rng.choice(NO), "_refuses": "yes"}
    if row["_patient"]:
        name = row["_patient"]
        row["patient_id"] = world.rng.choice(
            [name, name.lower(), f"{name[0]}-{name[1:]}", f"{name} ; X9", f"P{int(name[1:])}"]
        )
    if row["_patient"] and world.rng.random() < 0.5:
        row |= {"file": world.rng.choice(["", "nowhere.jpg"]), "_photo": ""}
    else:
        path = f"photos/{row['_photo']}"
        row["file"] = world.rng.choice([path.upper(), path.removeprefix("photos/"), "D:\\" + path, path[:-4]])
    world.rows.insert(world.rng.randrange(len(world.rows)), row)


def claim_for_another(world: World) -> None:
    """A second row gives a photo to somebody else, under another spelling of its path."""
    row = dict(world.pick())
    path = f"photos/{row['_photo']}"
    row["patient_id"] = row["_patient"] = world.rng.choice(sorted({*world.owner.values()} - {row["_patient"]}))
    row |= {"sex": "", "age": "", "_refuses": "", "consent": "yes"}
    row["file"] = world.rng.choice([path, path.upper(), "./" + path, path.replace("/", "\\"), "/mnt/" + path])
    world.rows.insert(world.rng.randrange(len(world.rows)), row)


def repeat_row(world: World) -> None:
    world.rows.insert(world.rng.randrange(len(world.rows)), dict(world.pick()))


def doubt(world: World) -> None:
    world.pick()["diagnosis"] = world.rng.choice(["V.a. BCC", "BCC?", "疑似结膜炎", "pas de BCC", "BCC und SCC"])


def spoil_an_optional_cell(world: World) -> None:
    world.pick()[world.rng.choice(["age", "sex", "eye", "visit_date"])] = world.rng.choice(
        ["??", "13/13/2013", "1e9", "x y"]
    )


def lengthen_a_row(world: World) -> None:
    """A cell too many; where the row refuses, it still does."""
    row = world.pick()
    row["extra"] = world.rng.choice(["more", "2020"])


def comment_over_lines(world: World) -> None:
    world.pick()["diagnosis"] = "Conjunctivitis\nacute"


def open_a_quote(world: World) -> None:
    """A quotation mark that nobody closes, at the start of some cell."""
    where = world.rng.random()

    def change(lines: list[str]) -> list[str]:
        at = 1 + int(where * (len(lines) - 1))
        cuts = [0] + [match.end() for match in re.finditer("[,;\t|]", lines[at])]
        cut = cuts[int(where * 997) % len(cuts)]
        return [*lines[:at], lines[at][:cut] + '"' + lines[at][cut:], *lines[at + 1 :]]

    world.raw.append(change)


def add_lines(world: World) -> None:
    """Titles, blanks, the heading again, a sum: lines that are no records."""
    kind, where = world.rng.choice(["title", "blank", "heading", "sum"]), world.rng.random()

    def change(lines: list[str]) -> list[str]:
        at = 1 + int(where * len(lines))
        added = {"blank": "", "heading": lines[0], "sum": "Total: 15"}
        return ["Export der Augenklinik", *lines] if kind == "title" else [*lines[:at], added[kind], *lines[at:]]

    if not any(
        "\n" in row["diagnosis"] for row in world.rows
    ):  # between two lines of one record they are another fault
        world.raw.append(change)


MUTATIONS = (
    respell_path, respell_id, lose_id, say_yes, refuse, withdraw_elsewhere, claim_for_another, repeat_row, doubt,
    spoil_an_optional_cell, lengthen_a_row, comment_over_lines, open_a_quote, add_lines,
)  # fmt: skip
ENCODINGS = ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "gb18030", "one row of cp1252", "xlsx")


def write(world: World, path: Path, encoding: str, delimiter: str, end: str, quoting: int) -> int:
    """Write the table; return the number of its physical lines."""
    if encoding == "xlsx":
        return _write_workbook(world, path)
    buffer = io.StringIO()
    table = csv.writer(buffer, delimiter=delimiter, quoting=quoting, lineterminator="\n")
    table.writerow(COLUMNS)
    table.writerows(
        [*(row[name] for name in COLUMNS), *([row["extra"]] if "extra" in row else [])] for row in world.rows
    )
    lines = buffer.getvalue().split("\n")[:-1]
    for change in world.raw:
        lines = change(lines)
    if encoding == "one row of cp1252":
        chosen = next((i for i, line in enumerate(lines) if re.search("[ëÄ]", line) and _fits_cp1252(line)), None)
        data = end.encode().join(
            line.encode("cp1252") if i == chosen else line.encode() for i, line in enumerate(lines)
        )
    else:
        data = end.join(lines).encode(encoding)
    path.write_bytes(data)
    return len(lines) - (lines[-1] == "")  # an end of line ends a line and begins none


def _fits_cp1252(line: str) -> bool:
    return line.encode("cp1252", "ignore").decode("cp1252") == line


def _write_workbook(world: World, path: Path) -> int:
    book = openpyxl.Workbook()
    sheet = book.active
    assert sheet is not None
    sheet.append(COLUMNS)
    for row in world.rows:
        sheet.append([row[name].lstrip("=") for name in COLUMNS])
    book.save(path)
    return len(world.rows) + 1
