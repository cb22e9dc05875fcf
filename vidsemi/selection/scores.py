"""The scores of a corpus on disk (contract 4.3): one Parquet part a shard of the manifest, P rows an example.

Any program that writes parts of this form can feed the selection.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from vidsemi.errors import UserError
from vidsemi.files import atomic_path

FORMAT = 1
WIDE_LABELS_FROM = 32_768  # classes from which a label no longer fits an int16


@dataclass(frozen=True)
class ScoresInfo:
    """What every part of a directory must agree on; stored in each under the metadata key `vidsemi`.

    Attributes:
        manifest: fingerprint of the manifest that was scored.
        weights: fingerprint of the weights that scored it.
        classes: class names, in the order of the label indices.
        per_example: rows stored for each example, P.
        views: clips averaged for a video, V.
        format: version of this layout.
        frames: clip length T. This and what follows may be None in parts that other programs write.
        stride: step between the frames of a clip.
        resize: (height, width) of the frames before the crop.
        crop: side of the crop.
        decoder: library that read the videos.
        precision: of the network's arithmetic.
        shard_size: examples of the manifest that a part covers.
    """

    manifest: str
    weights: str
    classes: list[str]
    per_example: int
    views: int
    format: int = FORMAT
    frames: int | None = None
    stride: int | None = None
    resize: list[int] | None = None
    crop: int | None = None
    decoder: str | None = None
    precision: str | None = None
    shard_size: int | None = None

    def difference(self, other: "ScoresInfo") -> str | None:
        """Name of the first attribute in which another one differs; None if they agree."""
        return next((name for name in asdict(self) if getattr(self, name) != getattr(other, name)), None)


@dataclass(frozen=True)
class Scores:
    """Rows of score parts as columns of one length, and what they agree on."""

    example_id: np.ndarray
    label: np.ndarray
    score: np.ndarray
    info: ScoresInfo


def label_type(classes: int) -> pa.DataType:
    """Arrow type of the label column."""
    return pa.int32() if classes >= WIDE_LABELS_FROM else pa.int16()


def top_classes(probabilities: np.ndarray, per_example: int) -> tuple[np.ndarray, np.ndarray]:
    """Each example's P highest classes: score descending, then smaller class index.

    Args:
        probabilities: (N, classes) float32.
        per_example: P; all classes if there are fewer.

    Returns:
        Labels and scores, both (N, P).
    """
    order = np.argsort(-probabilities, axis=1, kind="stable")[:, :per_example]
    return order, np.take_along_axis(probabilities, order, axis=1)


def part_name(number: int) -> str:
    """File name of a part."""
    return f"part-{number:06d}.parquet"


def write_part(folder: Path, number: int, examples: np.ndarray, probabilities: np.ndarray, info: ScoresInfo) -> None:
    """Write one part atomically.

    Args:
        folder: the directory of scores.
        number: of the shard, and so of the part.
        examples: (N,) example ids, ascending.
        probabilities: (N, classes) float32 video scores.
        info: what the part has in common with the others.
    """
    labels, scores = top_classes(probabilities, info.per_example)
    table = pa.table(
        {
            "example_id": pa.array(np.repeat(examples, labels.shape[1]), pa.int64()),
            "label": pa.array(labels.reshape(-1), label_type(len(info.classes))),
            "score": pa.array(scores.reshape(-1), pa.float32()),
        }
    ).replace_schema_metadata({"vidsemi": json.dumps(asdict(info))})
    with atomic_path(folder / part_name(number)) as temporary:
        pq.write_table(table, temporary, compression="zstd")


def write_failures(folder: Path, number: int, failures: list[tuple[int, str, str]]) -> None:
    """Write the examples of a shard that could not be read, as (example id, path, error), also when there are none."""
    examples, paths, errors = zip(*failures, strict=True) if failures else ((), (), ())
    table = pa.table(
        {
            "example_id": pa.array(examples, pa.int64()),
            "path": pa.array(paths, pa.string()),
            "error": pa.array(errors, pa.string()),
        }
    )
    with atomic_path(folder / "failures" / part_name(number)) as temporary:
        pq.write_table(table, temporary, compression="zstd")


def count_failures(folder: Path) -> int:
    """Examples of a directory of scores that could not be read."""
    return sum(pq.read_metadata(file).num_rows for file in (folder / "failures").glob("part-*.parquet"))


def part_files(folder: Path) -> list[Path]:
    """The parts of a directory in the order of their names; none is an error."""
    files = sorted(folder.glob("part-*.parquet"))
    if not files:
        raise UserError(f"{folder} has no scores: no part-*.parquet lies there")
    return files


def read_info(file: Path) -> ScoresInfo:
    """What a part says of itself; its rows are not read.

    Raises:
        UserError: the file is damaged or no score part.
    """
    try:
        metadata = json.loads(pq.read_schema(file).metadata[b"vidsemi"])
        if metadata["format"] != FORMAT:
            raise UserError(f"{file} has format {metadata['format']}; this version of vidsemi reads format {FORMAT}")
        return ScoresInfo(**{name: metadata[name] for name in ScoresInfo.__dataclass_fields__ if name in metadata})
    except (pa.ArrowException, OSError, KeyError, TypeError, ValueError) as error:
        raise _not_a_part(file, error) from None


def _not_a_part(file: Path, error: Exception) -> UserError:
    return UserError(f"{file} is not a part of vidsemi scores: {' '.join(str(error).split())}")


def read_part(file: Path) -> Scores:
    """Read and check one part.

    Raises:
        UserError: the file is damaged or no score part, or a score is NaN or not in [0, 1].
    """
    info = read_info(file)
    try:
        table = pq.read_table(file)
        types = {"example_id": pa.int64(), "label": label_type(len(info.classes)), "score": pa.float32()}
        for name, expected in types.items():
            if table.column(name).type != expected or table.column(name).null_count:
                raise TypeError(f"the column '{name}' must be {expected} without nulls")
        example_id, label, score = (table.column(name).to_numpy() for name in types)
        if len(label) and not 0 <= label.min() <= label.max() < len(info.classes):
            raise ValueError(f"labels must lie in [0, {len(info.classes)})")
    except (pa.ArrowException, OSError, KeyError, TypeError, ValueError) as error:
        raise _not_a_part(file, error) from None
    bad = np.flatnonzero(~((score >= 0) & (score <= 1.0001)))  # NaN is neither; a mean of softmax may round above 1
    if len(bad):
        raise UserError(f"{file}: the score of example {example_id[bad[0]]} is {score[bad[0]]}; scores lie in [0, 1]")
    return Scores(example_id, label, score, info)


def read_scores(folder: Path) -> Scores:
    """Read all parts of a directory.

    Raises:
        UserError: no parts, a bad part, or parts that were not made from the same things.
    """
    files = part_files(folder)
    parts = [read_part(file) for file in files]
    for file, part in zip(files, parts, strict=True):
        if name := part.info.difference(parts[0].info):
            raise UserError(f"{file} and {files[0].name} were not scored alike: their '{name}' differ")
    examples = np.concatenate([np.unique(part.example_id) for part in parts])
    if len(twice := np.flatnonzero(np.bincount(np.unique(examples, return_inverse=True)[1]) > 1)):
        raise UserError(f"{folder}: example {np.unique(examples)[twice[0]]} is in two parts")
    example_id, label, score = (
        np.concatenate([getattr(part, name) for part in parts]) for name in ("example_id", "label", "score")
    )
    return Scores(example_id, label, score, parts[0].info)
