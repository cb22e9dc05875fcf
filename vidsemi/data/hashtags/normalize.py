"""Normalize hashtags, so that all ways to write a tag compare equal. Tags are untrusted text and only ever compared."""

import re
import unicodedata
from collections.abc import Iterable
from typing import TYPE_CHECKING
from urllib.parse import unquote_plus

from vidsemi.io.errors import UserError

if TYPE_CHECKING:
    from vidsemi.data.manifest import Manifest

# Marks and letters that are invisible or not typed on purpose: variation selectors, fillers, the Arabic tatweel,
# enclosing marks; and the dot that lower-casing leaves above a Turkish İ.
UNSEEN = re.compile(
    "[\u0640\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u20dd-\u20e4\ufe00-\ufe0f\U000e0100-\U000e01ef]"
)
DOTS = re.compile("(?<=i)\u0307+")
CACHE_SIZE = 1 << 20  # tags
SEPARATORS = str.maketrans("＃，、،；؛", "#,,,,,")  # full-width forms and those of other scripts


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


def raw_tags(field: str | Iterable[str] | None) -> list[str]:
    """Split a field, a list of tags or text (`#a #b`, `#a#b`, `a b`), into tags as written; some may be empty.

    Commas or semicolons in a text separate its tags, which may then contain spaces (`new york, catching fish`).
    """
    if field is None:
        return []
    if not isinstance(field, str):
        return [piece for part in field for piece in part.replace("＃", "#").split("#")]
    if not field.isascii():
        field = field.translate(SEPARATORS)
    commas = field.replace(";", ",")
    if "," in commas or (field[:1] == "[" and field.rstrip()[-1:] == "]"):  # the latter is a list, perhaps of one
        return commas.replace("#", ",").split(",")
    return field.replace("#", " ").split()


def split_tags(field: str | Iterable[str] | None) -> list[str]:
    """The distinct canonical tags of a field, in order of first appearance; see `raw_tags`."""
    return list(dict.fromkeys(filter(None, map(_CANONICAL.__getitem__, filter(None, raw_tags(field))))))


def join_tags(tags: Iterable[str]) -> str:
    """Canonical tags as the manifest's column `hashtags` stores them: `#a #b`."""
    return " #".join(["", *tags])[1:]


def require_hashtags(manifest: "Manifest", needed_by: str) -> None:
    """Raise a UserError if the manifest has no column `hashtags`; `needed_by` names what needs it."""
    if "hashtags" not in manifest.table.column_names:
        raise UserError(
            "manifest.missing_hashtags",
            f"{manifest.file} has no column 'hashtags', which {needed_by} needs (see docs/hashtags.md)",
        )
