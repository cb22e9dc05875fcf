"""A config → what it costs here or elsewhere: a JSON document, and the same as text."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vidsemi.config import Config
from vidsemi.io.errors import UserError
from vidsemi.io.files import write_json
from vidsemi.io.tables import markdown_table
from vidsemi.pipeline.cost.estimate import StageCost, Total, estimate, total_of
from vidsemi.pipeline.cost.rates import CPU, Machine, Rates, check_device, read_rates, row_of
from vidsemi.pipeline.cost.work import CostOf, NetworkCost, Work, work_of
from vidsemi.pipeline.stage import Plan
from vidsemi.runtime.library_errors import first_line
from vidsemi.runtime.process import usable_cores

if TYPE_CHECKING:
    from vidsemi.models.weights_file import NetworkSpec

PLAN = "plan.json"  # in a run's directory
SEED = re.compile(r"seed\d+(?=/)")
TIMES = ((86_400 * 3, 86_400, "d"), (7200, 3600, "h"), (120, 60, "min"), (0, 1, "s"))  # from, unit, name
SIZES = ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB"), (1, "B"))


def network_costs() -> CostOf:
    """A function that counts the cost of a network, of each kind once; on the meta device where that works."""

    @cache
    def count(key: str) -> NetworkCost:
        from vidsemi.models.flops import quick_macs

        spec = specs[key]
        view = {"frames": spec.input.frames, "size": spec.input.crop}
        network = spec.meta_model
        try:
            macs = quick_macs(network, **view)
        except Exception:  # a network that looks at values
            macs = _macs_of_values(spec)
        return NetworkCost(macs, sum(own.numel() * own.element_size() for own in network.state_dict().values()))

    specs: dict[str, NetworkSpec] = {}

    def cost_of(spec: "NetworkSpec") -> NetworkCost:
        key = json.dumps([str(spec), len(spec.classes), spec.input.frames, spec.input.crop])
        specs.setdefault(key, spec)
        return count(key)

    return cost_of


def _macs_of_values(spec: "NetworkSpec") -> float:
    from vidsemi.models.flops import quick_macs

    frames, crop = spec.input.frames, spec.input.crop
    try:
        return quick_macs(spec.build(), frames=frames, size=crop)
    except Exception as error:  # libraries raise whatever they like
        why = first_line(error)
        raise UserError("model.failed", f"{spec} fails on a view of {frames} frames of {crop}×{crop}: {why}") from None


def plan_document(work: Sequence[Work], rates: Rates, machine: Machine, source: str) -> dict[str, Any]:
    """What a plan costs, as JSON; `source` says where the rates come from."""
    costs = estimate(work, rates, machine)
    return {
        "machine": asdict(machine),
        "source": source,
        "total": total_of(costs).document(),
        "stages": [
            {
                **cost.document(),
                "reads": [own.key for own in one.readings],
                "networks": [own.key for own in one.computing],
            }
            for cost, one in zip(costs, work, strict=True)
        ],
        "rates": rates.model_dump(),
    }


def write_plan(output: Path, document: Mapping[str, Any]) -> None:
    """Keep a plan in a run's directory, where the report finds it."""
    write_json(output / PLAN, dict(document))


def plan_text(work: Sequence[Work], rates: Rates, machine: Machine, source: str) -> str:
    """What a plan costs, for people; stages that differ only in the seed are one row."""
    costs = estimate(work, rates, machine)
    groups: dict[str, list[StageCost]] = {}
    for own in costs:
        groups.setdefault(SEED.sub("seed*", own.name), []).append(own)
    unit = "core" if rates.is_cpu else "device"
    header = ("stage", "limited by", "runs", "examples", "clips", "TMAC", "decoding, core-h", f"network, {unit}-h")
    rows = [_row(name, own) for name, own in groups.items()]
    total = total_of(costs)
    rows.append(("all", total.limit, str(len(costs)), "", "", *_shared(total)))
    table = markdown_table((*header, "time", "written"), rows, 2)
    return "\n".join([*table, "", *summary(total, rates, machine, source)])


def summary(total: Total, rates: Rates, machine: Machine, source: str) -> list[str]:
    """Sentences on the time, what limits it, and the disk."""
    what = f"{machine.cores} cores" if rates.is_cpu else f"{machine.devices} × {rates.device} and {machine.cores} cores"
    lines = [f"about {duration(total.seconds)} on {what}, limited by {NAMES[total.limit]} (rates: {source})"]
    if total.cores_per_device is not None and not rates.is_cpu:
        have = machine.reading_cores / machine.devices
        lines.append(
            f"decoding needs {total.cores_per_device:.3g} cores for each {rates.device}; "
            f"there are {have:.3g}, which keep it {min(have / max(total.cores_per_device, 1e-12), 1):.0%} busy"
        )
    lines.append(f"{size(total.written)} are written; {size(total.kept)} stay, at most {size(total.peak)} at a time")
    return lines


NAMES = {"device": "the network", "decoding": "decoding", "start": "starting stages"}


def _row(name: str, costs: Sequence[StageCost]) -> tuple[str, ...]:
    total = total_of(costs)
    counts = (len(costs), sum(own.examples for own in costs), sum(own.clips for own in costs))
    return name, total.limit, *(f"{count:,}" for count in counts), *_shared(total)


def _shared(total: Total) -> tuple[str, ...]:
    hours = (total.core_seconds / 3600, total.device_seconds / 3600)
    return (
        f"{total.macs / 1e12:,.4g}",
        *(f"{own:,.3g}" for own in hours),
        duration(total.seconds),
        size(total.written),
    )


def duration(seconds: float) -> str:
    """Seconds in a unit that people use: 90 s, 3.5 min, 7 h, 12 d."""
    _, unit, name = next(own for own in TIMES if seconds >= own[0])
    return f"{seconds / unit:.3g} {name}"


def size(count: float) -> str:
    """Bytes in a unit that people use."""
    unit, name = next((own for own in SIZES if count >= own[0]), SIZES[-1])
    return f"{count / unit:.3g} {name}"


def plan_cost(
    config: Config,
    plan: Plan,
    *,
    measured: bool = False,
    file: Path | None = None,
    device: str | None = None,
    devices: int | None = None,
    cores: int | None = None,
) -> tuple[list[Work], Rates, Machine, str]:
    """The work of a plan, the rates to hold it against, the machine, and where the rates come from.

    Args:
        config: of the run.
        plan: its stages.
        measured: measure the rates here.
        file: read them.
        device: take them from the table; without any of these three, those of this machine's device.
        devices: number of devices; by default those here if the rates are measured, else 1.
        cores: by default those that this process may use.
    """
    work = work_of(plan, network_costs())
    machine = Machine(devices or 1, cores or usable_cores(), None, config.runtime.workers)
    if measured:
        from vidsemi.pipeline.cost.measure import machine_here, measure

        here = machine_here(config.runtime)
        threads = None if cores else here.threads
        machine = Machine(devices or here.devices, cores or here.cores, threads, config.runtime.workers)
        return work, measure(work, config.runtime), machine, "measured here"
    if file is not None:
        return work, read_rates(file), machine, str(file)
    if device is None:
        device = device_here()
    check_device(device)
    return work, Rates(device=device), machine, f"the table's for {device}; --measure is better"


def device_here() -> str:
    """The row of the table for this machine."""
    import torch

    return row_of(torch.cuda.get_device_name()) if torch.cuda.is_available() else CPU
