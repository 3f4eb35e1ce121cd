"""MeMa and MeMa-Seg from votes: what is in, what is out, who is in which split, what must not be there."""

import hashlib
import json
import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mema.params.annotate import Annotations
from mema.params.hospital import ReleaseKey
from mema.runtime import durable, shards
from models.annotation.adjudication import adjudicate
from models.segmentation.masks import decode_mask, dice
from tasks import schemas
from tasks.annotate import annotations, assemble
from tasks.works.pseudonyms import pseudonyms
from tests.worlds.readers import lesion, parameters, simulate, write_selection

SETTINGS = {
    "proportions": (34000, 3729, 4578), "mask_diseases": ("bcc", "scc"),
    "lesion_disease": "bcc", "num_seg_train": 20, "num_seg_val": 2,
    "mask_consensus": "majority", "max_deviation": 1.0, "bootstrap": 50, "seed": 7,
}  # fmt: skip


def annotate(root: Path) -> Path:
    paths = (root / "selected", root / "subset.parquet", root / "exports", root / "annotations")
    annotations.run(*paths, root / "annotations.json", Annotations(max_unusable=0.0, allow_incomplete=False))
    return root


def run(root: Path, out: Path, given: dict | None = None, **changes) -> tuple[dict, dict]:
    paths = (root / "selected", root / "annotations", out / "mema", out / "mema_seg")
    params = parameters(**(SETTINGS | changes)).model_copy(update=given or {})
    assemble.run(*paths, out / "readers.json", out / "assemble.json", params)
    return json.loads((out / "readers.json").read_text()), json.loads((out / "assemble.json").read_text())


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("assemble")
    write_selection(root)
    simulate(root)
    annotate(root)
    run(root, root)
    return root


@pytest.fixture(scope="module")
def mema(root) -> list[dict]:
    return [row for name in assemble.SPLITS for row in shards.read_table(root / "mema" / name).to_pylist()]


def metrics(root: Path) -> dict:
    return json.loads((root / "assemble.json").read_text())


def test_every_selected_image_is_in_one_split_or_counted_out(root, mema):
    selected = {row["image_id"]: row for row in shards.read_table(root / "selected").to_pylist()}
    found = metrics(root)
    assert len({row["image_id"] for row in mema}) == len(mema) == sum(found["mema"]["images"].values())
    assert len(mema) + sum(found["excluded"].values()) == found["selected"] == len(selected)
    assert found["excluded"]["low_quality"] > 0
    for name in assemble.SPLITS:
        ids = [row["image_id"] for row in mema if row["split"] == name]
        assert ids == sorted(ids)  # the order of data/selected, which is the plan's, is gone
    for row in mema:
        plan = selected[row["image_id"]]
        assert row["image"] == plan["image"]
        assert (row["planned_disease"], row["planned_severity"]) == (plan["disease"], plan["severity"])
        assert (row["planned_age_bin"], row["planned_gender"]) == (plan["age_bin"], plan["gender"])
        assert row["quality"] == "usable"


def test_no_donor_is_in_two_splits_and_every_class_has_its_share(root, mema):
    homes: dict[str, set] = {}
    for row in mema:
        homes.setdefault(row["donor_pseudonym"], set()).add(row["split"])
    assert all(len(splits) == 1 for splits in homes.values())
    found = metrics(root)["mema"]
    assert found["deviation"] <= 1
    for disease, by_split in found["classes"].items():
        total = sum(row["disease"] == disease for row in mema)
        for (name, cell), share in zip(by_split.items(), (3729, 34000, 4578), strict=True):  # sorted by name
            here = sum(row["disease"] == disease and row["split"] == name for row in mema)
            assert cell["images"] == here
            assert abs(here - total * share / 42307) <= 1


def test_the_label_is_the_verdict_and_the_votes_stand_beside_it(root, mema):
    votes = shards.read_table(root / "annotations/votes.parquet")
    verdicts = {one.image_id: one for one in adjudicate(votes, 3)}
    for row in mema:
        verdict = verdicts[row["image_id"]]
        assert (row["disease"], row["severity"], row["decided_by"]) == (
            verdict.disease, verdict.severity, verdict.decided_by,
        )  # fmt: skip
        said = [vote["disease"] for vote in row["votes"] if vote["reader"] != "senior"]
        assert 2 <= len(said) <= 3  # and no hidden repeat
        if row["decided_by"] == "unanimous":
            assert set(said) == {row["disease"]}
        if row["decided_by"] == "senior":
            assert row["votes"][-1]["reader"] == "senior"
    assert {row["decided_by"] for row in mema} == {"unanimous", "majority", "senior"}


def test_masks_are_the_readers_consensus_on_both_tumours_and_nothing_else(root, mema):
    order = [row["image_id"] for row in shards.read_table(root / "selected").to_pylist()]
    masked = [row for row in mema if row["mask"]]
    assert {row["disease"] for row in masked} == {"bcc", "scc"}
    for disease, counted in metrics(root)["masks"].items():
        here = [row for row in mema if row["disease"] == disease]
        assert counted["images"] == len(here)
        assert counted["images"] >= counted["outlined"] >= counted["with_mask"] > 25
        assert counted["with_mask"] == sum(row["mask"] is not None for row in here)
    for row in masked:
        truth = lesion(order.index(row["image_id"]))
        assert dice(decode_mask(row["mask"]), truth) > 0.75
        assert row["num_masks"] >= 2
        assert row["mask_provenance"] in ("machine_accepted", "machine_edited", "by_hand")
    assert all(row["mask_provenance"] == "" and row["num_masks"] == 0 for row in mema if not row["mask"])


def test_mema_seg_is_drawn_from_train_and_val(root, mema):
    rows = {row["image_id"]: row for row in mema}
    for name, number in (("train", 20), ("val", 2)):
        table = shards.read_table(root / "mema_seg" / name)
        assert table.schema.equals(schemas.MEMA_SEG)
        assert table.num_rows == number
        for row in table.to_pylist():
            assert row == {key: rows[row["image_id"]][key] for key in row}
            assert (row["split"], row["disease"]) == (name, "bcc")
            assert row["mask"]
        here = [row for row in mema if row["split"] == name and row["disease"] == "bcc"]
        found = metrics(root)["mema_seg"][name]
        assert found["of_disease"] == len(here)
        assert found["with_mask"] == sum(row["mask"] is not None for row in here)
    assert metrics(root)["mema_seg"]["train"]["with_mask"] < metrics(root)["mema_seg"]["train"]["of_disease"]
    assert not (root / "mema_seg/select").exists()


def texts(value) -> set[str]:
    """Return every text within a row, keys too, however deep."""
    if isinstance(value, dict):
        return set(value) | {text for inner in value.values() for text in texts(inner)}
    if isinstance(value, list):
        return {text for inner in value for text in texts(inner)}
    return {value} if isinstance(value, str) else set()


def test_nothing_that_must_stay_inside_is_there(root):
    table = shards.read_table(root / "mema/train")
    assert table.schema.equals(schemas.MEMA)
    inside = ("patient", "similarity", "comment", "plan_row", "donor_id", "injection", "seed", "prompt", "sha256")
    names = set(table.schema.names) | {field.name for field in table.schema.field("votes").type.value_type}
    assert not [name for name in names if any(word in name for word in inside)]
    donors = {row["donor_id"] for row in shards.read_table(root / "selected").to_pylist()}
    digests = {hashlib.new(kind, name.encode()).hexdigest() for name in donors for kind in ("sha256", "md5", "sha1")}
    guesses = {digest[:length] for digest in donors | digests for length in (12, 16, 32, 64)} | donors
    for folder in ("mema", "mema_seg"):
        for path in (root / folder).rglob("*.parquet"):
            kept = pq.read_table(path)
            assert set(kept.schema.metadata) == {b"huggingface"}
            assert not texts(kept.to_pylist()) & guesses
            assert not texts(kept.to_pylist()) & {"a prompt", "injected", "simulated remark"}
        names = [path.name for path in (root / folder).rglob("*") if path.is_file()]
        assert not [name for name in names if not re.fullmatch(r"README\.md|shard-\d{5}\.parquet", name)]
        card = (root / folder / "README.md").read_text()
        assert not [name for name in guesses if name in card]


def test_pseudonyms_keep_the_groups_of_a_release_and_are_others_under_another_key(root, mema, tmp_path):
    donors = {row["image_id"]: row["donor_id"] for row in shards.read_table(root / "selected").to_pylist()}
    pairs = {(donors[row["image_id"]], row["donor_pseudonym"]) for row in mema}
    assert len(pairs) == len({a for a, _ in pairs}) == len({b for _, b in pairs}) > 50
    assert all(re.fullmatch(r"[0-9a-f]{32}", name) for _, name in pairs)
    release, key = parameters().release, parameters().release_key
    made = {
        "minor": release.model_copy(update={"version": "1.4.2"}),
        "major": release.model_copy(update={"version": "2.0.0"}),
    }
    assert pseudonyms(made["minor"], key) == pseudonyms(release, key)
    names = {name for _, name in pairs}
    hospitals = ReleaseKey(path=str(tmp_path / "release.key"))
    for given in ({"release": made["major"]}, {"release_key": hospitals}):
        run(root, tmp_path / "other", given=given)
        other = shards.read_table(tmp_path / "other/mema/train").to_pylist()
        assert not {row["donor_pseudonym"] for row in other} & names
        assert [row["image_id"] for row in other] == [row["image_id"] for row in mema if row["split"] == "train"]


def test_no_order_of_rows_tells_the_plans(root, mema):
    rows = {row["image_id"]: row["plan_row"] for row in shards.read_table(root / "selected").to_pylist()}
    order = np.array([rows[row["image_id"]] for row in mema if row["split"] == "train"])
    assert abs(np.corrcoef(order, np.arange(len(order)))[0, 1]) < 0.3
    assert not (np.diff(order) > 0).all()


def test_the_readers_report_says_where_they_come_from_and_what_to_expect(root):
    report = json.loads((root / "readers.json").read_text())
    assert report["source"] == metrics(root)["source"] == "simulated"
    overall = report["fleiss"]["overall"]
    assert overall["ci95"][0] < overall["expected"] < overall["ci95"][1]
    assert report["agreement_with_plan"]["adjudicated"]["value"] > max(
        report["agreement_with_plan"][f"reader_{number}"]["value"] for number in (1, 2, 3)
    )
    assert all(report["dice"][name]["n"] > 20 for name in ("reader_1", "reader_2", "reader_3"))
    assert all(report["intra"][name]["n"] > 5 for name in ("reader_1", "reader_2", "reader_3"))


def test_equal_input_gives_equal_bytes(root, tmp_path):
    run(root, tmp_path)
    for path in [
        *(f for f in (root / "mema").rglob("*") if f.is_file()),
        root / "readers.json",
        root / "assemble.json",
    ]:
        assert path.read_bytes() == (tmp_path / path.relative_to(root)).read_bytes(), path.name


def test_staple_stands_in_the_metrics_and_judges_readers_otherwise(root, tmp_path):
    report, found = run(root, tmp_path, mask_consensus="staple")
    assert found["mema_seg"]["consensus"] == "staple"
    # Of two others, a majority is what they share; STAPLE's estimate is not.
    assert report["dice"] != json.loads((root / "readers.json").read_text())["dice"]


def test_too_few_masks_are_refused_with_the_numbers_after_the_metrics(root, tmp_path):
    with pytest.raises(ValueError, match=r"assemble\.num_seg_val: 50 wanted, \d images with a consensus mask"):
        run(root, tmp_path, num_seg_val=50)
    assert metrics(tmp_path)["mema_seg"]["val"]["wanted"] == 50
    assert not (tmp_path / "mema").exists()


def test_no_mask_wanted_gives_empty_sets(root, tmp_path):
    run(root, tmp_path, num_seg_train=0, num_seg_val=0)
    table = shards.read_table(tmp_path / "mema_seg/val")
    assert (table.num_rows, table.schema) == (0, schemas.MEMA_SEG)


def test_a_donor_too_many_is_refused_with_what_to_do(tmp_path):
    write_selection(tmp_path, num_images=80, num_donors=2)
    simulate(tmp_path)
    annotate(tmp_path)
    with pytest.raises(ValueError, match=r"max_deviation: .* allowed 1: .*lower plan_sampling\.max_donor_uses"):
        run(tmp_path, tmp_path, num_seg_train=0, num_seg_val=0)
    run(tmp_path, tmp_path, num_seg_train=0, num_seg_val=0, max_deviation=20.0)


def test_other_readers_names_become_aliases(root, tmp_path):
    votes = shards.read_table(root / "annotations/votes.parquet")
    real = {"reader_1": "dr_ada", "reader_2": "dr_bo", "reader_3": "dr_cy", "senior": "prof_di"}
    names = pa.array([real[name] for name in votes["reader"].to_pylist()])
    who = {"source": "label_studio", "readers": ["dr_ada", "dr_bo", "dr_cy"], "senior": "prof_di", "confusions": None}
    world = tmp_path / "world"
    world.mkdir()
    (world / "selected").symlink_to(root / "selected")
    place = votes.schema.get_field_index("reader")
    shards.write_table(world / "annotations/votes.parquet", votes.set_column(place, "reader", names))
    durable.write_json(world / "annotations/readers.json", who)
    run(world, tmp_path)
    written = [path.read_bytes() for path in tmp_path.glob("*.json")]
    written += [path.read_bytes() for path in (tmp_path / "mema").rglob("*.parquet")]
    assert not any(name.encode() in data for name in real.values() if name != "senior" for data in written)
    assert json.loads((tmp_path / "readers.json").read_text())["source"] == "label_studio"
    rows = shards.read_table(tmp_path / "mema/val").to_pylist()
    assert {vote["reader"] for row in rows for vote in row["votes"]} <= {"reader_1", "reader_2", "reader_3", "senior"}


def test_nobody_has_read_anything(root, tmp_path):
    votes = shards.read_table(root / "annotations/votes.parquet").slice(0, 0)
    (tmp_path / "selected").symlink_to(root / "selected")
    shards.write_table(tmp_path / "annotations/votes.parquet", votes)
    (tmp_path / "annotations/readers.json").symlink_to(root / "annotations/readers.json")
    with pytest.raises(ValueError, match=r"no image has a disease \(320 no_votes\); are the readers done"):
        run(tmp_path, tmp_path)


def test_votes_on_another_selection_are_refused(root, tmp_path):
    (tmp_path / "annotations").symlink_to(root / "annotations")
    write_selection(tmp_path, num_images=80)
    with pytest.raises(ValueError, match="votes on 240 images that are not in"):
        run(tmp_path, tmp_path)


def test_seg_images_are_drawn_by_seed(root, tmp_path):
    drawn = []
    for seed in (7, 8):
        run(root, tmp_path / str(seed), seed=seed, num_seg_train=5)
        drawn.append(shards.read_table(tmp_path / str(seed) / "mema_seg/train")["image_id"].to_pylist())
    assert drawn[0] != drawn[1]
