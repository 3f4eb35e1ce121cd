"""One annotation: what is read out of it, and what makes it unusable, by its reason."""

import numpy as np
import pytest

from models.annotation.opinion import UnusableOpinion, read_opinion
from tests.toys.exports import SIZE, brush, choice, disc

BCC = choice("disease", "bcc")


def test_everything_that_can_be_said_is_read():
    comment = {"from_name": "comment", "type": "textarea", "value": {"text": ["two", "parts"]}}
    left_over = {"from_name": "click", "type": "keypointlabels", "value": {"x": 1}}
    results = [
        BCC, choice("severity", "mid"), choice("confidence", "high"), comment, left_over,
        brush(disc(4)), brush(disc(11)),
    ]  # fmt: skip
    opinion = read_opinion(results, SIZE)
    assert (opinion.disease, opinion.severity, opinion.confidence) == ("bcc", "mid", "high")
    assert (opinion.quality, opinion.comment) == ("usable", "two parts")
    assert len(opinion.regions) == 2
    assert np.array_equal(opinion.mask, disc(4) | disc(11))


def test_a_rejection_needs_no_disease_and_no_reason():
    opinion = read_opinion([choice("quality", "low")], SIZE)
    assert (opinion.quality, opinion.disease, opinion.mask) == ("low", "", None)
    named = read_opinion([choice("quality", "low"), choice("quality_reason", "blurred")], SIZE)
    assert named.quality_reason == "blurred"


def test_a_brush_that_was_wiped_out_is_no_mask():
    assert read_opinion([BCC, brush(np.zeros(SIZE, bool))], SIZE).mask is None


@pytest.mark.parametrize(
    ("results", "reason", "detail"),
    [
        ([], "empty_submit", "nothing at all"),
        ([choice("severity", "mid")], "empty_submit", "no disease"),
        ([choice("disease")], "empty_submit", "no disease"),
        ([choice("disease", "glaucoma")], "unknown_label", "disease: 'glaucoma'"),
        ([choice("disease", "bcc", "scc")], "unknown_label", "2 choices"),
        ([BCC, BCC], "unknown_label", "2 choices"),
        ([BCC, choice("severity", "severe")], "unknown_label", "severity: 'severe'"),
        ([choice("quality", "usable")], "unknown_label", "quality: 'usable'"),
        ([BCC, choice("mood", "good")], "unknown_label", "control 'mood'"),
        ([BCC, brush(disc(), value={"brushlabels": ["mole"]})], "unknown_label", "mole"),
        ([BCC, brush(disc(), value={"brushlabels": []})], "unknown_label", "lesion"),
        ([BCC, brush(disc(), original_width=17)], "mask_size", "12x17 px on 12x16 px"),
        ([BCC, brush(disc().T)], "mask_size", "16x12 px on 12x16 px"),
        ([BCC, brush(disc(), original_width=None)], "mask_size", "12xNone"),
        ([BCC, brush(disc(), image_rotation=90)], "rotated_image", "90 degrees"),
        ([BCC, brush(disc(), value={"rle": [1, 2, 3]})], "rle_damaged", "no header"),
        ([BCC, brush(disc(), value={"rle": "ffff"})], "rle_damaged", "not a list of bytes"),
        ([BCC, brush(disc(), value={"format": "png"})], "rle_damaged", "'png'"),
        (None, "malformed", "TypeError"),
        (["disease"], "malformed", "TypeError"),
        ([{"type": "choices"}], "malformed", "from_name"),
        ([BCC, {"from_name": "lesion"}], "malformed", "value"),
        ([BCC, brush(disc(), image_rotation="ninety")], "malformed", "TypeError"),
    ],
)
def test_a_defect_makes_it_unusable_with_its_reason(results, reason, detail):
    with pytest.raises(UnusableOpinion, match=detail) as error:
        read_opinion(results, SIZE)
    assert error.value.reason == reason


def test_a_full_turn_is_no_turn():
    assert read_opinion([BCC, brush(disc(), image_rotation=360)], SIZE).mask is not None
