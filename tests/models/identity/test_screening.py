"""The screen on people whose likeness is known."""

import numpy as np
import pytest

from models.identity.screening import Embedded, Rule, floor_faults, judge, reasons

RULE = Rule(fpir=0.01, confidence=0.95, bootstrap=200, seed=7, block_rows=16)


def people(rng: np.random.Generator, num: int) -> np.ndarray:
    rows = rng.normal(size=(num, 64))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def near(rng: np.random.Generator, faces: np.ndarray, noise: float = 0.03) -> np.ndarray:
    rows = faces + noise * rng.normal(size=faces.shape)
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture
def faces() -> Embedded:
    rng = np.random.default_rng(0)
    patients = people(rng, 40)
    patients = np.concatenate([patients, near(rng, patients[:20])])
    held_out = np.arange(60) >= 40
    copies, strangers = near(rng, patients[:10]), people(rng, 30)
    return Embedded(patients, held_out, people(rng, 400), people(rng, 200), np.concatenate([copies, strangers]))


def test_copies_of_patients_leak_and_strangers_do_not(faces):
    arms = {"direct": np.arange(40) < 20, "injected": np.arange(40) >= 20}
    verdict = judge(faces, arms, RULE)
    assert verdict.row["ceiling"]["rate"] == 1.0
    assert verdict.row["ceiling"]["n"] == 20
    assert verdict.row["floor"]["n"] == 200
    assert verdict.row["floor"]["rate"] < 0.05
    assert verdict.row["direct"]["leaked"] >= 10
    assert verdict.row["injected"]["rate"] < 0.1
    assert verdict.row["fpir"] <= 0.01
    assert 0 < verdict.row["fmr"] < 0.01
    assert verdict.leaks[:10].all()


def test_the_reason_names_the_surest_recogniser(faces):
    verdict = judge(faces, {}, RULE)
    shy = type(verdict)(verdict.similarity, 2.0, {}, {})
    found = reasons({"shy": shy, "sure": verdict})
    assert found[:10] == ["resembles_patient:sure"] * 10
    kept = np.array([reason == "" for reason in found])
    assert (verdict.similarity[kept] <= verdict.threshold).all()


def test_without_held_out_photos_there_is_no_ceiling(faces):
    alone = Embedded(faces.patients, np.zeros(60, bool), faces.calibration, faces.floor, faces.samples)
    assert judge(alone, {}, RULE).row["ceiling"]["n"] == 0


def test_strangers_of_the_same_kind_pass_the_floor_and_of_another_kind_do_not(faces):
    assert floor_faults({"a": judge(faces, {}, RULE).row}, 0.01) == []
    rng = np.random.default_rng(3)
    kin = near(rng, np.repeat(faces.patients[:20], 2, axis=0), 0.2)  # brothers and sisters
    family = Embedded(faces.patients, faces.held_out, faces.calibration, kin, faces.samples)
    (fault,) = floor_faults({"a": judge(family, {}, RULE).row}, 0.01)
    assert fault.startswith("a: ")
    assert "of 40 other public faces" in fault


def test_edges_of_the_interval_are_reached_where_all_or_nobody_is_found(faces):
    row = judge(faces, {"copies": np.arange(40) < 10}, RULE).row
    assert row["ceiling"]["ci95"][1] == 1.0
    assert row["copies"]["ci95"][1] == 1.0
    far = Embedded(faces.patients, faces.held_out, faces.calibration, -faces.patients, faces.samples)
    floor = judge(far, {}, RULE).row["floor"]
    assert floor["ci95"][0] == 0.0 < floor["ci95"][1]
