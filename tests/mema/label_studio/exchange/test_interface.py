"""The labelling configuration as Label Studio's own SDK reads it, and the instructions as its server leaves them."""

import base64
import re
from pathlib import Path
from xml.etree import ElementTree

import cv2
import numpy as np
import pytest
from label_studio_sdk.label_interface import LabelInterface
from label_studio_sdk.label_interface.control_tags import ChoicesTag

from mema.label_studio.exchange.interface import DROP_KEY, HOTKEYS, TAKE_KEY, instructions, labeling_config
from mema.label_studio.sam.brush import brush_region
from mema.label_studio.sam.protocol import BOXES, CLICKS
from mema.label_studio.server.server_settings import IN_SERVER
from models.annotation.opinion import BRUSH, CHOICES, COMMENT, LESION, PROMPTS, read_opinion
from models.diseases import DISEASE_NAMES, DISEASES
from models.images import encode_png
from models.segmentation.masks import encode_mask

# Keys of Label Studio's editor that are bound while a picture is on the screen.
TAKEN = set("behkmruv[]")


@pytest.fixture(scope="module")
def interface() -> LabelInterface:
    return LabelInterface(labeling_config())


@pytest.fixture(scope="module")
def root() -> ElementTree.Element:
    return ElementTree.fromstring(labeling_config())


def choices(root: ElementTree.Element, name: str) -> ElementTree.Element:
    (found,) = root.findall(f".//Choices[@name='{name}']")
    return found


def test_label_studio_s_own_check_passes(interface: LabelInterface) -> None:
    interface.validate()
    task = {"image": "/data/local-files/?d=images/a.png", "task_note": "No outline needed."}
    assert interface.validate_task({"data": task})


def test_every_control_asks_about_the_face_and_is_known_to_the_reader_of_exports(interface: LabelInterface) -> None:
    assert {tag.name for tag in interface.controls} == {*CHOICES, COMMENT, BRUSH, *PROMPTS}
    assert all(tag.to_name == ["face"] for tag in interface.controls)


@pytest.mark.parametrize("name", list(CHOICES))
def test_the_choices_are_those_that_the_reader_of_exports_knows(interface: LabelInterface, name: str) -> None:
    control = interface.get_control(name)
    assert isinstance(control, ChoicesTag)
    assert control.labels_attrs is not None
    aliases = [label.attr["alias"] for label in control.labels_attrs.values()]
    assert tuple(aliases) == tuple(CHOICES[name])


def test_clicks_and_boxes_are_what_the_backend_takes(interface: LabelInterface) -> None:
    click, box = interface.get_control("click"), interface.get_control("box")
    assert click.tag.lower() in CLICKS
    assert box.tag.lower() in BOXES
    for tag in (click, box):
        assert (tag.attr["smart"], tag.attr["smartOnly"]) == ("true", "true")


def test_a_region_of_the_backend_belongs_to_the_brush(interface: LabelInterface) -> None:
    region = brush_region("a", np.eye(8, dtype=bool), 0.5)
    control = interface.get_control(region["from_name"])
    assert control.tag.lower() == region["type"]
    assert list(control.labels) == region["value"]["brushlabels"] == [LESION]
    disease = {"from_name": "disease", "type": "choices", "value": {"choices": ["bcc"]}}
    np.testing.assert_array_equal(read_opinion([disease, region], (8, 8)).mask, np.eye(8, dtype=bool))


def test_hot_keys_are_free_and_each_stands_once(root: ElementTree.Element) -> None:
    keys = [choice.attrib["hotkey"] for choice in root.iter("Choice")]
    assert len(set(keys)) == len(keys) == sum(map(len, HOTKEYS.values()))
    assert not TAKEN & set(keys)
    diseases = [choice.attrib for choice in choices(root, "disease")]
    assert [(one["alias"], one["hotkey"]) for one in diseases] == list(zip(DISEASES, "12345678", strict=True))


def test_no_label_is_left_to_an_automatic_hot_key(root: ElementTree.Element) -> None:
    """Label Studio gives the digits to labels without one, and the diseases would lose them."""
    assert all("hotkey" in label.attrib for label in root.iter("Label"))


def test_the_disease_is_required_unless_the_quality_is_low(root: ElementTree.Element) -> None:
    disease = choices(root, "disease").attrib
    assert disease["required"] == "true"
    wanted = {"visibleWhen": "choice-unselected", "whenTagName": "quality", "whenChoiceValue": "low"}
    assert disease.items() >= wanted.items()


def test_the_severity_is_asked_of_every_disease_but_normal(root: ElementTree.Element) -> None:
    severity = choices(root, "severity").attrib
    assert (severity["required"], severity["whenTagName"]) == ("true", "disease")
    assert set(severity["whenChoiceValue"].split(",")) == set(DISEASES) - {"normal"}


def test_the_reason_appears_with_low_quality_only(root: ElementTree.Element) -> None:
    reason = choices(root, "quality_reason").attrib
    wanted = {"visibleWhen": "choice-selected", "whenTagName": "quality", "whenChoiceValue": "low"}
    assert reason.items() >= wanted.items()
    assert "required" not in reason


def test_the_instructions_show_each_disease_with_its_key() -> None:
    text = instructions({})
    for key, name in enumerate(DISEASE_NAMES.values(), 1):
        assert f"{name[0].upper()}{name[1:]}</b> <kbd>{key}</kbd>" in text
    for key in "".join(HOTKEYS.values()):
        assert f"<kbd>{key}</kbd>" in text


def test_the_examples_survive_the_server_s_washing() -> None:
    """It drops `style` attributes and `src` with data addresses, and escapes > within a style sheet."""
    picture = np.zeros((512, 512, 3), np.uint8)
    picture[:, :, 0] = 200
    text = instructions({"bcc": encode_png(picture)})
    assert "style=" not in text
    assert "<img" not in text
    (sheet,) = re.findall(r"<style>(.*?)</style>", text)
    assert not set(sheet) & {">", "<", "&", '"'}
    (example,) = re.findall(r"\.bcc \{ background-image: url\(data:image/jpeg;base64,([\w+/=]+)\) \}", sheet)
    data = np.frombuffer(base64.b64decode(example), np.uint8)
    shown = cv2.imdecode(data, cv2.IMREAD_COLOR)
    assert shown is not None
    assert shown.shape == (192, 192, 3)
    assert abs(int(shown[96, 96, 2]) - 200) < 5
    assert len(text) < 30_000


def test_no_line_break_is_left_where_white_space_is_kept() -> None:
    assert "\n" not in instructions({"scc": encode_mask(np.eye(16, dtype=bool))})


def test_an_unknown_disease_is_refused() -> None:
    with pytest.raises(ValueError, match="examples: 'flu' is no disease; allowed: normal, bcc"):
        instructions({"flu": b""})


def test_the_keys_that_the_screen_answers_stand_on_it() -> None:
    """The page's script knows the browser's names of keys; readers know those on the keyboard."""
    script = (IN_SERVER / "templates/mema_screen.js").read_text()
    take, drop = re.findall(r'const TAKE = "(\w+)", DROP = "(\w+)"', script)[0]
    assert (take, drop) == (TAKE_KEY, {"Esc": "Escape"}[DROP_KEY])
    assert f"{TAKE_KEY} takes the proposal, {DROP_KEY} drops it" in labeling_config()
    assert f"<kbd>{TAKE_KEY}</kbd>" in instructions({})
    assert f"<kbd>{DROP_KEY}</kbd>" in instructions({})
    assert f"{TAKE_KEY} takes the proposed outline, {DROP_KEY} drops it" in script
    reading = (Path(__file__).parents[4] / "docs/reading.md").read_text()
    assert f"`{TAKE_KEY}` takes" in reading
    assert f"`{DROP_KEY}` drops" in reading


def test_the_page_s_script_is_plain_text_to_the_server_s_templates() -> None:
    script = (IN_SERVER / "templates/mema_screen.js").read_text()
    assert not any(mark in script for mark in ("{{", "{%", "{#", "</script"))
