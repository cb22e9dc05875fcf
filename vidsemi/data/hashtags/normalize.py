"""Normalize hashtags, so that all ways to write a tag compare equal. Tags are untrusted text and only ever compared."""

import re
import unicodedata
from collections.abc import Iterable
from enum import Enum
from urllib.parse import unquote_plus

from vidsemi.io.errors import UserError
from vidsemi.io.store import Place

# Marks and letters that are invisible or not typed on purpose: variation selectors, fillers, the Arabic tatweel,
# enclosing marks; and the dot that lower-casing leaves above a Turkish İ.
UNSEEN = re.compile(
    "[\u0640\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u20dd-\u20e4\ufe00-\ufe0f\U000e0100-\U000e01ef]"
)
DOTS = re.compile("(?<=i)\u0307+")
CACHE_SIZE = 1 << 20  # tags
SEPARATORS = str.maketrans("＃，、،；؛｜", "#,,,,,|")  # full-width forms and those of other scripts
# A hashtag in a caption, up to a space or punctuation mark; `&#39;` is an apostrophe in HTML.
HASHTAG = re.compile(r"""(?<!&)#([^]\s#,;|.!?:/()[{}"<>@&…。！？：（）「」『』]+)""")
ADDRESS = re.compile(r"\S+://\S+")  # the # in an address does not start a hashtag


def canonical(tag: str) -> str:
    """The canonical form of a tag; empty if nothing is left.

    Decodes URL encoding (`canon+powershot`, `%23caf%C3%A9`), folds compatibility forms and case (NFKC), and keeps only
    letters, marks and numbers of any script. That removes `#`, spaces, `_`, `-`, other punctuation, emoji with their
    modifiers, and invisible joiners, but keeps the vowel signs that Devanagari and Thai need.

    >>> canonical("#Catching_a Fish!")
    'catchingafish'
    """
    if tag.isascii() and tag.isalnum():  # most tags are plain words: a tenth of the time
        return tag.lower()
    folded = _nfkc(_nfkc(unquote_plus(tag)).casefold())
    kept = "".join(letter for letter in folded if unicodedata.category(letter)[0] in "LMN")
    return _nfkc(DOTS.sub("", UNSEEN.sub("", kept)))


def _nfkc(text: str) -> str:
    return unicodedata.normalize("NFKC", text)


class _CanonicalCache(dict[str, str]):
    """Raw tag → canonical form, computed on first access.

    A dict that is cleared when full is faster than an lru_cache, which maintains an order: a million rows of five tags
    took 6.9 s instead of 8.5.
    """

    def __missing__(self, tag: str) -> str:
        if len(self) >= CACHE_SIZE:
            self.clear()
        form = self[tag] = canonical(tag)
        return form


_CANONICAL = _CanonicalCache()


class Reading(Enum):
    """What a text is."""

    TAGS = "tags"  # nothing but tags, marked by `#` or parted by `|`
    WORDS = "words"  # tags, unless the text is from a column of captions
    CAPTION = "caption"  # a sentence, in which only the words behind a `#` are tags


def read_text(text: str, *, in_captions: bool = False) -> tuple[list[str], Reading]:
    """Split a text into tags as written, some of which may be empty, and tell how it was read.

    Commas, semicolons and `|` part tags, which may then contain spaces (`new york, catching fish`, `new york|fish`);
    without them, spaces do (`#a #b`, `#a#b`, `a b`). But a text is a caption if words precede a `#` (`we ate #pizza,
    great`), or without separators if any word has no `#` (`#surfing today`). From a column of captions (`in_captions`),
    a text is a caption unless it has a `|`, is a list in brackets, or has only tags with a `#`.
    """
    if not text.isascii():
        text = text.translate(SEPARATORS)
    parted = "," in text or ";" in text
    is_list = "|" in text or (text[:1] == "[" and text.rstrip()[-1:] == "]")  # no sentence
    parted = parted or is_list
    pieces = text.replace(";", ",").replace("|", ",").split(",") if parted else text.split()
    if "#" not in text:
        if is_list or not pieces:
            return pieces, Reading.TAGS
        return ([], Reading.CAPTION) if in_captions else (pieces, Reading.WORDS)
    if not parted and len(pieces) == text.count(" #") + text.startswith("#"):  # most texts: every word begins with #
        return text.replace("#", " ").split(), Reading.TAGS
    bare = any("#" not in piece and _has_words(piece) for piece in pieces)
    mixed = any(_has_words(piece[: piece.index("#")]) for piece in pieces if "#" in piece)
    if mixed or (bare and not is_list and (in_captions or not parted)):
        return HASHTAG.findall(ADDRESS.sub(" ", text)), Reading.CAPTION
    tags = [tag for piece in pieces for tag in piece.split("#")]
    return tags, Reading.WORDS if bare and not is_list else Reading.TAGS


def _has_words(text: str) -> bool:
    return any(map(str.isalnum, text))


def raw_tags(field: str | Iterable[str] | None) -> list[str]:
    """Split a field, a list of tags or text (see `read_text`), into tags as written; some may be empty.

    An item of a list is one tag, which may contain spaces, or several with `#` or `|`; or it is a caption.
    """
    if field is None:
        return []
    if isinstance(field, str):
        return read_text(field)[0]
    return [tag for item in field for tag in _item_tags(item.translate(SEPARATORS))]


def _item_tags(item: str) -> list[str]:
    if "#" in item and _has_words(item[: item.index("#")]):
        return read_text(item)[0]
    return item.replace("|", "#").split("#")


def split_tags(field: str | Iterable[str] | None) -> list[str]:
    """The distinct canonical tags of a field, in order of first appearance; see `raw_tags`."""
    return unique_tags(raw_tags(field))


def unique_tags(tags: Iterable[str]) -> list[str]:
    """The distinct canonical forms of tags, in order of first appearance."""
    return list(dict.fromkeys(filter(None, map(_CANONICAL.__getitem__, filter(None, tags)))))


def canonical_forms(tags: Iterable[str]) -> list[str]:
    """The canonical form of each tag; empty if nothing is left."""
    return list(map(_CANONICAL.__getitem__, tags))


def join_tags(tags: Iterable[str]) -> str:
    """Canonical tags as the manifest's column `hashtags` stores them: `#a #b`."""
    return " #".join(["", *tags])[1:]


def require_hashtags(file: Place, columns: Iterable[str], needed_by: str) -> None:
    """Raise a UserError if a manifest has no column `hashtags`; `needed_by` names what needs it."""
    if "hashtags" not in columns:
        raise UserError(
            "manifest.missing_hashtags",
            f"{file} has no column 'hashtags', which {needed_by} needs (see docs/guides/hashtags.md)",
        )
