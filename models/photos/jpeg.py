"""What a JPEG's decoder says about its data, and where its picture ends.

Pillow is silent about scans that end early or belong to another photo: libjpeg fills what is missing with grey and
goes on. OpenCV's libjpeg says so, on the process's standard error.
"""

import os
import re
import tempfile
import threading

import cv2
import numpy as np

MARKER = re.compile(rb"\xff+([\x01-\xcf\xd8-\xfe])")  # in a scan: neither a stuffed 0xFF nor a restart
EOI, SOS, SOI = 0xD9, 0xDA, b"\xff\xd8\xff"
LIBJPEG = re.compile(rb"^(Corrupt JPEG data|Premature end of JPEG|Invalid|Inconsistent|Unknown|Unsupported|Bogus|"
                     rb"Application transferred|Warning)[^\n]*\n?", re.MULTILINE)  # fmt: skip
EXTRANEOUS = re.compile(rb"Corrupt JPEG data: (\d+) extraneous bytes")
MAX_PADDING_BYTES = 64  # some cameras fill up a scan; what else follows it is another picture's
_stderr = threading.Lock()


def decoder_warning(data: bytes) -> str:
    """Return libjpeg's first warning about a JPEG, "" for none; whatever else was written meanwhile is passed on."""
    with _stderr, tempfile.TemporaryFile() as said:
        saved = os.dup(2)
        try:
            os.dup2(said.fileno(), 2)
            cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_REDUCED_GRAYSCALE_8)
        finally:
            os.dup2(saved, 2)
        said.seek(0)
        text = said.read()
        os.write(saved, LIBJPEG.sub(b"", text))
        os.close(saved)
    found = LIBJPEG.search(text)
    return found[0].decode("ascii", "replace").strip() if found else ""


def is_padding(warning: str, data: bytes) -> bool:
    """Tell whether a warning is about a few equal bytes that a camera put behind a whole scan."""
    found = EXTRANEOUS.match(warning.encode())
    if found is None or int(found[1]) > MAX_PADDING_BYTES:
        return False
    end = _end(data) - 2
    return len(set(data[end - int(found[1]) : end])) == 1


def holds_another(data: bytes) -> bool:
    """Tell whether another JPEG begins somewhere behind the end of the first."""
    return SOI in data[_end(data) :]


def _end(data: bytes) -> int:
    """Return the position behind the first picture's end mark, or the data's length where it has none."""
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == EOI:
            return at + 2
        if marker == 0xFF:  # a fill byte
            at += 1
            continue
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        if marker == SOS:
            found = MARKER.search(data, at)
            if found is None:
                return len(data)
            at = found.end() - 2
    return at + 2 if data[at : at + 2] == b"\xff\xd9" else len(data)
