"""What the commands do: options in, a JSON document and a text out. Heavy imports happen where they are needed."""

import argparse
import re
from pathlib import Path
from typing import Any

from vidsemi.errors import UserError

Answer = tuple[Any, str]  # the JSON document, and the text for people


def run(options: argparse.Namespace) -> Answer:
    """Every stage of a config that is not done yet, then the report."""
    from vidsemi import pipeline
    from vidsemi.config_file import load_config
    from vidsemi.plan import KINDS

    config = load_config(options.cfg, options.overrides)
    if options.until and options.until not in KINDS:
        raise UserError(f"--until {options.until}: there is no such stage; they are: {', '.join(KINDS)}")
    if options.check:
        return pipeline.check(config)
    rows = pipeline.run(config, options.until)
    if not rows:
        return {"output": config.output, "results": []}, f"{config.output}: done until {options.until}"
    from vidsemi.report.write import write_report

    table = write_report([Path(config.output)], Path(config.output))
    return {"output": config.output, "results": rows}, f"{table}\n{Path(config.output) / 'report.html'}"


def manifest(options: argparse.Namespace) -> Answer:
    """Write a manifest from a format that users bring, or read all its files to see what they are, or both."""
    if options.output is None and not (options.verify and options.format == "table"):
        raise UserError("--output M is needed; only `manifest table FILE --verify` can do without")
    document, text = _write_manifest(options) if options.output else ({"manifest": str(options.file)}, "")
    if not options.verify:
        return document, text
    _check_limits(options)
    from vidsemi.cores import usable_cores
    from vidsemi.corpus.manifest import load_manifest
    from vidsemi.stages.verify import verify_stage

    corpus = load_manifest(options.output) if options.output else load_manifest(options.file, options.root)
    table = corpus.file.with_name(f"{corpus.file.stem}.files{corpus.file.suffix}")
    workers = options.workers if options.workers is not None else usable_cores()
    summary = verify_stage(corpus, table, workers=workers, seconds=options.seconds_per_file)
    text = "\n".join([*([text] if text else []), *summary.lines(), "", f"{table}: a row for each file"])
    return {**document, "files": str(table), **summary.document()}, text


def _write_manifest(options: argparse.Namespace) -> Answer:
    """Write a manifest, and a list of the files that are named but not there."""
    from vidsemi.corpus import formats
    from vidsemi.corpus.manifest import write_manifest
    from vidsemi.files import write_text

    file, root, output = options.file, options.root, options.output
    if file is not None and options.format == "folder":
        raise UserError(f"the format folder takes no file; did you mean --root {file}?")
    if file is None and options.format != "folder":
        raise UserError(f"the format {options.format} needs a file: vidsemi manifest {options.format} FILE --output M")
    if root is None and options.format != "table":
        raise UserError(f"the format {options.format} needs --root, the folder of the videos or images")
    if options.format == "table":
        columns = {"path_column": options.path_column, "label_column": options.label_column}
        found = formats.read_table_format(file, root, **columns)
    elif options.format == "folder":
        found = formats.read_folder(root)
    elif options.format == "kinetics":
        found = formats.read_kinetics(file, root)
    else:
        found = formats.read_ucf101(file, root)
    if not found.columns:
        example = f", such as {found.missing[0]}" if found.missing else ""
        raise UserError(f"not one of the {len(found.missing)} files listed in {file} is under {root}{example}")
    found.columns["path"] = [formats.portable_path(path, output) for path in found.columns["path"]]
    write_manifest(output, found.columns)
    examples = len(found.columns["path"])
    text = f"{output}: {examples} examples"
    missing = output.with_suffix(".missing.txt")
    missing.unlink(missing_ok=True)
    if found.missing:
        write_text(missing, "\n".join(found.missing) + "\n")
        text += f"; {len(found.missing)} listed files are not there, see {missing}"
    return {"manifest": str(output), "examples": examples, "missing": len(found.missing)}, text


def _machine(options: argparse.Namespace) -> Any:
    _check_limits(options)
    from vidsemi.config import Machine

    return Machine(
        device=options.device,
        workers=options.workers,
        seconds_per_file=options.seconds_per_file,
        clips_per_forward=options.clips_per_forward,
    )


def _check_limits(options: argparse.Namespace) -> None:
    limits = {"views": (1, 1e6), "workers": (0, 1024), "per_example": (1, 1e6), "shard_size": (1, 1e9)}
    more = {"seconds_per_file": (0.001, 1e7), "clips_per_forward": (1, 1e6)}
    for name, (least, most) in {**limits, **more}.items():
        value = getattr(options, name, None)
        if value is not None and not least <= value <= most:
            raise UserError(f"--{name.replace('_', '-')} is {value}; it must be from {least} to {most:g}")


def score(options: argparse.Namespace) -> Answer:
    """Score a corpus."""
    machine = _machine(options)
    from vidsemi.corpus.manifest import load_manifest
    from vidsemi.stages.score import score_stage

    corpus = load_manifest(options.manifest, options.root)
    figures = score_stage(
        options.output,
        weights=options.weights,
        manifest=corpus,
        views=options.views,
        per_example=options.per_example,
        shard_size=options.shard_size,
        precision=options.precision,
        machine=machine,
        title="score",
    )
    text = f"{options.output}: {figures['scored']} of {len(corpus)} examples scored, {figures['failed']} cannot be read"
    return {"scores": str(options.output), **figures}, text


def select(options: argparse.Namespace) -> Answer:
    """Choose D̂ from scores."""
    numbers = None
    if options.parts is not None:
        match = re.fullmatch(r"(\d{1,12})-(\d{1,12})", options.parts) or re.fullmatch(r"((\d{1,12}))", options.parts)
        if match is None or int(match[2]) < int(match[1]):
            raise UserError(f"--parts {options.parts}: say which parts as FIRST-LAST, e.g. 0-99")
        numbers = range(int(match[1]), int(match[2]) + 1)
    from vidsemi.corpus.manifest import load_manifest
    from vidsemi.markdown import aligned
    from vidsemi.selection import describe
    from vidsemi.selection.result import read_selection_info
    from vidsemi.stages.select import select_stage

    figures = select_stage(
        options.output,
        scores=options.scores,
        per_class=options.per_class,
        per_example=options.per_example,
        policy=options.policy,
        min_score=options.min_score,
        seed=options.seed,
        manifest=load_manifest(options.manifest) if options.manifest else None,
        numbers=numbers,
        merge=options.merge,
    )
    info = read_selection_info(options.output)
    table = aligned(describe.CLASS_HEADER, describe.shortened(describe.class_rows(info)))
    text = "\n".join([str(options.output), *describe.summary(info), "", *table])
    return {"selection": str(options.output), **figures, "classes": describe.classes(info)}, text


def evaluate(options: argparse.Namespace) -> Answer:
    """Test a network."""
    machine = _machine(options)
    from vidsemi.corpus.manifest import load_manifest
    from vidsemi.stages.evaluate import evaluate_stage

    corpus = load_manifest(options.manifest, options.root)
    figures = evaluate_stage(
        weights=options.weights, manifest=corpus, views=options.views, machine=machine, title="evaluate"
    )
    text = (
        f"top-1 {figures['top1']:.2f}%  top-5 {figures['top5']:.2f}%  class mean {figures['mean_class_top1']:.2f}%  "
        f"({figures['read']} of {figures['total']} videos read, {figures['views']} views, "
        f"{figures['gmacs_per_view']:.4g} GMAC a view)"
    )
    return figures, text


def report(options: argparse.Namespace) -> Answer:
    """The report of one or more runs."""
    if options.output is None and len(options.runs) > 1:
        raise UserError("a report over several runs needs --output")
    from vidsemi.report.write import write_report
    from vidsemi.results import read_results

    output = options.output or options.runs[0]
    table = write_report(options.runs, output)
    rows = [{"run": str(run), **row} for run in options.runs for row in read_results(run)]
    return {"output": str(output), "results": rows}, f"{table}\n{output / 'report.html'}"


def flops(options: argparse.Namespace) -> Answer:
    """What a network costs."""
    for name in ("frames", "size", "classes", "views"):
        if getattr(options, name) < 1:
            raise UserError(f"--{name} is {getattr(options, name)}; it must be at least 1")
    from vidsemi.models.create import create_model
    from vidsemi.models.flops import CONVENTION, measure_cost

    args = {} if options.width is None else {"width": options.width}
    network = create_model(options.model, num_classes=options.classes, frames=options.frames, args=args)
    cost = measure_cost(network, frames=options.frames, size=options.size)
    document = {
        "model": options.model,
        "frames": options.frames,
        "size": options.size,
        "classes": options.classes,
        "parameters": cost.parameters,
        "gmacs_per_view": cost.gmacs_per_view,
        "views": options.views,
        "gmacs_per_video": cost.gmacs_per_view * options.views,
        "convention": CONVENTION,
    }
    text = "\n".join(
        [
            f"{options.model}, {options.frames} frames of {options.size}×{options.size}, {options.classes} classes",
            f"parameters      {cost.parameters / 1e6:.2f}M",
            f"GMAC per view   {cost.gmacs_per_view:.2f}",
            f"GMAC per video  {cost.gmacs_per_view * options.views:.2f}  ({options.views} views)",
            f"({CONVENTION})",
        ]
    )
    return document, text


def bench(options: argparse.Namespace) -> Answer:
    """Time a part of vidsemi beside its peers and its limit."""
    for name in ("rows", "classes", "per_class", "per_example", "shard_size", "rounds", "repeats"):
        if not 1 <= getattr(options, name, 1) <= 10**12:
            raise UserError(f"--{name.replace('_', '-')} is {getattr(options, name)}; it must lie in [1, 10^12]")
    return _bench_decode(options) if options.subject == "decode" else _bench_select(options)


def _bench_decode(options: argparse.Namespace) -> Answer:
    from vidsemi.bench.decode import bench_decode, made_files, text
    from vidsemi.pipeline import dataset_folder

    files = options.files or made_files(dataset_folder("moving_shapes") / "prepare.py", options.data)
    document = bench_decode(files, repeats=options.repeats, rounds=options.rounds, only=options.only)
    return document, text(document)


def _bench_select(options: argparse.Namespace) -> Answer:
    if options.per_example > options.classes / 2:
        raise UserError("--per-example must be at most half of --classes")
    from vidsemi.bench.select import HEADER, bench_select, cells
    from vidsemi.markdown import aligned

    document = bench_select(
        None if options.generate else options.data,
        rows=int(options.rows),
        classes=options.classes,
        per_class=options.per_class,
        per_example=options.per_example,
        examples_a_part=options.shard_size,
        rounds=options.rounds,
        only=options.only,
    )
    versions = ", ".join(f"{name} {number}" for name, number in document["versions"].items())
    setting = (
        f"{document['rows']:,} rows in {document['parts']:,} parts from {document['source']}, "
        f"{options.classes} classes, K = {options.per_class:,}, P = {options.per_example}\n"
        f"medians of {options.rounds} runs, each in a fresh process\n"
        f"{document['cores']} cores of {document['processor']}; {versions}\n"
    )
    return document, "\n".join([setting, *aligned(HEADER, cells(document))])
