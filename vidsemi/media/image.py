"""An image as a video of one frame."""

import io

import numpy as np

from vidsemi.errors import DecodeError


def read_image(path: str, *, size: tuple[int, int] | None = None, data: bytes | None = None) -> np.ndarray:
    """Read an image.

    Args:
        path: the file; only a name for messages where `data` is given.
        size: (height, width) to scale to; None keeps the file's own.
        data: the file's content, for files inside archives.

    Returns:
        (1, height, width, 3) uint8, RGB, the EXIF orientation applied.

    Raises:
        DecodeError: the file is missing, damaged or no image.
    """
    from PIL import Image, ImageOps

    try:
        with Image.open(path if data is None else io.BytesIO(data)) as opened:
            image = ImageOps.exif_transpose(opened).convert("RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise DecodeError(path, str(error)) from None
    if size is not None:
        image = image.resize((size[1], size[0]), Image.Resampling.BILINEAR)
    return np.asarray(image)[None]
