"""Nearest neighbours equal brute force in float64, also where single precision cannot tell."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.identity import search
from models.identity.search import cosines, nearest


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def brute_force(queries: np.ndarray, gallery: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    exact = np.stack([cosines(np.broadcast_to(q, gallery.shape), gallery) for q in queries])
    return exact.max(axis=1), exact.argmax(axis=1)


def assert_equal_to_brute_force(queries: np.ndarray, gallery: np.ndarray, block_rows: int) -> None:
    expected, row = brute_force(queries, gallery)
    for half in (True, False):
        similarity, index = nearest(queries, gallery, block_rows=block_rows, half=half)
        assert np.array_equal(index, row)
        assert np.array_equal(similarity, expected)


@pytest.mark.parametrize("block_rows", [7, 64, 5000])
def test_random_faces(block_rows):
    rng = np.random.default_rng(0)
    assert_equal_to_brute_force(unit(rng.normal(size=(50, 128))), unit(rng.normal(size=(1000, 128))), block_rows)


@pytest.mark.parametrize("block_rows", [16, 512])
def test_near_duplicates_that_single_precision_confuses(block_rows):
    rng = np.random.default_rng(1)
    base = unit(rng.normal(size=(4, 512)))
    gallery = unit(np.repeat(base, 100, axis=0) + rng.normal(size=(400, 512)) * 3e-7)
    queries = unit(np.concatenate([base, base + rng.normal(size=(4, 512)) * 1e-3]))
    single = (queries @ gallery.T).argmax(axis=1)
    assert (single != brute_force(queries, gallery)[1]).any(), "the case is not adversarial"
    assert_equal_to_brute_force(queries, gallery, block_rows)


@pytest.mark.parametrize("half", [True, False])
def test_of_equal_rows_the_first_is_found(half):
    rng = np.random.default_rng(2)
    row = unit(rng.normal(size=(1, 128)))
    others = unit(rng.normal(size=(30, 128)))
    gallery = np.concatenate([others, np.repeat(row, 40, axis=0), others])
    similarity, index = nearest(row, gallery, block_rows=9, half=half)
    assert index.tolist() == [30]
    assert similarity[0] == pytest.approx(1, abs=1e-6)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 60), st.integers(1, 70), st.sampled_from([1e-8, 1e-7, 1e-4, 1.0]))
def test_any_spread_any_block(seed, gallery_rows, block_rows, spread):
    rng = np.random.default_rng(seed)
    centre = rng.normal(size=(1, 16))
    gallery = unit(centre + spread * rng.normal(size=(gallery_rows, 16)))
    queries = unit(centre + spread * rng.normal(size=(5, 16)))
    assert_equal_to_brute_force(queries, gallery, block_rows)


def test_refuses_what_is_not_normalised_or_does_not_fit():
    rows = unit(np.random.default_rng(3).normal(size=(5, 16)))
    with pytest.raises(ValueError, match="gallery: rows of norm"):
        nearest(rows, 2 * rows)
    with pytest.raises(ValueError, match="gallery: it is empty"):
        nearest(rows, rows[:0])
    with pytest.raises(ValueError, match="use one recogniser"):
        nearest(rows[:, :8], rows)


def test_products_that_half_precision_confuses_though_both_sides_are_exact_in_it():
    rng = np.random.default_rng(4)
    base = rng.choice([-1.0, 1.0], (3, 1024))
    gallery = np.repeat(base, 200, axis=0)
    for row in gallery:
        row[rng.choice(1024, rng.integers(60, 70), replace=False)] *= -1
    queries, gallery = ((x / 32).astype(np.float32) for x in (base, gallery))
    half = (torch.from_numpy(queries).bfloat16() @ torch.from_numpy(gallery).bfloat16().T).argmax(1).numpy()
    assert (half != brute_force(queries, gallery)[1]).any(), "the case is not adversarial"
    assert_equal_to_brute_force(queries, gallery, 64)


@pytest.mark.parametrize("dim", [8, 64, 512])
@pytest.mark.parametrize("mean", [0.0, 3.0])
def test_a_score_in_half_precision_is_off_by_no_more_than_the_margin_allows(dim, mean):
    torch.manual_seed(dim)
    for rows, columns in ((1, 1), (3, 33), (17, 64), (300, 500)):
        a, b = (unit(torch.randn(n, dim).numpy() + mean) for n in (rows, columns))
        a16, b16 = (torch.from_numpy(x).bfloat16() for x in (a, b))
        score = (a16 @ b16.T).double()
        lost = [float((torch.from_numpy(x) - y).norm(dim=1).max()) for x, y in ((a, a16), (b, b16))]
        margin = search._margin(score.float(), search._Rounded(a16, lost[0]), search._Rounded(b16, lost[1]))
        exact = torch.from_numpy(a).double() @ torch.from_numpy(b).double().T
        assert ((score - exact).abs() <= margin / 2).all()


@pytest.mark.parametrize("native", [True, False])
def test_half_precision_comes_first_where_the_processor_multiplies_it(monkeypatch, native):
    seen, rounded = [], search._rounded
    monkeypatch.setattr(search, "multiplies_bf16", lambda: native)
    monkeypatch.setattr(search, "_rounded", lambda rows, half: seen.append(half) or rounded(rows, half))
    rows = unit(np.random.default_rng(5).normal(size=(90, 64)))
    nearest(rows[:10], rows)
    assert set(seen) == {native}


def test_faces_all_alike_are_left_to_single_precision_after_the_first_queries(monkeypatch):
    seen, rounded = [], search._rounded
    monkeypatch.setattr(search, "_rounded", lambda rows, half: seen.append(half) or rounded(rows, half))
    monkeypatch.setattr(search, "QUERY_ROWS", 8)
    rng = np.random.default_rng(11)
    middle = unit(rng.normal(size=(1, 64)))
    gallery, queries = (unit(middle + 1e-3 * rng.normal(size=(n, 64))) for n in (400, 20))
    _, index = nearest(queries, gallery, block_rows=128, half=True)
    assert np.array_equal(index, brute_force(queries, gallery)[1])
    assert seen == [True, True, False, False, False, False]  # gallery, queries; gallery, queries three times


def test_more_equal_rows_than_wait_for_double_precision(monkeypatch):
    monkeypatch.setattr(search, "MAX_PENDING", 16)
    row = unit(np.random.default_rng(12).normal(size=(1, 32)))
    for half in (True, False):
        _, index = nearest(np.repeat(row, 3, axis=0), np.repeat(row, 90, axis=0), block_rows=1, half=half)
        assert index.tolist() == [0, 0, 0]


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_no_number_is_refused(value):
    rows = unit(np.random.default_rng(13).normal(size=(5, 16)))
    rows[3, 2] = value
    with pytest.raises(ValueError, match="gallery: rows of norm"):
        nearest(rows[:2], rows)


def test_a_machine_that_rounds_single_precision_is_refused(monkeypatch):
    rows = unit(np.random.default_rng(14).normal(size=(5, 16)))
    half = lambda a, b: torch.mm(a.bfloat16(), b.bfloat16()).float()  # noqa: E731
    monkeypatch.setattr(torch.Tensor, "__matmul__", half)
    with pytest.raises(ValueError, match="unset ONEDNN_DEFAULT_FPMATH_MODE"):
        nearest(rows, rows)


def test_of_equal_rows_the_first_is_found_whatever_is_decided_first(monkeypatch):
    monkeypatch.setattr(search, "DECIDED_ROWS", 3)
    row = unit(np.random.default_rng(7).normal(size=(1, 32)))
    _, index = nearest(row, np.repeat(row, 100, axis=0), block_rows=64)
    assert index.tolist() == [0]


def test_products_are_whole_whatever_this_process_allows(monkeypatch):
    seen, margin = set(), search._margin
    monkeypatch.setattr(
        search, "_margin", lambda *given: seen.add(torch.get_float32_matmul_precision()) or margin(*given)
    )
    rows = unit(np.random.default_rng(10).normal(size=(90, 16)))
    torch.set_float32_matmul_precision("medium")
    try:
        nearest(rows[:10], rows)
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision("highest")
    assert seen == {"highest"}


def test_many_that_may_be_nearest_are_decided_a_part_at_a_time(monkeypatch):
    monkeypatch.setattr(search, "MAX_PENDING", 64)
    rng = np.random.default_rng(6)
    base = unit(rng.normal(size=(1, 32)))
    gallery = unit(base + rng.normal(size=(500, 32)) * 1e-4)
    assert_equal_to_brute_force(unit(base + rng.normal(size=(5, 32)) * 1e-4), gallery, 100)


@pytest.mark.parametrize("cosine", [0.0, 0.5, 0.9, 0.99])
def test_few_rows_are_compared_in_double_however_close_all_faces_lie(monkeypatch, cosine):
    compared = []
    monkeypatch.setattr(search, "cosines", lambda a, b: compared.append(len(a)) or cosines(a, b))
    rng = np.random.default_rng(8)
    middle = unit(rng.normal(size=(1, 128)))
    queries, gallery = (
        unit(np.sqrt(cosine) * middle + np.sqrt(1 - cosine) * unit(rng.normal(size=(n, 128)))) for n in (100, 3000)
    )
    assert_equal_to_brute_force(queries, gallery, 512)
    assert sum(compared) < 40 * len(queries)  # of both precisions together


def test_other_types_and_views_are_taken_and_the_norm_is_told():
    rows = unit(np.random.default_rng(9).normal(size=(40, 16)))
    expected = nearest(rows[:10], rows[10:])[1]
    frozen = rows[10:].copy()
    frozen.flags.writeable = False
    assert np.array_equal(nearest(rows[:10].astype(np.float64), frozen)[1], expected)
    assert np.array_equal(nearest(rows[:10], rows[:9:-1])[1], 29 - expected)
    with pytest.raises(ValueError, match=r"gallery: rows of norm 1.0001 to 1.0001; normalise"):
        nearest(rows, np.float32(1.0001) * rows)


def test_nobody_asked_for_finds_nobody():
    similarity, index = nearest(np.zeros((0, 8), np.float32), unit(np.eye(8)))
    assert similarity.shape == index.shape == (0,)
