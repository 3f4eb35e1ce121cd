"""Label Studio's requests, as its browser client sends them, become prompts in px."""

from typing import Any

import numpy as np
import pytest

from mema.label_studio.sam.protocol import parse_request, unseal
from models.segmentation.sam import Prompt

KEY = "0123456789abcdef"


def click(x: float, y: float, positive: bool = True, id_: str = "Ab3", **extra: Any) -> dict[str, Any]:
    """Return a click as Label Studio 1.23 serialises a smart key point."""
    return {
        "id": id_,
        "from_name": "click",
        "to_name": "face",
        "type": "keypointlabels",
        "origin": "manual",
        "original_width": 96,
        "original_height": 80,
        "image_rotation": 0,
        "is_positive": positive,
        "value": {"x": x, "y": y, "width": 0.3, "keypointlabels": ["lesion"], "labels": ["lesion"]},
    } | extra


def box(x: float, y: float, width: float, height: float, rotation: float = 0, id_: str = "Bx1") -> dict[str, Any]:
    """Return a smart box; its place is its first corner."""
    value = {"x": x, "y": y, "width": width, "height": height, "rotation": rotation}
    return click(0, 0, id_=id_) | {"type": "rectanglelabels", "from_name": "box", "value": value}


def body(*regions: dict[str, Any]) -> dict[str, Any]:
    return {
        "tasks": [{"id": 7, "data": {"image": "/data/local-files/?d=a.png", "key": KEY}}],
        "project": "3.1690000000",
        "label_config": "<View/>",
        "params": {"login": None, "password": None, "context": {"result": list(regions)}},
    }


def shown(*regions: dict[str, Any]) -> list[Prompt]:
    request = parse_request(body(*regions))
    assert request is not None
    return [item.prompt for item in request.objects]


def test_request_of_one_click() -> None:
    request = parse_request(body(click(50, 25)))
    assert request is not None
    assert (request.project, request.key, request.size_px) == (3, KEY, (80, 96))
    assert [item.prompt for item in request.objects] == [Prompt(((47.5, 19.5),), (True,))]


@pytest.mark.parametrize("context", [None, {}, {"result": []}])
def test_nothing_shown_is_no_request(context: Any) -> None:
    opened = body() | {"params": {"context": context}}
    assert parse_request(opened) is None
    assert parse_request({"tasks": [*opened["tasks"], {}], "project": "3"}) is None


@pytest.mark.parametrize("pixel", [0, 1, 47, 94, 95])
def test_the_centre_of_a_pixel_is_its_index(pixel: int) -> None:
    (prompt,) = shown(click((pixel + 0.5) / 96 * 100, 0.5 / 80 * 100))
    assert prompt.points[0] == pytest.approx((pixel, 0), abs=1e-9)


def test_edges_of_the_image_are_half_a_pixel_out() -> None:
    assert shown(click(0, 0))[0].points == ((-0.5, -0.5),)
    assert shown(click(100, 100))[0].points == ((95.5, 79.5),)
    assert shown(click(100.00000000000001, -1e-14))[0].points == ((95.5, -0.5),)


def test_all_clicks_mean_one_object() -> None:
    (prompt,) = shown(click(50, 50), click(25, 50, positive=False, id_="c2"), click(75, 50, id_="c3"))
    assert prompt.positive == (True, False, True)
    assert [x for x, _ in prompt.points] == [47.5, 23.5, 71.5]
    assert prompt.box is None


def test_region_id_stays_while_clicks_are_added_and_is_new() -> None:
    first = parse_request(body(click(50, 50, id_="one")))
    more = parse_request(body(click(50, 50, id_="one"), click(60, 50, id_="two")))
    other = parse_request(body(click(50, 50, id_="two")))
    assert first is not None
    assert more is not None
    assert other is not None
    ids = [request.objects[0].region_id for request in (first, more, other)]
    assert ids[0] == ids[1] != ids[2]
    assert "one" not in ids


def test_each_box_is_an_object_and_takes_the_clicks_nearest_to_it() -> None:
    left, right = shown(
        box(0, 0, 25, 50, id_="b1"),
        box(75, 50, 25, 50, id_="b2"),
        click(10, 10, id_="c1"),
        click(70, 60, positive=False, id_="c2"),
    )
    assert left.box == pytest.approx((-0.5, -0.5, 23.5, 39.5))
    assert left.positive == (True,)
    assert right.box == pytest.approx((71.5, 39.5, 95.5, 79.5))
    assert right.positive == (False,)


def test_a_click_in_two_boxes_means_the_inner_one() -> None:
    outer, inner = shown(box(0, 0, 100, 100, id_="b1"), box(40, 40, 20, 20, id_="b2"), click(50, 50))
    assert outer.points == ()
    assert inner.points == ((47.5, 39.5),)


def test_boxes_are_cut_at_the_image() -> None:
    assert shown(box(-5, 90, 120, 30))[0].box == pytest.approx((-0.5, 71.5, 95.5, 79.5))


def test_a_turned_box_gives_its_upright_hull() -> None:
    """A quarter turn clockwise around the first corner puts the box to the left of it, in px, not percent."""
    (prompt,) = shown(box(50, 25, 25, 20, rotation=90))  # 24 x 16 px with its corner at (47.5, 19.5)
    assert prompt.box == pytest.approx((31.5, 19.5, 47.5, 43.5))


def changed(**fields: Any) -> dict[str, Any]:
    return body(click(50, 50)) | fields


@pytest.mark.parametrize(
    ("payload", "sentence"),
    [
        ([], "body: "),
        ({}, "project: field required"),
        (changed(project="../3"), "project: "),
        (changed(project=3), "project: "),
        (changed(tasks=[]), "tasks: "),
        (changed(tasks=[*body()["tasks"], {}]), "tasks: 2 with one prompt"),
        (changed(tasks=[{"id": 1}]), "data: field required"),
        (changed(tasks=[{"data": {"key": "../../etc/passwd"}}]), "key: must be 16 lower-case hex"),
        (changed(tasks=[{"data": {"key": KEY + "\n"}}]), "key: must be 16 lower-case hex"),
        (body(click(50, 50, type="brushlabels")), "neither a click nor a box"),
        (body(click(100.1, 50)), "x, y: the click lies outside the image"),
        (body(click(50, -0.1)), "x, y: the click lies outside the image"),
        (body(click(float("nan"), 50)), "value.x: input should be a finite number"),
        (body(click(50, 50, value={"x": 1})), "value.y: field required"),
        (body(click(50, 50, original_width=0)), "original_width: "),
        (body(click(50, 50), click(5, 5, original_width=95)), "differ among the prompts"),
        (body(click(50, 50, image_rotation=90)), "image_rotation: must be 0"),
        (body(click(50, 50, positive=False)), "click on it first"),
        (body(box(10, 10, 0, 10)), "the box has no area"),
        (body(box(101, 10, 5, 10)), "the box has no area"),
        (body(*[click(50, 50)] * 201), "at most 200 clicks"),
    ],
)
def test_bad_requests_get_one_sentence(payload: Any, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence) as caught:
        parse_request(payload)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 160


def first_mask() -> np.ndarray:
    """Return an L from (10, 20) to (19, 29) px: its box holds pixels that it does not."""
    mask = np.zeros((80, 96), bool)
    mask[20:30, 10:12] = mask[28:30, 10:20] = True
    return mask


def test_a_click_on_the_first_mask_unseals_its_box() -> None:
    prompt, unsealed = unseal(Prompt(((11.4, 20.0),), (True,)), first_mask())
    assert unsealed
    assert prompt == Prompt(((11.4, 20.0),), (True,), (10.0, 20.0, 19.0, 29.0))


@pytest.mark.parametrize(
    "prompt",
    [
        Prompt(((15.0, 22.0),), (True,)),  # in the box, not on the mask
        Prompt(((9.4, 25.0),), (True,)),
        Prompt(((80.0, 70.0), (11.0, 25.0)), (True, False)),  # only the click beside the object is on it
        Prompt(((11.0, 25.0), (60.0, 60.0)), (True, True)),  # the object reaches beyond the first mask
        Prompt(((11.0, 25.0),), (True,), (0.0, 0.0, 50.0, 50.0)),
    ],
)
def test_otherwise_the_first_mask_stays_sealed(prompt: Prompt) -> None:
    assert unseal(prompt, first_mask()) == (prompt, False)
    assert unseal(prompt, None) == (prompt, False)
    assert unseal(prompt, np.zeros((80, 96), bool)) == (prompt, False)


def test_the_last_pixel_takes_clicks_on_the_far_edge() -> None:
    mask = np.zeros((80, 96), bool)
    mask[79, 95] = True
    assert unseal(Prompt(((95.5, 79.5),), (True,)), mask)[1]
    assert unseal(Prompt(((94.49, 79.5),), (True,)), mask)[1] is False
