"""Label Studio's predict protocol: a request in percent becomes prompts in px."""

import hashlib
import math
import re
from dataclasses import dataclass, replace
from typing import Annotated, Any

import numpy as np
from jaxtyping import Bool
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError

from models.segmentation.masks import box_of
from models.segmentation.sam import Prompt

CLICKS, BOXES = ("keypointlabels", "keypoint"), ("rectanglelabels", "rectangle")
MAX_PROMPTS = 200
KEY = re.compile(r"[0-9a-f]{16}")
ROUNDING_PERCENT = 1e-6


@dataclass(frozen=True)
class Shown:
    """One object that the reader shows, and the id of the region it is replaced by."""

    region_id: str
    prompt: Prompt


@dataclass(frozen=True)
class PredictRequest:
    """Which task of which project, its picture's (height, width) as the browser saw it, and the objects shown."""

    project: int
    key: str
    size_px: tuple[int, int]
    objects: tuple[Shown, ...]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True)


class _Value(_Part):
    x: FiniteFloat
    y: FiniteFloat
    width: FiniteFloat = 0.0
    height: FiniteFloat = 0.0
    rotation: FiniteFloat = 0.0


class _Region(_Part):
    id: Annotated[str, Field(max_length=200)]
    type: str
    value: _Value
    original_width: Annotated[int, Field(ge=1)]
    original_height: Annotated[int, Field(ge=1)]
    image_rotation: FiniteFloat = 0.0
    is_positive: bool = True


class _Context(_Part):
    result: list[dict[str, Any]] = []


class _TaskParams(_Part):
    context: _Context | None = None


class _Data(_Part):
    key: str


class _Task(_Part):
    data: _Data


class _Body(_Part):
    project: Annotated[str, Field(pattern=r"^\d{1,18}(\.|$)")]
    tasks: Annotated[list[dict[str, Any]], Field(min_length=1)]
    params: _TaskParams = _TaskParams()


def parse_request(payload: Any) -> PredictRequest | None:
    """Return what the reader shows; None where nothing is shown, as on opening a task.

    Raises ValueError with one sentence that repeats nothing of the picture.
    """
    try:
        body = _Body.model_validate(payload)
        if body.params.context is None or not body.params.context.result:
            return None
        if len(body.tasks) != 1:
            raise ValueError(f"tasks: {len(body.tasks)} with one prompt; send one task a click")
        task = _Task.model_validate(body.tasks[0])
        shown = [item for item in body.params.context.result if item.get("type") in CLICKS + BOXES]
        regions = [_Region.model_validate(item) for item in shown[: MAX_PROMPTS + 1]]
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "body"
        raise ValueError(f"{where}: {first['msg'][0].lower()}{first['msg'][1:]}") from None
    if not KEY.fullmatch(task.data.key):
        raise ValueError("key: must be 16 lower-case hex digits; push the tasks again")
    size_px = _common_size(regions)
    return PredictRequest(int(body.project.split(".")[0]), task.data.key, size_px, _objects(regions, size_px))


def _common_size(regions: list[_Region]) -> tuple[int, int]:
    if not regions:
        raise ValueError("context.result: neither a click nor a box; show the object with one of them")
    if len(regions) > MAX_PROMPTS:
        raise ValueError(f"context.result: at most {MAX_PROMPTS} clicks and boxes; accept the mask, then go on")
    sizes = {(region.original_height, region.original_width) for region in regions}
    if len(sizes) > 1:
        raise ValueError("original_width, original_height: differ among the prompts; open the task again")
    if any(region.image_rotation % 360 for region in regions):
        raise ValueError("image_rotation: must be 0; turn the image back, then click")
    return sizes.pop()


def _objects(regions: list[_Region], size_px: tuple[int, int]) -> tuple[Shown, ...]:
    """Return one object a box, with the clicks nearest to it; without a box all clicks mean one object."""
    clicks = [region for region in regions if region.type in CLICKS]
    frames = [region for region in regions if region.type in BOXES]
    points = [_point(click.value, size_px) for click in clicks]
    boxes = [_box(frame.value, size_px) for frame in frames]
    if not boxes:
        if not any(click.is_positive for click in clicks):
            raise ValueError("is_positive: only clicks beside the object; click on it first")
        return (Shown(_region_id(clicks[0].id), _prompt(points, clicks)),)
    owner = [min(range(len(boxes)), key=lambda k: _distance(point, boxes[k])) for point in points]
    objects = []
    for index, (frame, box) in enumerate(zip(frames, boxes, strict=True)):
        mine = [i for i, k in enumerate(owner) if k == index]
        prompt = _prompt([points[i] for i in mine], [clicks[i] for i in mine], box)
        objects.append(Shown(_region_id(frame.id), prompt))
    return tuple(objects)


def _prompt(
    points: list[tuple[float, float]], clicks: list[_Region], box: tuple[float, float, float, float] | None = None
) -> Prompt:
    return Prompt(tuple(points), tuple(click.is_positive for click in clicks), box)


def _region_id(prompt_id: str) -> str:
    """Return an id that stays while the reader adds clicks, and is not the click's own: that region goes."""
    return hashlib.sha256(f"lesion {prompt_id}".encode()).hexdigest()[:10]


def _px(percent: float, length_px: int) -> float:
    """Return px from percent: 0 % is the left edge of the first pixel, so -0.5 px, and 100 % the last edge."""
    return percent / 100 * length_px - 0.5


def _point(value: _Value, size_px: tuple[int, int]) -> tuple[float, float]:
    if not all(-ROUNDING_PERCENT <= percent <= 100 + ROUNDING_PERCENT for percent in (value.x, value.y)):
        raise ValueError("x, y: the click lies outside the image; allowed are 0 to 100 percent")
    x, y = (min(max(percent, 0.0), 100.0) for percent in (value.x, value.y))
    return _px(x, size_px[1]), _px(y, size_px[0])


def _box(value: _Value, size_px: tuple[int, int]) -> tuple[float, float, float, float]:
    """Return left, top, right, bottom of the box, cut at the image; of a turned box the upright hull.

    Label Studio turns a box clockwise around its first corner.
    """
    height_px, width_px = size_px
    left, top = _px(value.x, width_px), _px(value.y, height_px)
    w, h = value.width / 100 * width_px, value.height / 100 * height_px
    cos, sin = math.cos(math.radians(value.rotation)), math.sin(math.radians(value.rotation))
    xs, ys = zip(*[(left + u * cos - v * sin, top + u * sin + v * cos) for u in (0, w) for v in (0, h)], strict=True)
    x0, x1 = max(min(xs), -0.5), min(max(xs), width_px - 0.5)
    y0, y1 = max(min(ys), -0.5), min(max(ys), height_px - 0.5)
    if x1 <= x0 or y1 <= y0:
        raise ValueError("width, height: the box has no area on the image; draw it around the object")
    return x0, y0, x1, y1


def _distance(point: tuple[float, float], box: tuple[float, float, float, float]) -> tuple[float, float]:
    """Return a click's distance to a box, 0 within; then the box's area, so that the inner of two wins."""
    (x, y), (left, top, right, bottom) = point, box
    gap = math.hypot(max(left - x, 0, x - right), max(top - y, 0, y - bottom))
    return gap, (right - left) * (bottom - top)


def unseal(prompt: Prompt, first_mask: Bool[np.ndarray, "h w"] | None) -> tuple[Prompt, bool]:
    """Return the prompt with the first mask's box, and True, once a click on the object falls on that mask.

    Until then the mask stays sealed, since it would tell the intended disease. A box of the reader's own
    wins, and so does a click on the object outside the mask's box.
    """
    on = [point for point, positive in zip(prompt.points, prompt.positive, strict=True) if positive]
    if first_mask is None or prompt.box is not None or not first_mask.any():
        return prompt, False
    left, top, right, bottom = box_of(first_mask)
    pixels = [_pixel(point, first_mask.shape) for point in on]
    within = all(left <= x <= right and top <= y <= bottom for x, y in pixels)
    if not within or not any(first_mask[y, x] for x, y in pixels):
        return prompt, False
    return replace(prompt, box=(float(left), float(top), float(right), float(bottom))), True


def _pixel(point: tuple[float, float], size_px: tuple[int, ...]) -> tuple[int, int]:
    """Return the pixel (x, y) that a click falls on; the image's far edges belong to the last pixel."""
    x, y = (math.floor(coordinate + 0.5) for coordinate in point)
    return min(x, size_px[1] - 1), min(y, size_px[0] - 1)
