"""`vidsemi hashtags`: names of classes become a label space of hashtags."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vidsemi.cli.options import Answer, add_command, integer, read_class_names
from vidsemi.io.errors import UserError
from vidsemi.io.tables import markdown_table

if TYPE_CHECKING:
    from vidsemi.data.hashtags.vocabulary import Label, LabelSpace

SHOWN = 4  # spellings of a label in the text


def add_parsers(subparsers: Any) -> None:
    """Add `hashtags`."""
    parser = add_command(subparsers, "hashtags", hashtags, "make a vocabulary of hashtags from class names")
    parser.add_argument(
        "--classes", required=True, metavar="FILE", help="names, one a line; a manifest with labels; or kinetics"
    )
    parser.add_argument("--synonyms", type=Path, metavar="CSV", help="further hashtags of classes: class,tag")
    parser.add_argument("--manifest", type=Path, help="examples with hashtags, to count")
    parser.add_argument(
        "--min-examples",
        type=integer(0, 10**12),
        default=50,
        metavar="N",
        help="drop labels with fewer examples (default: %(default)s)",
    )
    parser.add_argument("--output", type=Path, metavar="CSV", help="vocabulary to write")


def hashtags(options: argparse.Namespace) -> Answer:
    """The tags that mean each class and, of a manifest with hashtags, the labels that enough examples carry."""
    from vidsemi.data.hashtags.vocabulary import label_space, read_synonyms, write_label_space
    from vidsemi.io.files import keep_inputs, prepare_target

    if options.output is not None:
        keep_inputs(options.output, Path(options.classes), options.synonyms, options.manifest)
        prepare_target(options.output)
    classes, synonyms = _classes(options.classes)
    synonyms = options.synonyms or synonyms
    space = label_space(classes, read_synonyms(synonyms, classes) if synonyms else {})
    named = {name for label in space.labels for name in label.classes}
    no_tag = [name for name in classes if name not in named]
    document: dict[str, Any] = {"classes": len(classes), "classes_without_tag": no_tag}
    lines = [f"{len(space.labels)} labels of {len(classes)} classes"]
    if no_tag:
        lines.append(f"without letters that could be a tag: {', '.join(' '.join(name.split()) for name in no_tag)}")
    counts = None
    if options.manifest is None:
        figures, more = _spellings(space)
    else:
        space, counts, figures, more = _frequent(space, options)
    if options.output is not None:
        write_label_space(options.output, space, counts)
        document["output"] = str(options.output)
        more += ["", f"{options.output}: {len(space.labels)} labels"]
    return {**document, **figures}, "\n".join([*lines, *more])


def _classes(source: str) -> tuple[list[str], Path | None]:
    """The names that `--classes` means, and the synonyms that come with them."""
    file = Path(source)
    if file.suffix in (".csv", ".parquet"):
        from vidsemi.data.manifest import load_manifest

        return load_manifest(file).class_names(), None
    if file.exists() or file.name != source:
        return read_class_names(file), None
    from vidsemi.io.files import dataset_folder

    try:
        folder = dataset_folder(source)
    except UserError:
        raise UserError(f"--classes {source}: there is neither such a file nor a folder datasets/{source}") from None
    if not (folder / "classes.txt").is_file():
        raise UserError(f"--classes {source}: {folder} has no classes.txt; name a manifest with labels, or a text file")
    synonyms = folder / "synonyms.csv"
    return read_class_names(folder / "classes.txt"), synonyms if synonyms.is_file() else None


def _spellings(space: "LabelSpace") -> tuple[dict[str, Any], list[str]]:
    """The document and the lines about labels that nobody has counted."""
    rows = []
    for label in space.labels:
        further = [f"#{tag}" for tag in label.spellings[1:]]
        more = f" and {len(further) - SHOWN} more" if len(further) > SHOWN else ""
        rows.append((f"#{label.tag}", "; ".join(label.classes), " ".join(further[:SHOWN]) + more))
    labels = [{**_document(label), "spellings": label.spellings} for label in space.labels]
    return {"labels": labels}, ["", *markdown_table(("tag", "classes", "further spellings"), rows)]


def _frequent(
    space: "LabelSpace", options: argparse.Namespace
) -> tuple["LabelSpace", list[int], dict[str, Any], list[str]]:
    """The labels that stay, their examples, and the document and the lines about all."""
    import numpy as np

    from vidsemi.data.hashtags.vocabulary import count_examples, frequent_examples
    from vidsemi.data.manifest import load_manifest

    manifest = load_manifest(options.manifest)
    kept, examples, labels, dropped = frequent_examples(manifest, space, options.min_examples, "a count of its labels")
    if not kept.labels:
        most = max((count for _, count in dropped), default=0)
        raise UserError(
            f"{options.manifest}: no label has {options.min_examples} examples, the most frequent has {most}; "
            "fewer are enough with --min-examples"
        )
    kept_counts = count_examples(kept, labels).tolist()
    tagged = len(np.unique(examples))
    pairs = list(zip(kept.labels, kept_counts, strict=True))
    document = {
        "manifest": str(options.manifest),
        "min_examples": options.min_examples,
        "examples": len(manifest),
        "tagged": tagged,
        "untagged": len(manifest) - tagged,
        "labels": [{**_document(label), "examples": count, "spellings": label.spellings} for label, count in pairs],
        "dropped": [{**_document(label), "examples": count} for label, count in dropped],
    }
    lines = [
        f"{len(kept.labels)} labels have at least {options.min_examples} examples",
        f"{tagged} of {len(manifest)} examples carry at least one of their tags, {len(manifest) - tagged} none",
        "",
        *_table(pairs),
    ]
    if dropped:
        lines += ["", f"dropped, with fewer than {options.min_examples} examples:", "", *_table(dropped)]
    return kept, kept_counts, document, lines


def _table(counted: "list[tuple[Label, int]]") -> list[str]:
    rows = [(f"#{label.tag}", "; ".join(label.classes), str(count)) for label, count in counted]
    return markdown_table(("tag", "classes", "examples"), rows)


def _document(label: "Label") -> dict[str, Any]:
    return {"tag": label.tag, "classes": label.classes}
