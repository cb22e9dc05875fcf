"""`vidsemi publish`: a network as a folder for the Hugging Face Hub."""

import argparse
from typing import Any

from vidsemi.cli.options import Answer, add_command, add_root_argument, integer, local
from vidsemi.io.store import parse_place


def add_parsers(subparsers: Any) -> None:
    """Add `publish`."""
    summary = "write a network with a model card in the form of the Hugging Face Hub; uploads nothing"
    parser = add_command(subparsers, "publish", publish, summary)
    parser.add_argument("weights", type=local, metavar="WEIGHTS", help="weights.pt of a trained network")
    parser.add_argument("folder", type=local, metavar="DIR", help="folder to write, which must be empty or not exist")
    parser.add_argument("--name", help="name of the model; default: that of the folder")
    parser.add_argument("--license", metavar="ID", help="license of the weights, e.g. apache-2.0; default: not stated")
    parser.add_argument("--teacher-license", metavar="ID", help="license of the teacher's weights; default: not stated")
    parser.add_argument(
        "--dataset",
        action="append",
        default=[],
        metavar="NAME",
        help="dataset that it was trained on, by its name on the Hub; repeatable",
    )
    parser.add_argument(
        "--test", type=parse_place, metavar="MANIFEST", help="labeled examples to test with 10 clips and with 1 clip"
    )
    add_root_argument(parser, "--test")
    parser.add_argument("--overwrite", action="store_true", help="replace the files in a folder that is not empty")
    parser.add_argument("--device", default="auto", help="of the test (default: %(default)s)")
    parser.add_argument("--workers", type=integer(0, 1024), help="decoding processes; default: one per core")


def publish(options: argparse.Namespace) -> Answer:
    """Write the folder."""
    from dataclasses import asdict

    from vidsemi.api.publish import publish

    found = publish(
        options.weights,
        options.folder,
        name=options.name,
        license=options.license,
        teacher_license=options.teacher_license,
        datasets=options.dataset,
        test=options.test,
        root=options.root,
        overwrite=options.overwrite,
        device=options.device,
        workers=options.workers,
    )
    tests = [f"top-1 {test['top1']:.2f}%, views: {test['views']} ({test['test_manifest']})" for test in found.tests]
    lines = [
        f"{found.folder}: {found.bytes:,} bytes, {found.gmacs_per_view:.4g} GMAC per view, loads to the same outputs",
        *tests,
        *([] if options.license else ["its model card states no license: --license adds one"]),
        f"read {found.folder / 'README.md'} before you upload the folder",
    ]
    return {**asdict(found), "folder": str(found.folder)}, "\n".join(lines)
