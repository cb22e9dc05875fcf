"""Speed of the networks in a report, measured on this machine."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vidsemi.io.errors import UserError
from vidsemi.io.progress import progress_bar
from vidsemi.reporting.results import Result
from vidsemi.runtime.process import processor, usable_cores

if TYPE_CHECKING:
    import torch

    from vidsemi.config import Runtime
    from vidsemi.models.weights_file import NetworkSpec


@dataclass(frozen=True)
class SpeedSetting:
    """The hardware and settings of a measurement."""

    device: str  # torch's name
    gpu: str | None  # None on a CPU
    processor: str
    cores: int  # that this process may use
    threads: int  # of torch
    precision: str  # of the convolutions
    clips_per_pass: int

    def __str__(self) -> str:
        gpu = f" ({self.gpu})" if self.gpu else ""
        return (
            f"{self.device}{gpu}, {self.processor}, {self.cores} cores, {self.threads} threads, {self.precision}, "
            f"{self.clips_per_pass} clips per pass"
        )


@dataclass(frozen=True)
class SpeedReport:
    """How speeds were measured."""

    setting: SpeedSetting
    missing: list[str]  # names of the results without a speed, each with the reason


def measure_speeds(results: Sequence[Result], runtime: "Runtime") -> tuple[list[Result], SpeedReport]:
    """Fill in the `clips_per_second` of results; each network is measured once, however many results it has.

    Raises:
        UserError: the machine does not have the device.
    """
    from vidsemi.inference.model import fastest_precision
    from vidsemi.runtime.device import clips_per_forward, pick_device

    device = pick_device(runtime)
    clips = clips_per_forward(runtime, device)
    measured: dict[str, float] = {}
    with_speed, missing = [], []
    with progress_bar(len(results), "row", "measure speed") as bar:
        for result in results:
            try:
                result = replace(result, clips_per_second=_clips_per_second(result, device, clips, measured))
            except UserError as error:
                missing.append(f"{result.name} ({result.approach}): {error}")
            with_speed.append(result)
            bar.update()
    return with_speed, SpeedReport(_setting(device, fastest_precision(device), clips), missing)


def _clips_per_second(result: Result, device: "torch.device", clips: int, measured: dict[str, float]) -> float:
    """Look the speed of a result's network up in `measured`, or measure it and add it there."""
    from vidsemi.inference.model import Inference, fastest_precision
    from vidsemi.inference.speed import measure_speed

    network, spec = _load_any_weights(result)
    key = repr((spec.model, sorted(spec.args.items()), len(spec.classes), spec.input))  # not the names of classes
    if key not in measured:
        inference = Inference(network, spec.input, device, fastest_precision(device))
        measured[key] = measure_speed(inference, spec.input, clips).clips_per_second
    return measured[key]


def _load_any_weights(result: Result) -> tuple[Any, "NetworkSpec"]:
    """Load the first weights that can be loaded: the networks of all seeds are equally fast."""
    from vidsemi.models.weights import local_copy
    from vidsemi.models.weights_file import load_weights

    problem = UserError("results.no_weights", "results.json does not say where its weights are")
    for file in result.weights:
        try:
            return load_weights(file if isinstance(file, Path) else local_copy(str(file)))
        except UserError as error:
            problem = error
    raise problem


def _setting(device: "torch.device", precision: str, clips: int) -> SpeedSetting:
    import torch

    gpu = torch.cuda.get_device_name(device) if device.type == "cuda" else None
    return SpeedSetting(str(device), gpu, processor(), usable_cores(), torch.get_num_threads(), precision, clips)
