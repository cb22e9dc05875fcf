"""What the content of a file is that is no image that can be read, in plain words."""

SIGNATURES = {  # how files begin
    b"\xff\xd8\xff": "JPEG",
    b"\x89PNG": "PNG",
    b"GIF8": "GIF",
    b"BM": "BMP",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"\0\0\0\x0cjP  ": "JPEG 2000",
    b"\xff\x4f\xff\x51": "JPEG 2000",
    b"\xff\x0a": "JPEG XL",
    b"\0\0\0\x0cJXL ": "JPEG XL",
    b"8BPS": "Photoshop",
    b"%PDF": "PDF",
    b"%!PS": "PostScript",
    b"\x1a\x45\xdf\xa3": "Matroska or WebM",
    b"FLV": "Flash video",
}
BRANDS = {b"avif": "AVIF", b"avis": "AVIF"}  # of ISO files, at byte 8
HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
RIFF = {b"WEBP": "WebP", b"AVI ": "AVI"}
READ = {"JPEG", "PNG", "GIF", "BMP", "TIFF", "JPEG 2000", "AVIF", "WebP"}
VIDEO = {"Matroska or WebM", "Flash video", "AVI", "MP4 or QuickTime"}
TEXTS = ((b"<svg", "SVG"), (b"<!doctype html", "a web page"), (b"<html", "a web page"))
HEAD = 1024  # bytes in which a text says what it is


def kind_of(data: bytes) -> str | None:
    """The format of a file's content by its first bytes; None if they are not known.

    >>> kind_of(b"RIFF1234WEBPVP8 "), kind_of(b"....ftypheic"), kind_of(b"....ftypisom"), kind_of(b"path,label")
    ('WebP', 'HEIF', 'MP4 or QuickTime', None)
    """
    if data[4:8] == b"ftyp":
        return "HEIF" if data[8:12] in HEIF_BRANDS else BRANDS.get(data[8:12], "MP4 or QuickTime")
    if data[:4] == b"RIFF":
        return RIFF.get(data[8:12])
    return next((kind for begin, kind in SIGNATURES.items() if data.startswith(begin)), None)


def what_it_is(data: bytes) -> str:
    """Why a content is no image that can be read, as it follows a file's name."""
    if not data:
        return "is empty"
    kind = kind_of(data)
    if kind in READ:
        return f"is a damaged {kind}, or of a kind that is not read here"
    if kind in VIDEO:
        return f"has the name of an image and is a video ({kind})"
    if kind:
        return f"is {kind}, which is not read: convert it, to PNG say"
    if data.count(0) == len(data):
        return "has nothing but zeros in it"
    head = data[:HEAD].lower()
    for word, text in TEXTS:
        if word in head:
            return f"has the name of an image and is {text}"
    if all(byte >= 32 or byte in b"\t\n\r" for byte in head):
        return "has the name of an image and is a text"
    return "is no image of a known kind"
