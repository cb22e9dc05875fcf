"""How fast the students of a report are on this machine."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from vidsemi.io.errors import UserError
from vidsemi.io.progress import progress_bar
from vidsemi.report.summary import Line
from vidsemi.runtime.cores import processor, usable_cores

if TYPE_CHECKING:
    import torch

    from vidsemi.config import Runtime
    from vidsemi.models.weights_file import NetworkSpec


@dataclass(frozen=True)
class SpeedSetting:
    """What speeds were measured with.

    Attributes:
        device: that the networks ran on, as torch calls it.
        gpu: its name, if it is one.
        processor: of the machine.
        cores: that this process may use.
        threads: that torch uses.
        precision: of the convolutions.
        clips_per_pass: that go through a network at once.
    """

    device: str
    gpu: str | None
    processor: str
    cores: int
    threads: int
    precision: str
    clips_per_pass: int

    def __str__(self) -> str:
        gpu = f" ({self.gpu})" if self.gpu else ""
        return (
            f"{self.device}{gpu}, {self.processor}, {self.cores} cores, {self.threads} threads, {self.precision}, "
            f"{self.clips_per_pass} clips a pass"
        )


@dataclass(frozen=True)
class Speeds:
    """What has to be said of measured speeds.

    Attributes:
        setting: what they were measured with.
        missing: for each line without a speed, who it is and why.
    """

    setting: SpeedSetting
    missing: list[str]


def measure_speeds(lines: Sequence[Line], runtime: "Runtime") -> tuple[list[Line], Speeds]:
    """Measure each network once, however many lines it stands behind.

    Args:
        lines: of students and teachers.
        runtime: what to run on.

    Returns:
        The lines with their `clips_per_second`, and what to say of it.

    Raises:
        UserError: the machine has no such device.
    """
    from vidsemi.inference.model import fastest_precision
    from vidsemi.runtime.device import clips_per_forward, pick_device

    device = pick_device(runtime)
    clips = clips_per_forward(runtime, device)
    known: dict[str, float] = {}
    measured, missing = [], []
    with progress_bar(len(lines), "row", "measure speed") as bar:
        for line in lines:
            try:
                line = replace(line, clips_per_second=_speed(line, device, clips, known))
            except UserError as error:
                missing.append(f"{line.name} ({line.approach}): {error}")
            measured.append(line)
            bar.update()
    return measured, Speeds(_setting(device, fastest_precision(device), clips), missing)


def _speed(line: Line, device: "torch.device", clips: int, known: dict[str, float]) -> float:
    """Clips a second of a line's network, from `known` or measured and noted there.

    Raises:
        UserError: no weights of the line can be loaded, or the clips do not fit into the device's memory.
    """
    from vidsemi.inference.model import Inference, fastest_precision
    from vidsemi.inference.speed import measure_speed

    network, spec = _any_weights(line)
    key = _identity(spec)
    if key not in known:
        inference = Inference(network, spec.input, device, fastest_precision(device))
        known[key] = measure_speed(inference, spec.input, clips).clips_per_second
    return known[key]


def _any_weights(line: Line) -> tuple[Any, "NetworkSpec"]:
    """The network of the first seed whose weights can be loaded: all seeds have the same one."""
    from vidsemi.models.weights_file import load_weights

    problem = UserError("results.json does not say where its weights are")
    for file in line.weights:
        try:
            return load_weights(file)
        except UserError as error:
            problem = error
    raise problem


def _identity(spec: "NetworkSpec") -> str:
    """Equal for specs of the same network, whatever its classes are called."""
    return repr((spec.model, sorted(spec.args.items()), len(spec.classes), spec.input))


def _setting(device: "torch.device", precision: str, clips: int) -> SpeedSetting:
    import torch

    gpu = torch.cuda.get_device_name(device) if device.type == "cuda" else None
    return SpeedSetting(str(device), gpu, processor(), usable_cores(), torch.get_num_threads(), precision, clips)
