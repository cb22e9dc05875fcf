"""What a file is by its first bytes, so that a web page under a video's name is called a web page."""

import codecs
import re
from dataclasses import dataclass
from typing import Literal

Family = Literal["video", "picture", "sound", "archive", "document"]
HEAD = 4096  # bytes to look at


@dataclass(frozen=True)
class Kind:
    """A file format."""

    family: Family
    name: str  # such as "JPEG"; a document's has an article

    def __str__(self) -> str:
        if self.family == "document":
            return self.name
        article = {"sound": "", "archive": "an "}.get(self.family, "a ")
        return f"{article}{self.family} ({self.name})"


Signature = tuple[int, bytes, Family, str]  # offset, bytes there, and what it is then
SIGNATURES: tuple[Signature, ...] = (
    (0, b"\xff\xd8\xff", "picture", "JPEG"),
    (0, b"\x89PNG", "picture", "PNG"),
    (0, b"GIF8", "picture", "GIF"),
    (8, b"WEBP", "picture", "WebP"),
    (0, b"BM", "picture", "BMP"),
    (0, b"II*\0", "picture", "TIFF"),
    (0, b"MM\0*", "picture", "TIFF"),
    (0, b"\0\0\0\x0cjP  ", "picture", "JPEG 2000"),
    (0, b"\xff\x4f\xff\x51", "picture", "JPEG 2000"),
    (0, b"\xff\x0a", "picture", "JPEG XL"),
    (0, b"\0\0\0\x0cJXL ", "picture", "JPEG XL"),
    (0, b"8BPS", "picture", "Photoshop"),
    (0, b"\0\0\1\0", "picture", "ICO"),
    (0, b"\x76\x2f\x31\x01", "picture", "OpenEXR"),
    (0, b"qoif", "picture", "QOI"),
    *((0, b"P%c%c" % (number, end), "picture", "PNM") for number in b"123456" for end in b"\n "),
    (0, b"\x1a\x45\xdf\xa3", "video", "Matroska or WebM"),
    (0, b"FLV", "video", "Flash video"),
    (8, b"AVI ", "video", "AVI"),
    (0, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "video", "Windows Media"),
    (0, b"\0\0\1\xba", "video", "MPEG"),
    (0, b"\0\0\1\xb3", "video", "MPEG"),
    (0, b".RMF", "video", "RealMedia"),
    (0, b"\x06\x0e\x2b\x34", "video", "MXF"),
    (0, b"DKIF", "video", "IVF"),
    (0, b"YUV4MPEG2", "video", "YUV4MPEG2"),
    (0, b"OggS", "video", "Ogg"),
    (0, b"ID3", "sound", "MP3"),
    (0, b"\xff\xfb", "sound", "MP3"),
    (0, b"\xff\xfa", "sound", "MP3"),
    (0, b"\xff\xf3", "sound", "MP3"),
    (0, b"\xff\xf2", "sound", "MP3"),
    (0, b"\xff\xe3", "sound", "MP3"),
    (0, b"\xff\xe2", "sound", "MP3"),
    (0, b"\xff\xf1", "sound", "AAC"),
    (0, b"\xff\xf9", "sound", "AAC"),
    (8, b"WAVE", "sound", "WAV"),
    (0, b"fLaC", "sound", "FLAC"),
    (8, b"AIFF", "sound", "AIFF"),
    (8, b"AIFC", "sound", "AIFF"),
    (0, b"MThd", "sound", "MIDI"),
    (0, b"#!AMR", "sound", "AMR"),
    (0, b".snd", "sound", "AU"),
    (0, b"caff", "sound", "CAF"),
    (0, b"wvpk", "sound", "WavPack"),
    (0, b"MAC ", "sound", "Monkey's Audio"),
    (0, b"\x1f\x8b", "archive", "gzip"),
    (0, b"PK\3\4", "archive", "zip"),
    (0, b"PK\5\6", "archive", "zip"),
    (0, b"BZh", "archive", "bzip2"),
    (0, b"\xfd7zXZ\0", "archive", "xz"),
    (0, b"\x28\xb5\x2f\xfd", "archive", "Zstandard"),
    (0, b"7z\xbc\xaf\x27\x1c", "archive", "7z"),
    (0, b"Rar!\x1a\x07", "archive", "RAR"),
    (0, b"\x04\x22\x4d\x18", "archive", "LZ4"),
    (257, b"ustar", "archive", "tar"),
    (0, b"%PDF", "document", "PDF"),
    (0, b"%!PS", "document", "PostScript"),
    (0, b"\x7fELF", "document", "a program"),
    (0, b"MZ", "document", "a Windows program"),
    (0, b"\x93NUMPY", "document", "a NumPy array"),
    (0, b"\x89HDF", "document", "HDF5"),
    (0, b"PAR1", "document", "Parquet"),
    (0, b"SQLite format 3\0", "document", "a SQLite database"),
    (0, b"d8:announce", "document", "a BitTorrent file"),
)

HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
BRANDS: dict[bytes, Kind] = {  # of ISO media files, whose first box is `ftyp`; any other is a video
    **dict.fromkeys(HEIF_BRANDS, Kind("picture", "HEIF")),
    **dict.fromkeys((b"avif", b"avis"), Kind("picture", "AVIF")),
    **dict.fromkeys((b"M4A ", b"M4B "), Kind("sound", "M4A")),
}
MP4 = Kind("video", "MP4 or QuickTime")
MP4_BOXES = (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot", b"styp", b"moof")  # one is the first

GIT_LFS = Kind("document", "a Git LFS pointer")
TEXTS = (  # how texts begin, in lower case and without white space before
    (r"version https://git-lfs\.github\.com/spec/", GIT_LFS),
    (r"#extm3u|\[playlist\]|ffconcat|<asx|<smil|rtsptext|v=0\s+o=", Kind("document", "a playlist")),
    (r"(<\?xml[^>]*>\s*|<!--.*?-->\s*)*<(mpd|playlist|compositionplaylist|smil|asx)\b", Kind("document", "a playlist")),
    (r"(<\?xml[^>]*>\s*|<!--.*?-->\s*|<!doctype svg[^>]*>\s*)*<svg\b", Kind("document", "SVG")),
    (r"(<\?xml[^>]*>\s*|<!--.*?-->\s*)*<(!doctype html|html|head|body)\b", Kind("document", "a web page")),
    (r"<\?xml|<error>", Kind("document", "XML, such as a server's error message")),
    (r"webvtt|\[script info\]|\d+\s*\n\d+:\d\d:\d\d", Kind("document", "subtitles")),
    (r"[a-z0-9+]+://\S+\s*$|\[internetshortcut\]", Kind("document", "an address")),
    (r"\{\s*[\"}]|\[\s*[\[{\"\d\]]", Kind("document", "JSON, such as a server's error message")),
    (r"#!", Kind("document", "a script")),
)
TEXT = Kind("document", "text")


def kind_of(head: bytes) -> Kind | None:
    """What a file is by its first `HEAD` bytes; None if that is not known.

    >>> [str(kind_of(head)) for head in (b"RIFF1234WEBPVP8 ", b"....ftypheic", b"....ftypisom", b"fLaC", b"a,b")]
    ['a picture (WebP)', 'a picture (HEIF)', 'a video (MP4 or QuickTime)', 'sound (FLAC)', 'text']
    """
    head = head[:HEAD]
    if head[4:8] == b"ftyp":
        return BRANDS.get(head[8:12], MP4)
    for offset, magic, family, name in SIGNATURES:
        if head.startswith(magic, offset) and not (offset == 8 and head[:4] not in (b"RIFF", b"FORM")):
            return Kind(family, name)
    if head[4:8] in MP4_BOXES:
        return MP4
    if any(head[first : first + 377 : 188] == b"GGG" for first in (0, 4)) or head[4:401:192] == b"GGG":
        return Kind("video", "MPEG-TS")
    return _text_kind(head)


def _text_kind(head: bytes) -> Kind | None:
    text = _text(head)
    if text is None or not (text := text.strip("\ufeff \t\r\n\f").lower()):
        return None
    return next((kind for begin, kind in TEXTS if re.match(begin, text, re.DOTALL)), TEXT)


def _text(head: bytes) -> str | None:
    """The beginning of a text in UTF-8 or UTF-16, or in another encoding if half of it is ASCII; None if it is none."""
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return head.decode("utf-16", "replace")
    if any(byte < 32 and byte not in b"\t\n\r\f" for byte in head):
        return None
    try:
        return codecs.getincrementaldecoder("utf-8")().decode(head)  # which may end within a character
    except UnicodeDecodeError:
        return head.decode("latin-1") if 2 * sum(byte < 128 for byte in head) >= len(head) else None
