"""What a file is by its first bytes, whatever its name says, and what to do with formats that are not read."""

import re

# Formats that decode, by Pillow's names; PostScript and the like are left out: they run programs
READABLE = ("JPEG", "PNG", "TIFF", "WEBP", "GIF", "BMP", "HEIF", "AVIF")
PICTURES = (*READABLE, "BigTIFF", "DICOM", "JPEG 2000", "JPEG XL", "Photoshop file", "OpenEXR", "Radiance picture")
EXPORT = "export it as JPEG, PNG or TIFF"

# (offset, bytes, format); the first that fits wins
MAGIC: tuple[tuple[int, bytes, str], ...] = (
    (0, b"\xff\xd8\xff", "JPEG"),
    (0, b"\x89PNG\r\n\x1a\n", "PNG"),
    (0, b"GIF87a", "GIF"),
    (0, b"GIF89a", "GIF"),
    (8, b"WEBP", "WEBP"),
    (8, b"AVI ", "AVI video"),
    (8, b"CR\x02\x00", "Canon raw photo"),
    (0, b"IIRO", "Olympus raw photo"),
    (0, b"IIRS", "Olympus raw photo"),
    (0, b"IIU\x00", "Panasonic raw photo"),
    (0, b"FUJIFILMCCD-RAW", "Fujifilm raw photo"),
    (0, b"FOVb", "Sigma raw photo"),
    (0, b"\x00MRM", "Minolta raw photo"),
    (0, b"II*\x00", "TIFF"),
    (0, b"MM\x00*", "TIFF"),
    (0, b"II+\x00", "BigTIFF"),
    (0, b"MM\x00+", "BigTIFF"),
    (0, b"BM", "BMP"),
    (128, b"DICM", "DICOM"),
    (0, b"%PDF", "PDF"),
    (0, b"%!PS", "PostScript"),
    (0, b"\xc5\xd0\xd3\xc6", "PostScript"),
    (0, b"8BPS", "Photoshop file"),
    (0, b"\x00\x00\x00\x0cjP  ", "JPEG 2000"),
    (0, b"\xff\x4f\xff\x51", "JPEG 2000"),
    (0, b"\xff\x0a", "JPEG XL"),
    (0, b"\x00\x00\x00\x0cJXL ", "JPEG XL"),
    (0, b"\x1aE\xdf\xa3", "Matroska or WebM video"),
    (0, b"\x00\x00\x01\xba", "MPEG video"),
    (0, b"\x00\x00\x01\xb3", "MPEG video"),
    (0, b"0&\xb2u\x8ef\xcf\x11", "Windows Media video"),
    (0, b"FLV\x01", "Flash video"),
    (0, b"PK\x03\x04", "ZIP archive or office document"),
    (0, b"7z\xbc\xaf\x27\x1c", "7-Zip archive"),
    (0, b"Rar!", "RAR archive"),
    (0, b"\x1f\x8b", "gzip archive"),
    (0, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "old office document"),
    (0, b"v/1\x01", "OpenEXR"),
    (0, b"#?RADIANCE", "Radiance picture"),
    (0, b"\x00\x05\x16\x07", "metadata of a Mac (AppleDouble)"),
)
# Brands of ISO base media files, which begin with a box called ftyp
BRANDS = (
    ("AVIF", ("avif", "avis")),
    ("HEIF", ("heic", "heix", "hevc", "hevx", "heim", "heis", "hevm", "hevs", "mif1", "msf1")),
    ("Canon raw photo", ("crx ",)),
    ("QuickTime video", ("qt  ",)),
)
REMEDIES = {
    "DICOM": "export the frame from the archive as PNG or TIFF, without its header's names",
    "PDF": "export the page's picture as PNG or TIFF",
    "SVG drawing": "a drawing is no photograph; " + EXPORT,
    "ZIP archive or office document": "unpack it, and put the photos themselves there",
    "7-Zip archive": "unpack it, and put the photos themselves there",
    "RAR archive": "unpack it, and put the photos themselves there",
    "gzip archive": "unpack it, and put the photos themselves there",
}


def format_of(data: bytes) -> str:
    """Return the format by magic bytes, Pillow's name where there is one, or "" for none that is known.

    A camera's raw file that is built as a TIFF (CR2, NEF, ARW, DNG ...) is called TIFF: its head is one.
    """
    if data[4:8] == b"ftyp":
        brand = data[8:12].decode("latin-1").lower()
        return next((name for name, brands in BRANDS if brand in brands), "MP4 or related video")
    for offset, magic, name in MAGIC:
        if data.startswith(magic, offset) and not (name in ("WEBP", "AVI video") and data[:4] != b"RIFF"):
            return name
    if re.match(rb"(\xef\xbb\xbf)?\s*(<\?xml[^>]*>\s*)?(<!--.*?-->\s*)?(<!DOCTYPE svg[^>]*>\s*)?<svg[\s>]",
                data[:2048], re.DOTALL):  # fmt: skip
        return "SVG drawing"
    return ""


def is_picture(head: bytes) -> bool:
    """Tell whether a file's first bytes are those of a picture, whether or not it decodes."""
    name = format_of(head)
    return name in PICTURES or name.endswith("raw photo")


def remedy(name: str) -> str:
    """Return what to do with a file of a format that is not read."""
    return REMEDIES.get(name, EXPORT)
