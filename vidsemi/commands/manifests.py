"""`vidsemi manifest`: what users have becomes a manifest."""

import argparse
from pathlib import Path

from vidsemi.commands.answer import Answer, check_limits, reader_count
from vidsemi.errors import UserError


def manifest(options: argparse.Namespace) -> Answer:
    """Write a manifest from a format that users bring, or read all its files to see what they are, or both."""
    check_limits(options)
    if options.output is None and not (options.verify and options.format == "table" and options.files):
        raise UserError("--output M is needed; only `manifest table FILE --verify` can do without")
    if len(options.files) > 1 and options.format != "tar":
        raise UserError(f"the format {options.format} takes one file, not {len(options.files)}")
    file = Path(options.files[0]) if options.files else None
    if options.output is None:
        document, text = {"manifest": str(file)}, ""
    else:
        document, text = _index_tars(options) if options.format == "tar" else _write_manifest(options, file)
    if not options.verify:
        return document, text
    from vidsemi.corpus.manifest import load_manifest
    from vidsemi.stages.verify import verify_stage

    root = None if options.output else options.root
    corpus = load_manifest(options.output or Path(options.files[0]), root)
    table = corpus.file.with_name(f"{corpus.file.stem}.files{corpus.file.suffix}")
    summary = verify_stage(corpus, table, workers=reader_count(options), seconds=options.seconds_per_file)
    text = "\n".join([*([text] if text else []), *summary.lines(), "", f"{table}: a row for each file"])
    return {**document, "files": str(table), **summary.document()}, text


def _write_manifest(options: argparse.Namespace, file: Path | None) -> Answer:
    """Write a manifest, and a list of the files that are named but not there."""
    from vidsemi.corpus import formats
    from vidsemi.corpus.manifest import write_manifest

    root, output = options.root, options.output
    if options.format == "folder":
        if file is not None:
            raise UserError(f"the format folder takes no file; did you mean --root {file}?")
        if root is None:
            raise UserError("the format folder needs --root, the folder of the videos or images")
        found = formats.read_folder(root)
    elif file is None:
        raise UserError(f"the format {options.format} needs a file: vidsemi manifest {options.format} FILE --output M")
    elif options.format == "table":
        columns = {"path_column": options.path_column, "label_column": options.label_column}
        found = formats.read_table_format(file, root, **columns)
    elif root is None:
        raise UserError(f"the format {options.format} needs --root, the folder of the videos or images")
    else:
        read = formats.read_kinetics if options.format == "kinetics" else formats.read_ucf101
        found = read(file, root)
    if not found.columns:
        example = f", such as {found.missing[0]}" if found.missing else ""
        raise UserError(f"not one of the {len(found.missing)} files listed in {file} is under {root}{example}")
    found.columns["path"] = [formats.portable_path(path, output) for path in found.columns["path"]]
    write_manifest(output, found.columns)
    examples = len(found.columns["path"])
    what = "files have names that are not UTF-8" if options.format == "folder" else "listed files are not there"
    text = f"{output}: {examples} examples" + _list_missing(output, found.missing, what)
    return {"manifest": str(output), "examples": examples, "missing": len(found.missing)}, text


def _index_tars(options: argparse.Namespace) -> Answer:
    """Write the manifest of tars, and a list of those that are damaged."""
    from vidsemi.corpus.tar import find_tars
    from vidsemi.stages.index import index_stage

    if not options.files:
        raise UserError("the format tar needs tars: vidsemi manifest tar 'shards/{000000..000099}.tar' --output M")
    if options.root is not None:
        raise UserError("the format tar takes no --root; tars are named as they can be opened from here")
    tars = find_tars(options.files)
    summary = index_stage(tars, options.output, workers=reader_count(options), seconds=options.seconds_per_file)
    text = f"{options.output}: {summary.examples} examples in {summary.tars} tars"
    if summary.left_out:
        text += f"; {summary.left_out} members are left out (images beside a video, links, sparse files)"
    text += _list_missing(options.output, summary.damaged, "tars are damaged")
    document = {"manifest": str(options.output), "examples": summary.examples, "tars": summary.tars}
    return {**document, "left_out": summary.left_out, "damaged": len(summary.damaged)}, text


def _list_missing(manifest: Path, lines: list[str], what: str) -> str:
    """Write what is not in a manifest to a file beside it; says so."""
    from vidsemi.files import write_text

    missing = manifest.with_suffix(".missing.txt")
    missing.unlink(missing_ok=True)
    if not lines:
        return ""
    write_text(missing, "\n".join(lines) + "\n")
    return f"; {len(lines)} {what}, see {missing}"
