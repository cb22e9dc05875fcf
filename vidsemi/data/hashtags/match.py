"""Match a vocabulary to examples: which examples carry which label, and which labels are frequent enough."""

import logging
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from vidsemi.data.hashtags.normalize import Reading, canonical, read_text, require_hashtags
from vidsemi.data.hashtags.vocabulary import Label, Vocabulary, read_vocabulary, write_vocabulary
from vidsemi.data.manifest import Manifest
from vidsemi.io.errors import UserError
from vidsemi.io.parquet import read_own_parquet, write_parquet

logger = logging.getLogger("vidsemi")

VOCABULARY = "vocabulary.csv"
MATCHES = "matches.parquet"  # example_id int64, label int64; sorted by both


def match_examples(manifest: Manifest, vocabulary: Vocabulary, needed_by: str) -> tuple[np.ndarray, np.ndarray]:
    """Find the examples that carry a tag of the vocabulary; if the manifest has no hashtags, an error says `needed_by`.

    Returns:
        Example ids (N,) int64 ascending, and label indices (N,) int64. An example has one entry per label.
    """
    require_hashtags(manifest, needed_by)
    examples, labels = array("q"), array("q")
    for example_id, matched in _labels_of_examples(manifest, vocabulary):
        for label in sorted(matched):
            examples.append(example_id)
            labels.append(label)
    return np.array(examples, np.int64), np.array(labels, np.int64)


def _labels_of_examples(manifest: Manifest, vocabulary: Vocabulary) -> Iterator[tuple[int, set[int]]]:
    @lru_cache(1 << 20)  # most tags occur in many examples
    def label_of(tag: str) -> int | None:
        return vocabulary.label_by_tag.get(canonical(tag))

    captions = 0
    for example_id, field in _hashtag_fields(manifest):
        tags, reading = read_text(field)
        captions += reading is Reading.CAPTION
        yield example_id, {label for tag in tags if (label := label_of(tag)) is not None}
    if captions:
        logger.warning(
            "%s: %d rows are captions, in which only the words behind a # are tags; `vidsemi manifest table` reads "
            "the other rows as captions, too",
            manifest.file,
            captions,
        )


def _hashtag_fields(manifest: Manifest) -> Iterator[tuple[int, str]]:
    """Example ids and their non-empty hashtag fields, converted in batches to bound the memory."""
    first = 0
    for batch in manifest.table.select(["hashtags"]).to_batches(max_chunksize=100_000):
        yield from ((first + row, field) for row, field in enumerate(batch.column(0).to_pylist()) if field)
        first += batch.num_rows


@dataclass(frozen=True)
class Matches:
    """The frequent labels and the examples that carry them; an example has one entry per label."""

    vocabulary: Vocabulary  # the labels with enough examples, in their original order
    example_ids: np.ndarray  # (N,) int64, ascending
    labels: np.ndarray  # (N,) int64, indices into `vocabulary`
    dropped: list[tuple[Label, int]]  # labels with too few examples, and how many they have

    @property
    def counts(self) -> list[int]:
        """Number of examples of each label."""
        counts: list[int] = np.bincount(self.labels, minlength=len(self.vocabulary.labels)).tolist()
        return counts

    @property
    def matched(self) -> int:
        """Number of examples that carry at least one label."""
        return len(np.unique(self.example_ids))


def match_frequent(manifest: Manifest, vocabulary: Vocabulary, min_examples: int, needed_by: str) -> Matches:
    """Match a vocabulary to the examples (see `match_examples`) and drop labels with fewer than `min_examples`."""
    examples, labels = match_examples(manifest, vocabulary, needed_by)
    counts = np.bincount(labels, minlength=len(vocabulary.labels))
    enough = counts >= min_examples
    pairs = list(zip(vocabulary.labels, counts.tolist(), strict=True))
    kept = Vocabulary(tuple(label for label, count in pairs if count >= min_examples))
    dropped = [(label, count) for label, count in pairs if count < min_examples]
    is_kept = enough[labels]
    new_index = np.cumsum(enough) - 1
    return Matches(kept, examples[is_kept], new_index[labels[is_kept]], dropped)


def check_frequent(manifest: Manifest, vocabulary: Vocabulary, min_examples: int, *, labels: int) -> None:
    """Check that so many labels have `min_examples` examples. Reads only as many as that takes, if they have.

    Raises:
        UserError: they have not.
    """
    counts = np.zeros(len(vocabulary.labels), np.int64)
    for _, own in _labels_of_examples(manifest, vocabulary):
        if own:
            counts[[*own]] += 1
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
    matches = match_frequent(weak, vocabulary, min_examples, "the weak pre-training")
    labels, counts = matches.vocabulary.labels, matches.counts
    if len(labels) < 2:
        most = max([*counts, *(count for _, count in matches.dropped)], default=0)
        raise _too_few_labels(weak, len(labels), min_examples, most)
    write_vocabulary(folder / VOCABULARY, matches.vocabulary, counts)
    write_parquet(folder / MATCHES, pa.table({"example_id": matches.example_ids, "label": matches.labels}))
    dropped = ", ".join(f"#{label.tag} ({count})" for label, count in matches.dropped) or "none"
    carried = f"{matches.matched} of {len(weak)} examples carry one of {len(labels)} labels"
    logger.info("%s: %s; dropped for fewer than %d examples: %s", title, carried, min_examples, dropped)
    return {
        "examples": matches.matched,
        "without": len(weak) - matches.matched,
        "min_examples": min_examples,
        "labels": [label.document(count) for label, count in zip(labels, counts, strict=True)],
        "dropped": [label.document(count) for label, count in matches.dropped],
    }


def read_matches(folder: Path) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Read what `match_hashtags` wrote: label names, example ids (N,) and label indices (N,)."""
    table = read_own_parquet(folder / MATCHES)
    names = read_vocabulary(folder / VOCABULARY).names
    return names, table.column("example_id").to_numpy(), table.column("label").to_numpy()
