"""What a model was trained on is sealed in it, and no renaming gets round it."""

import json

import pytest

from models.deid.card import KNOWN, TrainedOn, digest_of, read_card, read_known
from models.deid.deidentifier import load_deidentifier
from tests.toys.deid import toy_deidentifier

IDS = ["b" * 64, "a" * 64]


@pytest.fixture
def drawn(tmp_path):
    return toy_deidentifier(tmp_path / "drawn", TrainedOn("drawn", digest_of(IDS), "0" * 64, IDS))


def test_a_model_says_what_it_has_seen(drawn):
    assert read_card(drawn) == {
        "domain": "drawn", "data_sha256": digest_of(IDS[::-1]), "recogniser_sha256": "0" * 64, "image_size_px": 96
    }  # fmt: skip
    assert read_known(drawn) == set(IDS)


def test_a_picture_added_to_the_list_is_told(drawn):
    with (drawn / KNOWN).open("a") as stream:
        stream.write("c" * 64 + "\n")
    with pytest.raises(ValueError, match=r"known_images\.txt: missing or changed"):
        read_known(drawn)
    with pytest.raises(ValueError, match="missing or changed"):
        load_deidentifier(drawn)


@pytest.mark.parametrize("change", [{}, {"trained_on": {}}, {"trained_on": {"domain": "real"}}, {"trained_on": 3}])
def test_a_model_that_does_not_say_is_refused_with_the_remedy(drawn, change):
    config = json.loads((drawn / "config.json").read_text())
    del config["trained_on"]
    (drawn / "config.json").write_text(json.dumps(config | change))
    with pytest.raises(ValueError, match="train it again with `dvc repro train_deid`"):
        read_card(drawn)


def test_a_model_of_drawn_faces_is_none_of_photographs_because_its_config_says_so(drawn):
    text = (drawn / "config.json").read_text()
    (drawn / "config.json").write_text(text.replace('"drawn"', '"photograph"'))
    with pytest.raises(ValueError, match="was changed; fetch the folder"):
        read_card(drawn)
