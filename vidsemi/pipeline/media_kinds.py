"""Clip lengths of networks against the kinds of files, images or videos, that they are given."""

from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath

import numpy as np

from vidsemi.data.formats.media_files import IMAGE_SUFFIXES
from vidsemi.data.manifest import Manifest
from vidsemi.io.errors import UserError

SAMPLED_NAMES = 1000  # of a manifest, to see whether it has images or videos


def check_media(frames: Mapping[str, int], datasets: Mapping[str, Manifest | None]) -> list[str]:
    """Compare the clip lengths of networks, by their keys, with the files of datasets, by theirs; returns warnings.

    Raises:
        UserError: a network that takes clips is trained on images and tested on videos, or the other way round.
    """
    images = {key: _share_of_images(manifest) for key, manifest in datasets.items() if manifest is not None}
    warnings = []
    for network, count in frames.items():
        compared = [key for key in ("data.labeled", "data.test") if key in images]
        if count > 1 and {images[key] for key in compared} == {0.0, 1.0}:
            kinds = [f"{key} has {'images' if images[key] else 'videos'}" for key in compared]
            raise UserError("data.images_and_videos", f"{network} takes {count} frames, but {' and '.join(kinds)}")
        stills, motion = ([key for key, share in images.items() if share == all_or_none] for all_or_none in (1, 0))
        if count > 1 and stills:
            warnings.append(f"{network}: {count} frames, but {', '.join(stills)}: images, which become still clips")
        if count == 1 and motion:
            warnings.append(f"{network}: one frame, but {', '.join(motion)}: videos, of whose motion it sees nothing")
    return warnings


def _share_of_images(manifest: Manifest) -> float:
    """The share of files that are images by their names, in a sample."""
    return float(np.mean([suffix in IMAGE_SUFFIXES for suffix in _sampled_suffixes(manifest)]))


def _sampled_suffixes(manifest: Manifest) -> Iterator[str]:
    for row in np.linspace(0, len(manifest) - 1, min(SAMPLED_NAMES, len(manifest))).astype(int).tolist():
        example = manifest.row(row)
        yield PurePosixPath(example.member or example.path).suffix.lower()
