"""The screen on people whose likeness is known."""

import numpy as np
import pytest

from models.identity.screening import Embedded, judge, reasons


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
    return Embedded(
        patients, held_out, people(rng, 400), people(rng, 200), np.concatenate([copies, strangers])
    )


def test_copies_of_patients_leak_and_strangers_do_not(faces):
    arms = {"direct": np.arange(40) < 20, "injected": np.arange(40) >= 20}
    verdict = judge(faces, arms, fpir=0.01, confidence=0.95, block_rows=16)
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
    verdict = judge(faces, {}, fpir=0.01, confidence=0.95, block_rows=64)
    shy = type(verdict)(verdict.similarity, 2.0, {})
    found = reasons({"shy": shy, "sure": verdict})
    assert found[:10] == ["resembles_patient:sure"] * 10
    kept = np.array([reason == "" for reason in found])
    assert (verdict.similarity[kept] <= verdict.threshold).all()


def test_without_held_out_photos_there_is_no_ceiling(faces):
    alone = Embedded(faces.patients, np.zeros(60, bool), faces.calibration, faces.floor, faces.samples)
    assert judge(alone, {}, fpir=0.01, confidence=0.95, block_rows=64).row["ceiling"]["n"] == 0
