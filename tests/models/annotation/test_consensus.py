"""Consensus masks by hand, and on phantoms' lesions, where it must be nearer the truth than its readers."""

import numpy as np
import pytest

from models.annotation.consensus import consensus, leave_one_out_dice
from models.segmentation.masks import dice
from phantom.drawing import render, sample_phantom, sample_shot
from phantom.simulated_reader import jitter
from tests.toys.exports import disc


def stack(*rows: str) -> np.ndarray:
    return np.array([[[pixel == "x" for pixel in row]] for row in rows])


def test_a_majority_is_more_than_half():
    assert consensus(stack("xx..", "x.x."), "majority")[0].tolist() == [True, False, False, False]
    assert consensus(stack("xx..", "x.x.", ".xx."), "majority")[0].tolist() == [True, True, True, False]


def test_staple_trusts_the_reader_who_agrees_more():
    good = [disc(8, 6, 4), disc(8.3, 6, 4), disc(8, 6.3, 4)]
    careless = np.ones_like(good[0])
    found = consensus(np.stack([*good, careless]), "staple")
    assert dice(found, good[0]) > 0.95
    assert not found[0, 0]


@pytest.mark.parametrize("method", ["majority", "staple"])
def test_masks_that_are_alike_are_their_own_consensus(method):
    for mask in (disc(), np.ones_like(disc()), np.zeros_like(disc())):
        assert (consensus(np.stack([mask] * 3), method) == mask).all()
        assert (consensus(mask[None], method) == mask).all()


@pytest.mark.parametrize("method", ["majority", "staple"])
def test_no_pixel_that_nobody_drew(method):
    masks = np.stack([disc(3, 3, 2), disc(8, 6, 2), disc(12, 9, 2)])
    assert not (consensus(masks, method) & ~masks.any(0)).any()


def test_no_mask_has_no_consensus():
    with pytest.raises(ValueError, match="none given"):
        consensus(np.zeros((0, 2, 2), bool), "majority")


def test_a_reader_is_compared_with_the_others_and_not_with_himself():
    masks = {"a": disc(8, 6, 4), "b": disc(8, 6, 3), "c": disc(8, 6, 3)}
    found = leave_one_out_dice(masks, "majority")
    assert found["a"] == dice(disc(8, 6, 4), disc(8, 6, 3))
    assert found["b"] == found["c"] == dice(disc(8, 6, 3), disc(8, 6, 3) & disc(8, 6, 4)) == 1.0
    nested = {"a": disc(8, 6, 3), "b": disc(8, 6, 2), "c": disc(8, 6, 5)}  # the majority of all three is a
    assert leave_one_out_dice(nested, "majority")["a"] == dice(disc(8, 6, 3), disc(8, 6, 2)) < 1
    assert leave_one_out_dice({"a": disc(), "b": disc()}, "majority") == {}


def lesions(num: int) -> list[np.ndarray]:
    found = []
    for index in range(num):
        rng = np.random.default_rng([17, index])
        person, shot = sample_phantom(rng, 60.0, "female"), sample_shot(rng)
        found.append(render(person, shot, 96, "bcc", "heavy", "right").lesion_mask > 0)
    return [mask for mask in found if mask.sum() > 20]


@pytest.mark.parametrize("method", ["majority", "staple"])
def test_the_consensus_beats_the_mean_reader_on_phantoms(method):
    rng, single, joint = np.random.default_rng(5), [], []
    truths = lesions(16)
    assert len(truths) > 10
    for truth in truths:
        masks = np.stack([jitter(truth, 0.08, 0.08, rng) for _ in range(5)])
        single.append(np.mean([dice(mask, truth) for mask in masks]))
        joint.append(dice(consensus(masks, method), truth))
    assert np.mean(joint) > np.mean(single) + 0.02
