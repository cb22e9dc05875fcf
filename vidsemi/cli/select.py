"""`vidsemi select`: pseudo-labeled training examples from scores."""

import argparse
import re
from typing import Any

from vidsemi.cli.options import Answer, add_command, fraction, integer, local, number, place
from vidsemi.io.errors import UserError
from vidsemi.io.store import parse_place

COUNT = integer(1, 2**33 - 1)  # as many as there can be example ids


def add_parsers(subparsers: Any) -> None:
    """Add `select`."""
    parser = add_command(subparsers, "select", select, "select pseudo-labeled training examples from scores")
    parser.add_argument(
        "--scores",
        type=parse_place,
        nargs="+",
        metavar="DIR",
        help="directory or address of scores; several manifests: one of each",
    )
    parser.add_argument("--per-class", type=COUNT, metavar="K", help="examples to select per class")
    parser.add_argument(
        "--per-example", type=COUNT, metavar="P", help="classes that may select an example: its highest-scoring ones"
    )
    parser.add_argument(
        "--policy", metavar="NAME", help="selection policy (docs/guides/selecting.md); default: balanced_ranked"
    )
    parser.add_argument("--min-score", type=fraction, metavar="X", help="minimum score of a selected example")
    parser.add_argument("--seed", type=int, help="random seed of policies that choose at random")
    parser.add_argument(
        "--targets",
        choices=("one_hot", "soft"),
        help="training targets: 1/k on each class that selected an example (default), or its stored scores",
    )
    parser.add_argument(
        "--temperature", type=number(0, 1e9), metavar="T", help="of soft targets: scores to the power 1/T, renormalized"
    )
    parser.add_argument("--manifest", type=parse_place, help="examples with hashtags, for balanced_with_tags")
    parser.add_argument(
        "--vocabulary", type=local, metavar="CSV", help="vocabulary of `vidsemi hashtags`, for balanced_with_tags"
    )
    parser.add_argument("--shards", type=_range, metavar="FIRST-LAST", help="read these shards only, e.g. 0-99")
    parser.add_argument(
        "--merge", type=place, nargs="+", default=[], metavar="S", help="selections of other shards to merge with"
    )
    parser.add_argument("--output", type=place, required=True, help="selection to write, .parquet, or its address")


def _range(text: str) -> range:
    match = re.fullmatch(r"(\d{1,12})-(\d{1,12})", text) or re.fullmatch(r"((\d{1,12}))", text)
    if match is None or int(match[2]) < int(match[1]):
        raise argparse.ArgumentTypeError(f"is {text[:40]}; must be FIRST-LAST, e.g. 0-99")
    return range(int(match[1]), int(match[2]) + 1)


def select(options: argparse.Namespace) -> Answer:
    """Select from scores, or merge selections of different shards."""
    from vidsemi.api.select import select
    from vidsemi.io.files import keep_inputs
    from vidsemi.io.tables import markdown_table, shorten_rows
    from vidsemi.pipeline.select import check_output, merge_selections
    from vidsemi.selection import describe

    keep_inputs(options.output, options.vocabulary)
    names = ("per_class", "per_example", "policy", "min_score", "seed", "targets", "temperature")
    rule = {name: value for name in names if (value := getattr(options, name)) is not None}
    if options.merge:
        if options.scores and len(options.scores) > 1:
            raise UserError("select.merge_one", "--merge reads one directory of scores: give one with --scores")
        scores = options.scores[0] if options.scores else None
        selection = merge_selections(options.output, options.merge, scores, shards=options.shards, **rule)
    elif options.scores is None:
        raise UserError("select.missing_scores", "no scores: give --scores DIR, or selections to --merge")
    elif not {"per_class", "per_example"} <= rule.keys():
        raise UserError("select.missing_option", "a selection needs --per-class (K) and --per-example (P)")
    else:
        for folder in options.scores:
            check_output(options.output, folder, options.manifest)
        selection = select(
            options.scores,
            shards=options.shards,
            manifest=options.manifest,
            vocabulary=options.vocabulary,
            **rule,
        )
        selection.write(options.output)
    info = selection.info
    table = markdown_table(describe.CLASS_HEADER, shorten_rows(describe.class_rows(info)))
    text = "\n".join([str(options.output), *describe.summary(info), "", *table])
    return {"selection": str(options.output), **describe.metrics(info), "classes": describe.classes(info)}, text
