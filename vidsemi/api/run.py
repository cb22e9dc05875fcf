"""`run` and `transfer`: all stages of a config, then the report."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any, TypeVar

from vidsemi.api.arguments import PathArgument, path_of
from vidsemi.api.live_report import LiveReport
from vidsemi.api.model import Model
from vidsemi.config import Config, TransferConfig
from vidsemi.config.load import Overrides, load_config, load_transfer_config, parse_overrides
from vidsemi.io.errors import UserError
from vidsemi.io.progress import ShowProgress, show_progress
from vidsemi.pipeline import run as pipeline
from vidsemi.pipeline.stage import KINDS
from vidsemi.reporting.previews import preview_maker
from vidsemi.reporting.write import Report, write_report
from vidsemi.runtime.distributed import done_by_first, first_before_others, process_group, processes, started_processes
from vidsemi.runtime.process import usable_cores

Checked = tuple[dict[str, Any], str]
C = TypeVar("C", Config, TransferConfig)
ConfigArgument = PathArgument | Mapping[str, Any]


@dataclass(frozen=True)
class RunResult:
    """The results of a run or a transfer.

    Args:
        output: its directory.
        results: rows of results.json: student, approach, seed, top1, gmacs_per_view and so on.
        report: the written report; None if no network has been evaluated yet though there is a test set, and in
            all processes but the first.
    """

    output: Path
    results: list[dict[str, Any]]
    report: Report | None


def run(
    config: ConfigArgument,
    overrides: Overrides = (),
    *,
    until: str | None = None,
    overwrite: Sequence[str] = (),
    reuse: Sequence[PathArgument] = (),
    jobs: int = 1,
    progress: ShowProgress = None,
    **more: Any,
) -> RunResult:
    """Run every stage of a config that is not done yet, and write the report.

    A killed run resumes when it is called again. Processes that torchrun started share the work.

    Args:
        config: a YAML file, the name of a recipe in configs/, or the content of such a file as a dictionary.
        overrides: other values of keys: {"select.per_class": 500}, or texts `key.path=value` with YAML values.
        until: stop after this kind of stage, such as "select".
        overwrite: kinds of stages to delete and run again if they have changed, with what follows them.
        reuse: outputs of other runs, whose equal stages are taken over.
        jobs: how many stages may run at once, each in a process of its own with its share of the cores and, if there
            are GPUs, one of them.
        progress: True for bars, or a function that takes a `Progress`.
        more: further overrides, such as `output="runs/a"`.

    Returns:
        the rows of results.json and the report.

    Raises:
        UserError: the config is wrong, its data are missing, the output has other stages, or a stage fails.
    """
    check_kinds("until", [until] if until is not None else [])
    _check_jobs(jobs)
    changes: dict[str, Any] = {"overwrite": _kinds(overwrite), "reuse": _paths("reuse", reuse), "jobs": jobs}
    return _execute(
        lambda: config_of(config, overrides, more),
        lambda loaded: pipeline.run(loaded, until, on_progress=LiveReport(Path(loaded.output)), **changes),
        progress,
    )


def transfer(
    weights: Model | PathArgument,
    config: ConfigArgument,
    overrides: Overrides = (),
    *,
    overwrite: Sequence[str] = (),
    reuse: Sequence[PathArgument] = (),
    jobs: int = 1,
    progress: ShowProgress = None,
    **more: Any,
) -> RunResult:
    """Measure the accuracy of a trained network on other datasets, by full fine-tuning or a linear probe.

    Args:
        weights: a weights file, or a model that was loaded from one or saved.
        config: a YAML file of a transfer or a run, its name in configs/, or its content as a dictionary.
        overrides: other values of keys, as for `run`.
        overwrite: kinds of stages to delete and run again if they have changed.
        reuse: outputs of other runs, whose equal stages are taken over.
        jobs: how many stages may run at once, each in a process of its own with its share of the cores and, if there
            are GPUs, one of them.
        progress: True for bars, or a function that takes a `Progress`.
        more: further overrides, such as `output="runs/a"`.

    Returns:
        the rows of results.json and the report.

    Raises:
        UserError: as `run`; or the model differs from its file.
    """
    _check_jobs(jobs)
    changes: dict[str, Any] = {"overwrite": _kinds(overwrite), "reuse": _paths("reuse", reuse), "jobs": jobs}
    file = weights._own_file() if isinstance(weights, Model) else path_of("weights", weights)
    return _execute(
        lambda: load_transfer_config(_source(config), _merged(overrides, more)),
        lambda loaded: pipeline.transfer(file, loaded, on_progress=LiveReport(Path(loaded.output)), **changes),
        progress,
    )


def check_run(
    config: ConfigArgument, overrides: Overrides = (), *, until: str | None, overwrite: list[str], reuse: list[Path]
) -> Checked:
    """What `run` would do, as a JSON document and as text; its arguments and errors are those of `run`."""
    check_kinds("until", [until] if until is not None else [])
    return _check(
        lambda: config_of(config, overrides, {}),
        lambda loaded: pipeline.check(loaded, overwrite=_kinds(overwrite), reuse=reuse),
    )


def check_transfer(
    weights: Path, config: ConfigArgument, overrides: Overrides = (), *, overwrite: list[str], reuse: list[Path]
) -> Checked:
    """What `transfer` would do, as a JSON document and as text; its arguments and errors are those of `transfer`."""
    return _check(
        lambda: load_transfer_config(_source(config), _merged(overrides, {})),
        lambda loaded: pipeline.check_transfer(weights, loaded, overwrite=_kinds(overwrite), reuse=reuse),
    )


def config_of(config: ConfigArgument, overrides: Overrides, more: Mapping[str, Any]) -> Config:
    """The config of a run from the arguments of `run`; raises a `UserError` if it is wrong."""
    return load_config(_source(config), _merged(overrides, more))


def _check(load: Callable[[], C], check: Callable[[C], Checked]) -> Checked:
    with process_group():
        with first_before_others():
            config = load()
        document, text = done_by_first(lambda: check(config))
    return document, text


def check_kinds(option: str, kinds: Sequence[str]) -> None:
    """Raise a `UserError` unless all are kinds of stages."""
    for kind in kinds:
        if kind not in KINDS:
            known = ", ".join(KINDS)
            raise UserError("run.unknown_stage", f"unknown stage '{kind}' for {option}; choose one of {known}")


def _check_jobs(jobs: int) -> None:
    if isinstance(jobs, bool) or not isinstance(jobs, int) or jobs < 1:
        raise UserError("jobs.invalid", f"jobs is {jobs!r}; give the number of stages that may run at once, at least 1")
    if jobs > 1 and started_processes() > 1:
        raise UserError(
            "jobs.torchrun",
            f"{jobs} jobs cannot share the processes of torchrun; start the run without torchrun, or with one job",
        )


def _execute(load: Callable[[], C], execute: Callable[[C], list[dict[str, Any]]], progress: ShowProgress) -> RunResult:
    with show_progress(progress), process_group():
        with first_before_others():
            config = load()
        rows, written = execute(config), None
        output = Path(config.output)
        with first_before_others():
            if (rows or not _measures_accuracy(config)) and processes().first:
                workers = config.runtime.workers if config.runtime.workers is not None else usable_cores()
                written = write_report([output], output, previews=preview_maker(None, workers))
    return RunResult(output, rows, written)


def _measures_accuracy(config: Config | TransferConfig) -> bool:
    return isinstance(config, TransferConfig) or config.data.test is not None


def _source(config: ConfigArgument) -> str | Mapping[str, Any]:
    plain: str | Mapping[str, Any] = _plain(config) if isinstance(config, Mapping) else str(path_of("config", config))
    return plain


def _merged(overrides: Overrides, more: Mapping[str, Any]) -> dict[str, Any]:
    given = overrides if isinstance(overrides, Mapping) else parse_overrides(overrides)
    merged: dict[str, Any] = _plain({**given, **more})
    return merged


def _plain(value: Any) -> Any:
    """Values as YAML has them: lists for tuples, texts for paths."""
    if isinstance(value, Mapping):
        return {key: _plain(own) for key, own in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(own) for own in value]
    return str(value) if isinstance(value, PathLike) else value


def _kinds(kinds: Sequence[str]) -> list[str]:
    listed = [kinds] if isinstance(kinds, str) else [*kinds]
    check_kinds("overwrite", listed)
    return listed


def _paths(name: str, paths: Sequence[PathArgument]) -> list[Path]:
    listed = [paths] if isinstance(paths, str | PathLike) else [*paths]
    return [path_of(name, path) for path in listed]
