"""Data for `tools/bench.py scale`: `python -m tools.bench.scale_data tags ROWS FILE`, `scores …` or `hashes …`."""

import sys
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tools.bench.score_data import ScoreData
from vidsemi.io.files import atomic_path
from vidsemi.io.progress import progress_bar

if TYPE_CHECKING:
    from vidsemi.data.manifest import Manifest

BLOCK = 500_000  # rows to write at once
OTHERS = 40_000  # tags that belong to no class
PRIMES = (7919, 104_729, 1_299_709, 15_485_863)
TAGGED = 0.7  # share of rows that have a tag of a class
TESTS = 10_000  # examples of the test set
COPIED = 1000  # one example in so many is a copy of one of the test set
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


def write_hashes(manifest: Path, tests: Path, folder: Path) -> None:
    """Write a test set, and the hashes of it and of a manifest as `--exclude-duplicates-of` keeps them.

    No file exists. One example in `COPIED` has the content of one of the test set; all frames are random.
    """
    from vidsemi.data.manifest import load_manifest
    from vidsemi.data.manifest_file import write_manifest

    write_manifest(tests, {"path": [f"t/{number:06d}.mp4" for number in range(TESTS)]})
    folder.mkdir(exist_ok=True)
    for file in (tests, manifest):
        own = load_manifest(file)
        contents = np.arange(len(own), dtype=np.uint64) + np.uint64(1 << 62 if file is manifest else 1)
        if file is manifest:
            contents[COPIED // 2 :: COPIED] = 1 + np.arange(len(contents[COPIED // 2 :: COPIED])) % TESTS
        _write_shards(own, contents, folder)


def _write_shards(manifest: "Manifest", contents: np.ndarray, folder: Path) -> None:
    from vidsemi.data.dedup.duplicates import FRAMES
    from vidsemi.data.dedup.file_keys import file_keys
    from vidsemi.data.dedup.hash_files import BLOCK as AT_ONCE
    from vidsemi.data.dedup.hash_job import SCHEMA, SHARD_SIZE, manifest_id
    from vidsemi.io.parquet import parquet_bytes

    name, job = manifest_id(manifest), uuid.uuid4().hex
    with progress_bar(len(manifest), "row", folder.name, delay=1) as bar:
        for first in range(0, len(manifest), AT_ONCE):
            keys, _ = file_keys(manifest, range(first, min(first + AT_ONCE, len(manifest))))
            frames = np.random.default_rng([4, len(manifest), first]).integers(1, 2**64, (len(keys), FRAMES), np.uint64)
            for number, start in enumerate(range(0, len(keys), SHARD_SIZE)):
                own = slice(start, start + SHARD_SIZE)
                content = contents[first : first + len(keys)][own]
                words = np.stack([content, np.ones_like(content)], axis=1)
                columns = [
                    *(_binary(values, SCHEMA.field(place).type) for place, values in enumerate((keys[own], words))),
                    pa.ListArray.from_arrays(np.arange(len(content) + 1) * FRAMES, frames[own].reshape(-1)),
                    pa.nulls(len(content), pa.string()),
                ]
                table = pa.Table.from_arrays(
                    [column.cast(kind) for column, kind in zip(columns, SCHEMA.types, strict=True)], schema=SCHEMA
                )
                (folder / f"part-{name}-{first}-{job}-{number:06d}.parquet").write_bytes(parquet_bytes(table))
                bar.update(len(content))


def _binary(words: np.ndarray, kind: pa.DataType) -> pa.Array:
    return pa.FixedSizeBinaryArray.from_buffers(kind, len(words), [None, pa.py_buffer(np.ascontiguousarray(words))])


if __name__ == "__main__":
    what, *words = sys.argv[1:]
    if what == "tags":
        write_tags(int(words[0]), Path(words[1]))
    elif what == "hashes":
        write_hashes(*map(Path, words))
    else:
        write_scores(Path(words[0]), int(words[1]), int(words[2]), Path(words[3]))
