"""The scores of a corpus on disk (contract 4.3): one Parquet part a shard of the manifest, P rows an example.

Any program that writes parts of this form can feed the selection.
"""

import json
import os
import re
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from vidsemi.io.errors import UserError
from vidsemi.io.files import atomic_path

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
        resize: [height, width] of the frames before the crop, or their shorter side.
        crop: side of the crop.
        crops: of each clip: 1, or the 10 of corners, centre and mirror images.
        decoder: library that read the videos.
        precision: of the network's arithmetic.
        shard_size: examples of the manifest that a part covers, or nearly, where tars are kept whole.
        examples: in the whole manifest.
        shards: of the whole manifest, each of which becomes a part.
    """

    manifest: str
    weights: str
    classes: list[str]
    per_example: int
    views: int
    format: int = FORMAT
    frames: int | None = None
    stride: int | None = None
    resize: list[int] | int | None = None
    crop: int | None = None
    crops: int = 1
    decoder: str | None = None
    precision: str | None = None
    shard_size: int | None = None
    examples: int | None = None
    shards: int | None = None

    def __post_init__(self) -> None:
        """Refuse what a file from elsewhere may say but nobody can work with."""
        for name, least in (("per_example", 1), ("views", 0), ("crops", 1)):
            _check_number(name, getattr(self, name), least)
        for name, least in (
            ("frames", 1),
            ("stride", 1),
            ("crop", 1),
            ("shard_size", 1),
            ("examples", 0),
            ("shards", 0),
        ):
            if getattr(self, name) is not None:
                _check_number(name, getattr(self, name), least)
        if not (isinstance(self.manifest, str) and isinstance(self.weights, str)):
            raise ValueError("'manifest' and 'weights' must be texts")
        names = self.classes
        if not (isinstance(names, list) and names and all(isinstance(name, str) for name in names)):
            raise ValueError("'classes' must be a list of names")
        if len(set(names)) < len(names):
            raise ValueError("'classes' has a name twice")
        "".join(names).encode()  # half a surrogate pair is a ValueError

    def difference(self, other: "ScoresInfo") -> str | None:
        """Name of the first attribute in which another one differs; None if they agree.

        One that is None on one side is not known there, and no difference.
        """
        for name in self.__dataclass_fields__:
            ours, theirs = getattr(self, name), getattr(other, name)
            if ours != theirs and ours is not None and theirs is not None:
                return name
        return None


def _check_number(name: str, value: object, least: int) -> None:
    if not isinstance(value, int) or not least <= value <= 2**62:
        raise ValueError(f"'{name}' is {value!r}; it must be a whole number from {least} on")


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


def part_numbers(folder: Path) -> set[int]:
    """Numbers of the parts that a directory has."""
    names = [file.name for file in os.scandir(folder)] if folder.is_dir() else []
    return {int(match[1]) for name in names if (match := re.fullmatch(r"part-(\d{6,})\.parquet", name))}


def part_name(number: int) -> str:
    """File name of a part."""
    return f"part-{number:06d}.parquet"


def write_part(
    folder: Path, number: int, examples: np.ndarray, labels: np.ndarray, scores: np.ndarray, info: ScoresInfo
) -> None:
    """Write one part atomically.

    Args:
        folder: the directory of scores.
        number: of the shard, and so of the part.
        examples: (N,) example ids, ascending.
        labels: (N, P) each example's classes, as `top_classes` gives them.
        scores: (N, P) float32, their scores.
        info: what the part has in common with the others.
    """
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


def read_failures(folder: Path) -> np.ndarray:
    """Ids of the examples of a directory of scores that could not be read, ascending int64.

    Raises:
        UserError: a file of failures is damaged or something else.
    """
    files = sorted((folder / "failures").glob("part-*.parquet"))
    ids = [np.zeros(0, np.int64)]
    for file in files:
        try:
            column = pq.ParquetFile(file).read(columns=["example_id"]).column("example_id")
        except (pa.ArrowException, OSError, KeyError) as error:
            raise UserError(f"{file} is no list of failures: {error}") from None
        if column.type != pa.int64() or column.null_count:
            raise UserError(f"{file} is no list of failures: the column 'example_id' must be int64 without nulls")
        ids.append(column.to_numpy())
    return np.sort(np.concatenate(ids))


def read_info(file: Path) -> ScoresInfo:
    """What a part says of itself; its rows are not read.

    Raises:
        UserError: the file is damaged or no score part.
    """
    try:
        return parse_info(file, pq.read_schema(file))
    except (pa.ArrowException, OSError) as error:
        raise not_a_part(file, error) from None


def parse_info(file: Path, schema: pa.Schema | pq.FileMetaData) -> ScoresInfo:
    """The same from a schema or footer that has been read already."""
    try:
        return _parse(file, schema.metadata[b"vidsemi"])
    except (KeyError, TypeError, ValueError) as error:
        raise not_a_part(file, error) from None


def parse_plan(file: Path) -> ScoresInfo:
    """What the parts of a directory have in common, as its plan.json says.

    Raises:
        UserError: the file is damaged or no plan.
    """
    try:
        return _parse(file, file.read_bytes())
    except (KeyError, TypeError, ValueError, OSError) as error:
        raise UserError(
            f"{file} is not the plan of a directory of scores: {' '.join(str(error).split())}; "
            "if there are parts, delete it: they tell the same"
        ) from None


def _parse(file: Path, text: bytes) -> ScoresInfo:
    metadata = json.loads(text)
    if metadata["format"] != FORMAT:
        raise UserError(f"{file} has format {metadata['format']}; this version of vidsemi reads format {FORMAT}")
    return ScoresInfo(**{name: metadata[name] for name in ScoresInfo.__dataclass_fields__ if name in metadata})


def not_a_part(file: Path, error: Exception) -> UserError:
    """What is said of a file that is no score part."""
    return UserError(f"{file} is not a part of vidsemi scores: {' '.join(str(error).split())}")
