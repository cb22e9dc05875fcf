"""`vidsemi init`: from folders of videos to the config of a first run."""

import argparse
from typing import Any

from vidsemi.cli.options import Answer, add_command, local


def add_parsers(subparsers: Any) -> None:
    """Add `init`."""
    parser = add_command(subparsers, "init", init, "write manifests and a config for your own folders of videos")
    parser.add_argument("folder", type=local, metavar="DIR", help="folder for the config, the manifests and the run")
    parser.add_argument(
        "--labeled", type=local, required=True, metavar="FOLDER", help="videos to train on, in a folder per class"
    )
    parser.add_argument("--unlabeled", type=local, metavar="FOLDER", help="videos without labels, the more the better")
    parser.add_argument(
        "--test",
        type=local,
        metavar="FOLDER",
        help="as --labeled, to test on; default: a fifth of the labeled videos",
    )
    parser.add_argument(
        "--group",
        metavar="REGEX",
        help="what parts of one recording have in common in their paths; they stay on one side of the split",
    )


def init(options: argparse.Namespace) -> Answer:
    """Write the files, and say what was found and what to run next."""
    from vidsemi.io.tables import markdown_table, shorten_rows
    from vidsemi.pipeline.init import init as write

    project = write(
        options.folder, options.labeled, unlabeled=options.unlabeled, test=options.test, group=options.group
    )
    labeled, test = project.labeled, project.test
    rows = [(name, str(count), str(test.get(name, 0))) for name, count in labeled.items()]
    lines = [
        f"{project.config}: {len(labeled)} classes; {sum(labeled.values())} labeled, {sum(test.values())} test and "
        f"{project.unlabeled} unlabeled videos",
        f"of the labeled ones {project.sample}",
        *project.notes,
        "",
        *markdown_table(("class", "labeled", "test"), shorten_rows(rows)),
        "",
        f"next: {project.command} --check",
        f"then: {project.command}",
    ]
    return {**project.document(), "next": f"{project.command} --check"}, "\n".join(lines)
