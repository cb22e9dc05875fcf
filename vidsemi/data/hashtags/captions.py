"""Columns of captions: sentences with hashtags in them, of which only the words behind a `#` are tags."""

from array import array
from collections.abc import Iterable

from vidsemi.data.hashtags.normalize import Reading, join_tags, read_text, split_tags, unique_tags

CAPTION_RATE = 0.01  # captions with hashtags among texts that may be captions; a stray sentence among tags is rarer


class TagColumn:
    """The tags of a column of texts, as they are written to the column `hashtags` of a manifest.

    A text such as `we ate pizza` may be tags or a caption. The other rows decide: if enough of them are certainly
    captions, because they have words beside their hashtags, the column is one of captions.
    """

    def __init__(self) -> None:
        self.captions = 0  # rows of which only the words behind a `#` are tags
        self._unsure = 0  # rows that are tags, or captions if the column is one of captions
        self._rows = array("q")  # those of them that are in the manifest
        self._hashtags: dict[int, list[str]] = {}  # the tags that they have as captions, if any
        self._last: str | None = None  # the field that was read last, if it is unsure

    def read(self, field: str | Iterable[str] | None) -> list[str]:
        """The canonical tags of the next row."""
        self._last = None
        if not isinstance(field, str):
            return split_tags(field)
        tags, reading = read_text(field)
        self.captions += reading is Reading.CAPTION
        if reading is Reading.WORDS:
            self._unsure += 1
            self._last = field
        return unique_tags(tags)

    def keep(self, row: int) -> None:
        """The row that was read last becomes this row of the manifest; `settle` may take its tags back."""
        if self._last is not None:
            self._rows.append(row)
            if tags := unique_tags(read_text(self._last, in_captions=True)[0]):
                self._hashtags[row] = tags

    def settle(self, hashtags: list[str | None]) -> list[int]:
        """If the column is one of captions, correct the tags of the rows that were unsure; return these rows."""
        if self.captions == 0 or self.captions < CAPTION_RATE * self._unsure:
            return []
        for row in self._rows:
            hashtags[row] = join_tags(self._hashtags.get(row, [])) or None
        self.captions += self._unsure
        return self._rows.tolist()
