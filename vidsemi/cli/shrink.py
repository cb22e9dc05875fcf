"""`vidsemi shrink`: a small copy of a video corpus that decodes several times as fast."""

import argparse
from dataclasses import asdict
from typing import Any

from vidsemi.cli.options import (
    Answer,
    add_command,
    add_decoding_arguments,
    add_manifest_arguments,
    integer,
    local,
    reader_count,
)


def add_parsers(subparsers: Any) -> None:
    """Add `shrink`."""
    summary = "copy the videos of a manifest to small files that decode several times as fast"
    parser = add_command(subparsers, "shrink", shrink, summary)
    add_manifest_arguments(parser)
    parser.add_argument(
        "--output", type=local, required=True, metavar="DIR", help="folder of the copies; resumed if partial"
    )
    for flag, limits, default, unit, what in (
        ("--short-side", (16, 4096), 128, "PIXELS", "shorter side of the copies"),
        ("--gop", (1, 1000), 12, "FRAMES", "distance of key frames"),
        ("--crf", (0, 51), 18, "N", "quality of x264, lower is better"),
    ):
        parser.add_argument(
            flag, type=integer(*limits), default=default, metavar=unit, help=f"{what} (default: %(default)s)"
        )
    add_decoding_arguments(parser)


def shrink(options: argparse.Namespace) -> Answer:
    """Copy the videos."""
    from vidsemi.data.manifest import load_manifest
    from vidsemi.data.shrink import Encoding, shrink_corpus

    encoding = Encoding(2 * (options.short_side // 2), options.gop, options.crf)
    manifest = load_manifest(options.manifest, options.root)
    workers, seconds = reader_count(options), options.seconds_per_file
    summary = shrink_corpus(manifest, options.output, encoding, workers=workers, seconds=seconds)
    return {**asdict(summary), "manifest": str(summary.manifest)}, summary.text(options.output)
