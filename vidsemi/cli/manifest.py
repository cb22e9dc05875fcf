"""`vidsemi manifest FORMAT`: write a manifest from a dataset in some format, without duplicates if requested."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vidsemi.cli.options import (
    Answer,
    add_command,
    add_decoding_arguments,
    add_engine_arguments,
    integer,
    local,
    memory_size,
    reader_count,
)
from vidsemi.data.formats import Format, formats
from vidsemi.io.errors import UserError
from vidsemi.io.store import is_remote, parse_place

if TYPE_CHECKING:
    from vidsemi.config import Runtime


def add_parsers(subparsers: Any, *, plugins: bool) -> None:
    """Add `manifest`, with a subcommand for each registered format; `plugins`: also those of other packages."""
    summary = "write a manifest from a dataset in one of several formats"
    parser = subparsers.add_parser("manifest", help=summary, description=summary.capitalize() + ".")
    of_format = parser.add_subparsers(metavar="FORMAT", required=True)
    for known in formats(plugins=plugins).values():
        _add_format(of_format, known)


def _add_format(subparsers: Any, format: Format) -> None:
    parser = add_command(subparsers, format.name, manifest, format.summary)
    parser.set_defaults(format=format, root=None, vocabulary=None)
    # A file that the format does not take is accepted here and refused by `Format.scan`, which suggests --root.
    parser.add_argument("files", nargs="*", metavar="FILE", help=format.file or argparse.SUPPRESS)
    if format.root != "none":
        required = format.root == "required"
        parser.add_argument("--root", type=parse_place, required=required, help="folder of the videos or images")
    for flag, settings in format.options.items():
        parser.add_argument(flag, **settings)
    if format.has_hashtags:
        parser.add_argument(
            "--vocabulary", type=local, metavar="FILE", help="keep only examples that carry one of its hashtags"
        )
    parser.add_argument("--output", type=local, help="manifest to write, .parquet or .csv")
    parser.add_argument(
        "--exclude-duplicates-of",
        type=parse_place,
        nargs="+",
        default=[],
        metavar="TEST",
        help="leave out duplicates of examples in these test sets",
    )
    parser.add_argument(
        "--test-root", type=parse_place, metavar="FOLDER", help="folder of the test sets' videos or images"
    )
    parser.add_argument("--exclude-duplicates", action="store_true", help="leave out duplicates within the dataset")
    parser.add_argument(
        "--hash-folder",
        metavar="FOLDER",
        help="where hashes of files are kept and shared, also s3://bucket/folder (default: hashes beside the output)",
    )
    for flag, default, what in (("-test", 6, "to a test example"), ("", 2, "within the dataset")):
        parser.add_argument(
            f"--max-distance{flag}",
            type=integer(0, 16),
            default=default,
            metavar="BITS",
            help=f"maximum Hamming distance (of 64 bits) of near duplicates {what} (default: %(default)s)",
        )
    parser.add_argument(
        "--memory",
        type=memory_size,
        default="1G",
        metavar="SIZE",
        help="memory for the search for duplicates within the dataset, such as 700M or 2G (default: %(default)s)",
    )
    parser.add_argument("--verify", action="store_true", help="decode every file and write a table of the results")
    add_decoding_arguments(parser)
    add_engine_arguments(parser, gpus=False)


def manifest(options: argparse.Namespace) -> Answer:
    """Write a manifest, or decode all its files to verify them, or both."""
    excludes = options.exclude_duplicates or options.exclude_duplicates_of
    if options.output is None and (excludes or not (options.verify and options.format.name == "table")):
        raise UserError("manifest.missing_output", "--output is required, except for `manifest table FILE --verify`")
    if options.engine == "ray" and not (excludes or options.verify):
        raise UserError(
            "manifest.unused_engine", "--engine applies to --verify and --exclude-duplicates, and neither is given"
        )
    if options.test_root is not None and not options.exclude_duplicates_of:
        raise UserError("manifest.unused_test_root", "--test-root applies to --exclude-duplicates-of, which is missing")
    if options.output is not None:
        _require_local(options)
    if options.output is None:
        if len(options.files) != 1:
            raise UserError("manifest.missing_file", "--verify without --output needs one file: table FILE --verify")
        document, text = {"manifest": options.files[0]}, ""
    else:
        from vidsemi.data.manifest_file import check_suffix
        from vidsemi.io.files import keep_inputs, prepare_target

        keep_inputs(options.output, options.vocabulary, *options.exclude_duplicates_of)  # before long reading
        check_suffix(options.output)
        prepare_target(options.output)
        document, text = (_write_without_duplicates if excludes else _write)(options, options.output)
    if not options.verify:
        return document, text
    from vidsemi.data.manifest import load_manifest
    from vidsemi.data.verify_job import verify_files

    root = None if options.output else options.root
    written = load_manifest(options.output or parse_place(options.files[0]), root)
    # beside the manifest, or here if that is in an object store
    folder = written.file.parent if isinstance(written.file, Path) else Path()
    table = folder / f"{written.file.stem}.files{written.file.suffix}"
    summary = verify_files(
        written, table, workers=reader_count(options), seconds=options.seconds_per_file, engine=_engine(options)
    )
    text = "\n".join([*([text] if text else []), *summary.lines(), "", f"{table}: one row per file"])
    return {**document, "files": str(table), **summary.document()}, text


def _engine(options: argparse.Namespace) -> "Runtime | None":
    """What workers on Ray get; None without Ray."""
    if options.engine != "ray":
        return None
    from vidsemi.config import Runtime

    names = ("engine", "actors", "cpus_per_actor", "workers", "seconds_per_file")
    return Runtime(**{name: getattr(options, name) for name in names})


def _require_local(options: argparse.Namespace) -> None:
    """Refuse to list the files of a bucket: of these only manifests that exist can be read."""
    for place in (*options.files, *([] if options.root is None else [str(options.root)])):
        if is_remote(place):
            raise UserError(
                "manifest.remote_files",
                f"a manifest cannot be made from {place}, which is not on this machine; write the addresses of the "
                "files, or their paths below a folder that --root of the other commands names, to a .csv or .parquet",
            )


def _write(options: argparse.Namespace, output: Path) -> Answer:
    source: Format = options.format
    names = [flag.removeprefix("--").replace("-", "_") for flag in source.options]
    arguments = {name: getattr(options, name) for name in names}
    if source.has_hashtags:
        arguments["vocabulary"] = None
        if options.vocabulary is not None:
            from vidsemi.data.hashtags.vocabulary import read_vocabulary

            arguments["vocabulary"] = read_vocabulary(options.vocabulary).label_by_tag.keys()
    if source.in_parallel:
        arguments |= {"workers": reader_count(options), "seconds": options.seconds_per_file}
    return source.scan(options.files, options.root, **arguments).write(output, options.vocabulary)


def _write_without_duplicates(options: argparse.Namespace, output: Path) -> Answer:
    """Write a manifest of all examples, OUTPUT.all, and from it one without duplicates."""
    from vidsemi.data.manifest import load_manifest
    from vidsemi.io.files import keep_inputs

    everything = output.with_name(f"{output.stem}.all{output.suffix}")
    keep_inputs(everything, options.vocabulary, *options.exclude_duplicates_of, *map(Path, options.files))
    tests = [load_manifest(test, options.test_root) for test in options.exclude_duplicates_of]  # before long reading
    document, text = _write(options, everything)
    from vidsemi.data.dedup.exclude import exclude_duplicates
    from vidsemi.io.store import parse_place

    summary = exclude_duplicates(
        load_manifest(everything),
        output,
        tests=tests,
        max_distance_test=options.max_distance_test,
        max_distance=options.max_distance if options.exclude_duplicates else None,
        workers=reader_count(options),
        seconds=options.seconds_per_file,
        hashes=None if options.hash_folder is None else parse_place(options.hash_folder),
        memory=options.memory,
        engine=_engine(options),
    )
    document = {**document, "all": str(everything), "manifest": str(output), "examples": summary.examples}
    return {**document, "duplicates": summary.document()}, "\n".join([text, *summary.lines()])
