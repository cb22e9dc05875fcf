"""How fast a machine reads and computes: measured, from a file, or assumed by public specifications."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field, PositiveFloat, PositiveInt, ValidationError

from vidsemi.config.base import Section
from vidsemi.io.errors import UserError
from vidsemi.io.files import read_regular
from vidsemi.io.tables import printable
from vidsemi.pipeline.cost.work import Computing, Reading
from vidsemi.runtime.registry import nearest

MAX_BYTES = 1 << 20  # of a file of rates

# Peak of dense 16-bit matrix products and of float32 (TF32 where there is TF32) in TFLOP/s, by the data sheets of
# NVIDIA: V100 SXM2, T4, A100 SXM4, A10, L4, L40S, H100 SXM5, H200 SXM, B200; Ada and Ampere "with sparsity" halved.
PEAKS = {
    "v100": (125, 15.7),
    "t4": (65, 8.1),
    "a10": (125, 62.5),
    "a100": (312, 156),
    "l4": (121, 60),
    "l40s": (362, 183),
    "h100": (989, 494),
    "h200": (989, 494),
    "b200": (2250, 1100),
}
UTILIZATION = 0.15  # of the peak, that R(2+1)D reaches: an assumption; measure on yours
# Multiply-adds of one core with AVX-512: an R(2+1)D-18 of 8×112×112 infers 11.3 clips/s in float32 and 22.5 in
# bfloat16 on two cores, and trains 2.67 and 4.75 (docs/performance.md).
CORE_INFERENCE = {"float32": 117e9, "bfloat16": 233e9}
CORE_TRAINING = {"float32": 83e9, "bfloat16": 148e9}
CPU = "cpu"
# Files a second of one core: Kinetics as downloaded, one random clip, ten clips (docs/performance.md); images: assumed.
VIDEO_TRAINING, VIDEO_VIEWS, IMAGES = 27.0, 14.4, 150.0
CPU_SECONDS, GPU_SECONDS = 2.0, 10.0  # to start readers and set up a stage; on a GPU with the trial of convolutions


class NetworkRate(Section):
    """Of one network on one device."""

    clips_per_second: PositiveFloat
    start_seconds: float = Field(0.0, ge=0)


class Rates(Section):
    """Rates of a machine, as `vidsemi plan --json` prints them and `--rates` reads them."""

    device: str = CPU
    """A row of the table of devices, for networks that are not listed: cpu, or a GPU such as a100."""
    cores: PositiveInt = 1
    """Cores that the rates of networks are for, if the device is the CPU."""
    training_tmacs: PositiveFloat | None = None
    """10^12 multiply-adds a second in training, of one device; of one core for cpu. Default: the table's."""
    inference_tmacs: PositiveFloat | None = None
    """Likewise in inference."""
    files_per_core_second: PositiveFloat | None = None
    """Files that one core reads a second, for those that are not in `reads`."""
    loader_seconds: float | None = Field(None, ge=0)
    """To start the readers of training. Default: 2 for cpu, else 10."""
    reader_seconds: float | None = Field(None, ge=0)
    """To start the readers of scoring and evaluation. Default: 2 for cpu, else 10."""
    networks: dict[str, NetworkRate] = Field({}, max_length=10_000)
    """Rates of networks by `network` of a stage."""
    reads: dict[str, PositiveFloat] = Field({}, max_length=10_000)
    """Files a second of one core, by `reads` of a stage."""

    @property
    def is_cpu(self) -> bool:
        """Whether networks run on the cores that read."""
        return self.device == CPU

    def core_seconds(self, reading: Reading) -> float:
        """Seconds of one core to read the files."""
        return reading.files / self.files_per_second(reading)

    def files_per_second(self, reading: Reading) -> float:
        """Files that one core reads a second."""
        if rate := self.reads.get(reading.key, self.files_per_core_second):
            return rate
        if reading.input.frames == 1:
            return IMAGES
        return VIDEO_TRAINING if reading.recipe else VIDEO_VIEWS

    def device_seconds(self, computing: Computing) -> float:
        """Seconds of one device; if that is the CPU, of one core."""
        if rate := self.networks.get(computing.key):
            return computing.clips / rate.clips_per_second * (self.cores if self.is_cpu else 1)
        return computing.clips * computing.macs / self.macs_per_second(computing)

    def macs_per_second(self, computing: Computing) -> float:
        """Multiply-adds a second of one device, or core, for a network whose rate is not known."""
        training = computing.recipe is not None
        if given := self.training_tmacs if training else self.inference_tmacs:
            return given * 1e12
        narrow = "float32" if computing.precision == "float32" else "bfloat16"
        if self.is_cpu:
            return (CORE_TRAINING if training else CORE_INFERENCE)[narrow]
        half, single = PEAKS[self.device]
        return UTILIZATION * (single if narrow == "float32" else half) / 2 * 1e12

    def setup_seconds(self, computing: Computing) -> float:
        """To build a network and start with it."""
        rate = self.networks.get(computing.key)
        return rate.start_seconds if rate else 0.0

    def start_seconds(self, loaders: int, readers: int) -> float:
        """To start the readers of training and of inference so many times."""
        usual = CPU_SECONDS if self.is_cpu else GPU_SECONDS
        own = (usual if given is None else given for given in (self.loader_seconds, self.reader_seconds))
        return sum(count * seconds for count, seconds in zip((loaders, readers), own, strict=True))


def rates_of(values: Mapping[str, Any], source: str) -> Rates:
    """Rates from a file's values; a `UserError` names the key that is wrong."""
    try:
        rates = Rates.model_validate(dict(values))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(map(str, first["loc"]))
        message = first["msg"].removeprefix("Value error, ")
        raise UserError("rates.invalid", f"{source}: {printable(key)}: {message}") from None
    check_device(rates.device)
    return rates


def read_rates(file: Path) -> Rates:
    """Rates in a YAML file, or in the JSON document of `vidsemi plan --json`.

    Raises:
        UserError: the file is missing or invalid.
    """
    import yaml

    try:
        values = yaml.safe_load(read_regular(file, MAX_BYTES))
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise UserError("rates.unreadable", f"{file} is not a YAML file: {str(error).splitlines()[0]}") from None
    if isinstance(values, dict) and isinstance(values.get("rates"), dict):
        values = values["rates"]
    if not isinstance(values, dict):
        raise UserError("rates.unreadable", f"{file} has no rates; they are keys such as training_tmacs")
    return rates_of(values, str(file))


def check_device(name: str) -> None:
    """Raise a `UserError` unless the table has a device."""
    if name != CPU and name not in PEAKS:
        near = nearest(name, [CPU, *PEAKS])
        hint = f"; did you mean '{near[0]}'?" if near else ""
        known = ", ".join([CPU, *PEAKS])
        raise UserError("rates.unknown_device", f"the table has no device '{name}'{hint} It has {known}")


def row_of(name: str) -> str:
    """The row of the table for a GPU by the name that its driver gives; the slowest for one that it does not have."""
    slowest = min(PEAKS, key=lambda row: PEAKS[row])
    return next((row for row in sorted(PEAKS, key=len, reverse=True) if row in name.lower()), slowest)


@dataclass(frozen=True)
class Machine:
    """What a run may use; counts are from 1.

    Attributes:
        threads: cores that a network computes on, if the device is the CPU. Default: all.
        workers: processes that read, for each device. Default: one a core.
    """

    devices: int
    cores: int
    threads: int | None = None
    workers: int | None = None

    @property
    def reading_cores(self) -> int:
        """Cores that read."""
        return self.cores if self.workers is None else min(self.cores, max(self.workers, 1) * self.devices)

    @property
    def computing_cores(self) -> int:
        """Cores that a network computes on."""
        return self.cores if self.threads is None else min(self.cores, self.threads)
