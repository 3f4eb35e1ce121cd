"""The manifest: what a damaged one says."""

import json

import pytest

from models.annotation.manifest import read_manifest
from tests.toys.exports import entry


def write(path, **changes):
    document = {"source": "label_studio", "label_studio_version": "1.23.2", "readers": {"a": entry("k")}}
    path.write_text(json.dumps(document | changes))
    return path


def test_rounds_and_keys(tmp_path):
    readers = {"a": entry("k"), "boss": entry("k", round_="adjudication")}
    manifest = read_manifest(write(tmp_path / "manifest.json", readers=readers, later="ignored"))
    assert list(manifest.of_round("reading")) == ["a"]
    assert list(manifest.of_round("adjudication")) == ["boss"]
    assert manifest.readers["a"].tasks[0].repeat == 0


@pytest.mark.parametrize(
    ("readers", "fault"),
    [
        ({}, "readers: none of round 'reading'"),
        ({"a": entry("k", "k")}, "readers.a: value error, the same key stands for two tasks"),
        ({"a": entry("k") | {"user_id": None, "email": ""}}, "neither user_id nor email"),
        ({"a": entry("k") | {"round": "second"}}, r"readers\.a\.round: input should be 'reading'"),
        ({"../a": entry("k")}, "string should match pattern"),
    ],
)
def test_a_damaged_manifest_names_file_and_field(tmp_path, readers, fault):
    with pytest.raises(ValueError, match=rf"manifest\.json: .*{fault}"):
        read_manifest(write(tmp_path / "manifest.json", readers=readers))


def test_no_file_and_half_a_file_are_told_apart(tmp_path):
    path = tmp_path / "manifest.json"
    with pytest.raises(ValueError, match=r"manifest\.json: not found; pull"):
        read_manifest(path)
    path.write_text(write(path).read_text()[:40])
    with pytest.raises(ValueError, match=r"manifest\.json: no whole JSON .*pull the annotations again"):
        read_manifest(path)
