"""Data for `tools/bench.py scale`: `python -m tools.bench.scale_data tags ROWS FILE`, or `scores MANIFEST …`."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tools.bench.score_data import ScoreData
from vidsemi.io.files import atomic_path
from vidsemi.io.progress import progress_bar

BLOCK = 500_000  # rows to write at once
OTHERS = 40_000  # tags that belong to no class
PRIMES = (7919, 104_729, 1_299_709, 15_485_863)
TAGGED = 0.7  # share of rows that have a tag of a class
SPELLINGS = ("#{}", "#{}", "#{}", "#{upper}", "#{}_")  # of a tag of a class


def write_tags(rows: int, file: Path) -> None:
    """Write paths with five tags each; classes are skewed: number r is about (r + 1)^-0.7 as frequent as number 0."""
    import pyarrow.csv

    tags = pa.array([tag for variants in _class_tags() for tag in variants])
    popularity = np.repeat(np.arange(1, len(tags) // len(SPELLINGS) + 1) ** -0.7, len(SPELLINGS)).cumsum()
    options = pyarrow.csv.WriteOptions(include_header=False, quoting_style="none")
    schema = pa.schema([("path", pa.string()), ("hashtags", pa.string())])
    with (
        atomic_path(file) as temporary,
        open(temporary, "wb") as stream,
        progress_bar(rows, "row", file.name, delay=1) as bar,
    ):
        stream.write(b"path,hashtags\n")
        with pyarrow.csv.CSVWriter(stream, schema, write_options=options) as writer:
            for first in range(0, rows, BLOCK):
                numbers = np.arange(first, min(first + BLOCK, rows))
                writer.write_table(pa.table([_paths(numbers), _tags(numbers, tags, popularity)], schema=schema))
                bar.update(len(numbers))


def _class_tags() -> list[list[str]]:
    """The spellings of the first tag of each class, in the order of the classes."""
    from vidsemi.data.class_names import read_class_names
    from vidsemi.data.hashtags.vocabulary import build_vocabulary
    from vidsemi.io.files import dataset_folder

    classes = read_class_names(dataset_folder("kinetics") / "classes.txt")
    labels = build_vocabulary(classes, {}).labels
    return [[form.format(label.tag, upper=label.tag.upper()) for form in SPELLINGS] for label in labels]


def _paths(numbers: np.ndarray) -> Any:
    def padded(values: np.ndarray, digits: int) -> Any:
        return pc.utf8_lpad(pa.array(values).cast(pa.string()), digits, "0")

    return pc.binary_join_element_wise("v/", padded(numbers // 10_000, 5), "/", padded(numbers, 9), ".mp4", "")


def _tags(numbers: np.ndarray, tags: pa.Array, popularity: np.ndarray) -> Any:
    rng = np.random.default_rng([3, numbers[0]])
    own = tags.take(pa.array(np.searchsorted(popularity, rng.random(len(numbers)) * popularity[-1])))
    words = [_word(numbers * prime % OTHERS) for prime in PRIMES]
    first = pc.if_else(pa.array(rng.random(len(numbers)) < TAGGED), own, _word(numbers % OTHERS))
    return pc.binary_join_element_wise(first, *words, " ")


def _word(numbers: np.ndarray) -> Any:
    return pc.binary_join_element_wise("#tag", pa.array(numbers).cast(pa.string()), "")


def write_scores(manifest: Path, per_example: int, shard_size: int, folder: Path) -> None:
    """Write scores of all examples of a manifest for the classes of Kinetics, as `vidsemi score` does."""
    from vidsemi.data.class_names import read_class_names
    from vidsemi.data.manifest import load_manifest
    from vidsemi.io.files import dataset_folder

    own = load_manifest(manifest)
    classes = read_class_names(dataset_folder("kinetics") / "classes.txt")
    rows = len(own) * per_example
    ScoreData(rows, len(classes), per_example, shard_size, own.fingerprint, tuple(classes), len(own)).write(folder)


if __name__ == "__main__":
    what, *words = sys.argv[1:]
    if what == "tags":
        write_tags(int(words[0]), Path(words[1]))
    else:
        write_scores(Path(words[0]), int(words[1]), int(words[2]), Path(words[3]))
