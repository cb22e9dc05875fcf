"""Hashtags as people write them → one canonical form a tag. They are text from strangers, and only ever compared."""

import re
import unicodedata
from collections.abc import Iterable
from urllib.parse import unquote_plus

from vidsemi.data.manifest import Manifest
from vidsemi.io.errors import UserError

# Marks and letters that nobody sees or types on purpose: what makes an emoji of a sign, fillers, the Arabic stretching
# dash, signs around a digit; and the dot that lower case leaves above a Turkish İ.
UNSEEN = re.compile(
    "[\u0640\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u20dd-\u20e4\ufe00-\ufe0f\U000e0100-\U000e01ef]"
)
DOTS = re.compile("(?<=i)\u0307+")
REMEMBERED = 1 << 20  # spellings
SEPARATORS = str.maketrans("＃，、،；؛", "#,,,,,")  # the same in wider type and in other scripts


def canonical(tag: str) -> str:
    """One form for all spellings of a tag; empty where nothing is left.

    URL encoding is undone (`canon+powershot`, `%23caf%C3%A9`), compatibility forms and cases are folded (NFKC), and of
    what remains only letters, marks and numbers of any script are kept: so `#`, spaces, `_`, `-`, other punctuation,
    emoji with all that belongs to them, and invisible joiners go, while the vowel signs that Devanagari or Thai are not
    readable without stay.
    """
    if tag.isascii() and tag.isalnum():  # most tags are plain words: a tenth of the time
        return tag.lower()
    folded = _nfkc(_nfkc(unquote_plus(tag)).casefold())
    kept = "".join(letter for letter in folded if unicodedata.category(letter)[0] in "LMN")
    return _nfkc(DOTS.sub("", UNSEEN.sub("", kept)))


def _nfkc(text: str) -> str:
    return unicodedata.normalize("NFKC", text)


class _Forms(dict[str, str]):
    """Canonical forms by spelling, worked out where they are asked for the first time.

    A dict that is emptied when full costs less than an lru_cache, which keeps an order: a million rows of five tags
    were read in 6.9 s instead of 8.5.
    """

    def __missing__(self, tag: str) -> str:
        if len(self) >= REMEMBERED:
            self.clear()
        form = self[tag] = canonical(tag)
        return form


_FORMS = _Forms()


def raw_tags(field: str | Iterable[str] | None) -> list[str]:
    """The tags of an example as they were written, perhaps with empty texts among them.

    Args:
        field: a list of tags, or text: `#a #b`, `#a#b`, `a b`, or where it has commas or semicolons, parts between
            these, which may have spaces (`new york, catching fish`). None for no tags.
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
    """The distinct tags of an example in canonical form, in the order in which they first stand; see `raw_tags`."""
    return list(dict.fromkeys(filter(None, map(_FORMS.__getitem__, filter(None, raw_tags(field))))))


def join_tags(tags: Iterable[str]) -> str:
    """Canonical tags as a manifest's column `hashtags` holds them: `#a #b`."""
    return " #".join(["", *tags])[1:]


def need_hashtags(manifest: Manifest, what: str) -> None:
    """Refuse a manifest without hashtags; `what` says who needs them."""
    if "hashtags" not in manifest.table.column_names:
        raise UserError(f"{manifest.file} has no column 'hashtags', which {what} needs")
