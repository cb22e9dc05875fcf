"""What a file is by its first bytes."""

import bz2
import gzip
import io
import itertools
import lzma
import tarfile
import wave
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from vidsemi.data.file_kind import HEAD, kind_of


def picture(form: str) -> bytes:
    content = io.BytesIO()
    Image.new("RGB", (16, 12), "red").save(content, form)
    return content.getvalue()


def sound() -> bytes:
    content = io.BytesIO()
    with wave.open(content, "wb") as file:
        file.setnchannels(1), file.setsampwidth(2), file.setframerate(8000)
        file.writeframes(bytes(100))
    return content.getvalue()


def zipped() -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as file:
        file.writestr("a.txt", "a")
    return content.getvalue()


def tarred() -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as file:
        file.addfile(tarfile.TarInfo("a.mp4"))
    return content.getvalue()


PICTURES = {"JPEG": "JPEG", "PNG": "PNG", "GIF": "GIF", "BMP": "BMP", "TIFF": "TIFF", "WEBP": "WebP", "PPM": "PNM"}
PICTURES |= {"AVIF": "AVIF", "JPEG2000": "JPEG 2000", "ICO": "ICO"}
XML = b"<?xml version='1.0' encoding='UTF-8'?>\n"


@pytest.mark.parametrize("form", PICTURES)
def test_pictures(form: str):
    assert str(kind_of(picture(form))) == f"a picture ({PICTURES[form]})"


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (sound(), "sound (WAV)"),
        (b"ID3\4\0\0\0\0\0\0", "sound (MP3)"),
        (b"\xff\xfb\x90\x64\0\0", "sound (MP3)"),
        (b"fLaC\0\0\0\x22", "sound (FLAC)"),
        (b"FORM\0\0\0\0AIFF", "sound (AIFF)"),
        (b"\0\0\0\x20ftypM4A \0\0\0\0", "sound (M4A)"),
        (gzip.compress(b"a"), "an archive (gzip)"),
        (bz2.compress(b"a"), "an archive (bzip2)"),
        (lzma.compress(b"a"), "an archive (xz)"),
        (zipped(), "an archive (zip)"),
        (tarred(), "an archive (tar)"),
        (b"\0\0\0\x18ftypheic\0\0\0\0", "a picture (HEIF)"),
        (b"RIFF\0\0\0\0AVI LIST", "a video (AVI)"),
        (b"\0\0\0\0mdat", "a video (MP4 or QuickTime)"),
        (b"%PDF-1.7\n", "PDF"),
        (b"\x7fELF\2\1\1\0", "a program"),
        (b"<!DOCTYPE html>\n<html>", "a web page"),
        (b"\n\n<HTML lang=de>", "a web page"),
        (XML + b"<!DOCTYPE html PUBLIC 'x'><html>", "a web page"),
        ("\ufeff<html>".encode("utf-16"), "a web page"),
        (XML + b"<Error><Code>AccessDenied</Code></Error>", "XML, such as a server's error message"),
        (b'{"error": {"code": 403}}', "JSON, such as a server's error message"),
        (b'[\n {"a": 1}]', "JSON, such as a server's error message"),
        (b"[section]\nkey=value\n", "text"),
        (XML + b"<svg xmlns='http://www.w3.org/2000/svg'/>", "SVG"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n", "a Git LFS pointer"),
        (b"#EXTM3U\n#EXTINF:9,\na.ts\n", "a playlist"),
        (XML + b"<MPD xmlns='urn:mpeg:dash:schema:mpd:2011'>", "a playlist"),
        (b"ffconcat version 1.0\nfile 'a.mp4'\n", "a playlist"),
        (b"v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\n", "a playlist"),
        (b"https://www.example.org/watch?v=abc\n", "an address"),
        (b"[InternetShortcut]\nURL=http://a\n", "an address"),
        (b"1\n00:00:00,000 --> 00:00:01,000\nHi\n", "subtitles"),
        (b"WEBVTT\n", "subtitles"),
        ("Für später\n".encode(), "text"),
        ("Für später\n".encode("latin-1"), "text"),
        ("Это текст, и ничего больше. 本文です".encode()[:-1], "text"),
        (b"a,b\n1,2\n", "text"),
    ],
    ids=itertools.count(),  # the content of archives has the time of day in it
)
def test_other_kinds(content: bytes, kind: str):
    assert str(kind_of(content)) == kind


@pytest.mark.parametrize("content", [b"", bytes(100), b"\x01\x02\x03\x04" * 50, b" \n", b"\x1b[2J", b"\xff" * 99])
def test_what_is_not_known(content: bytes):
    assert kind_of(content) is None


VIDEOS = {
    "a.mp4": ("libx264", "MP4 or QuickTime"),
    "a.mov": ("libx264", "MP4 or QuickTime"),
    "a.mkv": ("libx264", "Matroska or WebM"),
    "a.avi": ("mpeg4", "AVI"),
    "a.ts": ("libx264", "MPEG-TS"),
    "a.m2ts": ("libx264", "MPEG-TS"),
    "a.mpg": ("mpeg2video", "MPEG"),
    "a.flv": ("flv", "Flash video"),
    "a.wmv": ("wmv2", "Windows Media"),
    "a.rm": ("rv20", "RealMedia"),
}


@pytest.mark.parametrize("name", VIDEOS)
def test_videos(make_video: Callable[..., Path], name: str):
    codec, kind = VIDEOS[name]
    file = make_video(name, codec=codec, bf=0, rate=25, size=(96, 128))
    assert str(kind_of(file.read_bytes())) == f"a video ({kind})"


@given(st.binary(max_size=300), st.sampled_from([b"", b"RIFF", b"\xff\xfe", b"<", b"{", b"#", b"ftyp", b"G"]))
def test_any_bytes_have_a_kind_or_none_and_only_the_head_counts(content: bytes, begin: bytes):
    head = (begin + content).ljust(HEAD, b"\0")
    assert kind_of(head) == kind_of(head + b"<html>")
    kind_of(begin + content)
