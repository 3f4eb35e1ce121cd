"""Exports as Label Studio writes them, one line a thing, for the tests of what is read out of them."""

import base64
import json
from pathlib import Path
from typing import Any

import numpy as np
from label_studio_sdk.converter.brush import mask2rle

from models.annotation.manifest import Reader
from models.segmentation.masks import encode_mask, mask_sha256

SIZE = (12, 16)  # height and width px
USER = 101


def disc(x: float = 8, y: float = 6, radius: float = 3) -> np.ndarray:
    ys, xs = np.mgrid[: SIZE[0], : SIZE[1]]
    return (xs - x) ** 2 + (ys - y) ** 2 <= radius**2


def choice(name: str, *values: str) -> dict[str, Any]:
    return {"from_name": name, "to_name": "face", "type": "choices", "value": {"choices": list(values)}}


def brush(mask: np.ndarray, **changes: Any) -> dict[str, Any]:
    """A region with the SDK's own run lengths."""
    value = {"format": "rle", "rle": mask2rle(mask.astype(np.uint8) * 255), "brushlabels": ["lesion"]} | changes.pop(
        "value", {}
    )
    region = {
        "from_name": "lesion", "to_name": "face", "type": "brushlabels", "image_rotation": 0,
        "original_width": mask.shape[1], "original_height": mask.shape[0],
    }  # fmt: skip
    return region | changes | {"value": value}


def annotation(*results: dict[str, Any], number: int = 1, **changes: Any) -> dict[str, Any]:
    return {
        "id": number, "completed_by": USER, "result": list(results), "was_cancelled": False,
        "lead_time": 7.5, "created_at": f"2026-01-05T08:{number:02d}:00.000Z",
    } | changes  # fmt: skip


def task(key: str, *annotations: Any, image_id: str = "", number: int = 1) -> dict[str, Any]:
    data = {"image": "/x.png", "image_id": image_id or f"image_{key}", "key": key, "task_note": ""}
    return {"id": number, "data": data, "annotations": list(annotations)}


def entry(*keys: str, user: int = USER, project: int = 1, round_: str = "reading") -> dict[str, Any]:
    """A reader of the manifest, whose task `k` shows `image_k`."""
    tasks = [{"key": key, "image_id": f"image_{key}", "copy": 0} for key in keys]
    return {"user_id": user, "email": f"Reader-{user}@example.org", "project": project, "round": round_, "tasks": tasks}


def reader(*keys: str) -> Reader:
    return Reader.model_validate(entry(*keys))


def proposal(mask: np.ndarray, image_id: str, project: int = 1) -> str:
    return json.dumps(
        {
            "time": "2026-01-05T08:00:00Z", "project": project, "image_id": image_id,
            "prompt": {"points": [[8, 6]], "positive": [True], "box": None},
            "mask_sha256": mask_sha256(mask), "mask": base64.b64encode(encode_mask(mask)).decode(), "sam": "x",
        }
    )  # fmt: skip


def write_folder(folder: Path, entries: dict[str, Any], exports: dict[str, Any], log: str = "") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    manifest = {"source": "label_studio", "label_studio_version": "1.23.2", "readers": entries}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    for name, tasks in exports.items():
        (folder / f"export-{name}.json").write_text(json.dumps(tasks))
    (folder / "proposals.jsonl").write_text(log)
    return folder
