"""The label space of hashtags: which tags mean which classes, and the examples that carry them.

A label is a set of tags that mean the same. It comes from the name of a class (`spellings`) and further synonyms;
classes that share a tag become one label, since an example with that tag cannot tell them apart.
"""

import csv
import difflib
import io
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np

from vidsemi.data.hashtags.normalize import canonical, join_tags, need_hashtags, raw_tags, split_tags
from vidsemi.data.hashtags.variants import spellings
from vidsemi.data.manifest import Manifest
from vidsemi.io.errors import UserError
from vidsemi.io.files import fingerprint_json, write_text
from vidsemi.io.tables import csv_cell, from_csv_cell, printable

COLUMNS = ["tag", "classes", "examples", "spellings"]  # of a label space's file


@dataclass(frozen=True)
class Label:
    """Tags that mean the same.

    Attributes:
        tag: the canonical one, after which the label is called; without `#`.
        classes: names of the classes that it came from.
        spellings: all tags that mean it, `tag` among them.
    """

    tag: str
    classes: tuple[str, ...]
    spellings: tuple[str, ...]


@dataclass(frozen=True)
class LabelSpace:
    """Labels, no two of which share a spelling."""

    labels: tuple[Label, ...]

    @cached_property
    def numbers(self) -> dict[str, int]:
        """Spelling → number of the label."""
        return {tag: number for number, label in enumerate(self.labels) for tag in label.spellings}

    @property
    def fingerprint(self) -> str:
        """Of what the labels are; where they came from is not in it."""
        return fingerprint_json([[label.tag, label.classes, sorted(label.spellings)] for label in self.labels])

    def of_classes(self, classes: Sequence[str], where: object) -> "LabelSpace":
        """The same with the names of classes as they are, of which a file has the white space as one space.

        Raises:
            UserError: a label names another class; `where` says in what.
        """
        known = {_in_file(name): name for name in classes}
        labels = []
        for label in self.labels:
            for name in label.classes:
                if _in_file(name) not in known:
                    raise UserError(f"{where}: #{label.tag}: {_is_no_class(name, classes)}")
            labels.append(replace(label, classes=tuple(known[_in_file(name)] for name in label.classes)))
        return LabelSpace(tuple(labels))

    @property
    def names(self) -> list[str]:
        """The labels as names of classes: `#catchingfish`."""
        return [f"#{label.tag}" for label in self.labels]

    def of(self, field: str | Sequence[str] | None) -> list[int]:
        """Numbers of the labels that an example's tags mean, each once, ascending; tags outside are dropped."""
        numbers = self.numbers
        return sorted({numbers[tag] for tag in split_tags(field) if tag in numbers})


def label_space(classes: Sequence[str], synonyms: Mapping[str, Sequence[str]]) -> LabelSpace:
    """The label space of class names.

    Args:
        classes: names.
        synonyms: further tags of a class, by its name; one with an exclamation mark in front is no tag of it.

    Returns:
        A label for each class that has a tag at all, in the order of the classes; classes that share a tag, be it by
        way of further classes, have one label together, called after the first of them.
    """
    groups: list[tuple[list[str], dict[str, None]]] = []  # classes and their tags; empty where joined to another one
    owner: dict[str, int] = {}  # tag → number of the group
    for name in classes:
        more = synonyms.get(name, ())
        tags = dict.fromkeys([*spellings(name), *(canonical(tag) for tag in more if tag[0] != "!")])
        for tag in [canonical(tag) for tag in more if tag[0] == "!"]:
            tags.pop(tag, None)
        if not tags:
            continue
        groups.append(([name], tags))
        same = sorted({owner[tag] for tag in tags if tag in owner} | {len(groups) - 1})
        for number in same[1:]:
            groups[same[0]][0].extend(groups[number][0])
            groups[same[0]][1].update(groups[number][1])
            groups[number] = ([], {})
        owner |= dict.fromkeys(groups[same[0]][1], same[0])
    return LabelSpace(tuple(Label(next(iter(tags)), tuple(names), tuple(tags)) for names, tags in groups if names))


def read_synonyms(file: Path, classes: Sequence[str], *, skip_others: bool = False) -> dict[str, list[str]]:
    """Read further tags of classes: a CSV with the columns `class` and `tag`, a line a tag.

    A tag with an exclamation mark in front is none of the class, though its name gives it: `tying knot,!tietheknot`.

    Args:
        file: the CSV.
        classes: names.
        skip_others: pass over lines of other classes, where the file is of a dataset of which D may be a part.

    Raises:
        UserError: the file is not there or not of that form, or names a class that is not among `classes`.
    """
    known, found = set(classes), dict[str, list[str]]()
    for number, row in _csv_rows(file):
        name, text = row.get("class") or "", (row.get("tag") or "").strip()
        tags = split_tags([text])
        if len(tags) != 1 or None in row:
            raise UserError(f"{file}: line {number}: expected a class and a tag, as in: catching fish,fishing")
        if name in known:
            if text[0] == "!" and tags[0] not in spellings(name):
                raise UserError(f"{file}: line {number}: the name '{printable(name)}' does not give #{tags[0]}")
            found.setdefault(name, []).append(f"!{tags[0]}" if text[0] == "!" else tags[0])
        elif not skip_others:
            raise UserError(f"{file}: line {number}: {_is_no_class(name, classes)}")
    return found


def _in_file(name: str) -> str:
    """The name of a class as a label space's file can hold it."""
    return " ".join(name.replace(";", ",").split())


def _is_no_class(name: str, classes: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, classes, n=1)
    hint = f"; did you mean '{printable(near[0])}'?" if near else ""
    return f"'{printable(name)}' is none of the {len(classes)} classes{hint}"


def tagged_examples(manifest: Manifest, space: LabelSpace, what: str) -> tuple[np.ndarray, np.ndarray]:
    """Which examples carry a tag of a label space.

    Args:
        manifest: with a column `hashtags`.
        space: the labels.
        what: needs them, for the message where there is no such column.

    Returns:
        Example ids (N,) ascending int64 and numbers of labels (N,) int64; an example stands once for each label.
    """
    need_hashtags(manifest, what)

    @lru_cache(1 << 20)  # most tags stand in many examples
    def meaning(tag: str) -> int | None:
        return space.numbers.get(canonical(tag))

    examples, labels = array("q"), array("q")
    for example_id, field in _fields(manifest):
        found = {label for tag in raw_tags(field) if (label := meaning(tag)) is not None}
        for label in sorted(found):
            examples.append(example_id)
            labels.append(label)
    return np.array(examples, np.int64), np.array(labels, np.int64)


def count_examples(space: LabelSpace, labels: np.ndarray) -> np.ndarray:
    """Examples of each label (L,) int64, from the numbers of labels that `tagged_examples` gives."""
    return np.bincount(labels, minlength=len(space.labels))


def frequent(
    space: LabelSpace, counts: Sequence[int] | np.ndarray, min_examples: int
) -> tuple[LabelSpace, list[tuple[Label, int]]]:
    """The labels that enough examples carry.

    Args:
        space: the labels.
        counts: examples of each (L,).
        min_examples: fewest examples of a label that stays.

    Returns:
        The label space of those that stay, in their order (their examples are `counts[counts >= min_examples]`), and
        the others with their examples. Tags of the others mean nothing any more.
    """
    pairs = [(label, int(count)) for label, count in zip(space.labels, counts, strict=True)]
    kept = LabelSpace(tuple(label for label, count in pairs if count >= min_examples))
    return kept, [(label, count) for label, count in pairs if count < min_examples]


def frequent_examples(
    manifest: Manifest, space: LabelSpace, min_examples: int, what: str
) -> tuple[LabelSpace, np.ndarray, np.ndarray, list[tuple[Label, int]]]:
    """The labels that enough examples carry, and who carries them.

    Args:
        manifest: with a column `hashtags`.
        space: the labels to look for.
        min_examples: fewest examples of a label that stays.
        what: needs them, for the message where there is no such column.

    Returns:
        The label space of those that stay; example ids and numbers of these labels, as `tagged_examples` has them; the
        other labels with their examples.
    """
    examples, labels = tagged_examples(manifest, space, what)
    counts = count_examples(space, labels)
    kept, dropped = frequent(space, counts, min_examples)
    enough = counts >= min_examples
    stays = enough[labels]
    return kept, examples[stays], (np.cumsum(enough) - 1)[labels[stays]], dropped


def _fields(manifest: Manifest) -> Iterator[tuple[int, str]]:
    """Example ids and their tags as text, a piece of the table in memory at a time."""
    first = 0
    for batch in manifest.table.select(["hashtags"]).to_batches(max_chunksize=100_000):
        yield from ((first + row, field) for row, field in enumerate(batch.column(0).to_pylist()) if field)
        first += batch.num_rows


def write_label_space(file: Path, space: LabelSpace, examples: Sequence[int] | None = None) -> None:
    """Write a label space as CSV, a row a label, `examples` being how many carry it.

    No cell is a formula to a spreadsheet: tags begin with `#`, and classes are written as `csv_cell` has it.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    counts = examples if examples is not None else [""] * len(space.labels)
    for label, count in zip(space.labels, counts, strict=True):
        writer.writerow(
            [f"#{label.tag}", csv_cell("; ".join(map(_in_file, label.classes))), count, join_tags(label.spellings)]
        )
    write_text(file, text.getvalue())


def read_label_space(file: Path) -> LabelSpace:
    """Read what `write_label_space` wrote, perhaps edited since.

    Raises:
        UserError: the file is not there or not of that form, or two labels share a spelling.
    """
    labels: list[Label] = []
    owner: dict[str, str] = {}
    for number, row in _csv_rows(file):
        tags = split_tags(row.get("tag")) + split_tags(row.get("spellings"))
        if not tags or None in row:
            raise UserError(f"{file}: line {number} is no label: a line has {', '.join(COLUMNS)}")
        classes = tuple(filter(None, map(str.strip, from_csv_cell(row.get("classes") or "").split(";"))))
        label = Label(tags[0], classes, tuple(dict.fromkeys(tags)))
        for tag in label.spellings:
            if tag in owner:
                raise UserError(f"{file}: line {number}: #{tag} is a spelling of #{owner[tag]} too")
            owner[tag] = label.tag
        labels.append(label)
    if not labels:
        raise UserError(f"{file} holds no labels")
    return LabelSpace(tuple(labels))


def _csv_rows(file: Path) -> list[tuple[int, dict[str, str]]]:
    """Line numbers and rows of a small CSV with a header."""
    try:
        with open(file, newline="", encoding="utf-8-sig") as stream:
            reader = csv.DictReader(stream)
            return [(reader.line_num, row) for row in reader]
    except FileNotFoundError:
        raise UserError(f"there is no file {file}") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{file} cannot be read: {error}") from None
