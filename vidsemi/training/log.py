"""The training log: train.jsonl, and TensorBoard and Weights & Biases if asked for."""

import importlib.util
import json
import logging
import math
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from vidsemi.config import Log
from vidsemi.io.errors import UserError
from vidsemi.io.files import create_exclusive, write_text

logger = logging.getLogger("vidsemi")

LOG = "train.jsonl"
TENSORBOARD = "tensorboard"  # folder of its event files
WANDB_ID = "wandb_id.txt"
CURVES = ("loss", "accuracy", "learning_rate", "gradient_norm", "waited", "clips_per_second")  # of the event `step`
VALIDATION = "validation_top1"  # of the event `validation`
FLUSH_SECONDS = 10  # TensorBoard's default of 120 is long for somebody who watches

Sink = Callable[[str, int, dict[str, Any]], None]  # event, examples, values


def check_log(log: Log) -> None:
    """Check that the packages that the log needs are installed; raises a `UserError`."""
    for package, required in {"tensorboard": log.tensorboard, "wandb": log.wandb}.items():
        if required and not _is_installed(package):
            raise UserError(
                "log.not_installed", f"log.{package} needs another package: pip install 'vidsemi[{package}]'"
            )


def _is_installed(package: str) -> bool:
    spec = importlib.util.find_spec(package)
    return spec is not None and spec.origin is not None  # no origin: a folder of that name, as W&B leaves behind


def _tensorboard_works() -> bool:
    """Whether TensorBoard can be imported; a broken installation ends no run that did not ask for it."""
    if not _is_installed("tensorboard"):
        return False
    try:
        importlib.import_module("torch.utils.tensorboard")
    except Exception as error:  # its packages raise all sorts of errors if their versions do not match
        logger.warning("TensorBoard is installed but cannot be imported: %s", error)
        return False
    return True


def read_log(file: Path) -> list[dict[str, Any]]:
    """The events of a train.jsonl; none if there is no such file.

    Skips lines that are not JSON objects, such as the last line of a process that was killed while writing it.
    """
    events = []
    text = file.read_text(encoding="utf-8", errors="replace") if file.is_file() else ""
    for line in text.split("\n"):
        with suppress(ValueError, RecursionError):
            events.append(json.loads(line))
    return [event for event in events if isinstance(event, dict)]


class TrainingLog:
    """The log of a training run; to be entered as a context, on the first process only.

    Events after `examples`, where the run starts or resumes, are dropped: they will come again.
    """

    def __init__(self, folder: Path, title: str, log: Log, *, examples: int):
        self.folder, self.title, self.log, self.examples = folder, title, log, examples

    def __enter__(self) -> Self:
        _drop_later(self.folder / LOG, self.examples)
        with ExitStack() as opened:
            self._sinks: list[Sink] = []
            if self.log.tensorboard or (self.log.tensorboard is None and _tensorboard_works()):
                self._sinks.append(opened.enter_context(_tensorboard(self.folder / TENSORBOARD, self.examples)))
            if self.log.wandb:
                self._sinks.append(opened.enter_context(_wandb(self.folder, self.title, self.log.wandb)))
            self._opened = opened.pop_all()
        return self

    def __exit__(self, *error: Any) -> None:
        self._opened.__exit__(*error)

    def write(self, event: str, *, examples: int, **values: Any) -> None:
        """Log the event `begin`, `step`, `validation`, `checkpoint`, `reading_limit`, `not_finite` or `end`.

        NaN and infinity become null. An OSError (the disk is full) names the file.
        """
        for name, value in values.items():
            if isinstance(value, float) and not math.isfinite(value):
                values[name] = None
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        with _errors_name(self.folder / LOG), open(self.folder / LOG, "a", encoding="utf-8") as file:
            file.write(json.dumps({"event": event, "examples": examples, "time": now, **values}) + "\n")
        for sink in self._sinks:
            sink(event, examples, values)


def _drop_later(file: Path, examples: int) -> None:
    """Drop the events of a train.jsonl after so many examples; all of them for 0."""
    if file.is_file():
        events = [event for event in read_log(file) if isinstance(event.get("examples"), int)] if examples else []
        write_text(file, "".join(f"{json.dumps(event)}\n" for event in events if event["examples"] <= examples))


@contextmanager
def _tensorboard(folder: Path, examples: int) -> Iterator[Sink]:
    """Write an event file; TensorBoard hides what earlier files have after `examples`."""
    from torch.utils.tensorboard import SummaryWriter

    with _errors_name(folder):
        writer = SummaryWriter(folder, purge_step=examples + 1, flush_secs=FLUSH_SECONDS)

    def sink(event: str, examples: int, values: dict[str, Any]) -> None:
        with _errors_name(folder):
            for tag in CURVES if event == "step" else ():
                if values.get(tag) is not None:
                    writer.add_scalar(tag, values[tag], examples)
            if event == "validation":
                writer.add_scalar(VALIDATION, values["top1"], examples)
            if event == "checkpoint":  # a resumed run does not log again what comes before it
                writer.flush()

    try:
        yield sink
    finally:
        with _errors_name(folder):
            writer.close()


@contextmanager
def _wandb(folder: Path, title: str, project: str) -> Iterator[Sink]:
    """Log to Weights & Biases; a resumed run resumes the same run there."""
    import wandb

    create_exclusive(folder / WANDB_ID, uuid.uuid4().hex)  # not a hash of the path: containers share paths
    run_id = (folder / WANDB_ID).read_text(encoding="utf-8")
    try:
        run = wandb.init(project=project, name=title, id=run_id, resume="allow", dir=folder)
    except wandb.Error as error:
        raise UserError("log.wandb_failed", f"log.wandb: {error}") from None

    def sink(event: str, examples: int, values: dict[str, Any]) -> None:
        if event == "begin":
            run.config.update(values, allow_val_change=True)
        elif event == "step":
            run.log({tag: values[tag] for tag in CURVES if values.get(tag) is not None}, step=examples)
        elif event == "validation":
            run.log({VALIDATION: values["top1"]}, step=examples)

    try:
        yield sink
    except BaseException:
        run.finish(exit_code=1)
        raise
    run.finish()


@contextmanager
def _errors_name(path: Path) -> Iterator[None]:
    """Add the path to errors of the file system that lack one."""
    try:
        yield
    except OSError as error:
        error.filename = error.filename or str(path)
        raise
