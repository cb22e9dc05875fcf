"""An image as a video of one frame: RGB, eight bits, upright, whatever the file holds."""

import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from vidsemi.data.file_types import kind_of, what_it_is
from vidsemi.data.input_spec import Size
from vidsemi.data.transforms import scaled_size
from vidsemi.io.errors import DecodeError
from vidsemi.runtime.library_errors import is_truncated_image

# What is read, as Pillow calls it. Not everything that Pillow knows: EPS, for one, would start another program.
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM", "JPEG2000", "AVIF")
MOST_PIXELS = 110_000_000  # at 4 bytes each in Pillow, and again for a turned copy, 880 MB; telephones take up to 108
ORIENTATION, BITS, PHOTOMETRIC, SAMPLE_FORMAT = 0x0112, 0x0102, 0x0106, 0x0153  # tags of EXIF and TIFF
WHITE_IS_ZERO, SIGNED = 0, 2


def read_image(path: str, data: bytes, *, size: Size | None = None) -> np.ndarray:
    """Decode an image.

    Args:
        path: a name for messages.
        data: the file's content.
        size: (height, width) or shorter side to scale to; None keeps the file's own.

    Returns:
        (1, 3, height, width) uint8, RGB, the EXIF orientation applied.

    Raises:
        DecodeError: the file is damaged or no image.
    """
    from PIL import Image

    image = open_image(path, data)
    if size is not None:
        height, width = scaled_size(size, image.height, image.width)
        image = image.resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(image).transpose(2, 0, 1)[None]


def open_image(path: str, data: bytes) -> Any:
    """An image as RGB of 8 bits, upright; the first one of a file with several.

    The colours are those of Pillow's `convert("RGB")`: transparency and colour profiles are left out, and CMYK becomes
    (255 - C)(255 - K) / 255, and so on. Grey of more than 8 bits keeps its upper eight, as colour does.

    Args:
        path: a name for messages.
        data: the file's content.

    Returns:
        A `PIL.Image.Image`.

    Raises:
        DecodeError: the file is damaged or no image that is read; says in plain words which.
    """
    with loaded(path, data) as image:
        return upright(path, image)


@contextmanager
def loaded(path: str, data: bytes) -> Iterator[Any]:
    """The first image of a file, decoded, as it is there; whatever goes wrong in this block is a `DecodeError`."""
    from PIL import Image, ImageFile, UnidentifiedImageError

    keeps_truncated = ImageFile.LOAD_TRUNCATED_IMAGES
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a line for every odd file would bury the log of a job over millions
            ImageFile.LOAD_TRUNCATED_IMAGES = False  # whatever else this process does with Pillow
            Image.init()
            with Image.open(io.BytesIO(data), formats=[name for name in FORMATS if name in Image.OPEN]) as image:
                if image.width * image.height > MOST_PIXELS:
                    raise DecodeError(path, f"has {image.width} × {image.height} pixels, more than {MOST_PIXELS}")
                image.load()
                yield image
    except DecodeError:
        raise
    except UnidentifiedImageError:
        raise DecodeError(path, what_it_is(data)) from None
    except Image.DecompressionBombError:
        raise DecodeError(path, f"has more than {MOST_PIXELS} pixels") from None
    except MemoryError:
        raise DecodeError(path, "needs more memory than there is") from None
    except (
        Exception
    ) as error:  # of files that are damaged Pillow raises a dozen kinds, struct.error and SyntaxError too
        kind = kind_of(data) or "image"
        if is_truncated_image(error):
            raise DecodeError(path, f"is cut off: the {kind} goes on where the file ends") from None
        detail = (
            re.sub(r"\s*\([^)]*\)", "", str(error)) or type(error).__name__
        )  # numbers would make each file's its own
        raise DecodeError(path, f"is a damaged {kind}: {detail}") from None
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = keeps_truncated


def orientation(image: Any) -> int:
    """EXIF's number of a decoded image, from 1 (upright) to 8; a broken EXIF costs nothing but itself."""
    try:
        number = image.getexif().get(ORIENTATION)
    except Exception:  # of as many kinds as above
        return 1
    return number if isinstance(number, int) and 1 <= number <= 8 else 1


def upright(path: str, image: Any) -> Any:
    """A decoded image as RGB of 8 bits, turned as its EXIF says; to be called inside `loaded`."""
    return _turned(_as_rgb(path, image), orientation(image))


def _turned(image: Any, number: int) -> Any:
    """The upright image."""
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
    return image.transpose(turns[number]) if number in turns else image


def _as_rgb(path: str, image: Any) -> Any:
    from PIL import Image

    if image.mode == "F":
        raise DecodeError(path, "has floating-point pixels, and nothing says which value is white")
    if image.mode.startswith("I"):  # integers of more than 8 bits, which Pillow would cut off at 255
        tags = getattr(image, "tag_v2", {})  # of a TIFF; other formats are made to fill 16 bits
        bits = max(tags.get(BITS, (16,)))
        if bits > 16:
            raise DecodeError(path, f"has pixels of {bits} bits, and nothing says which value is white")
        if SIGNED in tags.get(SAMPLE_FORMAT, ()):
            raise DecodeError(path, "has pixels below zero, and nothing says which value is black")
        values = np.clip(np.asarray(image) >> (bits - 8), 0, 255).astype(np.uint8)
        image = Image.fromarray(255 - values if tags.get(PHOTOMETRIC) == WHITE_IS_ZERO else values)
    return image if image.mode == "RGB" else image.convert("RGB")
