"""Images of all kinds: pixels equal those of another decoder, or those written; bad files are refused with a reason."""

import io
import os
import struct
import warnings
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFile

from vidsemi.data import image as image_module
from vidsemi.data.image import read_image
from vidsemi.data.manifest import Row
from vidsemi.data.read import is_image, read_frames
from vidsemi.data.verify import describe
from vidsemi.io.errors import DecodeError

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from torchvision.io import ImageReadMode, decode_image

HEIGHT, WIDTH = 24, 40
ACROSS, DOWN = np.meshgrid(np.linspace(0, 255, WIDTH), np.linspace(0, 255, HEIGHT))
SMOOTH = np.stack([ACROSS, DOWN, 255 - ACROSS], -1).astype(np.uint8)
GRAY16 = np.linspace(0, 65535, HEIGHT * WIDTH).astype(np.uint16).reshape(HEIGHT, WIDTH)


def saved(image: Image.Image, form: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def pixels(data: bytes) -> np.ndarray:
    """As (H, W, 3)."""
    (frame,) = read_image("x", data)
    assert frame.dtype == np.uint8 and frame.shape[0] == 3
    return frame.transpose(1, 2, 0)


def png_chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def png(depth: int, color: int, rows: np.ndarray) -> bytes:
    """A PNG by its specification, of rows (H, W, channels) of unsigned integers."""
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", rows.shape[1], rows.shape[0], depth, color, 0, 0, 0))
    lines = b"".join(b"\0" + row.astype(f">u{depth // 8}").tobytes() for row in rows)
    return b"\x89PNG\r\n\x1a\n" + header + png_chunk(b"IDAT", zlib.compress(lines)) + png_chunk(b"IEND", b"")


def torchvision_pixels(data: bytes) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecated, but the other decoder at hand
        tensor = decode_image(torch.frombuffer(bytearray(data), dtype=torch.uint8), mode=ImageReadMode.RGB)
    if tensor.dtype == torch.uint16:
        tensor = (tensor.int() >> 8).to(torch.uint8)
    return tensor.numpy().transpose(1, 2, 0)


RGB16 = np.random.default_rng(0).integers(0, 65536, (HEIGHT, WIDTH, 3))
CMYK = np.concatenate([SMOOTH, np.full((HEIGHT, WIDTH, 1), 40, np.uint8)], -1)


@pytest.mark.parametrize(
    ("data", "most"),
    [
        pytest.param(saved(Image.fromarray(SMOOTH), "JPEG"), 0, id="JPEG"),
        pytest.param(saved(Image.fromarray(SMOOTH), "JPEG", progressive=True, subsampling=0), 0, id="progressive"),
        pytest.param(saved(Image.fromarray(SMOOTH[..., 0]), "JPEG"), 0, id="gray JPEG"),
        pytest.param(saved(Image.fromarray(CMYK, "CMYK"), "JPEG"), 1, id="CMYK JPEG"),
        pytest.param(saved(Image.fromarray(SMOOTH), "PNG"), 0, id="PNG"),
        pytest.param(png(16, 2, RGB16), 0, id="16-bit PNG"),
        pytest.param(png(16, 0, GRAY16[..., None]), 0, id="16-bit grey PNG"),
        pytest.param(saved(Image.fromarray(SMOOTH).quantize(16), "PNG"), 0, id="palette"),
        pytest.param(saved(Image.fromarray(SMOOTH[..., 0] > 99), "PNG"), 0, id="1-bit"),
        pytest.param(saved(Image.fromarray(SMOOTH), "WEBP", lossless=True), 0, id="WebP"),
        pytest.param(saved(Image.fromarray(SMOOTH), "WEBP"), 4, id="lossy WebP"),
    ],
)
def test_pixels_are_those_of_torchvision(data: bytes, most: int):
    difference = np.abs(pixels(data).astype(int) - torchvision_pixels(data))
    assert difference.max() <= most


def test_cmyk_is_inverted_as_adobe_does():
    ink = CMYK.astype(float)
    expected = (255 - ink[..., :3]) * (255 - ink[..., 3:]) / 255
    read = pixels(saved(Image.fromarray(CMYK, "CMYK"), "JPEG", quality=100, subsampling=0))
    assert np.abs(read - expected).max() <= 3


@pytest.mark.parametrize("form", ["PNG", "TIFF", "JPEG2000", "PPM"])
def test_16_bit_gray_keeps_its_upper_eight_bits(form: str):
    read = pixels(saved(Image.fromarray(GRAY16), form))
    assert np.array_equal(read, np.repeat((GRAY16 >> 8)[..., None], 3, -1))


def test_tiffs_in_which_white_is_zero():
    read = pixels(saved(Image.fromarray(GRAY16), "TIFF", tiffinfo={262: 0}))
    assert np.array_equal(read[..., 0], 255 - (GRAY16 >> 8))


def test_transparency_is_ignored():
    alpha = np.concatenate([SMOOTH, np.zeros((HEIGHT, WIDTH, 1), np.uint8)], -1)
    assert np.array_equal(pixels(saved(Image.fromarray(alpha), "PNG")), SMOOTH)
    assert np.array_equal(pixels(saved(Image.fromarray(alpha[..., 2:]), "PNG")), np.repeat(SMOOTH[..., 2:], 3, -1))


def test_avif_of_10_bits(tmp_path: Path):
    with av.open(str(tmp_path / "a.avif"), "w", format="avif") as container:
        stream = container.add_stream("libaom-av1" if "libaom-av1" in av.codecs_available else "libsvtav1", rate=1)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p10le"
        gray = np.linspace(0, 65535, 64 * 64).astype(np.uint16).reshape(64, 64, 1)
        frame = av.VideoFrame.from_ndarray(np.repeat(gray, 3, -1), format="rgb48le").reformat(format="yuv420p10le")
        frame.pts = 0
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    if hasattr(os, "sched_setscheduler"):
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))  # as in `write_video`
    read = read_frames(Row(0, str(tmp_path / "a.avif")), lambda n: np.arange(n), size=(64, 64))
    assert np.abs(read[0, 1].astype(int) - (gray[..., 0] >> 8)).max() <= 6


def with_orientation(form: str, number: object) -> bytes:
    exif = Image.Exif()
    exif[274] = number
    options = {"JPEG": {"quality": 95, "subsampling": 0}, "WEBP": {"lossless": True}}.get(form, {})
    return saved(Image.fromarray(SMOOTH), form, exif=exif, **options)


TURNED: dict[int, Callable[[np.ndarray], np.ndarray]] = {  # by EXIF: the side of the first row and of the first column
    1: lambda p: p,  # top, left
    2: lambda p: p[:, ::-1],  # top, right
    3: lambda p: p[::-1, ::-1],  # bottom, right
    4: lambda p: p[::-1],  # bottom, left
    5: lambda p: p.transpose(1, 0, 2),  # left, top
    6: lambda p: p.transpose(1, 0, 2)[:, ::-1],  # right, top
    7: lambda p: p.transpose(1, 0, 2)[::-1, ::-1],  # right, bottom
    8: lambda p: p.transpose(1, 0, 2)[::-1],  # left, bottom
}


@pytest.mark.parametrize("form", ["JPEG", "PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("number", [*TURNED, 0, 9])
def test_all_orientations(form: str, number: int):
    read = pixels(with_orientation(form, number)).astype(int)
    expected = TURNED.get(number, TURNED[1])(SMOOTH)
    assert read.shape == expected.shape
    assert np.abs(read - expected).max() <= (8 if form == "JPEG" else 0)


@pytest.mark.parametrize("damage", ["Exif\0\0", "Exif\0\0II*\0\xff\xff\xff\x7f", "Exif\0\0garbage of all kinds"])
def test_a_damaged_exif_is_ignored(damage: str):
    data = saved(Image.fromarray(SMOOTH), "JPEG", exif=damage.encode("latin-1"))
    assert np.array_equal(pixels(data), pixels(saved(Image.fromarray(SMOOTH), "JPEG")))


@pytest.mark.parametrize("form", ["GIF", "PNG", "WEBP", "TIFF", "MPO"])
def test_the_first_of_several_images_is_read(form: str, tmp_path: Path):
    first, second = (Image.fromarray(np.full((8, 8, 3), value, np.uint8)) for value in (10, 200))
    options = {"WEBP": {"lossless": True}}.get(form, {})
    (tmp_path / "a.png").write_bytes(saved(first, form, save_all=True, append_images=[second], **options))
    assert np.unique(read_image("x", (tmp_path / "a.png").read_bytes())).tolist() == [10]
    info = describe(Row(0, str(tmp_path / "a.png")))
    assert (info.frames, info.announced) == (1, 2)


def test_gif_is_a_video_of_its_frames(tmp_path: Path):
    frames = [Image.fromarray(np.full((16, 16, 3), value, np.uint8)) for value in (10, 200, 90)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:], duration=100)
    row = Row(0, str(tmp_path / "a.gif"))
    assert not is_image(row)
    read = read_frames(row, lambda n: np.arange(n), size=(16, 16))
    assert read.mean(axis=(1, 2, 3)).tolist() == [10, 200, 90]
    frames[1].save(tmp_path / "b.gif")
    read = read_frames(Row(0, str(tmp_path / "b.gif")), lambda n: np.zeros(4, int), size=(16, 16))
    assert read.shape == (4, 3, 16, 16) and np.unique(read).tolist() == [200]  # a still


LARGE = saved(Image.fromarray(np.random.default_rng(1).integers(0, 256, (200, 300, 3), dtype=np.uint8)), "JPEG")
RANDOM_PNG = saved(Image.open(io.BytesIO(LARGE)), "PNG")
HUGE = (  # a PNG that announces 1.6 billion pixels
    b"\x89PNG\r\n\x1a\n"
    + png_chunk(b"IHDR", struct.pack(">IIBBBBB", 40_000, 40_000, 8, 2, 0, 0, 0))
    + png_chunk(b"IDAT", bytes(9))
)


@pytest.mark.parametrize(
    ("data", "code", "word"),
    [
        (b"", "image.empty", ""),
        (bytes(5000), "image.wrong_type", "only zeros"),
        (b"path,label\na.jpg,x\n", "image.wrong_type", "text"),
        (b"<!DOCTYPE html><p>Not found", "image.wrong_type", "web page"),
        (b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"/>', "image.wrong_type", "SVG"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "image.unsupported_format", "HEIF"),
        (b"\xff\x0a\xfa\x7f", "image.unsupported_format", "JPEG XL"),
        (b"\0\0\0\x0cJXL \r\n\x87\n", "image.unsupported_format", "JPEG XL"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n", "image.unsupported_format", "PostScript"),
        (b"\0\0\0\x18ftypisom", "image.wrong_type", "video (MP4 or QuickTime)"),
        (b"\x93NUMPY\x01\0\xff\xfe", "image.wrong_type", "NumPy"),
        (b"\x93\x01\0\xff\xfe", "image.wrong_type", "unknown"),
        (LARGE[: len(LARGE) // 2], "image.truncated", "JPEG"),
        (LARGE[:-2], "image.truncated", "JPEG"),
        (RANDOM_PNG[: len(RANDOM_PNG) // 2], "image.truncated", "PNG"),
        (RANDOM_PNG[:20], "image.truncated", "PNG"),
        (RANDOM_PNG[:8] + bytes(99), "image.damaged", "PNG"),
        (saved(Image.fromarray(SMOOTH), "WEBP")[:-30], "image.damaged", "WebP"),
        (saved(Image.fromarray(GRAY16.astype(np.float32)), "TIFF"), "image.unsupported_pixels", "floating-point"),
        (saved(Image.fromarray(GRAY16.astype(np.int32)), "TIFF"), "image.unsupported_pixels", "32-bit"),
        (HUGE, "image.too_large", "110000000 pixels"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
@pytest.mark.parametrize("lenient", [False, True])
def test_refused_files_have_a_reason(data: bytes, code: str, word: str, lenient: bool, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", lenient)
    with pytest.raises(DecodeError) as caught:
        read_image("x", data)
    assert caught.value.code == code
    assert word in caught.value.reason
    assert lenient == ImageFile.LOAD_TRUNCATED_IMAGES


def test_images_over_the_pixel_limit_are_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(image_module, "MAX_PIXELS", 100)
    assert read_image("x", saved(Image.new("RGB", (10, 10)), "PNG")).shape == (1, 3, 10, 10)
    with pytest.raises(DecodeError, match="11 × 10 pixels") as caught:
        read_image("x", saved(Image.new("RGB", (11, 10)), "PNG"))
    assert caught.value.code == "image.too_large"


def test_formats_whose_decoders_take_more_memory_have_lower_limits(monkeypatch: pytest.MonkeyPatch):
    """38 bytes of WebP took 1.7 GB, 4 kB of JPEG 2000 took 2 GB."""
    monkeypatch.setattr(image_module, "MAX_OF", {"WEBP": 100, "JPEG2000": 100})
    for form in ("WEBP", "JPEG2000"):
        assert read_image("x", saved(Image.new("RGB", (10, 10)), form)).shape == (1, 3, 10, 10)
        with pytest.raises(DecodeError, match="limit is 100") as caught:
            read_image("x", saved(Image.new("RGB", (11, 10)), form))
        assert caught.value.code == "image.too_large"
    assert read_image("x", saved(Image.new("RGB", (11, 10)), "PNG")).shape == (1, 3, 10, 11)


def test_large_images_that_are_converted_and_rotated_are_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(image_module, "MAX_CONVERTED", 100)
    exif = Image.Exif()
    exif[274] = 6
    for mode, size, turned, fine in (
        ("CMYK", (10, 10), True, True),
        ("CMYK", (11, 10), True, False),
        ("CMYK", (11, 10), False, True),
        ("RGB", (11, 10), True, True),
    ):
        data = saved(Image.new(mode, size), "JPEG", **({"exif": exif} if turned else {}))
        if fine:
            assert read_image("x", data).shape == ((1, 3, size[0], size[1]) if turned else (1, 3, size[1], size[0]))
        else:
            with pytest.raises(DecodeError, match="rotated image in CMYK") as caught:
                read_image("x", data)
            assert caught.value.code == "image.too_large"


def test_files_over_the_size_limit_are_refused(tmp_path: Path):
    with open(tmp_path / "a.jpg", "wb") as file:
        file.truncate(2**40)  # sparse
    with pytest.raises(DecodeError, match="1099511627776 bytes") as caught:
        read_frames(Row(0, str(tmp_path / "a.jpg")), lambda n: np.arange(n), size=8)
    assert caught.value.code == "image.too_large"


def test_the_format_is_recognized_by_content():
    assert np.array_equal(read_image("a.jpg", saved(Image.fromarray(SMOOTH), "PNG"))[0].transpose(1, 2, 0), SMOOTH)


@pytest.mark.parametrize("shape", [(1, 5000), (5000, 1), (1, 1)])
def test_the_aspect_ratio_is_limited(shape: tuple[int, int]):
    data = saved(Image.new("RGB", shape[::-1], (1, 2, 3)), "PNG")
    frames = read_image("x", data, size=16)
    assert min(frames.shape[2:]) == 16 and max(frames.shape[2:]) <= 128


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_damage_is_a_decode_error_or_an_image_and_never_a_warning(data: st.DataObject):
    form = data.draw(st.sampled_from(["JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP", "JPEG2000", "AVIF", "PPM"]))
    content = bytearray(INTACT[form])
    for _ in range(data.draw(st.integers(1, 8))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with suppress(DecodeError):
            assert read_image("x", bytes(content)).shape[:2] == (1, 3)


EXIF = Image.Exif()
EXIF[274], EXIF[271] = 6, "a camera"
FORMATS = ["JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP", "JPEG2000", "AVIF", "PPM"]
INTACT = {
    form: saved(Image.fromarray(SMOOTH), form, **({"exif": EXIF} if form in ("JPEG", "PNG", "TIFF", "WEBP") else {}))
    for form in FORMATS
}


def test_odd_real_images(real_data: Path):
    images = [file for file in sorted((real_data / "odd").rglob("*")) if is_image(Row(0, str(file)))]
    found = {}
    for file in images:
        try:
            info = describe(Row(0, str(file)))
            found[file.name] = f"{info.codec} {info.width}×{info.height}"
        except DecodeError as error:
            found[file.name] = error.code
    assert found["fixture.jpg"] == "jpeg 200×133" and found["fixture-itxt.png"] == "png 200×133"
    assert found["heif.heif"] == "image.unsupported_format"
    assert found["fixture-json.webp"] == "image.wrong_type"
    assert found["fixture-corrupt.png"] == "image.damaged"
