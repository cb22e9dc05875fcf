"""Match a vocabulary to examples: which examples carry which label, and which labels are frequent enough."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from vidsemi.data.hashtags.normalize import require_hashtags
from vidsemi.data.hashtags.tag_lists import CAPTION, read_tag_lists
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
    found = list(_matched_batches(manifest, vocabulary))
    examples, labels = zip(*found, strict=True) if found else ((), ())
    return np.concatenate([np.zeros(0, np.int64), *examples]), np.concatenate([np.zeros(0, np.int64), *labels])


def _matched_batches(manifest: Manifest, vocabulary: Vocabulary) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Example ids and labels, as `match_examples` returns them, of one batch of rows after another."""
    tags, number_of_tag = list(vocabulary.label_by_tag), np.array([*vocabulary.label_by_tag.values(), -1])
    known = pa.array(tags, pa.string())
    captions = first = 0
    for batch in manifest.batches:
        read = read_tag_lists(batch.column("hashtags"))
        captions += int(np.count_nonzero(read.readings == CAPTION))
        label_of_form = number_of_tag[pc.fill_null(pc.index_in(read.forms, value_set=known), -1).to_numpy()]
        labels = label_of_form[read.codes] if len(read.codes) else np.zeros(0, np.int64)
        carried = labels >= 0
        rows, labels = np.divmod(
            np.unique(read.rows()[carried] * len(number_of_tag) + labels[carried]), len(number_of_tag)
        )
        yield first + rows, labels
        first += batch.num_rows
    if captions:
        logger.warning(
            "%s: %d rows are captions, in which only the words behind a # are tags; `vidsemi manifest table` reads "
            "the other rows as captions, too",
            manifest.file,
            captions,
        )


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
    for _, own in _matched_batches(manifest, vocabulary):
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
