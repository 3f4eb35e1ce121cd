"""Simulated readers write what a pull writes, and their known skill is found again at the end."""

import json
from collections import Counter

import numpy as np
import pytest
from label_studio_sdk.converter import brush

from mema.params.annotate import Annotations
from mema.runtime import shards
from models.annotation.adjudication import adjudicate
from models.annotation.agreement import expected_fleiss, fleiss
from models.annotation.manifest import read_manifest
from models.annotation.reader_report import NONE, ratings
from models.annotation.votes import disagreements
from models.diseases import DISEASES
from phantom.simulated_reader import confusion
from tasks.annotate import annotations
from tests.worlds.readers import SKILLS, simulate, write_selection


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("readers")
    write_selection(root)
    simulate(root)
    paths = (root / "selected", root / "subset.parquet", root / "exports", root / "out", root / "metrics.json")
    annotations.run(*paths, Annotations(max_unusable=0.0, allow_incomplete=False))
    return root


def test_every_file_is_accounted_for_and_nothing_is_unusable(root):
    assert sorted(path.name for path in (root / "exports").iterdir()) == [
        "export-reader_1.json", "export-reader_2.json", "export-reader_3.json", "export-senior.json",
        "manifest.json", "proposals.jsonl",
    ]  # fmt: skip
    metrics = json.loads((root / "metrics.json").read_text())
    assert metrics["source"] == "simulated"
    assert metrics["tasks"] == metrics["votes"] + metrics["skipped"]
    assert (metrics["missing"], metrics["unusable"]["total"]) == (0, 0)
    assert 0 < metrics["skipped"] < 0.02 * metrics["tasks"]
    assert metrics["masks"]["machine_accepted"] > 20
    assert metrics["masks"]["machine_edited"] > 20
    assert metrics["outlines"]["drawn"] > 0.9 * metrics["outlines"]["wanted"]


def test_tasks_tell_nothing_and_repeats_are_hidden(root):
    manifest = read_manifest(root / "exports/manifest.json")
    orders = []
    for name, reader in manifest.of_round("reading").items():
        exported = json.loads((root / f"exports/export-{name}.json").read_text())
        assert {frozenset(task["data"]) for task in exported} == {frozenset({"image", "key", "task_note"})}
        shown = Counter(task.image_id for task in reader.tasks)
        assert Counter(shown.values()) == {1: 304, 2: 16}  # 5 % of 320
        orders.append([task.image_id for task in reader.tasks])
    assert len({tuple(order) for order in orders}) == 3


def test_run_lengths_are_label_studios(root):
    exported = json.loads((root / "exports/export-reader_1.json").read_text())
    regions = [one for task in exported for one in task["annotations"][0]["result"] if one["type"] == "brushlabels"]
    assert len(regions) > 40
    for region in regions[:5]:
        size = region["original_height"], region["original_width"], 4
        assert set(brush.decode_rle(region["value"]["rle"]).reshape(size)[..., 3].ravel()) == {0, 255}


def test_the_senior_reads_exactly_what_is_disputed(root):
    disputed = disagreements(root / "exports", root / "selected")
    senior = read_manifest(root / "exports/manifest.json").readers["senior"]
    assert sorted(task.image_id for task in senior.tasks) == disputed
    assert 3 < len(disputed) < 60


def test_the_adjudicated_disease_is_truer_than_any_reader(root):
    votes, plan = shards.read_table(root / "out/votes.parquet"), shards.read_table(root / "selected")
    truth = dict(zip(plan["image_id"].to_pylist(), plan["disease"].to_pylist(), strict=True))
    verdicts = [one for one in adjudicate(votes, 3) if one.disease]
    adjudicated = np.mean([truth[one.image_id] == one.disease for one in verdicts])
    for name in SKILLS:
        said = [
            row for row in votes.to_pylist()
            if row["reader"] == name and row["copy"] == 0 and row["quality"] == "usable"
        ]  # fmt: skip
        assert adjudicated > np.mean([truth[row["image_id"]] == row["disease"] for row in said]) + 0.02
    assert adjudicated > 0.95
    assert len(verdicts) > 0.9 * len(truth)


def test_the_kappa_measured_is_the_kappa_expected(root):
    rated = ratings(shards.read_table(root / "out/votes.parquet"), list(SKILLS))
    usable = rated.disease[(rated.disease != NONE).all(1)]
    measured = fleiss(usable, len(DISEASES), num_resamples=500, seed=0)
    confusions = np.array([confusion(skill) for skill in SKILLS.values()])
    expected = expected_fleiss(confusions, np.full(8, 1 / 8))
    assert measured["ci95"][0] < expected < measured["ci95"][1]
    assert measured["ci95"][1] - measured["ci95"][0] < 0.12  # or anything would do


def test_equal_seeds_write_equal_bytes_and_others_do_not(root):
    first = {path.name: path.read_bytes() for path in (root / "exports").iterdir()}
    again = {path.name: path.read_bytes() for path in simulate(root, "again").iterdir()}
    other = {path.name: path.read_bytes() for path in simulate(root, "other", seed=42).iterdir()}
    assert first == again
    assert all(first[name] != other[name] for name in first)


def test_the_manifest_says_openly_that_nobody_read(root):
    document = json.loads((root / "exports/manifest.json").read_text())
    assert document["source"] == "simulated"
    assert "first mask" in document["note"]
