"""The vocabulary: labels, each a set of hashtags with the same meaning, and the classes that they mean.

A label comes from the name of a class (`tag_variants`) and its synonyms. Classes that share a tag are merged into one
label, because an example with that tag cannot tell them apart.
"""

import csv
import difflib
import io
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from vidsemi.config import Hashtags
from vidsemi.data.class_names import class_name
from vidsemi.data.hashtags.normalize import canonical, join_tags, require_hashtags, split_tags
from vidsemi.data.hashtags.variants import tag_variants
from vidsemi.data.manifest import Manifest
from vidsemi.io.errors import UserError
from vidsemi.io.files import fingerprint_json, write_text
from vidsemi.io.tables import csv_cell, from_csv_cell, printable

logger = logging.getLogger("vidsemi")

COLUMNS = ["tag", "classes", "examples", "variants"]  # of the vocabulary file


@dataclass(frozen=True)
class Label:
    """Tags with the same meaning."""

    tag: str  # names the label, without `#`
    classes: tuple[str, ...]  # that it means
    variants: tuple[str, ...]  # all tags with this meaning, including `tag`

    def document(self, examples: int | None = None) -> dict[str, Any]:
        """The label as JSON, with its number of examples if known."""
        return {"tag": self.tag, "classes": self.classes, **({} if examples is None else {"examples": examples})}


@dataclass(frozen=True)
class Vocabulary:
    """Labels, no two of which share a tag."""

    labels: tuple[Label, ...]

    @cached_property
    def label_by_tag(self) -> dict[str, int]:
        """Canonical tag → index of its label."""
        return {tag: index for index, label in enumerate(self.labels) for tag in label.variants}

    @property
    def fingerprint(self) -> str:
        """Hash of the labels, whatever they were built from."""
        return fingerprint_json([[label.tag, label.classes, sorted(label.variants)] for label in self.labels])

    @property
    def names(self) -> list[str]:
        """The labels as class names: `#catchingfish`."""
        return [f"#{label.tag}" for label in self.labels]

    def missing_classes(self, classes: Sequence[str]) -> list[str]:
        """The classes that no label means."""
        meant = {name for label in self.labels for name in label.classes}
        return [name for name in classes if name not in meant]

    def for_classes(self, classes: Sequence[str], source: object) -> "Vocabulary":
        """The same labels with class names as in `classes`: a vocabulary file stores them with normalized white space.

        If a label means another class, a UserError names `source`.
        """
        known = {_name_in_file(name): name for name in classes}
        labels = []
        for label in self.labels:
            for name in label.classes:
                if _name_in_file(name) not in known:
                    problem = _unknown_class(name, classes)
                    raise UserError("vocabulary.unknown_class", f"{source}: #{label.tag}: {problem}")
            labels.append(replace(label, classes=tuple(known[_name_in_file(name)] for name in label.classes)))
        return Vocabulary(tuple(labels))


def build_vocabulary(classes: Sequence[str], synonyms: Mapping[str, Sequence[str]]) -> Vocabulary:
    """Build a vocabulary: a label for each class with at least one tag, in the order of the classes.

    Classes that share a tag, directly or through other classes, form one label named after the first of them. Synonyms
    are further tags by class name; a tag after an exclamation mark is removed from the class.
    """
    groups: list[tuple[list[str], dict[str, None]]] = []  # class names and tags; empty once merged into another group
    group_of: dict[str, int] = {}  # tag → index of the group
    for name in classes:
        more = synonyms.get(name, ())
        tags = dict.fromkeys([*tag_variants(name), *(canonical(tag) for tag in more if tag[0] != "!")])
        for tag in [canonical(tag) for tag in more if tag[0] == "!"]:
            tags.pop(tag, None)
        if not tags:
            continue
        groups.append(([name], tags))
        target, *others = sorted({group_of[tag] for tag in tags if tag in group_of} | {len(groups) - 1})
        for other in others:
            groups[target][0].extend(groups[other][0])
            groups[target][1].update(groups[other][1])
            groups[other] = ([], {})
        group_of |= dict.fromkeys(groups[target][1], target)
    return Vocabulary(tuple(Label(next(iter(tags)), tuple(names), tuple(tags)) for names, tags in groups if names))


def vocabulary_for(
    classes: Sequence[str],
    settings: Hashtags,
    *,
    weak: Manifest | None,
    tagged: Manifest | None,
    default_synonyms: Path | None,
) -> Vocabulary | None:
    """The vocabulary of a run: read from the config's file, else built from class names and synonyms.

    Args:
        classes: class names of the labeled set.
        settings: section `hashtags` of the config.
        weak: the weakly labeled set, if the run pre-trains on one.
        tagged: the unlabeled set, if the policy balanced_with_tags selects from it.
        default_synonyms: synonyms that come with the dataset; used if the config names no file.

    Returns:
        None if the run uses no hashtags.
    """
    if tagged is not None:
        require_hashtags(tagged.file, tagged.columns, "the policy balanced_with_tags")
    if weak is not None:
        require_hashtags(weak.file, weak.columns, "the weak pre-training")
    if tagged is None and weak is None:
        return None
    if settings.vocabulary:
        vocabulary = read_vocabulary(Path(settings.vocabulary)).for_classes(classes, settings.vocabulary)
    elif settings.synonyms:
        vocabulary = build_vocabulary(classes, read_synonyms(Path(settings.synonyms), classes))
    elif default_synonyms is not None:  # the labeled set may have only part of the dataset's classes
        vocabulary = build_vocabulary(classes, read_synonyms(default_synonyms, classes, skip_others=True))
    else:
        vocabulary = build_vocabulary(classes, {})
    if weak is not None and len(vocabulary.labels) < 2:
        count = len(vocabulary.labels)
        raise UserError("vocabulary.too_few_labels", f"the vocabulary has {count} labels; weak pre-training needs two")
    missing = vocabulary.missing_classes(classes)
    if tagged is not None and missing:
        logger.warning("no hashtag means %d of the classes, such as %s", len(missing), missing[0])
        if len(missing) == len(classes):
            raise UserError("vocabulary.no_class", "no hashtag means a class; balanced_with_tags would select nothing")
    return vocabulary


def read_synonyms(file: Path, classes: Sequence[str], *, skip_others: bool = False) -> dict[str, list[str]]:
    """Read synonyms: a CSV with the columns `class` and `tag`, one tag per line.

    A tag after an exclamation mark is removed from the variants of the class name: `tying knot,!tietheknot`. Lines of
    other classes are refused with a UserError, or skipped with `skip_others`.

    Returns:
        Class name → canonical tags.
    """
    known, synonyms = {class_name(name): name for name in classes}, dict[str, list[str]]()
    for number, row in _csv_rows(file):
        name, text = class_name(row.get("class") or ""), (row.get("tag") or "").strip()
        tags = split_tags([text])
        if len(tags) != 1 or None in row:
            raise UserError(
                "synonyms.bad_line", f"{file}: line {number}: expected a class and a tag, as in: catching fish,fishing"
            )
        if name in known:
            name = known[name]
            if text[0] == "!" and tags[0] not in tag_variants(name):
                raise UserError(
                    "synonyms.not_a_variant",
                    f"{file}: line {number}: #{tags[0]} is not a variant of '{printable(name)}' and cannot be removed",
                )
            synonyms.setdefault(name, []).append(f"!{tags[0]}" if text[0] == "!" else tags[0])
        elif not skip_others:
            raise UserError("synonyms.unknown_class", f"{file}: line {number}: {_unknown_class(name, classes)}")
    return synonyms


def write_vocabulary(file: Path, vocabulary: Vocabulary, examples: Sequence[int] | None = None) -> None:
    """Write a vocabulary as CSV, one row per label; `examples` counts the examples of each.

    Spreadsheets take no cell for a formula: tags begin with `#`, and `csv_cell` escapes class names.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    counts = examples if examples is not None else [""] * len(vocabulary.labels)
    for label, count in zip(vocabulary.labels, counts, strict=True):
        classes = csv_cell("; ".join(map(_name_in_file, label.classes)))
        writer.writerow([f"#{label.tag}", classes, count, join_tags(label.variants)])
    write_text(file, text.getvalue())


def read_vocabulary(file: Path) -> Vocabulary:
    """Read a vocabulary file, as written by `write_vocabulary` or edited since."""
    labels: list[Label] = []
    label_of: dict[str, str] = {}
    for number, row in _csv_rows(file):
        tags = split_tags(row.get("tag")) + split_tags(row.get("variants"))
        if not tags or None in row or "variants" not in row:
            raise UserError(
                "vocabulary.bad_line", f"{file}: line {number} is not a label; the columns are {', '.join(COLUMNS)}"
            )
        classes = tuple(filter(None, map(str.strip, from_csv_cell(row.get("classes") or "").split(";"))))
        label = Label(tags[0], classes, tuple(dict.fromkeys(tags)))
        for tag in label.variants:
            if tag in label_of:
                raise UserError(
                    "vocabulary.duplicate_tag",
                    f"{file}: line {number}: #{tag} belongs to #{label_of[tag]} already; keep it in one label",
                )
            label_of[tag] = label.tag
        labels.append(label)
    if not labels:
        raise UserError("vocabulary.empty", f"{file} does not contain any labels")
    return Vocabulary(tuple(labels))


def _name_in_file(name: str) -> str:
    """A class name as the vocabulary file stores it: without `;`, white space normalized."""
    return " ".join(class_name(name).replace(";", ",").split())


def _unknown_class(name: str, classes: Sequence[str]) -> str:
    closest = difflib.get_close_matches(name, classes, n=1)
    hint = f"; did you mean '{printable(closest[0])}'?" if closest else ""
    return f"'{printable(name)}' is not one of the {len(classes)} classes{hint}"


def _csv_rows(file: Path) -> list[tuple[int, dict[str, str]]]:
    try:
        with open(file, newline="", encoding="utf-8-sig") as stream:
            reader = csv.DictReader(stream)
            return [(reader.line_num, row) for row in reader]
    except FileNotFoundError:
        raise UserError("vocabulary.missing_file", f"file {file} does not exist") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError("vocabulary.unreadable_file", f"{file} cannot be read: {error}") from None
