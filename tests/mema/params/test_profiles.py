"""Profiles: an overlay holds only what it changes."""

from pathlib import Path

import pytest
import yaml

from mema.params import load, profiles
from tests.worlds.profiles import FOLDER

BASE = """# what all start from
sample:
  batch_size: 32  # open
  names: [a, b]
  paths:
    one: 1
    two: 2
"""
SMALL = """# Small machines
sample:
  batch_size: 4  # two cores
  paths:
    two:
    three: 3
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, content in (("base", BASE), ("small", SMALL), ("tiny", "from: small\nsample:\n  names: []\n")):
        (tmp_path / f"{name}.yaml").write_text(content)
    return tmp_path


def test_a_mapping_is_merged_a_list_replaced_and_an_empty_value_takes_its_key_out(folder: Path) -> None:
    assert yaml.safe_load(profiles.text("small", folder)) == {
        "profile": "small", "sample": {"batch_size": 4, "names": ["a", "b"], "paths": {"one": 1, "three": 3}},
    }  # fmt: skip


def test_an_overlay_may_start_from_another(folder: Path) -> None:
    tiny = yaml.safe_load(profiles.text("tiny", folder))
    assert tiny == {"profile": "tiny", "sample": {"batch_size": 4, "names": [], "paths": {"one": 1, "three": 3}}}


def test_a_comment_goes_with_its_value(folder: Path) -> None:
    assert "batch_size: 4  # two cores" in profiles.text("small", folder)
    assert "# open" not in profiles.text("small", folder)


def test_names_tell_what_they_are_for(folder: Path) -> None:
    assert profiles.names(folder) == {"small": "Small machines", "tiny": ""}


@pytest.mark.parametrize("name", ["base", "larger", "../small", ""])
def test_what_is_no_profile_is_refused_with_those_there_are(folder: Path, name: str) -> None:
    with pytest.raises(ValueError, match="is not one of small, tiny"):
        profiles.compose(name, folder)


def test_overlays_that_start_from_one_another_are_named(folder: Path) -> None:
    (folder / "small.yaml").write_text("from: tiny\n")
    with pytest.raises(ValueError, match="small starts from tiny starts from small; let one"):
        profiles.compose("small", folder)


def test_an_overlay_that_starts_from_nothing_is_named(folder: Path) -> None:
    (folder / "tiny.yaml").write_text("from: nobody\n")
    with pytest.raises(ValueError, match=r"tiny\.yaml: from: 'nobody' is not one of small, tiny"):
        profiles.compose("tiny", folder)


def test_a_file_that_is_no_yaml_is_named_with_its_line(folder: Path) -> None:
    (folder / "small.yaml").write_text("sample:\n  batch_size: [4\n")
    with pytest.raises(ValueError, match=r"small\.yaml, line \d: is no YAML"):
        profiles.compose("small", folder)


def test_a_value_changed_by_hand_is_found(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    profiles.write("phantom", path, FOLDER)
    assert profiles.changes(path, FOLDER) == ("phantom", [])
    path.write_text(path.read_text().replace("num_patients: 24", "num_patients: 25"))
    assert profiles.changes(path, FOLDER) == ("phantom", ["cohort.num_patients: 25, in the profile 24"])
    assert load(path).profile == "phantom"


def test_a_profile_that_changed_meanwhile_is_no_change_by_hand(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(profiles.text("small", folder))
    (folder / "base.yaml").write_text(BASE + "  added: 1\n")
    assert profiles.changes(path, folder) == ("small", [])
    path.write_text(path.read_text().replace("batch_size: 4", "batch_size: 5"))
    assert profiles.changes(path, folder)[1] == [
        "sample.batch_size: 5, in the profile 4",
        "sample.added: absent, in the profile 1",
    ]


def test_a_profile_that_is_gone_loses_nothing_unsaid(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "checkout").mkdir()
    path = tmp_path / "checkout/params.yaml"
    path.write_text("profile: ours\nsample: {batch_size: 7}\n")
    assert profiles.changes(path, folder) == ("ours", ["profile: ours, which is none of small, tiny"])


def test_a_profile_out_of_bounds_is_not_written(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text("kept")
    with pytest.raises(ValueError, match=r"small\.yaml: "):
        profiles.write("small", path, folder)
    assert path.read_text() == "kept"
