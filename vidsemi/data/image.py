"""Image decoding: upright RGB of 8 bits, whatever the file holds, or a plain reason why it is refused."""

import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from vidsemi.data.file_kind import kind_of
from vidsemi.data.input_spec import Size
from vidsemi.data.transforms import scaled_size
from vidsemi.io.errors import DecodeError
from vidsemi.runtime.library_errors import is_truncated_image

# Formats to read, by Pillow's names. Not all that Pillow knows: EPS, for one, would start another program.
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM", "JPEG2000", "AVIF")
MAX_PIXELS = 110_000_000  # 880 MB: 4 bytes each in Pillow, and again for a rotated copy; phones take up to 108 million
MAX_CONVERTED = 73_000_000  # pixels of an image that is rotated after it was converted to RGB, which makes three copies
# Pixels, by Pillow's formats of which decoding an image with transparency takes 16, 20 and 25 bytes each.
MAX_OF = {"AVIF": 62_000_000, "WEBP": 48_000_000, "JPEG2000": 40_000_000}
ORIENTATION, BITS, PHOTOMETRIC, SAMPLE_FORMAT = 0x0112, 0x0102, 0x0106, 0x0153  # tags of EXIF and TIFF
WHITE_IS_ZERO, SIGNED = 0, 2

SUPPORTED = {"JPEG", "PNG", "GIF", "BMP", "TIFF", "JPEG 2000", "AVIF", "WebP", "PNM"}  # kinds of files
PAGES = {"PDF", "PostScript"}  # that can be converted to an image


def read_image(path: str, data: bytes, *, size: Size | None = None) -> np.ndarray:
    """Decode the content of an image file to (1, 3, height, width) uint8, RGB, the EXIF orientation applied.

    `size` is (height, width) or the shorter side to scale to; None keeps the file's own. Colors are those of Pillow's
    `convert("RGB")`: transparency and color profiles are ignored, CMYK becomes (255 - C)(255 - K) / 255, and so on.
    Gray of more than 8 bits keeps its upper eight, as color does. A file that is damaged, not an image or not supported
    is a `DecodeError`.
    """
    with loaded(path, data) as stored:
        image = upright(path, stored)
    return resized(image, size)


def resized(image: Any, size: Size | None) -> np.ndarray:
    """The pixels of a Pillow image in RGB, (1, 3, height, width) uint8; `size` is as in `read_image`."""
    from PIL import Image

    if size is not None:
        height, width = scaled_size(size, image.height, image.width)
        image = image.resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(image).transpose(2, 0, 1)[None]


@contextmanager
def loaded(path: str, data: bytes) -> Iterator[Any]:
    """Decode the first image of a file as it is stored. Whatever fails in this block is a `DecodeError`."""
    from PIL import Image, ImageFile, UnidentifiedImageError

    keep = ImageFile.LOAD_TRUNCATED_IMAGES
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a line for every odd file would bury the log of a job over millions
            ImageFile.LOAD_TRUNCATED_IMAGES = False  # whatever else this process does with Pillow
            Image.init()
            with Image.open(io.BytesIO(data), formats=[name for name in FORMATS if name in Image.OPEN]) as image:
                _check_pixels(path, image, min(MAX_PIXELS, MAX_OF.get(image.format or "", MAX_PIXELS)))
                image.load()
                yield image
    except DecodeError:
        raise
    except UnidentifiedImageError:
        raise _not_an_image(path, data) from None
    except Image.DecompressionBombError:
        raise DecodeError("image.too_large", path, f"image of more than {MAX_PIXELS} pixels") from None
    except MemoryError:
        raise DecodeError("image.out_of_memory", path, "decoding needs more memory than is available") from None
    except Exception as error:  # Pillow raises a dozen kinds for damaged files, struct.error and SyntaxError too
        found = kind_of(data)
        kind = found.name if found and found.family == "picture" else "image"
        if is_truncated_image(error):
            raise DecodeError("image.truncated", path, f"truncated {kind}") from None
        detail = re.sub(r"\s*\([^)]*\)", "", str(error)) or type(error).__name__  # numbers differ by file
        raise DecodeError("image.damaged", path, f"damaged {kind}: {detail}") from None
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = keep


def _check_pixels(path: str, image: Any, limit: int, kind: str = "image") -> None:
    """Raise a `DecodeError` if an image has more pixels than a limit."""
    if image.width * image.height > limit:
        size = f"{image.width} × {image.height} pixels"
        raise DecodeError("image.too_large", path, f"{kind} of {size}; the limit is {limit}")


def _not_an_image(path: str, data: bytes) -> DecodeError:
    if not data:
        return DecodeError("image.empty", path, "empty file")
    kind = kind_of(data)
    if kind is None:
        content = "unknown data" if data.strip(b"\0") else "only zeros"
    elif kind.name in SUPPORTED:
        return DecodeError("image.damaged", path, f"damaged {kind.name}, or a variant of it that is not supported")
    elif kind.family == "picture" or kind.name in PAGES:
        reason = f"{kind.name} is not supported; convert it, for example to PNG"
        return DecodeError("image.unsupported_format", path, reason)
    else:
        content = str(kind)
    return DecodeError("image.wrong_type", path, f"not an image: the file contains {content}")


def orientation(image: Any) -> int:
    """EXIF's orientation of a decoded image, from 1 (upright) to 8; 1 if the EXIF is damaged."""
    try:
        number = image.getexif().get(ORIENTATION)
    except Exception:  # as many kinds as above
        return 1
    return number if isinstance(number, int) and 1 <= number <= 8 else 1


def upright(path: str, image: Any) -> Any:
    """Convert a decoded image to RGB of 8 bits and apply its EXIF orientation; to be called inside `loaded`."""
    from PIL.Image import Transpose

    turns = {
        2: Transpose.FLIP_LEFT_RIGHT,
        3: Transpose.ROTATE_180,
        4: Transpose.FLIP_TOP_BOTTOM,
        5: Transpose.TRANSPOSE,
        6: Transpose.ROTATE_270,
        7: Transpose.TRANSVERSE,
        8: Transpose.ROTATE_90,
    }
    rgb, number = _to_rgb(path, image), orientation(image)
    if rgb is not image and number in turns:
        _check_pixels(path, image, MAX_CONVERTED, f"rotated image in {image.mode}")
    return rgb.transpose(turns[number]) if number in turns else rgb


def _to_rgb(path: str, image: Any) -> Any:
    from PIL import Image

    if image.mode == "F":
        raise DecodeError("image.unsupported_pixels", path, "floating-point pixels, and the value of white is unknown")
    if image.mode.startswith("I"):  # integers of more than 8 bits, which Pillow would clip at 255
        tags = getattr(image, "tag_v2", {})  # of a TIFF; Pillow scales other formats to 16 bits
        bits = max(tags.get(BITS, (16,)))
        if bits > 16:
            raise DecodeError("image.unsupported_pixels", path, f"{bits}-bit pixels, and the value of white is unknown")
        if SIGNED in tags.get(SAMPLE_FORMAT, ()):
            raise DecodeError("image.unsupported_pixels", path, "signed pixels, and the value of black is unknown")
        values = np.clip(np.asarray(image) >> (bits - 8), 0, 255).astype(np.uint8)
        image = Image.fromarray(255 - values if tags.get(PHOTOMETRIC) == WHITE_IS_ZERO else values)
    return image if image.mode == "RGB" else image.convert("RGB")
