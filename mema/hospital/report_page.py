"""A photo before and after, side by side and with boxes, as a piece of a page that needs no other file."""

import base64
import html
from collections.abc import Iterable, Mapping

import cv2
import numpy as np
from jaxtyping import UInt8

from models.photos.every_face import Face
from models.photos.regions import Region

SHOWN_PX = 420
FOUND, DOUBTFUL, LEFT = (40, 160, 60), (230, 150, 0), (220, 30, 30)
HEAD = """<!doctype html><html lang="en"><meta charset="utf-8"><title>De-identified photos, before and after</title>
<style>body{{font:15px/1.4 sans-serif;margin:2em;max-width:70em}} section{{border-top:1px solid #ccc;padding:1em 0}}
img{{max-width:48%;vertical-align:top}} .warn{{background:#b00;color:#fff;padding:.7em}} .reason{{color:#b00}}
h2{{font-size:1em;margin:.2em 0}}</style><body>
<p class="warn"><b>Patients' photographs stand on this page.</b> It stays in the hospital: don't send, copy or
publish it, and delete it when it has been looked through.</p>
<p>{shown} of {rows} photos, those first that were turned away or whose faces were not found or are doubtful.
Green: a face that was replaced. Orange: hidden whole, since its eyes could not be placed. Red: seen on the
result, or as it was. A face without a box was not found: it stays visible.</p>
"""


def section(
    row: Mapping[str, str],
    before: UInt8[np.ndarray, "h w 3"] | None,
    after: UInt8[np.ndarray, "h w 3"] | None,
    faces: Iterable[Face],
    doubtful: Iterable[Face],
    left: Iterable[Region],
) -> str:
    """Return the HTML of one photo; `row` is its row of the table."""
    doubtful = list(doubtful)
    boxes = [(region, DOUBTFUL if face in doubtful else FOUND) for face in faces for region in face.regions]
    red = [(region, LEFT) for region in left]
    pictures = [_image(rgb, marks) for rgb, marks in ((before, boxes + red), (after, red)) if rgb is not None]
    facts = ", ".join(f"{name} {html.escape(value)}" for name, value in row.items() if name not in SAID and value)
    why = f'<p class="reason">{html.escape(row["reason"])}: {html.escape(row["detail"])}</p>' if row["reason"] else ""
    title = f"<h2>{html.escape(row['file'])}: {html.escape(row['done'])}</h2>"
    return f"<section>{title}{why}<p>{facts}</p>{' '.join(pictures)}</section>"


SAID = ("file", "done", "reason", "detail")


def _image(rgb: np.ndarray, marks: Iterable[tuple[Region, tuple[int, int, int]]]) -> str:
    scale = min(1.0, SHOWN_PX / max(rgb.shape[:2]))
    small = cv2.resize(rgb, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    for region, colour in marks:
        left, top, right, bottom = (round(scale * at) for at in region.box())
        cv2.rectangle(small, (left, top), (right, bottom), colour, 2)
    done, data = cv2.imencode(".jpg", small[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 80])
    assert done
    return f'<img alt="" src="data:image/jpeg;base64,{base64.b64encode(data.tobytes()).decode()}">'
