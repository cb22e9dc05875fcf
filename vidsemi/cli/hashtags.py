"""`vidsemi hashtags`: build a vocabulary from class names and count its labels in a manifest."""

import argparse
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vidsemi.cli.options import Answer, add_command, integer, local
from vidsemi.io.errors import UserError
from vidsemi.io.store import parse_place
from vidsemi.io.tables import markdown_table

if TYPE_CHECKING:
    from vidsemi.data.hashtags.vocabulary import Label, Vocabulary

MOST_VARIANTS = 4  # of a label that the text shows


def add_parsers(subparsers: Any) -> None:
    """Add `hashtags`."""
    parser = add_command(subparsers, "hashtags", hashtags, "make a vocabulary of hashtags from class names")
    parser.add_argument(
        "--classes",
        required=True,
        metavar="FILE",
        help="class names: a file with one a line, a manifest with labels, or kinetics",
    )
    parser.add_argument(
        "--synonyms", type=local, metavar="CSV", help="more hashtags of classes, with the columns class,tag"
    )
    parser.add_argument("--manifest", type=parse_place, help="examples with hashtags, to count")
    parser.add_argument(
        "--min-examples",
        type=integer(0, 10**12),
        default=50,
        metavar="N",
        help="drop labels with fewer examples (default: %(default)s)",
    )
    parser.add_argument("--output", type=local, metavar="CSV", help="vocabulary to write")


def hashtags(options: argparse.Namespace) -> Answer:
    """List the hashtags of each class and, given a manifest, the labels with enough examples."""
    from vidsemi.data.hashtags.vocabulary import build_vocabulary, read_synonyms, write_vocabulary
    from vidsemi.io.files import keep_inputs, prepare_target

    if options.output is not None:
        keep_inputs(options.output, Path(options.classes), options.synonyms, options.manifest)
        prepare_target(options.output)
    classes, default_synonyms = _read_classes(options.classes)
    synonyms = options.synonyms or default_synonyms
    vocabulary = build_vocabulary(classes, read_synonyms(synonyms, classes) if synonyms else {})
    missing = vocabulary.missing_classes(classes)
    document: dict[str, Any] = {"classes": len(classes), "classes_without_tag": missing}
    lines = [f"{len(vocabulary.labels)} labels of {len(classes)} classes"]
    if missing:
        lines.append(f"classes without letters for a tag: {', '.join(' '.join(name.split()) for name in missing)}")
    counts = None
    if options.manifest is None:
        details, more = _list_variants(vocabulary)
    else:
        vocabulary, counts, details, more = _count_labels(vocabulary, options.manifest, options.min_examples)
    if options.output is not None:
        write_vocabulary(options.output, vocabulary, counts)
        document["output"] = str(options.output)
        more += ["", f"{options.output}: {len(vocabulary.labels)} labels"]
    return {**document, **details}, "\n".join([*lines, *more])


def _read_classes(source: str) -> tuple[list[str], Path | None]:
    """The class names that `--classes` refers to, and the synonyms that come with a dataset."""
    from vidsemi.data.class_names import read_class_names
    from vidsemi.data.manifest import load_manifest
    from vidsemi.io.files import dataset_folder

    file = Path(source)
    if file.suffix in (".csv", ".parquet"):
        return load_manifest(file).class_names(), None
    if file.exists() or file.name != source:
        return read_class_names(file), None
    try:
        folder = dataset_folder(source)
    except UserError:
        raise UserError("classes.missing", f"--classes: neither {source} nor datasets/{source} exists") from None
    if not (folder / "classes.txt").is_file():
        raise UserError(
            "classes.missing", f"--classes: {folder} has no classes.txt; give a manifest with labels or a text file"
        )
    synonyms = folder / "synonyms.csv"
    return read_class_names(folder / "classes.txt"), synonyms if synonyms.is_file() else None


def _list_variants(vocabulary: "Vocabulary") -> tuple[dict[str, Any], list[str]]:
    rows = []
    for label in vocabulary.labels:
        others = [f"#{tag}" for tag in label.variants[1:]]
        more = f" and {len(others) - MOST_VARIANTS} more" if len(others) > MOST_VARIANTS else ""
        rows.append((f"#{label.tag}", "; ".join(label.classes), " ".join(others[:MOST_VARIANTS]) + more))
    labels = [{**label.document(), "variants": label.variants} for label in vocabulary.labels]
    return {"labels": labels}, ["", *markdown_table(("tag", "classes", "other variants"), rows)]


def _count_labels(
    vocabulary: "Vocabulary", file: Path, min_examples: int
) -> tuple["Vocabulary", list[int], dict[str, Any], list[str]]:
    """The frequent labels, their numbers of examples, and JSON and text for all labels."""
    from vidsemi.data.hashtags.match import count_frequent

    matches, examples = count_frequent(file, vocabulary, min_examples, "the count of labels")
    if not matches.vocabulary.labels:
        most = max((count for _, count in matches.dropped), default=0)
        raise UserError(
            "hashtags.too_few_examples",
            f"{file}: no label has {min_examples} examples (the most frequent label has {most}); lower --min-examples",
        )
    counted = list(zip(matches.vocabulary.labels, matches.counts, strict=True))
    untagged = examples - matches.matched
    document = {
        "manifest": str(file),
        "min_examples": min_examples,
        "examples": examples,
        "tagged": matches.matched,
        "untagged": untagged,
        "labels": [{**label.document(count), "variants": label.variants} for label, count in counted],
        "dropped": [label.document(count) for label, count in matches.dropped],
    }
    lines = [
        f"{len(counted)} labels have at least {min_examples} examples",
        f"{matches.matched} of {examples} examples carry at least one of their tags, {untagged} none",
        "",
        *_count_table(counted),
    ]
    if matches.dropped:
        lines += ["", f"dropped, with fewer than {min_examples} examples:", "", *_count_table(matches.dropped)]
    return matches.vocabulary, matches.counts, document, lines


def _count_table(counted: "Iterable[tuple[Label, int]]") -> list[str]:
    rows = [(f"#{label.tag}", "; ".join(label.classes), str(count)) for label, count in counted]
    return markdown_table(("tag", "classes", "examples"), rows)
