"""What a training tells while it goes on: lines in train.jsonl, and, where wanted, TensorBoard and Weights & Biases."""

import importlib.util
import json
import logging
import math
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from vidsemi.config import Log
from vidsemi.io.errors import UserError
from vidsemi.io.files import create_exclusive, write_text

logger = logging.getLogger("vidsemi")

LOG = "train.jsonl"
TENSORBOARD = "tensorboard"  # folder of its event files
WANDB_ID = "wandb_id.txt"
CURVES = ("loss", "accuracy", "learning_rate", "gradient_norm", "waited", "clips_per_second")  # of the event `step`
FLUSH_SECONDS = 10  # TensorBoard's own 120 are long for somebody who watches

Tell = Callable[[str, int, dict[str, Any]], None]  # event, examples, values


def check_log(log: Log) -> None:
    """Find out before long work whether all that is asked for is installed.

    Raises:
        UserError: it is not.
    """
    for package, wanted in {"tensorboard": log.tensorboard, "wandb": log.wandb}.items():
        if wanted and not _is_installed(package):
            raise UserError(f"log.{package}: {package} is not installed; pip install 'vidsemi[{package}]'")


def _is_installed(package: str) -> bool:
    """Whether a package can be imported; a mere folder of that name, as W&B leaves where it has run, cannot."""
    found = importlib.util.find_spec(package)
    return found is not None and found.origin is not None


def _tensorboard_works() -> bool:
    """Whether it can be used; one that is installed but broken ends no training that has not asked for it."""
    if not _is_installed("tensorboard"):
        return False
    try:
        importlib.import_module("torch.utils.tensorboard")
    except Exception as error:  # whatever its packages raise where versions do not fit
        logger.warning("TensorBoard is installed, but cannot be used: %s", error)
        return False
    return True


def read_log(file: Path) -> list[dict[str, Any]]:
    """The events of a train.jsonl, none where there is no such file; what is no JSON object is left out.

    So is the last line of a process that was killed while it wrote it.
    """
    if not file.is_file():
        return []
    events = []
    for line in file.read_text(encoding="utf-8", errors="replace").split("\n"):
        try:
            event = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(event, dict):
            events.append(event)
    return events


class TrainingLog:
    """The log of one training while the block lasts. Of several processes only the first one has it.

    Args:
        folder: of the training; one that goes on has its log in it.
        title: of the training, for Weights & Biases.
        log: who is told besides train.jsonl.
        examples: that the training has seen when the block begins, as its checkpoint says; 0 for a fresh start.
            Events after them are dropped: they will come again.
    """

    def __init__(self, folder: Path, title: str, log: Log, *, examples: int):
        self.folder, self.title, self.log, self.examples = folder, title, log, examples

    def __enter__(self) -> Self:
        _drop_later(self.folder / LOG, self.examples)
        with ExitStack() as opened:
            self._told: list[Tell] = []
            if self.log.tensorboard or (self.log.tensorboard is None and _tensorboard_works()):
                self._told.append(opened.enter_context(_tensorboard(self.folder / TENSORBOARD, self.examples)))
            if self.log.wandb:
                self._told.append(opened.enter_context(_wandb(self.folder, self.title, self.log.wandb)))
            self._opened = opened.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._opened.__exit__(kind, error, trace)

    def write(self, event: str, *, examples: int, **values: Any) -> None:
        """Tell of an event.

        Args:
            event: `begin`, `step`, `checkpoint`, `not_finite` or `end`.
            examples: that the training has seen by then.
            values: JSON values; a number that is not finite becomes null.

        Raises:
            OSError: the disk is full; names the file.
        """
        values = {name: _finite(value) for name, value in values.items()}
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        with _naming(self.folder / LOG), open(self.folder / LOG, "a", encoding="utf-8") as file:
            file.write(_line({"event": event, "examples": examples, "time": now, **values}))
        for tell in self._told:
            tell(event, examples, values)


def _finite(value: Any) -> Any:
    """The value; None for infinity and what is no number, which JSON does not know."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _drop_later(file: Path, examples: int) -> None:
    """Keep of a train.jsonl what it says of this many examples and fewer; for 0 nothing."""
    if file.is_file():
        kept = [event for event in read_log(file) if _reached(event) <= examples] if examples else []
        write_text(file, "".join(map(_line, kept)))


def _line(event: dict[str, Any]) -> str:
    return json.dumps({name: _finite(value) for name, value in event.items()}) + "\n"


def _reached(event: dict[str, Any]) -> float:
    """The examples that an event tells of; infinitely many where it tells of none."""
    examples = event.get("examples")
    return examples if isinstance(examples, int) else math.inf


@contextmanager
def _tensorboard(folder: Path, examples: int) -> Iterator[Tell]:
    """Write event files, each process one of its own; TensorBoard hides what earlier ones say of later examples."""
    from torch.utils.tensorboard import SummaryWriter

    with _naming(folder):
        writer = SummaryWriter(folder, purge_step=examples + 1, flush_secs=FLUSH_SECONDS)

    def tell(event: str, examples: int, values: dict[str, Any]) -> None:
        with _naming(folder):
            for tag in CURVES if event == "step" else ():
                if values.get(tag) is not None:
                    writer.add_scalar(tag, values[tag], examples)
            if event == "checkpoint":  # what comes before it does not come again
                writer.flush()

    try:
        yield tell
    finally:
        with _naming(folder):
            writer.close()


@contextmanager
def _wandb(folder: Path, title: str, project: str) -> Iterator[Tell]:
    """Log to Weights & Biases; a training that goes on goes on in the same run there."""
    import wandb

    create_exclusive(folder / WANDB_ID, uuid.uuid4().hex)  # no hash of the path: containers have the same paths
    run_id = (folder / WANDB_ID).read_text(encoding="utf-8")
    try:
        run = wandb.init(project=project, name=title, id=run_id, resume="allow", dir=folder)
    except wandb.Error as error:
        raise UserError(f"log.wandb: {error}") from None

    def tell(event: str, examples: int, values: dict[str, Any]) -> None:
        if event == "begin":
            run.config.update(values, allow_val_change=True)
        elif event == "step":
            run.log({tag: values[tag] for tag in CURVES if values.get(tag) is not None}, step=examples)

    try:
        yield tell
    except BaseException:
        run.finish(exit_code=1)
        raise
    run.finish()


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Errors of the disk name the path, so that the one line that a user sees does."""
    try:
        yield
    except OSError as error:
        error.filename = error.filename or str(path)
        raise
