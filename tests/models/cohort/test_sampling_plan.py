"""Planning: quotas, donors, and controls that differ from the product in one thing only."""

from collections import Counter

import numpy as np
import pytest

from models.cohort.quotas import cell_quotas
from models.cohort.sampling_plan import (
    STRIP_WEIGHTS,
    Donor,
    Group,
    direct_rows,
    give_donors,
    injected_rows,
    numbered,
    random_rows,
    strip_rows,
    total_variation,
)
from models.diseases import DISEASES, SEVERITIES

BINS = ["0-40", "40-60", "60-101"]
DONORS = [Donor(f"{g[0]}{b}{i}", b, g) for b in BINS[:2] for g in ("female", "male") for i in range(3)]
QUOTAS = {("bcc", "0-40", "female"): 4, ("tao", "40-60", "male"): 10, ("normal", "40-60", "female"): 3}


def injected(quotas=QUOTAS, donors=DONORS, **changes):
    values = {"over_generation": 1.25, "injection_weight": (0.2, 0.4), "max_donor_uses": 0, "seed": 7}
    return injected_rows(quotas, donors, BINS, **(values | changes))


def test_quotas_by_hand():
    """Of 10: 0.47 -> 4.7, 0.33 -> 3.3, 0.20 -> 2.0; the one left over goes to the largest remainder."""
    joint = [
        {"disease": "bcc", "age_bin": "0-40", "gender": "female", "p": 0.47},
        {"disease": "scc", "age_bin": "0-40", "gender": "male", "p": 0.33},
        {"disease": "tao", "age_bin": "40-60", "gender": "male", "p": 0.20},
    ]
    assert list(cell_quotas(joint, 10).values()) == [5, 3, 2]


def test_total_variation_by_hand():
    quotas = {("bcc", "0-40", "male"): 3, ("tao", "0-40", "male"): 1}
    joint = {("bcc", "0-40", "male"): 0.5, ("tao", "0-40", "female"): 0.5}
    assert total_variation(quotas, joint, (0, 1, 2)) == pytest.approx(0.5)
    assert total_variation(quotas, joint, (0,)) == pytest.approx(0.25)
    assert total_variation(quotas, joint, (1,)) == pytest.approx(0.0)


@pytest.mark.parametrize(("factor", "expected"), [(1.0, [4, 10, 3]), (1.1, [5, 11, 4]), (1.25, [5, 13, 4])])
def test_each_cell_is_over_generated_and_rounded_up(factor, expected):
    rows, _ = injected(over_generation=factor)
    cells = Counter((row["disease"], row["age_bin"], row["gender"]) for row in rows)
    assert [cells[cell] for cell in QUOTAS] == expected


def test_a_product_that_is_whole_but_for_rounding_is_not_rounded_up():
    """In floating point 100 * 1.1 is 110.00000000000001."""
    rows, _ = injected({("tao", "40-60", "male"): 100}, over_generation=1.1)
    assert len(rows) == 110


def test_a_donor_has_the_rows_age_bin_and_gender_and_none_works_twice_more_than_another():
    rows, borrowed = injected()
    known = {donor.image_id: donor for donor in DONORS}
    assert all(known[r["donor_id"]][1:] == (r["age_bin"], r["gender"]) for r in rows)
    assert not borrowed
    used = Counter(row["donor_id"] for row in rows if row["disease"] == "tao")
    assert sorted(used.values()) == [4, 4, 5]


def test_rows_of_several_diseases_share_their_donors_evenly():
    quotas = {(disease, "0-40", "male"): 2 for disease in DISEASES}
    rows, _ = injected(quotas, over_generation=1)
    assert sorted(Counter(row["donor_id"] for row in rows).values()) == [5, 5, 6]


def test_a_bin_without_donors_borrows_from_the_nearest_of_its_gender():
    quotas = {("bcc", "60-101", "male"): 4, ("bcc", "40-60", "male"): 2}
    rows, borrowed = injected(quotas, over_generation=1)
    assert borrowed == {(Group("60-101", "male"), "40-60"): 4}
    assert Counter(row["donor_id"] for row in rows) == {f"m40-60{i}": 2 for i in range(3)}
    assert [row["age_bin"] for row in rows] == ["60-101"] * 4 + ["40-60"] * 2


def test_at_equal_distance_the_younger_bin_lends():
    donors = [Donor("old", "60-101", "male"), Donor("young", "0-40", "male")]
    given = give_donors([Group("40-60", "male")], donors, BINS, 0, np.random.default_rng(0))
    assert given.donor_ids == ["young"]


def test_severities_are_balanced_within_a_disease_and_normal_has_none():
    rows, _ = injected(over_generation=1.2)
    tao = Counter(row["severity"] for row in rows if row["disease"] == "tao")
    assert tao == dict.fromkeys(SEVERITIES, 4)
    assert {row["severity"] for row in rows if row["disease"] == "normal"} == {""}
    by_disease = {row["disease"]: row["prompt"] for row in rows if row["severity"] in ("heavy", "")}
    assert by_disease == {
        "bcc": "A face, eye with basal cell carcinoma, heavy-level",
        "tao": "A face, eye with thyroid associated ophthalmopathy, heavy-level",
        "normal": "A face, eye with normal",
    }


def test_weights_fill_their_range_and_seeds_are_unique():
    rows, _ = injected({("tao", "40-60", "male"): 400})
    weights = np.array([row["injection_weight"] for row in rows])
    assert weights.min() == pytest.approx(0.2, abs=0.01)
    assert weights.max() == pytest.approx(0.4, abs=0.01)
    assert weights.mean() == pytest.approx(0.3, abs=0.01)
    assert len({row["seed"] for row in rows}) == len(rows) == 500


def test_direct_rows_are_spread_over_the_plan_and_lack_the_donor_only():
    rows, _ = injected({("bcc", "0-40", "female"): 40, ("tao", "40-60", "male"): 40}, over_generation=1)
    plan = numbered(rows, direct_rows(rows, 20, 7))
    copies = [row for row in plan if row["arm"] == "direct"]
    sources = [row["source_row"] for row in copies]
    assert Counter(row["disease"] for row in copies) == {"bcc": 10, "tao": 10}
    assert set(np.diff(sources)) == {4}
    assert len(set(sources)) == 20
    for row in copies:
        changed = {key for key in row if row[key] != plan[row["source_row"]][key]}
        assert changed == {"arm", "plan_row", "donor_id", "injection_weight"}
        assert (row["donor_id"], row["injection_weight"]) == ("", 0.0)


def test_random_rows_take_any_disease_and_their_donors_attributes():
    rows = random_rows(DONORS, 800, (0.2, 0.4), 7)
    counts = Counter(row["disease"] for row in rows)
    assert set(counts) == set(DISEASES)
    assert min(counts.values()) > 60
    used = Counter(row["donor_id"] for row in rows)
    assert set(used) == {donor.image_id for donor in DONORS}
    known = {donor.image_id: donor for donor in DONORS}
    assert all(known[r["donor_id"]][1:] == (r["age_bin"], r["gender"]) for r in rows)
    others, _ = injected({("tao", "40-60", "male"): 400})
    assert not {row["seed"] for row in rows} & {row["seed"] for row in others}


def test_a_strip_is_one_heavy_row_at_growing_weights():
    quotas = {(disease, "0-40", "male"): 6 for disease in DISEASES}
    rows, _ = injected(quotas)
    strips = [row for row in numbered(rows, strip_rows(rows, 4, 7)) if row["arm"] == "strip"]
    assert len(strips) == 16
    for start in range(0, 16, 4):
        line = strips[start : start + 4]
        source = rows[line[0]["source_row"]]
        assert [row["injection_weight"] for row in line] == list(STRIP_WEIGHTS)
        assert [row["donor_id"] for row in line] == ["", *[source["donor_id"]] * 3]
        assert {row["seed"] for row in line} == {source["seed"]}
        assert {row["severity"] for row in line} == {"heavy"}
    assert len({row["disease"] for row in strips} - {"normal"}) == 4


def test_more_strips_than_diseases_take_second_rows_of_them():
    rows, _ = injected({("bcc", "0-40", "male"): 3, ("normal", "0-40", "male"): 2}, over_generation=1)
    assert [row["disease"] for row in strip_rows(rows, 4, 7)[::4]] == ["bcc", "normal", "bcc", "normal"]
    assert len({row["source_row"] for row in strip_rows(rows, 9, 7)}) == 5


def test_rows_are_numbered_and_a_row_that_copies_none_is_its_own_source():
    rows, _ = injected()
    plan = numbered(rows, direct_rows(rows, 3, 7), random_rows(DONORS, 5, (0.2, 0.4), 7))
    assert [row["plan_row"] for row in plan] == list(range(len(plan)))
    own = [row for row in plan if row["arm"] != "direct"]
    assert [row["source_row"] for row in own] == [row["plan_row"] for row in own]


def test_equal_inputs_in_any_order_give_equal_rows_and_another_seed_others():
    rows, _ = injected()
    assert random_rows(DONORS, 8, (0.2, 0.4), 7) == random_rows(DONORS, 8, (0.2, 0.4), 7)
    again, _ = injected(donors=DONORS[::-1])
    assert rows == again  # the order of the donors on disk means nothing
    assert injected(seed=8)[0] != rows


def test_too_few_uses_are_refused_with_what_would_do():
    message = r"max_donor_uses: 3 allows 9 images from the 3 donors of 40-60 years, male, 13 .* raise it to 5"
    with pytest.raises(ValueError, match=message):
        injected(max_donor_uses=3)
    rows, _ = injected(max_donor_uses=5)
    assert max(Counter(row["donor_id"] for row in rows).values()) <= 5


def test_the_limit_that_is_named_suffices_for_every_group():
    quotas = {("bcc", "0-40", "female"): 7, ("tao", "40-60", "male"): 10}
    with pytest.raises(ValueError, match="40-60 years, male, 10 are planned; raise it to 4"):
        injected(quotas, over_generation=1, max_donor_uses=2)
    rows, _ = injected(quotas, over_generation=1, max_donor_uses=4)
    assert max(Counter(row["donor_id"] for row in rows).values()) == 4


def test_no_donor_of_a_gender_is_refused():
    with pytest.raises(ValueError, match=r"donors: 0 of gender male, .* add public photos of that gender"):
        injected(donors=[donor for donor in DONORS if donor.gender == "female"])


def test_more_direct_rows_than_injected_ones_are_refused():
    rows, _ = injected()
    with pytest.raises(ValueError, match=r"num_direct: 23 is more than the 22 injected rows"):
        direct_rows(rows, 23, 7)
