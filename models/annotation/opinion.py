"""One annotation of Label Studio -> one opinion, or the reason why it cannot be used."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Bool

from models.annotation.rle import decode_rle
from models.diseases import DISEASES, SEVERITIES

QUALITY_REASONS = ("blurred", "sign_unclear", "anatomy", "artefact", "other")
CONFIDENCES = ("low", "medium", "high")
USABLE, LOW = "usable", "low"
CHOICES = {
    "disease": DISEASES, "severity": SEVERITIES, "quality": (LOW,), "quality_reason": QUALITY_REASONS,
    "confidence": CONFIDENCES,
}  # fmt: skip
COMMENT, BRUSH, LESION = "comment", "lesion", "lesion"
PROMPTS = ("click", "box")  # what a reader asked the machine with; of a mask that was taken they are gone


class UnusableOpinion(ValueError):
    """An annotation that counts in no part; `reason` is one of export.REASONS."""

    def __init__(self, reason: str, detail: str):
        super().__init__(f"{reason}: {detail}")
        self.reason, self.detail = reason, detail


@dataclass(frozen=True, eq=False)
class Opinion:
    """What a reader said about one image; "" where nothing was said."""

    disease: str = ""
    severity: str = ""
    quality: str = USABLE
    quality_reason: str = ""
    confidence: str = ""
    comment: str = field(default="", repr=False)
    regions: tuple[Bool[np.ndarray, "h w"], ...] = field(default=(), repr=False)
    prompted: bool = False  # a click or box was left in it

    @property
    def mask(self) -> Bool[np.ndarray, "h w"] | None:
        """The union of all regions."""
        return np.logical_or.reduce(self.regions) if self.regions else None


def read_opinion(results: Any, size_px: tuple[int, int]) -> Opinion:
    """Return the opinion in an annotation's `result` on an image of (height, width) px.

    A defect in any part makes the whole unusable (UnusableOpinion): half an opinion is not what was said.
    """
    try:
        said = {name: _choice(results, name) for name in CHOICES}
        regions = [_region(item, size_px) for item in results if item["from_name"] == BRUSH]
        comment = " ".join(text for item in results if item["from_name"] == COMMENT for text in _texts(item))
        _refuse_unknown_controls(results)
    except (AttributeError, KeyError, TypeError) as error:
        raise UnusableOpinion("malformed", f"{type(error).__name__}: {error}") from None
    if not said["disease"] and said["quality"] != LOW:
        raise UnusableOpinion("empty_submit", "no disease" if results else "nothing at all")
    said["quality"] = said["quality"] or USABLE
    drawn = tuple(region for region in regions if region.any())
    prompted = any(item["from_name"] in PROMPTS for item in results)
    return Opinion(**said, comment=comment, regions=drawn, prompted=prompted)


def _choice(results: list[Mapping[str, Any]], name: str) -> str:
    chosen = [value for item in results if item["from_name"] == name for value in item["value"].get("choices", [])]
    if len(chosen) > 1:
        raise UnusableOpinion("unknown_label", f"{name}: {len(chosen)} choices where one is allowed")
    if chosen and chosen[0] not in CHOICES[name]:
        raise UnusableOpinion("unknown_label", f"{name}: {chosen[0]!r}")
    return chosen[0] if chosen else ""


def _region(item: Mapping[str, Any], size_px: tuple[int, int]) -> Bool[np.ndarray, "h w"]:
    value = item["value"]
    if (item.get("image_rotation") or 0) % 360:
        raise UnusableOpinion("rotated_image", f"drawn on the image turned by {item['image_rotation']} degrees")
    if value.get("brushlabels") != [LESION]:
        raise UnusableOpinion("unknown_label", f"{BRUSH}: {value.get('brushlabels')!r}")
    drawn_on = (item.get("original_height"), item.get("original_width"))
    if drawn_on != size_px:
        raise UnusableOpinion("mask_size", f"{drawn_on[0]}x{drawn_on[1]} px on {size_px[0]}x{size_px[1]} px")
    if value.get("format") != "rle":
        raise UnusableOpinion("rle_damaged", f"format {value.get('format')!r}")
    try:
        return decode_rle(value["rle"], size_px)
    except ValueError as error:
        raise UnusableOpinion("rle_damaged", str(error)) from None


def _texts(item: Mapping[str, Any]) -> list[str]:
    text = item["value"].get("text", [])
    return [text] if isinstance(text, str) else [str(part) for part in text]


def _refuse_unknown_controls(results: list[Mapping[str, Any]]) -> None:
    for item in results:
        if item["from_name"] not in (*CHOICES, COMMENT, BRUSH, *PROMPTS):
            raise UnusableOpinion("unknown_label", f"control {item['from_name']!r}")
