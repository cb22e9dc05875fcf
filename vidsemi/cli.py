"""The command line. Standard output carries results only; progress and messages go to standard error.

Exit status: 0 done, 1 our fault, 2 the user's input is wrong, 130 interrupted.
"""

import argparse
import json
import logging
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from vidsemi import __version__
from vidsemi.errors import UserError

logger = logging.getLogger("vidsemi")
Answer = tuple[Any, str]  # the JSON document, and the text for people


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit status."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(stream=sys.stderr, format="%(message)s", level=logging.WARNING)
    logger.setLevel(logging.INFO)
    try:
        document, text = options.command(options)
    except UserError as error:
        print(f"vidsemi: error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        again = shlex.join(sys.argv if arguments is None else ["vidsemi", *arguments])
        print(f"\nvidsemi: interrupted; the same command goes on from here: {again}", file=sys.stderr)
        return 130
    print(json.dumps(document, indent=2, ensure_ascii=False) if options.json else text)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="vidsemi", description="Small action-recognition networks that learn from unlabelled video."
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    run = _command(commands, "run", _run, "every stage of a config that is not done yet")
    run.add_argument("--cfg", required=True, metavar="FILE", help="config; a bare name is also looked up in configs/")
    run.add_argument("--until", metavar="STAGE", help="leave out the stages after this one, e.g. select")
    run.add_argument("--check", action="store_true", help="look at config, data and output; run nothing")
    run.add_argument("overrides", nargs="*", metavar="key.path=value", help="settings instead of those of the config")

    manifest = _command(commands, "manifest", _manifest, "a manifest from a format that you have")
    manifest.add_argument("format", choices=["table", "folder", "kinetics", "ucf101"])
    manifest.add_argument("file", nargs="?", type=Path, help="CSV, Parquet or split file (not for `folder`)")
    manifest.add_argument("--root", type=Path, help="folder of the videos or images")
    manifest.add_argument("--output", type=Path, required=True, help="manifest to write, .parquet or .csv")
    manifest.add_argument("--path-column", default="path", help="name of the path column (`table`)")
    manifest.add_argument("--label-column", default="label", help="name of the label column (`table`)")

    score = _command(commands, "score", _score, "score a corpus with a network")
    _add_weights_and_manifest(score)
    score.add_argument("--output", type=Path, required=True, help="directory for the parts")
    score.add_argument("--per-example", type=int, default=10, metavar="P", help="classes stored an example (10)")
    score.add_argument("--shard-size", type=int, default=1000, help="examples a part (1000)")

    select = _command(commands, "select", _select, "choose who teaches what to the student")
    select.add_argument("--scores", type=Path, required=True, help="directory of scores")
    select.add_argument("--per-class", type=int, required=True, metavar="K", help="examples a class takes")
    select.add_argument("--per-example", type=int, required=True, metavar="P", help="classes an example may teach")
    select.add_argument("--output", type=Path, required=True, help="selection to write, .parquet")

    evaluate = _command(commands, "evaluate", _evaluate, "video-level accuracy of a network")
    _add_weights_and_manifest(evaluate)

    report = _command(commands, "report", _report, "accuracy beside FLOPs of one or more runs")
    report.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="output directory of a run")
    report.add_argument("--output", type=Path, help="where the report goes; default: the run's own directory")

    flops = _command(commands, "flops", _flops, "parameters and multiply-adds of a network")
    flops.add_argument("--model", required=True, metavar="NAME")
    flops.add_argument("--frames", type=int, required=True, metavar="T", help="clip length")
    flops.add_argument("--size", type=int, default=112, metavar="S", help="side of the crop (112)")
    flops.add_argument("--classes", type=int, default=400, help="outputs of the head (400)")
    flops.add_argument("--views", type=int, default=10, metavar="V", help="views a video (10)")
    flops.add_argument("--width", type=float, help="multiplies the planes of an R(2+1)D")
    return parser


def _command(
    commands: Any, name: str, function: Callable[[argparse.Namespace], Answer], about: str
) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=about, description=about[0].upper() + about[1:] + ".")
    parser.add_argument("--json", action="store_true", help="print one JSON document and nothing else")
    parser.set_defaults(command=function)
    return parser


def _add_weights_and_manifest(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--weights", type=Path, required=True, help="weights.pt of a trained network")
    parser.add_argument("--manifest", type=Path, required=True, help="examples, .parquet or .csv")
    parser.add_argument("--root", type=Path, help="folder that the manifest's paths start from")
    parser.add_argument("--views", type=int, default=10, metavar="V", help="clips a video (10)")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--workers", type=int, help="processes that decode; default: one a core")


def _run(options: argparse.Namespace) -> Answer:
    from vidsemi import pipeline
    from vidsemi.config import load_config

    config = load_config(options.cfg, options.overrides)
    if options.until and options.until not in pipeline.KINDS:
        raise UserError(f"--until {options.until}: there is no such stage; they are: {', '.join(pipeline.KINDS)}")
    if options.check:
        return pipeline.check(config)
    rows = pipeline.run(config, options.until)
    if not rows:
        return {"output": config.output, "results": []}, f"{config.output}: done until {options.until}"
    from vidsemi.report.write import write_report

    table = write_report([Path(config.output)], Path(config.output))
    return {"output": config.output, "results": rows}, f"{table}\n{Path(config.output) / 'report.html'}"


def _manifest(options: argparse.Namespace) -> Answer:
    import os

    from vidsemi.corpus import formats
    from vidsemi.corpus.manifest import write_manifest
    from vidsemi.files import write_text

    needs = {"table": ["file"], "folder": ["root"], "kinetics": ["file", "root"], "ucf101": ["file", "root"]}
    for name in needs[options.format]:
        if getattr(options, name) is None:
            shown = "a file" if name == "file" else "--root"
            raise UserError(f"the format {options.format} needs {shown}")
    if options.format == "table":
        found = formats.read_table_format(
            options.file, options.root, path_column=options.path_column, label_column=options.label_column
        )
    elif options.format == "folder":
        found = formats.read_folder(options.root)
    elif options.format == "kinetics":
        found = formats.read_kinetics(options.file, options.root)
    else:
        found = formats.read_ucf101(options.file, options.root)
    if not found.columns:
        raise UserError(f"not one of the {len(found.missing)} files of {options.file} is under {options.root}, such as {found.missing[0] if found.missing else 'none listed'}")
    folder = options.output.parent.resolve()
    paths = [path if "://" in path else os.path.abspath(path) for path in found.columns["path"]]
    found.columns["path"] = [os.path.relpath(path, folder) if Path(path).is_relative_to(folder) else path for path in paths]
    write_manifest(options.output, found.columns)
    text = f"{options.output}: {len(paths)} examples"
    if found.missing:
        missing = options.output.with_suffix(".missing.txt")
        write_text(missing, "\n".join(found.missing) + "\n")
        text += f"; {len(found.missing)} listed files are not there, see {missing}"
    return {"manifest": str(options.output), "examples": len(paths), "missing": len(found.missing)}, text


def _machine(options: argparse.Namespace) -> Any:
    from vidsemi.config import Machine

    for name in ("views", "workers", "per_example", "shard_size"):
        value, least = getattr(options, name, None), 0 if name == "workers" else 1
        if value is not None and value < least:
            raise UserError(f"--{name.replace('_', '-')} is {value}; it must be at least {least}")
    return Machine(device=options.device, workers=options.workers)


def _score(options: argparse.Namespace) -> Answer:
    machine = _machine(options)
    from vidsemi.corpus.manifest import load_manifest
    from vidsemi.stages.score import score_stage

    manifest = load_manifest(options.manifest, options.root)
    figures = score_stage(
        options.output,
        weights=options.weights,
        manifest=manifest,
        views=options.views,
        per_example=options.per_example,
        shard_size=options.shard_size,
        machine=machine,
        title="score",
    )
    text = f"{options.output}: {figures['scored']} of {len(manifest)} examples scored, {figures['failed']} cannot be read"
    return {"scores": str(options.output), **figures}, text


def _select(options: argparse.Namespace) -> Answer:
    from vidsemi.stages.select import select_stage

    figures = select_stage(
        options.output, scores=options.scores, per_class=options.per_class, per_example=options.per_example
    )
    text = f"{options.output}: {figures['chosen']} of {figures['scored']} examples chosen"
    return {"selection": str(options.output), **figures}, text


def _evaluate(options: argparse.Namespace) -> Answer:
    machine = _machine(options)
    from vidsemi.corpus.manifest import load_manifest
    from vidsemi.stages.evaluate import evaluate_stage

    manifest = load_manifest(options.manifest, options.root)
    figures = evaluate_stage(
        weights=options.weights, manifest=manifest, views=options.views, machine=machine, title="evaluate"
    )
    text = "top-1 {top1:.2f}%  top-5 {top5:.2f}%  class mean {mean_class_top1:.2f}%  ({read} of {total} videos read, {views} views, {gmacs_per_view:.4g} GMAC a view)".format(**figures)  # fmt: skip
    return figures, text


def _report(options: argparse.Namespace) -> Answer:
    if options.output is None and len(options.runs) > 1:
        raise UserError("a report over several runs needs --output")
    from vidsemi.report.summary import read_results
    from vidsemi.report.write import write_report

    output = options.output or options.runs[0]
    table = write_report(options.runs, output)
    rows = [{"run": str(run), **row} for run in options.runs for row in read_results(run)]
    return {"output": str(output), "results": rows}, f"{table}\n{output / 'report.html'}"


def _flops(options: argparse.Namespace) -> Answer:
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
