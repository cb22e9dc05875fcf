"""Match a vocabulary to examples: which examples carry which label, and which labels are frequent enough."""

import logging
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyarrow as pa

from vidsemi.data.hashtags.normalize import require_hashtags
from vidsemi.data.hashtags.tag_lists import CAPTION, TagReader
from vidsemi.data.hashtags.vocabulary import Label, Vocabulary, read_vocabulary, write_vocabulary
from vidsemi.data.manifest import Manifest
from vidsemi.data.manifest_file import GROUP, read_batches, write_groups
from vidsemi.io.errors import UserError
from vidsemi.io.parquet import DamagedError, open_own_parquet, parquet_writer
from vidsemi.io.store import Place
from vidsemi.runtime.arrays import distinct
from vidsemi.runtime.threads import in_parallel

logger = logging.getLogger("vidsemi")

VOCABULARY = "vocabulary.csv"
ROWS = 100_000  # whose tags are read at once
MATCHES = "matches.parquet"
SCHEMA = pa.schema([("example_id", pa.int64()), ("label", pa.int64())])  # of the matches, sorted by both
MOST_RARE = 1 << 20  # matches with rare labels, before they are looked at again


def match_examples(manifest: Manifest, vocabulary: Vocabulary, needed_by: str) -> tuple[np.ndarray, np.ndarray]:
    """Find the examples that carry a tag of the vocabulary; if the manifest has no hashtags, an error says `needed_by`.

    Returns:
        Example ids (N,) int64 ascending, and label indices (N,) int64. An example has one entry per label.
    """
    require_hashtags(manifest.file, manifest.columns, needed_by)
    found = list(_matched_batches(manifest.file, manifest.batches, vocabulary))
    examples, labels = zip(*found, strict=True) if found else ((), ())
    return np.concatenate([np.zeros(0, np.int64), *examples]), np.concatenate([np.zeros(0, np.int64), *labels])


def _matched_batches(
    file: Place, batches: Iterable[pa.RecordBatch], vocabulary: Vocabulary
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Example ids and labels, as `match_examples` returns them, of one batch of rows after another."""
    tags = vocabulary.label_by_tag
    match = partial(_match, TagReader(list(tags)), np.array(list(tags.values()), np.int64))
    captions = first = 0
    with closing(in_parallel(match, _columns(batches))) as found:
        for rows, labels, size, own_captions in found:
            captions += own_captions
            yield first + rows, labels
            first += size
    if captions:
        logger.warning(
            "%s: %d rows are captions, in which only the words behind a # are tags; `vidsemi manifest table` reads "
            "the other rows as captions, too",
            file,
            captions,
        )


def _columns(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.Array]:
    """The hashtags in pieces."""
    for batch in batches:
        column = batch.column("hashtags")
        yield from (column.slice(first, ROWS) for first in range(0, len(column), ROWS))


def _match(reader: TagReader, label_of_tag: np.ndarray, fields: pa.Array) -> tuple[np.ndarray, np.ndarray, int, int]:
    """Rows and labels, each pair once, sorted; the number of rows, and of those that are captions."""
    read = reader.read(fields)
    places = np.flatnonzero(read.codes < read.known)
    rows = np.searchsorted(read.offsets, places, side="right") - 1
    count = int(label_of_tag.max(initial=0)) + 1
    rows, labels = np.divmod(distinct(rows * count + label_of_tag[read.codes[places]]), count)
    return rows, labels, len(fields), int(np.count_nonzero(read.readings == CAPTION))


@dataclass(frozen=True)
class FrequentLabels:
    """The labels with enough examples, and the others."""

    vocabulary: Vocabulary  # of the frequent labels, in their original order
    counts: list[int]  # examples of each of them
    matched: int  # examples that carry at least one of them
    dropped: list[tuple[Label, int]]  # labels with too few examples, and how many they have


@dataclass(frozen=True)
class Matches(FrequentLabels):
    """The frequent labels and the examples that carry them; an example has one entry per label."""

    example_ids: np.ndarray  # (N,) int64, ascending
    labels: np.ndarray  # (N,) int64, indices into `vocabulary`


class _LabelCounts:
    """Counts the examples of each label, and those with any frequent label, without keeping all examples."""

    def __init__(self, vocabulary: Vocabulary, min_examples: int) -> None:
        self._vocabulary = vocabulary
        self._least = min_examples
        self.counts = np.zeros(len(vocabulary.labels), np.int64)
        self._matched = 0
        # Examples without a frequent label so far: fewer than `min_examples` for each label.
        self._rare: list[tuple[np.ndarray, np.ndarray]] = []
        self._rare_size, self._most_rare = 0, MOST_RARE

    @property
    def is_frequent(self) -> np.ndarray:
        """Which labels have enough examples so far, (labels,) bool."""
        frequent: np.ndarray = self.counts >= self._least
        return frequent

    def add(self, examples: np.ndarray, labels: np.ndarray) -> None:
        """Count more matches: (N,) example ids, ascending, and (N,) labels."""
        self.counts += np.bincount(labels, minlength=len(self.counts))
        self._keep_rare(examples, labels)
        if self._rare_size > self._most_rare:
            self._look_again()
            self._most_rare = max(MOST_RARE, 2 * self._rare_size)

    def _keep_rare(self, examples: np.ndarray, labels: np.ndarray) -> None:
        first = np.flatnonzero(np.diff(examples, prepend=-1))
        if len(first):
            is_matched = np.logical_or.reduceat(self.is_frequent[labels], first)
            self._matched += int(np.count_nonzero(is_matched))
            rare = ~np.repeat(is_matched, np.diff(first, append=len(examples)))
            self._rare.append((examples[rare], labels[rare]))
            self._rare_size += int(np.count_nonzero(rare))

    def _look_again(self) -> None:
        rare, self._rare, self._rare_size = self._rare, [], 0
        for examples, labels in rare:
            self._keep_rare(examples, labels)

    def result(self) -> FrequentLabels:
        """What was counted."""
        self._look_again()
        pairs = list(zip(self._vocabulary.labels, self.counts.tolist(), strict=True))
        kept = Vocabulary(tuple(label for label, count in pairs if count >= self._least))
        counts = [count for _, count in pairs if count >= self._least]
        dropped = [(label, count) for label, count in pairs if count < self._least]
        return FrequentLabels(kept, counts, self._matched, dropped)

    def frequent_only(self, examples: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Of counted matches those of frequent labels, as indices into the frequent ones."""
        frequent = self.is_frequent
        kept = frequent[labels]
        return examples[kept], (np.cumsum(frequent) - 1)[labels[kept]]


def count_frequent(file: Path, vocabulary: Vocabulary, min_examples: int, needed_by: str) -> tuple[FrequentLabels, int]:
    """Count the examples of each label in the file of a manifest, and all examples; holds a few batches of them."""
    counted, rows = _LabelCounts(vocabulary, min_examples), 0

    def batches() -> Iterator[pa.RecordBatch]:
        nonlocal rows
        for batch in read_batches(file):
            require_hashtags(file, batch.schema.names, needed_by)
            rows += batch.num_rows
            yield batch

    for examples, labels in _matched_batches(file, batches(), vocabulary):
        counted.add(examples, labels)
    return counted.result(), rows


def match_frequent(manifest: Manifest, vocabulary: Vocabulary, min_examples: int, needed_by: str) -> Matches:
    """Match a vocabulary to the examples (see `match_examples`) and drop labels with fewer than `min_examples`."""
    examples, labels = match_examples(manifest, vocabulary, needed_by)
    counted = _LabelCounts(vocabulary, min_examples)
    counted.add(examples, labels)
    example_ids, kept_labels = counted.frequent_only(examples, labels)
    return Matches(**vars(counted.result()), example_ids=example_ids, labels=kept_labels)


def check_frequent(manifest: Manifest, vocabulary: Vocabulary, min_examples: int, *, labels: int) -> None:
    """Check that so many labels have `min_examples` examples. Reads only as many as that takes, if they have.

    Raises:
        UserError: they have not.
    """
    counts = np.zeros(len(vocabulary.labels), np.int64)
    for _, own in _matched_batches(manifest.file, manifest.batches, vocabulary):
        counts += np.bincount(own, minlength=len(counts))
        if (counts >= min_examples).sum() >= labels:
            return
    frequent = int((counts >= min_examples).sum())
    raise _too_few_labels(manifest, frequent, min_examples, int(counts.max(initial=0)), labels)


def _too_few_labels(weak: Manifest, frequent: int, min_examples: int, most: int, needed: int = 2) -> UserError:
    return UserError(
        "hashtags.too_few_labels",
        f"{weak.file}: {frequent} labels have at least {min_examples} examples (hashtags.min_examples; the most "
        f"frequent has {most}), {needed} are needed; `vidsemi hashtags` lists the counts",
    )


def match_hashtags(
    folder: Path, *, weak: Manifest, vocabulary: Vocabulary, min_examples: int, title: str
) -> dict[str, Any]:
    """Write the labels with enough examples for weak pre-training, and the examples that carry them, to a folder.

    Returns:
        Counts: examples with and without a label, and the kept and dropped labels with their examples.

    Raises:
        UserError: the manifest has no hashtags, or fewer than two labels are left.
    """
    require_hashtags(weak.file, weak.columns, "the weak pre-training")
    counted = _LabelCounts(vocabulary, min_examples)
    with tempfile.TemporaryFile(dir=folder) as pairs:
        for examples, labels in _matched_batches(weak.file, weak.batches, vocabulary):
            counted.add(examples, labels)
            pairs.write(np.stack([examples, labels], 1).tobytes())
        matches = counted.result()
        kept, counts = matches.vocabulary.labels, matches.counts
        if len(kept) < 2:
            most = max([*counts, *(count for _, count in matches.dropped)], default=0)
            raise _too_few_labels(weak, len(kept), min_examples, most)
        write_vocabulary(folder / VOCABULARY, matches.vocabulary, counts)
        pairs.seek(0)
        with parquet_writer(folder / MATCHES, SCHEMA) as writer:
            write_groups(writer, SCHEMA, _frequent_tables(pairs, counted))
    dropped = ", ".join(f"#{label.tag} ({count})" for label, count in matches.dropped) or "none"
    carried = f"{matches.matched} of {len(weak)} examples carry one of {len(kept)} labels"
    logger.info("%s: %s; dropped for fewer than %d examples: %s", title, carried, min_examples, dropped)
    return {
        "examples": matches.matched,
        "without": len(weak) - matches.matched,
        "min_examples": min_examples,
        "labels": [label.document(count) for label, count in zip(kept, counts, strict=True)],
        "dropped": [label.document(count) for label, count in matches.dropped],
    }


def _frequent_tables(pairs: IO[bytes], counted: _LabelCounts) -> Iterator[pa.Table]:
    """The matches of frequent labels, from a file of pairs of int64."""
    while data := pairs.read(GROUP * 16):
        examples, labels = np.frombuffer(data, np.int64).reshape(-1, 2).T
        yield pa.Table.from_arrays(list(map(pa.array, counted.frequent_only(examples, labels))), schema=SCHEMA)


def read_matches(folder: Path) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Read what `match_hashtags` wrote: label names, example ids (N,) int64 and label indices (N,) int32."""
    with open_own_parquet(folder / MATCHES) as parquet:
        size, done = parquet.metadata.num_rows, 0
        example_ids, labels = np.empty(size, np.int64), np.empty(size, np.int32)
        for batch in parquet.iter_batches(GROUP):
            own = slice(done, done + len(batch))
            example_ids[own], labels[own] = (batch.column(name).to_numpy() for name in SCHEMA.names)
            done += len(batch)
        if done < size:
            raise DamagedError("its number of rows is not what its footer says")
    return read_vocabulary(folder / VOCABULARY).names, example_ids, labels
