"""What a reader sees: the labelling configuration and the instructions."""

from base64 import b64encode
from collections.abc import Iterable, Mapping
from html import escape
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

import cv2

from models.annotation.opinion import BRUSH, COMMENT, CONFIDENCES, LESION, LOW, QUALITY_REASONS
from models.diseases import DISEASE_NAMES, DISEASES, ROWS, SEVERITIES
from models.images import decode

REASON_NAMES = {"sign_unclear": "sign unclear", "anatomy": "wrong anatomy"}
# Free keys only: Label Studio itself takes b e h k m r u v and the digits with shift.
HOTKEYS = {"disease": "12345678", "severity": "asd", "confidence": "fgj", "quality": "0", "quality_reason": "qwtyi"}
THUMBNAIL_PX = 192
TAKE_KEY, DROP_KEY = "Enter", "Esc"  # in_server/templates/mema_screen.js answers them
BRUSH_HOTKEY = "b"  # also Label Studio's own for the tool: one press takes the brush and its label


def labeling_config() -> str:
    """Return the XML of every project: the picture on the left, the questions on the right.

    Disease and severity are required while they are visible: the disease unless the quality is low, the
    severity unless the disease is missing or normal. What is invisible is not submitted.
    """
    root = Element("View", className="mema")
    SubElement(root, "Style").text = _STYLE
    picture = SubElement(root, "View", className="picture")
    SubElement(
        picture, "Image", name="face", value="$image", width="100%", maxWidth="100%",
        maxHeight="calc(100vh - 134px)", defaultZoom="fit", zoom="true", zoomControl="true",
        brightnessControl="true", contrastControl="true", smoothing="true",
    )  # fmt: skip
    questions = SubElement(root, "View", className="questions")
    SubElement(questions, "Header", value="$task_note", size="4", style="margin: 0")
    _add_opinion(questions)
    _add_lesion(questions)
    return ElementTree.tostring(root, encoding="unicode")


def _add_opinion(parent: Element) -> None:
    usable = _visible("quality", LOW, unless=True)
    ill = _visible("disease", ",".join(DISEASES[1:]))
    low = _visible("quality", LOW)
    must = {"required": "true"}
    _choices(
        parent, "disease", "Disease", DISEASE_NAMES, **usable, **must,
        requiredMessage="Choose a disease (keys 1 to 8), or low medical quality (key 0).",
    )  # fmt: skip
    _choices(
        parent, "severity", "Severity", _named(SEVERITIES), **ill, **must, layout="inline",
        requiredMessage="Choose a severity (keys a, s, d).",
    )  # fmt: skip
    _choices(parent, "confidence", "Confidence", _named(CONFIDENCES), **usable, layout="inline")
    _choices(parent, "quality", "", {LOW: "low medical quality"})
    _choices(parent, "quality_reason", "Reason", _named(QUALITY_REASONS, REASON_NAMES), **low)
    SubElement(
        parent, "TextArea", name=COMMENT, toName="face", rows="1", maxSubmissions="1", editable="true",
        placeholder="Comment (optional)",
    )  # fmt: skip


def _named(values: Iterable[str], names: Mapping[str, str] | None = None) -> dict[str, str]:
    return {value: (names or {}).get(value, value) for value in values}


def _visible(tag: str, values: str, *, unless: bool = False) -> dict[str, str]:
    when = "choice-unselected" if unless else "choice-selected"
    return {"visibleWhen": when, "whenTagName": tag, "whenChoiceValue": values}


def _choices(parent: Element, name: str, title: str, options: Mapping[str, str], **attributes: str) -> None:
    """Add a titled question; its visibility stands on the frame too, so that the title goes with it."""
    frame = {key: value for key, value in attributes.items() if key.lower().startswith(("visible", "when"))}
    view = SubElement(parent, "View", {"className": f"ask {name}"} | frame)
    if title:
        SubElement(view, "Header", value=title, size="5", style="margin: 0")
    choices = SubElement(view, "Choices", {"name": name, "toName": "face", "choice": "single-radio"} | attributes)
    for (alias, text), hotkey in zip(options.items(), HOTKEYS[name], strict=True):
        SubElement(choices, "Choice", alias=alias, value=_sentence(text), hotkey=hotkey)


def _add_lesion(parent: Element) -> None:
    view = SubElement(parent, "View", {"className": "ask mask"} | _visible("quality", LOW, unless=True))
    SubElement(view, "Header", value="Outline", size="5", style="margin: 0")
    brush = SubElement(view, "BrushLabels", name=BRUSH, toName="face", smart="false")
    SubElement(brush, "Label", value=LESION, html="Brush", background="#00b3ff", hotkey=BRUSH_HOTKEY)
    SubElement(view, "KeyPoint", name="click", toName="face", smart="true", smartOnly="true")
    SubElement(view, "Rectangle", name="box", toName="face", smart="true", smartOnly="true")
    for line in _LEGEND:
        SubElement(view, "Header", value=line, size="5", style="margin: 0; font-weight: 400")


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def instructions(examples: Mapping[str, bytes]) -> str:
    """Return the HTML that a reader sees first; `examples` holds a PNG per disease, any may be missing.

    The server strips `style` attributes and data addresses of pictures, but leaves a style sheet alone: so
    the examples are backgrounds. Raises ValueError on an unknown disease.
    """
    if unknown := sorted(set(examples) - set(DISEASES)):
        raise ValueError(f"examples: {unknown[0]!r} is no disease; allowed: {', '.join(DISEASES)}")
    pictures = "".join(
        f".mema-signs .{disease} {{ background-image: url({_thumbnail(png)}) }}" for disease, png in examples.items()
    )
    signs = "".join(
        f'<li><span class="{row.key}"></span><b>{escape(_sentence(row.name))}</b> <kbd>{key}</kbd><br>'
        f"{escape(row.sign)}</li>"
        for row, key in zip(ROWS, HOTKEYS["disease"], strict=True)
    )
    steps = "".join(f"<li>{step}</li>" for step in _STEPS)
    keys = "".join(
        f"<tr><td>{' '.join(f'<kbd>{escape(key)}</kbd>' for key in pressed)}</td><td>{escape(effect)}</td></tr>"
        for effect, pressed in _key_table().items()
    )
    sheet = f"<style>{_INSTRUCTIONS_STYLE}{pictures}</style>".replace("\n", "")
    return (
        f'<div class="mema-help">{sheet}<ol>{steps}</ol><h3>The signs</h3><ul class="mema-signs">{signs}</ul>'
        f"<h3>The keys</h3><table>{keys}</table></div>"
    )


def _key_table() -> dict[str, list[str]]:
    """Return effect -> keys, of this interface and of Label Studio itself."""
    return {
        "disease": list(HOTKEYS["disease"]),
        "severity: slight, mid, heavy": list(HOTKEYS["severity"]),
        "confidence: low, medium, high": list(HOTKEYS["confidence"]),
        "low medical quality": list(HOTKEYS["quality"]),
        f"its reason: {', '.join(_named(QUALITY_REASONS, REASON_NAMES).values())}": list(HOTKEYS["quality_reason"]),
        "click on the tumour, with Auto-Annotation on; Alt + click: not this": ["k"],
        "draw a box around the tumour, with Auto-Annotation on": ["r"],
        "take the proposed outline": [TAKE_KEY],
        "drop the proposed outline, or a click that led to none": [DROP_KEY],
        "brush": [BRUSH_HOTKEY],
        "thinner, thicker": ["[", "]"],
        "arrow: click on a mask to select it": ["v"],
        "eraser, for the selected mask": ["e"],
        "delete the selected mask": ["Backspace"],
        "undo": ["Ctrl", "z"],
        "submit, and on to the next picture": ["Ctrl", "Enter"],
    }


def _thumbnail(png: bytes) -> str:
    """Return the picture as the address of a small JPEG, so that the instructions stay light."""
    image = decode(png)
    scale = min(1.0, THUMBNAIL_PX / max(image.shape[:2]))
    small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    done, data = cv2.imencode(".jpg", small[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 88])
    assert done
    return f"data:image/jpeg;base64,{b64encode(data.tobytes()).decode()}"


_STEPS = (
    "Look at the face and choose the <b>disease</b> and its <b>severity</b>, by key or by mouse.",
    "If the picture is of no use to a doctor, press <kbd>0</kbd> and give a reason: nothing else is asked.",
    "If the headline says so and you see a tumour, <b>outline</b> it: switch on Auto-Annotation at the bottom,"
    " press <kbd>k</kbd>, click on the tumour, take the proposal with <kbd>Enter</kbd> or drop it with"
    " <kbd>Esc</kbd>. Or paint it with the brush.",
    "Press <kbd>Ctrl</kbd> <kbd>Enter</kbd>. The next picture comes by itself; what you submit is saved.",
)
# The blur behind the window costs seconds where no GPU draws the page.
_INSTRUCTIONS_STYLE = """
.lsf-modal-ls { backdrop-filter: none !important; }
.mema-help { white-space: normal; font-size: 14px; line-height: 20px; }
.mema-help h3 { font-size: 15px; font-weight: 600; margin: 12px 0 6px; }
.mema-help ol { list-style: decimal; margin: 0; padding-left: 20px; }
.mema-help kbd { border: 1px solid #c7c7c7; border-radius: 4px; padding: 0 5px; font-size: 12px; }
.mema-help td { padding: 1px 12px 1px 0; vertical-align: top; }
.mema-help td:first-child { white-space: nowrap; }
.mema-signs { list-style: none; margin: 0; padding: 0; display: grid; gap: 10px 16px;
  grid-template-columns: 1fr 1fr; }
.mema-signs li { min-height: 96px; font-size: 13px; line-height: 17px; }
.mema-signs span { float: left; width: 96px; height: 96px; margin-right: 10px; border-radius: 6px;
  background-color: #f1f1f1; background-size: cover; background-position: center; }
"""
_LEGEND = (
    "With Auto-Annotation: k click, r box; then Enter takes the proposal, Esc drops it.",
    "v, then a click on a mask, selects it: b adds, e erases, Backspace deletes.",
    "Ctrl + Enter submits.",
)
# Auto-accept would hand in outlines that nobody looked at.
_STYLE = """
.lsf-auto-accept:has([data-testid=bottombar-auto-accept-toggle]) { display: none !important; }
.lsf-sidepanels__wrapper { display: none !important; }
.lsf-sidepanels { padding: 0 !important; }
.mema { display: grid; gap: 20px; justify-content: center;
  grid-template-columns: minmax(0, calc(100vh - 90px)) minmax(320px, 440px); }
.mema .questions { display: flex; flex-direction: column; gap: 8px; }
.mema h3 { font-size: 17px; line-height: 22px; }
.mema .ask h3, .mema .ask h4, .mema .ask h5, .mema .ask h6, .mema .ask p {
  font-size: 12px; line-height: 16px; color: #75747a; }
.mema .lsf-choices, .mema .lsf-text-area, .mema .lsf-labels { margin: 0; padding: 0; }
.mema .lsf-choices_layout_inline { display: flex; gap: 4px; }
.mema .lsf-choice { margin: 0; flex: 1; }
.mema .lsf-choice__item { margin: 0; padding: 0; }
.mema .lsf-choice__checkbox { display: flex; align-items: center; width: 100%; margin: 0; padding: 3px 8px;
  border-radius: 6px; font-size: 15px; line-height: 22px; }
.mema .lsf-choice__checkbox:hover { background: #00b3ff14; }
.mema .ant-radio-wrapper-checked { background: #00b3ff26; }
.mema .lsf-hint { position: static; margin-left: 6px; font-size: 12px; font-weight: 400; color: #75747a; }
.mema .lsf-text-area form { margin-bottom: 0; }
.mema .quality .ant-radio-wrapper-checked { background: #ff4d4f26; }
"""
