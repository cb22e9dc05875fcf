"""Generated tag files: skewed tag frequencies, and all kinds of spelling that people use."""

import math
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from vidsemi.io.files import atomic_path
from vidsemi.io.progress import progress_bar

TAGS = 200_000
TAGS_PER_ROW = 5
ROWS_PER_FILE = 100  # rows per existing file: 0.8% of the real YFCC100M are videos
BLOCK = 50_000  # rows to draw at once
HEX = 32  # digits of a hash
SYLLABLES = [consonant + vowel for consonant in "bcdfghjklmnprstv" for vowel in "aeiou"]


@dataclass(frozen=True)
class TagData:
    """The same examples and tags as a CSV, a TSV, JSON lines and a table in the form of YFCC100M.

    Attributes:
        rows: examples; every `ROWS_PER_FILE`-th has an (empty) file.
        clean: whether all tags are plain (see `is_plain`); else 30% of the rows have others.
    """

    rows: int
    clean: bool = False

    @property
    def there(self) -> int:
        """Number of examples whose files exist."""
        return math.ceil(self.rows / ROWS_PER_FILE)

    @cached_property
    def tags(self) -> list[str]:
        """Spellings of all tags; number r is about (r + 1)^-0.7 as frequent as number 0."""
        return [_spelled(number, clean=self.clean) for number in range(TAGS)]

    def examples(self) -> Iterator[tuple[int, str, list[str]]]:
        """Number, path and tags of every example."""
        popularity = np.cumsum(np.arange(1, TAGS + 1) ** -0.7)
        for first in range(0, self.rows, BLOCK):
            draws = np.random.default_rng([2, first]).random((min(BLOCK, self.rows - first), TAGS_PER_ROW))
            numbers = np.searchsorted(popularity, draws * popularity[-1])
            for row, chosen in enumerate(numbers.tolist(), start=first):
                yield row, f"files/{row // 10_000:05d}/{_id(row)}.mp4", [self.tags[number] for number in chosen]

    def write(self, folder: Path) -> None:
        """Write the four tag files and the empty ones, unless they exist."""
        names = ("tags.csv", "tags.tsv", "tags.jsonl", "yfcc100m.txt")
        if all((folder / name).exists() for name in names):
            return
        with ExitStack() as stack, progress_bar(self.rows, "row", str(folder), delay=1) as bar:
            paths = [stack.enter_context(atomic_path(folder / name)) for name in names]
            table, tabs, lines, yfcc100m = (stack.enter_context(open(path, "w", encoding="utf-8")) for path in paths)
            table.write("path,hashtags\n")
            tabs.write("path\thashtags\n")
            for row, path, tags in self.examples():
                field = " ".join(f"#{tag}" for tag in tags)
                listed = ", ".join(f'"{tag}"' for tag in tags)
                table.write(f"{path},{field}\n")
                tabs.write(f"{path}\t{field}\n")
                lines.write(f'{{"path": "{path}", "hashtags": [{listed}]}}\n')
                yfcc100m.write(_yfcc100m_line(row, tags))
                if row % ROWS_PER_FILE == 0:
                    (folder / path).parent.mkdir(parents=True, exist_ok=True)
                    (folder / path).touch()
                bar.update()


def is_plain(field: str) -> bool:
    """Whether the tags of a field are ASCII without URL encoding, which all contenders should read alike."""
    return field.isascii() and "%" not in field


def _id(row: int) -> int:
    return 2_000_000_000 + 7919 * row


def _spelled(number: int, *, clean: bool) -> str:
    """Seven in ten tags are plain words; the others have capitals, hyphens, URL encoding or other scripts."""
    first, second, third = SYLLABLES[number % 80], SYLLABLES[number // 80 % 80], SYLLABLES[number // 6400]
    word = first + second + third
    spellings = {
        14: word.title(),
        15: first + (second + third).title(),
        16: f"{first}-{second}{third}",
        17: f"{first}_{second}{third}!",
        18: f"{word}+{second}" if number % 40 < 20 else f"caf%C3%A9{word}",
        19: ("É" + word, "видео" + word, "Straße" + word, "ＨＤ" + word)[number // 20 % 4],
    }
    spelled = spellings.get(number % 20, word)
    return word if clean and not is_plain(spelled) else spelled


def _yfcc100m_line(row: int, tags: list[str]) -> str:
    """A line with 25 columns, most of them as long as the real ones."""
    name, server = _id(row), row % 9000
    secret = f"{name * 2654435761 % 2**40:010x}"
    page = f"http://www.flickr.com/photos/someone/{name}/"
    image = f"http://farm5.staticflickr.com/{server}/{name}_{secret}.jpg"
    head = [row, name, f"{name * 0x9E3779B97F4A7C15:0{HEX}x}"[-HEX:], f"{row % 99991}@N05", "some+one"]
    when = ["2013-09-11 21:48:39.0", "1378957719", "Canon+PowerShot+SX40", "IMG_0001", ""]
    place = ["", "-122.419416", "37.774929", "16", page, image, "Attribution+License"]
    end = ["http://creativecommons.org/licenses/by/2.0/", server, 5, secret, secret[::-1], "jpg", 1]
    return "\t".join(map(str, [*head, *when, ",".join(tags), *place, *end])) + "\n"
