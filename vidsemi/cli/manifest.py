"""`vidsemi manifest`: what users have becomes a manifest."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vidsemi.cli.options import Answer, add_command, add_decoding_arguments, integer, reader_count
from vidsemi.io.errors import UserError

if TYPE_CHECKING:
    from vidsemi.data.formats.readers import Found

WITH_HASHTAGS = ("table", "yfcc100m")
WITH_SUBSETS = ("hmdb51", "cub200")


def add_parsers(subparsers: Any) -> None:
    """Add `manifest`."""
    parser = add_command(subparsers, "manifest", manifest, "write a manifest from a format that you have")
    parser.add_argument(
        "format", choices=["table", "folder", "files", "kinetics", "ucf101", "hmdb51", "cub200", "yfcc100m", "tar"]
    )
    parser.add_argument(
        "files", nargs="*", metavar="FILE", help="table or split file; tars or folders of them, with {0..9} or *"
    )
    parser.add_argument("--root", type=Path, help="folder of the videos or images")
    parser.add_argument("--output", type=Path, help="manifest to write, .parquet or .csv")
    parser.add_argument("--path-column", default="path", help="name of the path column (`table`)")
    parser.add_argument("--label-column", default="label", help="name of the label column (`table`)")
    parser.add_argument("--hashtags-column", default="hashtags", help="name of the hashtags column (`table`)")
    parser.add_argument(
        "--id-column",
        default="id",
        help="without a path column: name of the column that names files in --root (`table`)",
    )
    parser.add_argument("--subset", choices=["train", "test"], help="training or test set (`hmdb51`, `cub200`)")
    parser.add_argument("--split", type=int, choices=[1, 2, 3], default=1, help="number of the split (`hmdb51`)")
    parser.add_argument(
        "--vocabulary", type=Path, metavar="FILE", help="keep only examples that carry one of its hashtags"
    )
    parser.add_argument(
        "--exclude-duplicates-of",
        type=Path,
        nargs="+",
        default=[],
        metavar="TEST",
        help="leave out duplicates of examples in these test sets",
    )
    parser.add_argument("--test-root", type=Path, metavar="FOLDER", help="folder of the test sets' videos or images")
    parser.add_argument("--exclude-duplicates", action="store_true", help="leave out duplicates within the dataset")
    parser.add_argument(
        "--near-test",
        type=integer(0, 16),
        default=6,
        metavar="BITS",
        help="maximum Hamming distance (of 64 bits) to a test example (default: %(default)s)",
    )
    parser.add_argument(
        "--near",
        type=integer(0, 16),
        default=2,
        metavar="BITS",
        help="maximum Hamming distance (of 64 bits) within the dataset (default: %(default)s)",
    )
    parser.add_argument("--verify", action="store_true", help="decode every file and write a table of the results")
    add_decoding_arguments(parser)


def manifest(options: argparse.Namespace) -> Answer:
    """Write a manifest from a format that users bring, or read all its files to see what they are, or both."""
    if options.output is None and not (options.verify and options.format == "table" and options.files):
        raise UserError("--output M is needed; only `manifest table FILE --verify` can do without")
    excludes = options.exclude_duplicates or options.exclude_duplicates_of
    if options.output is None and excludes:
        raise UserError("--output M is needed: the manifest without duplicates")
    if options.test_root is not None and not options.exclude_duplicates_of:
        raise UserError("--test-root is of the test sets of --exclude-duplicates-of, which is not given")
    if len(options.files) > 1 and options.format != "tar":
        raise UserError(f"the format {options.format} takes one file, not {len(options.files)}")
    if options.vocabulary is not None and options.format not in WITH_HASHTAGS:
        raise UserError(f"the format {options.format} has no hashtags, which --vocabulary needs")
    file = Path(options.files[0]) if options.files else None
    if options.output is not None:
        from vidsemi.data.manifest import check_suffix
        from vidsemi.io.files import keep_inputs, prepare_target

        keep_inputs(options.output, options.vocabulary, *options.exclude_duplicates_of)
        check_suffix(options.output)  # before long reading
        prepare_target(options.output)
    if options.output is None:
        document, text = {"manifest": str(file)}, ""
    elif excludes:
        document, text = _without_duplicates(options, file)
    else:
        document, text = _manifest(options, file)
    if not options.verify:
        return document, text
    from vidsemi.data.manifest import load_manifest
    from vidsemi.data.verify import verify_files

    root = None if options.output else options.root
    corpus = load_manifest(options.output or Path(options.files[0]), root)
    table = corpus.file.with_name(f"{corpus.file.stem}.files{corpus.file.suffix}")
    summary = verify_files(corpus, table, workers=reader_count(options), seconds=options.seconds_per_file)
    text = "\n".join([*([text] if text else []), *summary.lines(), "", f"{table}: a row for each file"])
    return {**document, "files": str(table), **summary.document()}, text


def _manifest(options: argparse.Namespace, file: Path | None) -> Answer:
    return _index_tars(options) if options.format == "tar" else _write_manifest(options, file)


def _without_duplicates(options: argparse.Namespace, file: Path | None) -> Answer:
    """Write a manifest of all examples, <manifest>.all, and from it one without duplicates."""
    from vidsemi.data.manifest import load_manifest
    from vidsemi.io.files import keep_inputs

    everything = options.output.with_name(f"{options.output.stem}.all{options.output.suffix}")
    keep_inputs(everything, options.vocabulary, *options.exclude_duplicates_of, *map(Path, options.files))
    tests = [load_manifest(test, options.test_root) for test in options.exclude_duplicates_of]  # before long reading
    document, text = _manifest(argparse.Namespace(**{**vars(options), "output": everything}), file)
    from vidsemi.data.dedup.exclude import exclude_stage

    summary = exclude_stage(
        load_manifest(everything),
        options.output,
        tests=tests,
        distance=options.near_test,
        within=options.near if options.exclude_duplicates else None,
        workers=reader_count(options),
        seconds=options.seconds_per_file,
    )
    document = {**document, "all": str(everything), "manifest": str(options.output), "examples": summary.examples}
    return {**document, "duplicates": summary.document()}, "\n".join([text, *summary.lines()])


def _write_manifest(options: argparse.Namespace, file: Path | None) -> Answer:
    """Write a manifest, and a list of the files that are named but not there."""
    from vidsemi.data.formats import readers as formats
    from vidsemi.data.formats.writer import need_examples, write_found

    root, output = options.root, options.output
    if options.format in ("folder", "files"):
        if file is not None:
            raise UserError(f"the format {options.format} takes no file; did you mean --root {file}?")
        if root is None:
            raise UserError(f"the format {options.format} needs --root, the folder of the videos or images")
        found = (formats.read_folder if options.format == "folder" else formats.read_files)(root)
    elif options.format in WITH_SUBSETS:
        found = _read_subset(options, file)
    elif file is None:
        raise UserError(f"the format {options.format} needs a file: vidsemi manifest {options.format} FILE --output M")
    elif root is None and options.format != "table":
        raise UserError(f"the format {options.format} needs --root, the folder of the videos or images")
    elif options.format in WITH_HASHTAGS:
        found = _read_tags(options, file)
    else:
        read = formats.read_kinetics if options.format == "kinetics" else formats.read_ucf101
        found = read(file, root)
    need_examples(found, file or root, root)
    text = write_found(output, found, options.vocabulary)
    document = {"manifest": str(output), "examples": len(found.columns["path"]), "missing": len(found.missing)}
    if options.format not in WITH_HASHTAGS:
        return document, text
    return {
        **document,
        "elsewhere": found.elsewhere,
        "left_out": found.left_out,
        "broken": len(found.broken),
    }, text


def _read_subset(options: argparse.Namespace, file: Path | None) -> "Found":
    """Read the training or the test set of a dataset whose files hold both."""
    from vidsemi.data.formats.split_lists import read_cub200, read_hmdb51

    if options.subset is None:
        raise UserError(f"the format {options.format} needs --subset train or --subset test")
    if options.root is None:
        raise UserError(f"the format {options.format} needs --root, the folder of the videos or images")
    if options.format == "cub200":
        if file is not None:
            raise UserError(f"the format cub200 takes no file; did you mean --root {file}?")
        return read_cub200(options.root, options.subset)
    if file is None:
        raise UserError("the format hmdb51 needs the folder of its split files: vidsemi manifest hmdb51 FOLDER …")
    return read_hmdb51(file, options.root, options.split, options.subset)


def _read_tags(options: argparse.Namespace, file: Path) -> "Found":
    """Read a format with hashtags; of examples with tags of a vocabulary, if there is one."""
    from vidsemi.data.hashtags.tag_files import read_table_format, read_yfcc100m
    from vidsemi.data.hashtags.vocabulary import read_vocabulary

    vocabulary = None if options.vocabulary is None else read_vocabulary(options.vocabulary).label_by_tag.keys()
    if options.format == "yfcc100m":
        return read_yfcc100m(file, options.root, vocabulary)
    names = ("path_column", "label_column", "hashtags_column", "id_column")
    columns = {name: getattr(options, name) for name in names}
    return read_table_format(file, options.root, **columns, vocabulary=vocabulary)


def _index_tars(options: argparse.Namespace) -> Answer:
    """Write the manifest of tars, and a list of those that are damaged."""
    from vidsemi.data.formats.index import index_stage
    from vidsemi.data.formats.tar import find_tars
    from vidsemi.data.formats.writer import list_missing

    if not options.files:
        raise UserError("the format tar needs tars: vidsemi manifest tar 'shards/{000000..000099}.tar' --output M")
    if options.root is not None:
        raise UserError("the format tar takes no --root; tars are named as they can be opened from here")
    tars = find_tars(options.files)
    summary = index_stage(tars, options.output, workers=reader_count(options), seconds=options.seconds_per_file)
    text = f"{options.output}: {summary.examples} examples in {summary.tars} tars"
    if summary.left_out:
        text += f"; {summary.left_out} members are left out (images beside a video, links, sparse files)"
    text += list_missing(options.output, summary.damaged, "tars are damaged")
    document = {"manifest": str(options.output), "examples": summary.examples, "tars": summary.tars}
    return {**document, "left_out": summary.left_out, "damaged": len(summary.damaged)}, text
