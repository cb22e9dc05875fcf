"""How the processes of a job find each other, as WORLD_SIZE, RANK, MASTER_ADDR and MASTER_PORT say.

torch's own rendezvous waits inside a call that no signal interrupts, and says nothing. A process with a WORLD_SIZE that
a shell or scheduler left behind would wait there forever.
"""

import errno
import logging
import os
import socket
import time
from contextlib import suppress
from datetime import timedelta
from typing import Any

from vidsemi.io.errors import UserError

logger = logging.getLogger("vidsemi")

LIMIT = 300.0  # seconds to wait for the others: starts of one job on a busy cluster are a minute or two apart
NAMED_AFTER = 5.0  # seconds
PAUSE = 0.2  # seconds between looks
NAMES = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


def meet(timeout: timedelta) -> tuple[Any, int, int]:
    """Wait until all processes of the job are there.

    Returns:
        torch's store that they share, whose calls wait for up to `timeout`; the rank of this process; their number.

    Raises:
        UserError: the environment is incomplete, the address cannot be used, or the others do not come.
    """
    import torch.distributed as dist

    rank, size, host, port = _environment()
    by_torchrun = os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
    serves = rank == 0 and not by_torchrun
    end, place = time.monotonic() + LIMIT, f"{host}:{port}"
    if not serves:
        _wait_for_server(host, port, rank, size, end)
    try:
        store: Any = dist.TCPStore(
            host,
            port,
            size,
            serves,
            timedelta(seconds=10),
            wait_for_workers=False,
            multi_tenant=True,
            master_listen_fd=_listen(host, port, rank, size) if serves else None,
        )
        if by_torchrun:  # whose store outlives a restart of its processes
            store = dist.PrefixStore(f"/worker/attempt_{os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}", store)
        _wait_for_all(store, rank, size, place, end)
    except dist.DistError as error:
        reason = str(error).strip().splitlines()[0]
        raise UserError(
            "distributed.no_connection",
            f"rank {rank} of {size}: the processes cannot meet at {place} (MASTER_ADDR, MASTER_PORT): {reason}",
        ) from None
    store.set_timeout(timeout)
    return store, rank, size


def _environment() -> tuple[int, int, str, int]:
    values = {name: os.environ.get(name, "") for name in NAMES}
    if missing := [name for name in NAMES if not values[name]]:
        raise UserError(
            "distributed.incomplete_environment",
            f"WORLD_SIZE is {values['WORLD_SIZE']}, but {' and '.join(missing)} is not set; start the processes with "
            "torchrun, or unset WORLD_SIZE to start one process alone",
        )
    try:
        rank, size, port = int(values["RANK"]), int(values["WORLD_SIZE"]), int(values["MASTER_PORT"])
        if not (0 <= rank < size and 0 < port < 1 << 16):
            raise ValueError
    except ValueError:
        shown = ", ".join(f"{name}={value}" for name, value in values.items())
        raise UserError(
            "distributed.incomplete_environment",
            f"the environment does not describe one of several processes: {shown}; start them with torchrun, or unset "
            "WORLD_SIZE to start one process alone",
        ) from None
    return rank, size, values["MASTER_ADDR"], port


def _listen(host: str, port: int, rank: int, size: int) -> int | None:
    """Listen at the address of the job alone, since the store serves whoever reaches it; returns the file descriptor.

    torch's own server listens at all addresses of the machine. None leaves it to torch, where the address is not one of
    this machine's, as behind a load balancer.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        return socket.create_server(address[:2], family=family, backlog=socket.SOMAXCONN).detach()
    except OSError as error:
        if error.errno == errno.EADDRNOTAVAIL:
            logger.warning("%s is not an address of this machine: the store listens at all of its addresses", host)
            return None
        raise UserError(
            "distributed.no_connection",
            f"rank {rank} of {size}: cannot listen at {host}:{port} (MASTER_ADDR, MASTER_PORT): "
            f"{error.strerror or error}",
        ) from None


def _wait_for_server(host: str, port: int, rank: int, size: int, end: float) -> None:
    """Wait until the first process, or torchrun, listens."""
    started = time.monotonic()
    told, reason = False, ""
    while time.monotonic() < end:
        try:
            with socket.create_connection((host, port), timeout=2):
                return
        except OSError as error:
            reason = str(error)
        if not told and time.monotonic() - started > NAMED_AFTER:
            _tell(rank, size, "rank 0", f"{host}:{port}")
            told = True
        time.sleep(PAUSE)
    raise UserError(
        "distributed.missing_processes",
        f"rank {rank} of {size}: rank 0 cannot be reached at {host}:{port} after {LIMIT:g} s ({reason}); "
        "start the processes with torchrun, or unset WORLD_SIZE to start one process alone",
    )


def _wait_for_all(store: Any, rank: int, size: int, place: str, end: float) -> None:
    """Wait until every process has left its mark in the store."""
    started, told = time.monotonic(), False
    store.set(f"present {rank}", "1")
    while missing := [other for other in range(size) if not store.check([f"present {other}"])]:
        shown = f"rank{'s' if len(missing) > 1 else ''} {', '.join(map(str, missing[:8]))}"
        if time.monotonic() >= end:
            raise UserError(
                "distributed.missing_processes",
                f"rank {rank} of {size}: {shown} did not come to {place} within {LIMIT:g} s; start the processes with "
                "torchrun, or unset WORLD_SIZE to start one process alone",
            )
        if not told and time.monotonic() - started > NAMED_AFTER:
            _tell(rank, size, shown, place)
            told = True
        time.sleep(PAUSE)
    store.add("met", 1)
    if rank == 0:  # which may serve the store, and must not end before the others have seen all marks
        with suppress(RuntimeError):
            while store.add("met", 0) < size and time.monotonic() < end:
                time.sleep(PAUSE / 10)


def _tell(rank: int, size: int, whom: str, place: str) -> None:
    logger.warning(
        "rank %d of %d (RANK, WORLD_SIZE): waiting for %s at %s, for up to %g s; if this process is to be alone, unset "
        "WORLD_SIZE",
        rank,
        size,
        whom,
        place,
        LIMIT,
    )
