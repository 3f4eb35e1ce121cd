"""The profile's stage: the same bytes again, a list of versions with a budget, and a key that is not everybody's."""

import json
import stat
from pathlib import Path

import pyarrow as pa
import pytest

from mema.hospital import profile_versions
from mema.params import Params
from mema.runtime import shards
from tasks import schemas
from tasks.synthesize import profile_cohort
from tests.worlds.profiles import profile_values

ROOT = Path(__file__).parents[3]
DISEASES = ("bcc", "tao", "ptosis", "scc")
LIST = Path("data/hospital/keys") / profile_versions.NAME


@pytest.fixture(autouse=True)
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def faces(num: int, first: int = 0) -> Path:
    """Three photos each of patients `first` to `num`."""
    rows = [
        {"image_id": f"{k}-{photo}", "image": b"", "file": f"{k}.png", "patient_id": f"secret-{k}",
         "visit_date": None, "eye": "left", "disease": DISEASES[k % 4], "age": 15.0 + 5 * (k % 16),
         "gender": ("female", "male")[k % 2], "split": "train", "flags": []}
        for k in range(first, num) for photo in range(3)
    ]  # fmt: skip
    columns = [{name: row.get(name) for name in schemas.PATIENT_FACE.names} for row in rows]
    folder = Path(f"faces-{first}-{num}")
    shards.write_shards(pa.Table.from_pylist(columns, schema=schemas.PATIENT_FACE), folder, shard_rows=16)
    return folder


def hospital(**changes: object) -> Params:
    document = profile_values()
    document |= {"profile": "paper", "release_key": {"path": "data/hospital/keys/release.key"}}
    document["inputs"]["patients"] = "data/hospital/raw"
    document["profile_cohort"] |= {"epsilon": 1.0, "max_epsilon": 2.0} | changes
    return Params.model_validate(document)


def make(folder: Path, params: Params, out: str = "cohort.json") -> dict:
    profile_cohort.run(folder, Path(out), params)
    return json.loads(Path(out).read_text())


def test_publishing_again_gives_the_same_bytes_and_costs_nothing() -> None:
    folder = faces(40)
    first = make(folder, hospital())
    assert make(folder, hospital(), "again.json") == first
    assert Path("again.json").read_bytes() == Path("cohort.json").read_bytes()
    assert len(LIST.read_text().splitlines()) == 1
    assert stat.S_IMODE(LIST.stat().st_mode) == 0o600
    assert not any(word in LIST.read_text() + Path("cohort.json").read_text() for word in ("secret", "image"))


def test_versions_are_counted_and_the_budget_ends_them() -> None:
    params = hospital()
    for first in (0, 1):
        make(faces(40, first), params)
    written = Path("cohort.json").read_bytes()
    with pytest.raises(ValueError, match=r"max_epsilon: 2, but the 2 versions .* cost 2 and this one 1 more; go on"):
        make(faces(40, 2), params)
    assert Path("cohort.json").read_bytes() == written
    assert len(LIST.read_text().splitlines()) == 2
    make(faces(40, 1), params)  # an old version may be made again
    make(faces(40, 2), hospital(max_epsilon=3.0))


def test_every_noise_is_another_for_every_version_and_key() -> None:
    """Twenty patients of one cell: what differs between versions is noise, and it differs in most of them."""
    seen = set()
    for number in range(6):
        Path("data/hospital/keys/release.key").unlink(missing_ok=True)
        seen.add(json.dumps(make(faces(40), hospital(max_epsilon=100.0))["disease"]))
        assert len(LIST.read_text().splitlines()) == number + 1
    assert len(seen) > 3


def test_a_line_cut_by_a_kill_is_forgotten_and_a_broken_one_is_not() -> None:
    params = hospital()
    make(faces(40), params)
    whole = LIST.read_text()
    LIST.write_text(whole + '{"version": "ab')
    make(faces(40, 1), params)
    assert len(LIST.read_text().splitlines()) == 2
    assert LIST.read_text().startswith(whole)
    LIST.write_text(whole + "nonsense\n")
    with pytest.raises(ValueError, match=r"nobody knows what was published; bring back its last good version"):
        make(faces(40), params)


def test_phantoms_keep_no_list_and_everybodys_key_is_theirs_alone() -> None:
    phantom = Params.model_validate(profile_values())
    make(faces(40), phantom)
    assert not Path("data").exists()
    document = phantom.model_dump(mode="json") | {"profile": "paper"}
    with pytest.raises(ValueError, match=r"release_key\.published: everybody knows this key"):
        Params.model_validate(document)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"epsilon": 3.0}, r"profile_cohort\.epsilon: 3 is above max_epsilon \(2\)"),
        ({"age_edges": [0, 40, 20]}, r"age_edges: \[0, 40, 20\] must be two or more growing years"),
    ],
)
def test_settings_that_cannot_be_are_refused(values: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        hospital(**values)


def test_the_profile_rests_on_one_photo_a_patient() -> None:
    folder = faces(40)
    assert profile_cohort.run(folder, Path("a.json"), hospital(max_epsilon=9.0)) == 40
