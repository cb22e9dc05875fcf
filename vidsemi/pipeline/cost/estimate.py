"""Work and rates → seconds, disk, and what limits. Arithmetic only.

GPUs compute while cores read: a stage takes the longer of both. On a CPU the network and the readers share the cores.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from vidsemi.pipeline.cost.rates import Machine, Rates
from vidsemi.pipeline.cost.work import Work

CHECKPOINTS_KEPT = 3  # at a moment: two, and the one that is written


@dataclass(frozen=True)
class StageCost:
    """The cost of a stage.

    Attributes:
        macs: multiply-adds; those of training count the backward pass as two forward passes.
        core_seconds: of reading files.
        device_seconds: of computing on one device, or on one core if the device is the CPU.
        start_seconds: of starting readers, building networks, and reading tables.
        seconds: that the stage takes.
        limit: "device", "decoding", or "start" if that takes longer than both.
        cores_per_device: that read as fast as one device computes; None where nothing is computed.
        written: bytes, with checkpoints.
        kept: bytes that stay.
        peak: bytes on the disk while the stage runs, with those of the stages before it.
    """

    name: str
    kind: str
    examples: int
    clips: int
    macs: float
    core_seconds: float
    device_seconds: float
    start_seconds: float
    seconds: float
    limit: str
    cores_per_device: float | None
    written: int
    kept: int
    peak: int

    def document(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)


def estimate(work: Sequence[Work], rates: Rates, machine: Machine) -> list[StageCost]:
    """The cost of stages that run one after another."""
    costs: list[StageCost] = []
    before = 0
    for own in work:
        costs.append(_cost(own, rates, machine, before))
        before += own.kept
    return costs


def _cost(work: Work, rates: Rates, machine: Machine, before: int) -> StageCost:
    reading = sum(rates.core_seconds(own) for own in work.readings)
    computing = sum(rates.device_seconds(own) for own in work.computing)
    start = rates.start_seconds(work.loaders, work.readers) + work.host_seconds
    start += sum(rates.setup_seconds(own) for own in work.computing)
    decode = reading / machine.reading_cores
    device = computing / (machine.computing_cores if rates.is_cpu else machine.devices)
    busy = max(decode, device, (reading + computing) / machine.cores if rates.is_cpu else 0.0)
    limit = "decoding" if decode > device else "device"
    if start > busy:
        limit = "start"
    seconds = start + busy
    checkpoints = work.checkpoints + int(seconds / work.checkpoint_seconds)
    existing = min(checkpoints, CHECKPOINTS_KEPT) * work.checkpoint
    return StageCost(
        name=work.name,
        kind=work.kind,
        examples=work.examples,
        clips=work.clips,
        macs=work.macs,
        core_seconds=reading,
        device_seconds=computing,
        start_seconds=start,
        seconds=seconds,
        limit=limit,
        cores_per_device=reading / computing if computing else None,
        written=work.kept + checkpoints * work.checkpoint,
        kept=work.kept,
        peak=before + work.kept + existing,
    )


@dataclass(frozen=True)
class Total:
    """The sum of stages; `limit` is what most of the time is spent on. Attributes as in `StageCost`."""

    macs: float
    core_seconds: float
    device_seconds: float
    start_seconds: float
    seconds: float
    limit: str
    cores_per_device: float | None
    written: int
    kept: int
    peak: int

    def document(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)


def total_of(costs: Sequence[StageCost]) -> Total:
    """What all stages cost together."""
    reading, computing = sum(own.core_seconds for own in costs), sum(own.device_seconds for own in costs)
    limits = dict.fromkeys(("device", "decoding", "start"), 0.0)
    for own in costs:
        limits[own.limit] += own.seconds
    return Total(
        macs=sum(own.macs for own in costs),
        core_seconds=reading,
        device_seconds=computing,
        start_seconds=sum(own.start_seconds for own in costs),
        seconds=sum(own.seconds for own in costs),
        limit=max(limits, key=lambda name: limits[name]),
        cores_per_device=reading / computing if computing else None,
        written=sum(own.written for own in costs),
        kept=sum(own.kept for own in costs),
        peak=max((own.peak for own in costs), default=0),
    )
