"""Columns of captions: sentences with hashtags in them, of which only the words behind a `#` are tags."""

from array import array
from collections.abc import Iterable

from vidsemi.data.hashtags.normalize import Reading, join_tags, read_text, split_tags, unique_tags


class TagColumn:
    """The tags of a column of texts, as they are written to the column `hashtags` of a manifest.

    A text such as `we ate pizza` may be tags or a caption. That is decided by the other rows: if one of them is
    certainly a caption, because it has words beside its hashtags, the column is one of captions.
    """

    def __init__(self) -> None:
        self.captions = 0  # rows of which only the words behind a `#` are tags
        self._words = array("q")  # rows that are captions if the column turns out to be one of captions
        self._hashtags: dict[int, list[str]] = {}  # the tags that they have then, if any
        self._as_caption: list[str] | None = None  # those of the row that was read last

    def read(self, field: str | Iterable[str] | None) -> list[str]:
        """The canonical tags of the next row."""
        self._as_caption = None
        if not isinstance(field, str):
            return split_tags(field)
        tags, reading = read_text(field, in_captions=self.captions > 0)
        if reading is Reading.CAPTION:
            self.captions += 1
        elif reading is Reading.WORDS and not self.captions:
            self._as_caption = unique_tags(read_text(field, in_captions=True)[0])
        return unique_tags(tags)

    def keep(self, row: int) -> None:
        """The row that was read last becomes this row of the manifest; `settle` may take its tags back."""
        if self._as_caption is not None:
            self._words.append(row)
            if self._as_caption:
                self._hashtags[row] = self._as_caption

    def settle(self, hashtags: list[str | None]) -> list[int]:
        """Take back tags of captions that were read before the first certain one; return their rows."""
        if not self.captions:
            return []
        for row in self._words:
            hashtags[row] = join_tags(self._hashtags.get(row, [])) or None
        self.captions += len(self._words)
        return self._words.tolist()
