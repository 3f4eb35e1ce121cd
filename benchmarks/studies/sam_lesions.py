"""SAM against GrabCut on real photographs of skin lesions, with the same clicks and boxes.

    MEMA_ASSETS=... python -m benchmarks.studies.sam_lesions [--sam FOLDER] [--sheet FILE.png]

Reads data/skin_lesion_pad_ufes_masks of the assets: 20 close-ups with masks by students. The twin has seen
drawn faces only, so its figure says how far it carries, not how good SAM is.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
import typer

from models.images import encode_png
from models.segmentation.masks import box_of, iou
from models.segmentation.prompts import correction, inner_point
from models.segmentation.sam import Prompt, Sam, load_sam
from models.statistics.bootstrap import mean_with_interval

SEED = 7
MAX_SIDE_PX = 192  # GrabCut's time grows with the area; both see the same pixels
CLICK_SHARE = 0.08  # of the longer side: radius of what a click marks for GrabCut
Segment = Callable[[Prompt], np.ndarray]


def pairs(folder: Path) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return RGB photographs and their masks, shrunk to MAX_SIDE_PX."""
    found = []
    for file in sorted((folder / "images").glob("*.png")):
        image = cv2.imread(str(file), cv2.IMREAD_COLOR)
        mask = cv2.imread(str(folder / "masks" / f"{file.stem}_mask.png"), cv2.IMREAD_GRAYSCALE)
        assert image is not None
        assert mask is not None
        scale = min(1.0, MAX_SIDE_PX / max(image.shape[:2]))
        size = (round(image.shape[1] * scale), round(image.shape[0] * scale))
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        mask = cv2.resize(mask, size, interpolation=cv2.INTER_AREA)
        found.append((cv2.cvtColor(image, cv2.COLOR_BGR2RGB), mask > 127))
    return found


def grabcut(image: np.ndarray) -> Segment:
    """Return GrabCut on one image: a box is its rectangle; clicks are discs of certain pixels."""

    def segment(prompt: Prompt) -> np.ndarray:
        labels = np.full(image.shape[:2], cv2.GC_PR_BGD, np.uint8)
        radius = round(CLICK_SHARE * max(labels.shape))
        if prompt.box:
            left, top, right, bottom = (round(value) for value in prompt.box)
            labels[:] = cv2.GC_BGD
            labels[top : bottom + 1, left : right + 1] = cv2.GC_PR_FGD
        else:  # what is near the first click may belong to it
            x, y = (round(v) for v in prompt.points[0])
            cv2.circle(labels, (x, y), 4 * radius, cv2.GC_PR_FGD, -1)
        for (x, y), positive in zip(prompt.points, prompt.positive, strict=True):
            cv2.circle(labels, (round(x), round(y)), radius, cv2.GC_FGD if positive else cv2.GC_BGD, -1)
        if (labels & 1).all() or not (labels & 1).any():  # GrabCut needs both kinds
            return (labels & 1).astype(bool)
        cv2.setRNGSeed(SEED)
        bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
        cv2.grabCut(bgr, labels, None, np.zeros((1, 65)), np.zeros((1, 65)), 5, cv2.GC_INIT_WITH_MASK)
        return (labels & 1).astype(bool)

    return segment


def sam_on(sam: Sam, image: np.ndarray) -> Segment:
    """Return SAM on one image, embedded once."""
    (embedding,) = sam.embed([image])
    return lambda prompt: sam.segment(embedding, image.shape[:2], prompt).best


def clicks(segment: Segment, truth: np.ndarray, num: int) -> tuple[float, np.ndarray]:
    """Return IoU and mask after `num` clicks: one in the middle, then on the largest mistake each."""
    points, positive = [inner_point(truth)], [True]
    for _ in range(num - 1):
        mask = segment(Prompt(tuple(points), tuple(positive)))
        point, on = correction(truth, mask) or (points[-1], positive[-1])
        points.append(point)
        positive.append(on)
    mask = segment(Prompt(tuple(points), tuple(positive)))
    return iou(mask, truth), mask


def main(
    sam: Annotated[str, typer.Option(help="SAM checkpoint, a folder")] = "data/phantom/twins/sam",
    sheet: Annotated[Path | None, typer.Option(help="picture to write: truth green, SAM red, GrabCut blue")] = None,
) -> None:
    """Print mean IoU with its interval for one click, three clicks and a box."""
    assets = os.environ.get("MEMA_ASSETS")
    if not assets:
        raise typer.BadParameter("MEMA_ASSETS is not set; point it at the folder with data/")
    loaded = load_sam(sam)
    scores: dict[tuple[str, str], list[float]] = {}
    tiles = []
    for image, truth in pairs(Path(assets, "data/skin_lesion_pad_ufes_masks")):
        drawn = image.copy()
        methods = {"SAM": (sam_on(loaded, image), (255, 0, 0)), "GrabCut": (grabcut(image), (0, 0, 255))}
        for name, (segment, colour) in methods.items():
            for num in (1, 3):
                value, mask = clicks(segment, truth, num)
                scores.setdefault((f"{num} click" + "s" * (num > 1), name), []).append(value)
                if num == 1:
                    _outline(drawn, mask, colour)
            box = segment(Prompt(box=tuple(float(v) for v in box_of(truth))))
            scores.setdefault(("box", name), []).append(iou(box, truth))
        _outline(drawn, truth, (0, 255, 0))
        tiles.append(cv2.resize(drawn, (256, 256)))
    for (prompt, name), values in sorted(scores.items()):
        found = mean_with_interval(np.array(values), seed=SEED)
        low, high = found["ci95"]
        print(f"{prompt:9} {name:8} IoU {found['value']:.3f} [{low:.3f}, {high:.3f}]  n={found['n']}")
    if sheet:
        rows = [np.hstack(tiles[i : i + 5]) for i in range(0, len(tiles) - len(tiles) % 5, 5)]
        sheet.write_bytes(encode_png(np.vstack(rows)))


def _outline(image: np.ndarray, mask: np.ndarray, colour: tuple[int, int, int]) -> None:
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(image, contours, -1, colour, 2)


if __name__ == "__main__":
    typer.run(main)
