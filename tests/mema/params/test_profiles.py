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
PHANTOM = """# Small machines
sample:
  batch_size: 4  # two cores
  paths:
    two:
    three: 3
"""
OURS = "from: phantom\nsample:\n  names: []\n  added: {kept: 1, gone: }\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Profiles phantom and ours, which starts from it."""
    folder = tmp_path / "profiles"
    folder.mkdir()
    for name, content in (("base", BASE), ("phantom", PHANTOM), ("ours", OURS)):
        (folder / f"{name}.yaml").write_text(content)
    return folder


@pytest.fixture
def path(folder: Path) -> Path:
    """params.yaml as profile phantom has it."""
    path = folder.parent / "params.yaml"
    path.write_text(profiles.text("phantom", folder))
    return path


def test_a_mapping_is_merged_a_list_replaced_and_an_empty_value_takes_its_key_out(folder: Path) -> None:
    assert yaml.safe_load(profiles.text("phantom", folder)) == {
        "profile": "phantom",
        "sample": {"batch_size": 4, "names": ["a", "b"], "paths": {"one": 1, "three": 3}},
    }


def test_an_overlay_of_ones_own_starts_from_another_and_is_of_its_kind(folder: Path) -> None:
    assert yaml.safe_load(profiles.text("ours", folder)) == {
        "profile": "phantom",
        "sample": {"batch_size": 4, "names": [], "paths": {"one": 1, "three": 3}, "added": {"kept": 1}},
    }


def test_a_hospitals_own_profile_is_written_and_read(tmp_path: Path) -> None:
    folder = tmp_path / "profiles"
    folder.mkdir()
    for file in FOLDER.glob("*.yaml"):
        (folder / file.name).write_text(file.read_text())
    (folder / "ours.yaml").write_text("# Ours\nfrom: paper\ntrain_lora:\n  epochs: 12\n")
    path = tmp_path / "params.yaml"
    profiles.write("ours", path, folder)
    params = load(path)
    assert (params.profile, params.train_lora.epochs) == ("paper", 12)
    assert profiles.written(path) == "ours"
    assert profiles.names(folder)["ours"] == "Ours"


def test_a_comment_goes_with_its_value(folder: Path) -> None:
    assert "batch_size: 4  # two cores" in profiles.text("phantom", folder)
    assert "# open" not in profiles.text("phantom", folder)


def test_names_tell_what_they_are_for(folder: Path) -> None:
    assert profiles.names(folder) == {"ours": "", "phantom": "Small machines"}


@pytest.mark.parametrize("name", ["base", "larger", "../phantom", ""])
def test_what_is_no_profile_is_refused_with_those_there_are(folder: Path, name: str) -> None:
    with pytest.raises(ValueError, match="is not one of ours, phantom"):
        profiles.compose(name, folder)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("phantom", "from: ours\n", "ours starts from phantom starts from ours; let one"),
        ("ours", "from: nobody\n", r"ours\.yaml: from: 'nobody' is not one of ours, phantom"),
        (
            "ours",
            "from:\nsample: {batch_size: 1}\n",
            r"ours\.yaml: from: let it start from one of phantom, photos, paper",
        ),
        ("ours", "sample:\n  batch_size: [4\n", r"ours\.yaml, line \d: is no YAML"),
        ("ours", "- sample\n", r"ours\.yaml: holds no sections"),
    ],
)
def test_an_overlay_that_cannot_be_is_named(folder: Path, name: str, content: str, message: str) -> None:
    (folder / f"{name}.yaml").write_text(content)
    with pytest.raises(ValueError, match=message):
        profiles.compose("ours", folder)


@pytest.mark.parametrize("value", ["on", "0100", "12:30"])
def test_a_value_that_others_read_otherwise_is_refused(folder: Path, value: str) -> None:
    """ruamel.yaml reads YAML 1.2, whoever reads params.yaml by PyYAML 1.1."""
    (folder / "ours.yaml").write_text(f"from: phantom\nsample:\n  batch_size: {value}\n")
    with pytest.raises(
        ValueError, match=r"ours\.yaml: sample\.batch_size: .* would be read as .*; put it between quotes"
    ):
        profiles.load_profile("ours", folder)


def test_a_value_changed_by_hand_is_found(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    profiles.write("phantom", path, FOLDER)
    assert profiles.changes(path, FOLDER) == {}
    path.write_text(path.read_text().replace("num_patients: 24", "num_patients: 25"))
    assert profiles.say(profiles.changes(path, FOLDER)) == ["cohort.num_patients: 25, in the profile 24"]
    assert load(path).profile == "phantom"


def test_a_profile_that_changed_meanwhile_is_no_change_by_hand(folder: Path, path: Path) -> None:
    (folder / "base.yaml").write_text(BASE + "  added: 1\n")
    assert profiles.changes(path, folder) == {}
    assert profiles.lost("phantom", path, folder) == {}


def test_what_the_profile_to_write_holds_too_is_not_lost(folder: Path, path: Path) -> None:
    path.write_text(path.read_text().replace("batch_size: 4", "batch_size: 5"))
    assert profiles.say(profiles.lost("ours", path, folder)) == ["sample.batch_size: 5, in the profile 4"]
    (folder / "ours.yaml").write_text("from: phantom\nsample: {batch_size: 5}\n")
    assert profiles.lost("ours", path, folder) == {}
    assert profiles.lost("phantom", path, folder)


def test_values_of_a_profile_that_is_gone_are_not_lost_unsaid(folder: Path, path: Path) -> None:
    path.write_text("profile: elsewhere\nsample: {batch_size: 7}\n")
    assert "sample.batch_size: 7, in the profile absent" in profiles.say(profiles.lost("phantom", path, folder))


def test_a_profile_out_of_bounds_is_not_written(folder: Path, path: Path) -> None:
    before = path.read_text()
    with pytest.raises(ValueError, match=r"phantom\.yaml: "):
        profiles.write("phantom", path, folder)
    assert path.read_text() == before
