"""However a table is spelled, encoded and contradicted: no photo gets a wrong patient, no refusal is overridden.

Every physical line is accounted for, or the table is refused with a word on what to mend.
"""

import csv
import re
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mema.params.synthesize import IngestPatients
from mema.runtime import shards
from tasks.synthesize import ingest_patients
from tests.worlds.hostile_tables import (
    ENCODINGS,
    FILES,
    MUTATIONS,
    World,
    add_lines,
    respell_path,
    say_yes,
    true_world,
    write,
)

T = TypeVar("T")
SECTION = {
    "detector": "aligned", "image_size_px": 64, "min_size_px": 48, "max_megapixels": 2, "max_aspect": 2.0,
    "near_duplicate_bits": 2, "shard_rows": 8, "held_out_share": 0.5, "records": "records.csv",
}  # fmt: skip
TABLES = {
    "seed": st.integers(0, 2**32 - 1),
    "mutations": st.lists(st.sampled_from(MUTATIONS), min_size=2, max_size=8),
    "encoding": st.sampled_from(ENCODINGS),
    "delimiter": st.sampled_from(",;\t|"),
    "end": st.sampled_from(["\n", "\r\n", "\r"]),
    "quoting": st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
}
HOSTILE = settings(derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow], database=None)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of pictures, no two alike, one of which also lies there under a second name."""
    folder = tmp_path_factory.mktemp("hospital")
    for seed, name in enumerate(FILES):
        path = folder / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        coarse = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8)
        picture = cv2.resize(coarse, (64, 64), interpolation=cv2.INTER_CUBIC)
        path.write_bytes(cv2.imencode(".png", picture)[1].tobytes())
    return folder


def hostile(source: Path, seed: int, mutations: list, **dialect) -> tuple[World, int]:
    world = true_world(seed)
    for mutate in mutations:
        mutate(world)
    return world, write(world, source / "records.csv", **dialect)


def person(text: str) -> str:
    """Return the true patient whom a spelling means."""
    folded = re.sub(r"[^p\d]", "", unicodedata.normalize("NFKC", text).lower())
    return f"P{int(folded[1:]):03d}"


def check(world: World, kept: dict[str, str]) -> None:
    """Hold what was kept, photo -> patient id, to the truth."""
    for name, patient in kept.items():
        photo = name.removeprefix("photos/")
        assert person(patient) == world.owner[photo], "a wrong patient"
        assert photo not in world.refused, "a refusal was overridden"
        assert photo not in world.disputed, "one of two owners was believed"


def attempt(work: Callable[[], T]) -> tuple[T | None, str]:
    """Return the result, or None and what the user is told."""
    try:
        return work(), ""
    except ValueError as error:
        return None, str(error)


REFUSED = r"quotation mark|second heading|lacks the column"


@settings(parent=HOSTILE, max_examples=100)
@given(**TABLES)
def test_a_hundred_hostile_tables(source, seed, mutations, encoding, delimiter, end, quoting):
    world, num_lines = hostile(
        source, seed, mutations, encoding=encoding, delimiter=delimiter, end=end, quoting=quoting
    )
    found, said = attempt(lambda: ingest_patients.match(source, IngestPatients.model_validate(SECTION)))
    if found is None:
        assert re.search(REFUSED, said)
        assert any(mutate.__name__ in ("open_a_quote", "comment_over_lines") for mutate in mutations)
        return
    assert sum(found.table.lines.values()) == num_lines
    assert found.table.lines["records"] == len(found.records)
    rejected = [row for row in found.rejected if row["line"]]
    assert len(found.records) == len(found.good) + len(rejected)
    assert sorted([*(r.line for r in found.good.values()), *(row["line"] for row in rejected)]) == sorted(
        record.line for record in found.records
    )
    assert {row["file"] for row in found.rejected if not row["line"]} | {r.file for r in found.records} >= set(
        found.listing.photos
    ), "a photo vanished"
    check(world, {name: record.patient_id for name, record in found.good.items()})


def test_most_rows_of_a_table_that_is_only_spelled_oddly_are_kept(source):
    kept = 0
    for seed in range(20):
        hostile(
            source, seed, [respell_path, say_yes, add_lines], encoding="utf-8", delimiter=";", end="\r\n", quoting=0
        )
        kept += len(ingest_patients.match(source, IngestPatients.model_validate(SECTION)).good)
    assert kept >= 20 * (len(FILES) - 1)  # a path from another machine is not believed


@settings(parent=HOSTILE, max_examples=5)
@given(**TABLES)
def test_hostile_tables_end_to_end(source, tmp_path_factory, seed, mutations, encoding, delimiter, end, quoting):
    world, _ = hostile(source, seed, mutations, encoding=encoding, delimiter=delimiter, end=end, quoting=quoting)
    out = tmp_path_factory.mktemp("out")
    section, outs = IngestPatients.model_validate(SECTION), (out / "faces", out / "q.parquet", out / "m.json")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(out)
        _, said = attempt(lambda: ingest_patients.run(source, *outs, section))
    if said:
        assert re.search(REFUSED + "|kept 0 of", said)
        return
    faces = shards.read_table(out / "faces", columns=["file", "patient_id"]).to_pylist()
    check(world, {face["file"]: face["patient_id"] for face in faces})
