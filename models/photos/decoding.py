"""A file's bytes to upright sRGB pixels, or the reason why not; no metadata survives."""

import io
import warnings
from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageCms, ImageOps

from models.photos.rejection import Rejection

# MPO comes with JPEG; PostScript and the like are left out: they run programs
FORMATS = ("JPEG", "PNG", "TIFF", "WEBP", "GIF", "BMP")
ORIENTATION_TAG = 0x0112


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
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        image = _open(data)
        with image:
            _check_header(image, limits)
            try:
                image.load()
                rgb, flags = _to_srgb(image)
            except Rejection:
                raise
            except Exception as error:  # decoders raise a dozen types on damaged bytes
                raise Rejection("broken_image", f"{type(error).__name__}: {error}") from None
    if not np.ptp(rgb, axis=(0, 1)).any():
        raise Rejection("blank_image")
    return rgb, flags


def _open(data: bytes) -> Image.Image:
    try:
        return Image.open(io.BytesIO(data), formats=FORMATS)
    except Image.DecompressionBombError:
        raise Rejection("too_many_pixels", "more than Pillow opens at all") from None
    except Image.UnidentifiedImageError:
        raise Rejection("not_an_image") from None
    except Exception as error:
        raise Rejection("broken_image", f"{type(error).__name__}: {error}") from None


def _check_header(image: Image.Image, limits: Limits) -> None:
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


def _to_srgb(image: Image.Image) -> tuple[np.ndarray, list[str]]:
    flags: list[str] = []
    profile = image.info.get("icc_profile")
    image = _upright(image, flags)
    if image.mode.startswith("I;16"):
        flags.append("16_bit")
        image = Image.fromarray((np.asarray(image, np.uint16) >> 8).astype(np.uint8))
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
    return np.asarray(image.convert("RGB")), flags


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
