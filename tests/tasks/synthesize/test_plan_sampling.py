"""The stage plan_sampling, from a profile and shards of public faces to the plan's bytes."""

import json
from collections import Counter

import numpy as np
import pyarrow as pa
import pytest

from mema.params.hospital import ReleaseKey
from mema.params.synthesize import PlanSampling, ProfileCohort
from mema.runtime import durable, shards
from models.cohort.cohort_profile import Mechanism, age_bins, age_labels, cohort_profile
from models.diseases import DISEASES, GENDERS
from tasks import schemas
from tasks.synthesize import plan_sampling
from tests.toys.profile import exact_profile

EDGES = (0, 20, 40, 60, 80, 101)
COHORT = ProfileCohort(age_edges=EDGES, min_cell=3, attributes="records", epsilon=3, joint_share=0, max_epsilon=30)


def section(**changes) -> PlanSampling:
    values = {
        "num_images": 400, "num_direct": 200, "num_random": 200, "num_strips": 4, "over_generation": 1.25,
        "injection_weight": (0.2, 0.4), "max_donor_uses": 0, "seed": 7,
    }  # fmt: skip
    return PlanSampling.model_validate(values | changes)


def public_faces(ages: np.ndarray, genders: list[str], split: list[str]) -> pa.Table:
    rows = [
        {"image_id": f"face-{i:04d}", "image": b"", "file": f"{i}.png", "flags": [], "age": float(age),
         "gender": gender, "split": part}
        for i, (age, gender, part) in enumerate(zip(ages, genders, split, strict=True))
    ]  # fmt: skip
    return pa.Table.from_pylist(rows, schema=schemas.PUBLIC_FACE)


@pytest.fixture
def world(tmp_path):
    """240 patients' photos and 600 public faces, a third of them donors, none of whom is over 80."""
    rng = np.random.default_rng(0)
    profile = exact_profile(
        [DISEASES[int(i)] for i in rng.integers(8, size=240)],
        rng.triangular(4, 68, 99, 240),
        [GENDERS[int(i)] for i in rng.integers(2, size=240)],
        EDGES,
    )
    durable.write_json(tmp_path / "cohort.json", profile)
    splits = ["donor", "calibration", "floor"] * 200
    faces = public_faces(rng.triangular(1, 26, 80, 600), [GENDERS[i % 2] for i in range(600)], splits)
    shards.write_shards(faces, tmp_path / "faces", shard_rows=250)
    return tmp_path


def plan(world, name="plan", **changes) -> tuple[pa.Table, dict]:
    out, metrics = world / f"{name}.parquet", world / f"{name}.json"
    rows = plan_sampling.run(world / "cohort.json", world / "faces", out, metrics, section(**changes), COHORT)
    table = shards.read_table(out)
    assert table.num_rows == rows
    return table, json.loads(metrics.read_text())


def groups(table: pa.Table) -> dict[str, tuple]:
    """Return what MeMa tells of each donor's images, by donor."""
    found: dict[str, list[tuple]] = {}
    for row in table.to_pylist():
        if row["arm"] == "injected":
            signature = tuple(row[name] for name in ("disease", "severity", "age_bin", "gender"))
            found.setdefault(row["donor_id"], []).append(signature)
    return {donor: tuple(sorted(signatures)) for donor, signatures in found.items()}


def named_by(guess: pa.Table, truth: pa.Table) -> int:
    """Return how many donors somebody names who draws the plan again and compares the groups."""
    owners: dict[tuple, list[str]] = {}
    for donor, signatures in groups(guess).items():
        owners.setdefault(signatures, []).append(donor)
    return sum(owners.get(signatures) == [donor] for donor, signatures in groups(truth).items())


def test_only_the_hospital_can_draw_its_plan_again(world, tmp_path):
    key = ReleaseKey(path=str(tmp_path / "release.key"))
    phantoms = ReleaseKey(path="", published="phantom-key")
    public, _ = plan(world, "public")
    drawn = plan_sampling.secret_draw(section(), key)
    secret, _ = plan(world, "secret", seed=drawn.seed)
    assert named_by(public, public) > 50  # what params.yaml, profile and public faces tell without a secret
    assert named_by(public, secret) < 5
    assert drawn == plan_sampling.secret_draw(section(), key)
    assert drawn.model_copy(update={"seed": 7}) == section() == plan_sampling.secret_draw(section(), phantoms)
    assert plan_sampling.secret_draw(section(seed=8), key).seed != drawn.seed
    assert str(drawn.seed).encode() not in b"".join(path.read_bytes() for path in world.glob("secret.*"))


def test_the_plan_follows_the_profile(world):
    table, metrics = plan(world)
    assert table.schema.equals(schemas.PLAN)
    profile = json.loads((world / "cohort.json").read_text())
    quotas = {
        (disease, age_bin, gender): quota
        for disease, ages in metrics["quotas"].items()
        for age_bin, genders in ages.items()
        for gender, quota in genders.items()
    }
    assert sum(quotas.values()) == 400
    joint = {(c["disease"], c["age_bin"], c["gender"]): c["p"] for c in profile["joint"]}
    assert all(abs(quotas.get(cell, 0) - 400 * p) < 1 for cell, p in joint.items())
    total_variation = sum(abs(quotas.get(cell, 0) / 400 - p) for cell, p in joint.items()) / 2
    assert metrics["total_variation"]["joint"] == pytest.approx(total_variation, abs=1e-5)
    # Rounding alone moves 1/4 image a cell; the attributes that Table 2 reads stay well below 2 %.
    assert total_variation <= 0.25 * len(joint) / 400
    assert all(metrics["total_variation"][name] <= 0.02 for name in ("disease", "age", "gender"))
    made = Counter(zip(*(table[name].to_pylist()[: metrics["arms"]["injected"]] for name in
                         ("disease", "age_bin", "gender")), strict=True))  # fmt: skip
    assert made == {cell: -(-quota * 5 // 4) for cell, quota in quotas.items()}


def test_a_coarse_joint_is_met_within_two_percent(world):
    cells = [("bcc", "20-40", "male", 0.111), ("tao", "40-60", "female", 0.333), ("scc", "0-20", "male", 0.556)]
    profile = json.loads((world / "cohort.json").read_text())
    names = ("disease", "age_bin", "gender", "p")
    profile["joint"] = [dict(zip(names, cell, strict=True)) for cell in cells]
    durable.write_json(world / "cohort.json", profile)
    _, metrics = plan(world, num_images=50, num_direct=5)
    assert metrics["total_variation"]["joint"] <= 0.02
    assert metrics["cells"] == 3


def test_arms_stand_one_behind_another_and_are_counted(world):
    table, metrics = plan(world)
    arms = table["arm"].to_pylist()
    assert list(dict.fromkeys(arms)) == ["injected", "direct", "random", "strip"]
    assert arms == sorted(arms, key=["injected", "direct", "random", "strip"].index)
    assert metrics["arms"] == dict(Counter(arms))
    assert {name: metrics["arms"][name] for name in ("direct", "random", "strip")} == {
        "direct": 200, "random": 200, "strip": 16,
    }  # fmt: skip
    assert table["plan_row"].to_pylist() == list(range(table.num_rows))


def test_only_donors_are_injected_with_the_age_and_gender_of_their_row(world):
    table, metrics = plan(world)
    faces = {row["image_id"]: row for row in shards.read_table(world / "faces").to_pylist()}
    labels = age_labels(EDGES)
    strangers = 0
    for row in table.to_pylist():
        if row["donor_id"]:
            face = faces[row["donor_id"]]
            assert face["split"] == "donor"
            assert face["gender"] == row["gender"]
            own = labels[age_bins(np.array([face["age"]]), EDGES)[0]] == row["age_bin"]
            assert own or (row["age_bin"] == "80-101" and face["age"] >= 60)
            strangers += row["arm"] == "injected" and not own
    assert metrics["borrowed"]["rows"] == strangers > 0
    assert {g["from_age_bin"] for g in metrics["borrowed"]["groups"]} == {"60-80"}
    used = Counter(row["donor_id"] for row in table.to_pylist() if row["arm"] == "injected")
    assert metrics["donors"] == {
        "n": 200, "used": len(used), "min_uses": min(used.values()), "max_uses": max(used.values()),
    }  # fmt: skip


def test_a_direct_row_is_its_injected_source_without_the_donor(world):
    table, _ = plan(world)
    rows = table.to_pylist()
    for row in rows:
        source = rows[row["source_row"]]
        assert source["arm"] == ("injected" if row["arm"] != "random" else "random")
        if row["arm"] == "direct":
            changed = {name for name in row if row[name] != source[name]}
            assert changed == {"arm", "plan_row", "donor_id", "injection_weight"}


def test_equal_inputs_give_equal_bytes_and_another_seed_another_plan(world):
    plan(world, "a")
    plan(world, "b")
    plan(world, "c", seed=8)
    first, second, third = ((world / f"{name}.parquet").read_bytes() for name in "abc")
    assert first == second != third


def test_a_plan_without_controls_is_the_product_alone(world):
    table, metrics = plan(world, num_direct=0, num_random=0, num_strips=0)
    assert set(table["arm"].to_pylist()) == {"injected"}
    assert metrics["arms"]["random"] == 0
    whole, _ = plan(world, "whole")
    assert whole.slice(0, table.num_rows).equals(table)  # more of one arm does not change another


def test_no_donor_at_all_is_refused_with_the_remedy(world):
    shards.write_shards(public_faces(np.array([30.0]), ["male"], ["floor"]), world / "faces", shard_rows=9)
    with pytest.raises(ValueError, match=r"faces: 0 donors, at least 1 needed; add public photos, or lower"):
        plan(world)


def test_a_donor_limit_that_is_too_small_is_refused_with_the_remedy(world):
    with pytest.raises(ValueError, match=r"plan_sampling\.max_donor_uses: 1 allows .* raise it to \d+"):
        plan(world, max_donor_uses=1)
    assert not (world / "plan.parquet").exists()


def test_a_profile_of_other_bins_or_none_is_refused(world):
    other = COHORT.model_copy(update={"age_edges": (0, 50, 101)})
    arguments = (world / "faces", world / "p.parquet", world / "m.json", section(), other)
    with pytest.raises(ValueError, match=r"profile_cohort\.age_edges: \[0, 50, 101\] differ"):
        plan_sampling.run(world / "cohort.json", *arguments)
    with pytest.raises(ValueError, match=r"none\.json: not found; run dvc repro profile_cohort"):
        plan_sampling.run(world / "none.json", *arguments)


def test_weights_in_the_wrong_order_are_refused():
    with pytest.raises(ValueError, match=r"injection_weight: \[0\.4, 0\.2\] is no range"):
        section(injection_weight=(0.4, 0.2))


def test_a_profile_whose_noise_left_categories_empty_is_planned_without_them(world):
    """Noise may leave a disease or an age bin nobody: no row asks for it, and the others fill the number."""
    rng = np.random.default_rng(2)
    cells = np.stack([rng.integers(0, 8, 12), rng.integers(0, 5, 12), rng.integers(0, 2, 12)], 1)
    mechanism = Mechanism(epsilon=0.7, joint_share=0.0, min_cell=3, age_edges=EDGES)
    empty = 0
    for number in range(12):
        profile = cohort_profile(cells, mechanism, bytes([number]) * 32)
        durable.write_json(world / "cohort.json", profile)
        table, metrics = plan(world)
        injected = [row for row in table.to_pylist() if row["arm"] == "injected"]
        assert sum(sum(sum(g.values()) for g in a.values()) for a in metrics["quotas"].values()) == 400
        absent = {name for name, share in profile["disease"].items() if not share}
        assert not absent & {row["disease"] for row in injected}
        empty += bool(absent)
    assert empty > 3
