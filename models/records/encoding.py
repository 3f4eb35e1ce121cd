"""A text file's bytes as physical lines, each with whether its characters are sure."""

import codecs
import re

LINE_END = re.compile(r"\r\n|\n|\r")
BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
PROBED_BYTES = 2000
DAMAGED = re.compile("[\ufffd\0]")


def decode_lines(data: bytes) -> list[tuple[str, bool]]:
    """Return the physical lines without their ends; False marks one whose characters are a guess.

    UTF-8, UTF-16 and UTF-32; else cp1252 or GB18030 as a whole. Where some lines are UTF-8 and some are not,
    the fewer are marked: one row out of another system does not turn the table.
    """
    codec = next((name for mark, name in BOMS if data.startswith(mark)), "") or _utf16(data)
    if codec.startswith(("utf-16", "utf-32")):
        text = data.decode(codec, "replace").removeprefix("\ufeff")
        return [(line, not DAMAGED.search(line)) for line in _split(text)]
    data = data.removeprefix(codecs.BOM_UTF8)
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        return _mixed(_split_bytes(data))
    if not DAMAGED.search(text):
        return [(line, True) for line in _split(text)]
    return [(line, not DAMAGED.search(line)) for line in _split(text)]


def _split(text: str) -> list[str]:
    lines = LINE_END.split(text)
    return lines[:-1] if lines[-1] == "" else lines


def _split_bytes(data: bytes) -> list[bytes]:
    lines = re.split(rb"\r\n|\n|\r", data)  # no second byte of cp1252 or GB18030 is a line end
    return lines[:-1] if lines[-1] == b"" else lines


def _utf16(data: bytes) -> str:
    """Return the byte order of UTF-16 without a mark, by where its many zero bytes stand; else ""."""
    probe = data[: PROBED_BYTES // 2 * 2]
    even, odd = probe[::2].count(0), probe[1::2].count(0)
    if max(even, odd) * 4 <= len(probe) // 2:
        return ""
    return "utf-16-le" if odd > even else "utf-16-be"


def _mixed(lines: list[bytes]) -> list[tuple[str, bool]]:
    """Decode line by line: those that are no UTF-8 in the one legacy encoding that suits them all."""
    foreign = {index for index, line in enumerate(lines) if not _is_utf8(line)}
    codec = _legacy([lines[index] for index in foreign])
    accented = sum(not line.isascii() for line in lines) - len(foreign)
    decoded = []
    for index, line in enumerate(lines):
        text = line.decode(codec if index in foreign else "utf-8", "replace")
        is_rare = not line.isascii() and (index in foreign) == (len(foreign) <= accented)
        decoded.append((text, not DAMAGED.search(text) and not (accented and is_rare)))
    return decoded


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _legacy(lines: list[bytes]) -> str:
    """Return gb18030 where all accented bytes pair up as common Chinese signs, else cp1252.

    A single accented letter of a European word stands beside plain letters, which gb2312 refuses.
    """
    for codec in ("gb2312", "gb18030"):
        try:
            text = b"\n".join(lines).decode(codec)
        except UnicodeDecodeError:
            continue
        chinese = sum("\u4e00" <= letter <= "\u9fff" or letter in "（），：；、" for letter in text)
        others = sum(not letter.isascii() for letter in text) - chinese
        if codec == "gb2312" or (chinese > 20 and others == 0 and _runs(lines) >= 4):
            return "gb18030"
    return "cp1252"


def _runs(lines: list[bytes]) -> float:
    """Return the mean length of what is no ASCII: one letter in European words, several bytes in Chinese."""
    runs = re.findall(rb"[\x80-\xff]+", b"\n".join(lines))
    return sum(map(len, runs)) / max(1, len(runs))
