"""A file's bytes to upright sRGB pixels, or the reason why not; no metadata survives."""

import io
import re
import stat
import warnings
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import UInt8, UInt16
from PIL import Image, ImageCms, ImageOps, TiffImagePlugin

from models.photos import jpeg
from models.photos.formats import EXPORT, READABLE, format_of, remedy
from models.photos.rejection import Rejection

ORIENTATION_TAG, SUBFILE_TAG, BITS_TAG, DNG_TAG = 0x0112, 0x00FE, 0x0102, 0xC612
DOUBTFUL_WARNING = re.compile("truncat|corrupt|malformed|invalid|damaged", re.IGNORECASE)


@dataclass(frozen=True)
class Limits:
    """What a photo may measure; read from its header, before any pixel is unpacked."""

    min_size_px: int
    max_megapixels: float
    max_aspect: float

    @property
    def max_bytes(self) -> int:
        """The largest file worth opening: 16-bit RGBA without compression, and room for metadata."""
        return int(self.max_megapixels * 1e6 * 8) + (1 << 24)


def decode_photo(data: bytes, limits: Limits) -> tuple[UInt8[np.ndarray, "h w 3"], list[str]]:
    """Return upright sRGB pixels and flags of what was converted; raises Rejection."""
    if not data:
        raise Rejection("empty_file")
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        image = _open(data)
        with image:
            _check_header(image, limits)
            flags = _check_jpeg(data, image.format)
            try:
                image.load()
                rgb = _to_srgb(_whole_bits(image, data, flags), flags)
            except Rejection:
                raise
            except Exception as error:  # decoders raise a dozen types on damaged bytes
                raise Rejection("broken_image", f"{type(error).__name__}: {error}") from None
    if any(DOUBTFUL_WARNING.search(str(warning.message)) for warning in said) and "exif_unreadable" not in flags:
        flags.append("decoder_warning")
    if not np.ptp(rgb, axis=(0, 1)).any():
        raise Rejection("blank_image")
    return rgb, list(dict.fromkeys(flags))


def _open(data: bytes) -> Image.Image:
    kind = format_of(data)
    if kind == "HEIF":
        from pillow_heif import register_heif_opener

        register_heif_opener(thumbnails=False)
    elif not kind:
        raise Rejection("not_an_image", f"found no known format; {EXPORT}")
    elif kind not in READABLE:
        raise Rejection("unsupported_format", f"{kind}: {remedy(kind)}")
    try:
        return Image.open(io.BytesIO(data), formats=(kind,))
    except Image.DecompressionBombError:
        raise Rejection("too_many_pixels", "more than Pillow opens at all") from None
    except Image.UnidentifiedImageError:
        raise Rejection("not_an_image", f"found no known format; {EXPORT}") from None
    except Exception as error:
        raise Rejection("broken_image", f"{type(error).__name__}: {error}") from None


def _check_jpeg(data: bytes, kind: str | None) -> list[str]:
    """Return flags of what a JPEG's decoder doubts; raises Rejection where part of the picture is not its own."""
    if kind not in ("JPEG", "MPO"):
        return []
    warning = jpeg.decoder_warning(data)
    if warning and not jpeg.is_padding(warning, data):
        raise Rejection("damaged", f"{warning}; copy the file again from where it was taken")
    flags = ["decoder_warning"] if warning else []
    # phones keep a preview or a gain map behind the picture, and say so in its header: that is an MPO
    return [*flags, "bytes_after_end"] if kind == "JPEG" and jpeg.holds_another(data) else flags


def _check_header(image: Image.Image, limits: Limits) -> None:
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        tags = image.tag_v2
        if DNG_TAG in tags or int(tags.get(SUBFILE_TAG, 0)) & 1:  # the first picture is but a preview
            raise Rejection("unsupported_format", f"a camera's raw photo: develop it, and {EXPORT}")
    width, height = image.size
    size = f"{width}x{height}"
    if width * height > limits.max_megapixels * 1e6:
        raise Rejection("too_many_pixels", f"{size}, at most {limits.max_megapixels} megapixels")
    if min(width, height) < limits.min_size_px:
        raise Rejection("too_small", f"{size}, at least {limits.min_size_px} px")
    if max(width, height) > limits.max_aspect * min(width, height):
        raise Rejection("bad_aspect", f"{size}, at most {limits.max_aspect}:1")
    try:
        frames = getattr(image, "n_frames", 1)
    except Exception as error:
        raise Rejection("broken_image", f"{type(error).__name__}: {error}") from None
    if frames > 1 and image.format != "MPO":  # phones store a preview or depth map beside the one picture
        raise Rejection("several_frames", f"{frames} frames")


def _whole_bits(image: Image.Image, data: bytes, flags: list[str]) -> Image.Image:
    """Return 16-bit pictures as 8 bits of those in use: cameras write 10 or 12 bits into files of 16.

    Pillow itself takes the upper 8 of colour pictures, which is right for those that use all 16.
    """
    if image.mode.startswith("I;16"):
        flags.append("16_bit")
        return _as_info(_upper_bits(np.asarray(image, np.uint16), flags), image)
    is_deep = data[24:25] == b"\x10" if image.format == "PNG" else _tiff_bits(image) > 8
    if not is_deep or image.format not in ("PNG", "TIFF") or np.asarray(image).max() >= 64:
        return image
    if image.mode != "RGB":
        raise Rejection("unsupported_mode", f"{image.mode} of 16 bits that uses few of them; {EXPORT}")
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None or pixels.dtype != np.uint16 or pixels.ndim != 3:
        return image
    return _as_info(_upper_bits(np.ascontiguousarray(pixels[..., 2::-1]), flags), image)


def _tiff_bits(image: Image.Image) -> int:
    if not isinstance(image, TiffImagePlugin.TiffImageFile):
        return 0
    return max(image.tag_v2.get(BITS_TAG, (8,)))


def _upper_bits(pixels: UInt16[np.ndarray, "h w *c"], flags: list[str]) -> UInt8[np.ndarray, "h w *c"]:
    used = int(pixels.max()).bit_length()
    bits = next(bits for bits in (8, 10, 12, 14, 16) if used <= bits)
    if bits < 16:
        flags.append("bits_scaled")
    return (pixels >> (bits - 8)).astype(np.uint8)


def _as_info(pixels: np.ndarray, image: Image.Image) -> Image.Image:
    """Return new pixels with the orientation and the colour profile of the picture that they come from."""
    result = Image.fromarray(pixels)
    result.info = {name: image.info[name] for name in ("icc_profile",) if name in image.info}
    try:
        result.getexif()[ORIENTATION_TAG] = image.getexif().get(ORIENTATION_TAG, 1)
    except Exception:
        result.info["exif"] = b""  # damaged EXIF costs its orientation
    return result


def _to_srgb(image: Image.Image, flags: list[str]) -> np.ndarray:
    profile = image.info.get("icc_profile")
    image = _upright(image, flags)
    if image.mode in ("I", "F"):
        raise Rejection("unsupported_mode", image.mode)
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        image, alpha = image.convert("RGBA"), image.convert("RGBA").getchannel("A")
        if not np.asarray(alpha).any():
            raise Rejection("transparent_image")
        image = _on_white(image, profile, flags)
        flags.append("alpha")
    else:
        if image.mode == "CMYK":
            flags.append("cmyk")
        image = _convert(image, profile, flags)
    return np.asarray(image.convert("RGB"))


def _upright(image: Image.Image, flags: list[str]) -> Image.Image:
    """Apply the EXIF orientation; damaged EXIF costs its orientation, not the photo."""
    try:
        if image.getexif().get(ORIENTATION_TAG, 1) not in (0, 1):
            image = ImageOps.exif_transpose(image)
            flags.append("exif_rotated")
    except Exception:
        flags.append("exif_unreadable")
    return image


def _on_white(image: Image.Image, profile: bytes | None, flags: list[str]) -> Image.Image:
    """Lay a picture with alpha on white, after its colours are sRGB."""
    alpha = image.getchannel("A")
    colours = _convert(image.convert("RGB"), profile, flags).convert("RGB")
    ground = Image.new("RGB", image.size, (255, 255, 255))
    ground.paste(colours, mask=alpha)
    return ground


def _convert(image: Image.Image, profile: bytes | None, flags: list[str]) -> Image.Image:
    """Convert from the embedded profile to sRGB; a profile that says sRGB already leaves the pixels alone."""
    if not profile:
        return image
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if "srgb" in ImageCms.getProfileDescription(source).casefold():
            return image
        if image.mode not in ("RGB", "CMYK", "L"):
            image = image.convert("RGB")
        target = ImageCms.createProfile("sRGB")
        converted = ImageCms.profileToProfile(image, source, target, outputMode="RGB")
        assert converted is not None
    except (ImageCms.PyCMSError, OSError, ValueError):
        flags.append("icc_unreadable")
        return image
    flags.append("icc_converted")
    return converted


def read_photo(path: Path, max_bytes: int) -> bytes:
    """Return a regular file's bytes; raises Rejection for links, devices, and files larger than any photo."""
    try:
        status = path.lstat()
        if stat.S_ISLNK(status.st_mode):
            raise Rejection("symbolic_link")
        if not stat.S_ISREG(status.st_mode):
            raise Rejection("not_a_file")
        if status.st_size > max_bytes:
            raise Rejection("file_too_large", f"{status.st_size} bytes, at most {max_bytes}")
        return path.read_bytes()
    except OSError as error:
        raise Rejection("unreadable_file", type(error).__name__) from None
