"""The file format of scores: one Parquet file per shard of a manifest, `per_example` (P) rows per example.

A directory of scores holds `part-NNNNNN.parquet` with the columns `example_id` (int64), `label` (int16 or int32) and
`score` (float32), sorted by example id, then score descending, then label; and `failures/part-NNNNNN.parquet` with
`example_id`, `path` and `error` of the examples that could not be read. Any program that writes such files can feed the
selection; docs/guides/selecting.md describes them.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from vidsemi.io.errors import UserError
from vidsemi.io.files import read_regular
from vidsemi.io.parquet import is_damage
from vidsemi.io.store import Place

FORMAT = 1
KEY = "vidsemi"  # of the file metadata, which holds a `ScoresInfo` as JSON
WIDE_LABELS_FROM = 32_768  # classes; fewer fit an int16
MAX_ID = (1 << 33) - 1  # 8,589,934,591: an example id and a score fit one int64 together (`topk.pack`)
MAX_SCORE = np.float32(1.0001)  # a mean of softmax may round above 1


@dataclass(frozen=True)
class ScoreRows:
    """Score rows as columns of one length: example ids int64, class indices int16 or int32, scores float32."""

    example_id: np.ndarray
    label: np.ndarray
    score: np.ndarray

    def __len__(self) -> int:
        return len(self.score)


@dataclass(frozen=True)
class ScoresInfo:
    """What all shards of a directory have in common; stored as JSON in the metadata of each.

    Attributes with a default may be missing in shards by other programs.
    """

    manifest: str  # fingerprint
    weights: str  # fingerprint
    classes: list[str]  # in the order of the label indices
    per_example: int  # rows stored per example, P
    views: int  # clips averaged per video, V
    format: int = FORMAT
    frames: int | None = None  # clip length T
    stride: int | None = None  # step between the frames of a clip
    resize: list[int] | int | None = None  # [height, width] of the frames before the crop, or their shorter side
    crop: int | None = None  # side
    crops: int = 1  # per clip: 1 (center) or 10
    decoder: str | None = None
    precision: str | None = None  # of the network's arithmetic
    shard_size: int | None = None  # examples per shard; approximate where tars are kept whole
    examples: int | None = None  # size of the manifest
    shards: int | None = None

    def __post_init__(self) -> None:
        """Reject values that a file by another program may hold but that make no sense."""
        lowest = {"per_example": 1, "views": 0, "crops": 1, "frames": 1, "stride": 1, "crop": 1}
        for name, least in {**lowest, "shard_size": 1, "examples": 0, "shards": 0}.items():
            value, optional = getattr(self, name), self.__dataclass_fields__[name].default is None
            if not (value is None and optional) and not (isinstance(value, int) and least <= value <= 2**62):
                raise ValueError(f"'{name}' is {value!r}; it must be an integer of at least {least}")
        if not (isinstance(self.manifest, str) and isinstance(self.weights, str)):
            raise ValueError("'manifest' and 'weights' must be strings")
        names = self.classes
        if not (isinstance(names, list) and names and all(isinstance(name, str) for name in names)):
            raise ValueError("'classes' must be a list of names")
        if len(set(names)) < len(names):
            raise ValueError("'classes' has a duplicate name")
        "".join(names).encode()  # a lone surrogate is a ValueError

    def difference(self, other: "ScoresInfo") -> str | None:
        """Return the name of the first attribute that differs; None if none does. None means unknown, not different."""
        for name in self.__dataclass_fields__:
            ours, theirs = getattr(self, name), getattr(other, name)
            if ours != theirs and ours is not None and theirs is not None:
                return name
        return None


def label_type(classes: int) -> pa.DataType:
    """Return the Arrow type of the label column."""
    return pa.int32() if classes >= WIDE_LABELS_FROM else pa.int16()


def parse_info(file: Place, footer: pq.FileMetaData) -> ScoresInfo:
    """Parse the metadata of a shard from its footer."""
    try:
        return _parse(file, footer.metadata[KEY.encode()])
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise invalid_shard(file, error) from None


def read_plan(file: Place) -> ScoresInfo:
    """Read the plan.json of a directory, which holds what its shards have in common."""
    try:
        return _parse(file, read_regular(file) if isinstance(file, Path) else file.read_bytes())
    except (KeyError, TypeError, ValueError, OSError, RecursionError) as error:
        raise UserError(
            "scores.invalid_plan",
            f"{file} is not a scoring plan: {' '.join(str(error).split())}; delete it to restore it from the shards",
        ) from None


def _parse(file: Place, text: bytes) -> ScoresInfo:
    metadata = json.loads(text)
    if metadata["format"] != FORMAT:
        raise UserError(
            "scores.wrong_format", f"{file} has format {metadata['format']}; score again for format {FORMAT}"
        )
    return ScoresInfo(**{name: metadata[name] for name in ScoresInfo.__dataclass_fields__ if name in metadata})


# What to do about a damaged file of a directory of scores.
SCORE_AGAIN = (
    "delete it, and stage.json of the scores if there is one, and run the same command again to score this shard again"
)


def invalid_shard(file: Place, error: Exception) -> UserError:
    """Return the error for a file that is damaged or not a shard of scores."""
    why = " ".join(str(error).split())
    if is_damage(error):
        return UserError("scores.invalid_shard", f"{file} is not as it was written: {why}; {SCORE_AGAIN}")
    return UserError("scores.invalid_shard", f"{file} is not a shard of vidsemi scores: {why}")
