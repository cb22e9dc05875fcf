"""An image as a video of one frame."""

import io

import numpy as np

from vidsemi.errors import DecodeError
from vidsemi.media.transforms import Size, scaled_size


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
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        with Image.open(io.BytesIO(data)) as opened:
            image = ImageOps.exif_transpose(opened).convert("RGB")
    except UnidentifiedImageError:
        raise DecodeError(path, "is no image of a known kind") from None
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise DecodeError(path, str(error)) from None
    if size is not None:
        height, width = scaled_size(size, image.height, image.width)
        image = image.resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(image).transpose(2, 0, 1)[None]
