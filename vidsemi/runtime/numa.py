"""Which cores are near the GPU of this process, where several processes share a machine of several NUMA nodes."""

import os
import sys
from pathlib import Path
from typing import Any

from vidsemi.runtime.distributed import local_rank, processes_here
from vidsemi.runtime.process import job_count, job_number

PCI_DEVICES = Path("/sys/bus/pci/devices")


def cores_for_readers(readers: int) -> frozenset[int] | None:
    """The cores on which so many readers of this process should stay; None leaves them where the system puts them.

    Frames that are read on the other socket cross the link between the two, twice if the copy to the GPU does as well.
    Readers stay near their GPU if it has a node of its own or shares it with other processes for whose readers there
    are cores enough. A process that is alone on the machine needs the cores of all nodes.
    """
    here, torch = max(processes_here(), job_count()), sys.modules.get("torch")
    if here == 1 or torch is None or not torch.cuda.is_initialized() or not hasattr(os, "sched_getaffinity"):
        return None
    gpus = torch.cuda.device_count()
    near = [_near(torch, rank % gpus) for rank in range(here)]
    own = near[(local_rank() + job_number()) % here]
    if own is None:
        return None
    allowed = os.sched_getaffinity(0)
    cores = own & allowed
    fit = near.count(own) * readers <= len(cores)
    return cores if fit and cores != allowed else None


def _near(torch: Any, gpu: int) -> frozenset[int] | None:
    """The cores of a GPU's NUMA node, None if the system does not say."""
    about = torch.cuda.get_device_properties(gpu)
    try:
        address = f"{about.pci_domain_id:04x}:{about.pci_bus_id:02x}:{about.pci_device_id:02x}.0"
        return _cores((PCI_DEVICES / address / "local_cpulist").read_text(encoding="ascii")) or None
    except (AttributeError, OSError, ValueError):  # older torch does not know the address
        return None


def _cores(listed: str) -> frozenset[int]:
    """Numbers of a list such as 0-15,32-47."""
    ranges = [part.partition("-") for part in listed.strip().split(",") if part]
    return frozenset(core for first, _, last in ranges for core in range(int(first), int(last or first) + 1))
