"""The Ray cluster of a command: the one that is there, or one of its own for as long as the command runs."""

import logging
import os
import secrets
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from time import monotonic
from typing import Any

from vidsemi.io.errors import UserError
from vidsemi.runtime.library_errors import first_line
from vidsemi.runtime.process import usable_cores

AUTHENTICATION = ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN")  # which Ray reads once
RAY_WAITS = "RAY_gcs_rpc_server_reconnect_timeout_s"  # for a head node, unless it is set
OBJECT_STORE = 80 << 20  # bytes; next to nothing is kept there
CONNECTS_WITHIN = 10.0  # seconds; Ray itself tries a wrong address for 14 minutes
ANSWERS_WITHIN = 60.0  # seconds
REFUSED = 3  # exit status of the probe
# In a process of its own: it writes to standard error, and cannot be told when to give up.
PROBE = f"""
import sys
from ray._raylet import GcsClient
from ray.exceptions import AuthenticationError
try:
    GcsClient(address=sys.argv[1])
except AuthenticationError:
    sys.exit({REFUSED})
"""


@contextmanager
def ray_cluster() -> Iterator[tuple[Any, bool]]:
    """Join the cluster that RAY_ADDRESS names, or else that of `ray start` here; if there is none, start one.

    Yields:
        ray, and whether the cluster may grow.

    Raises:
        UserError: Ray is not installed, or the cluster cannot be joined or started.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # Ray reports to its makers unless it is told not to
    try:
        import ray
        import ray._private.worker
    except ImportError:
        raise UserError("ray.not_installed", "engine ray needs Ray; pip install 'vidsemi[cluster]'") from None
    if ray.is_initialized():  # by the program that calls this
        yield ray, True
        return
    # Ray prints what it knows of dead workers to standard output, where results belong.
    ray._private.worker.print_to_stdstream = lambda *arguments, **options: None
    before = signal.getsignal(signal.SIGTERM)
    try:
        with _restored(*AUTHENTICATION):
            try:
                grows = _connect(ray)
            finally:
                if threading.current_thread() is threading.main_thread():
                    signal.signal(signal.SIGTERM, before)  # Ray has replaced it
            try:
                yield ray, grows
            finally:
                ray.shutdown()
    finally:
        _read_environment()


class Head:
    """The head node of the cluster that a command has joined.

    A minute after Ray has lost it, Ray ends the process that uses it, with status 1 and without any clean-up.
    """

    def __init__(self, address: str):
        self._address = address
        self._seen = self._asked = monotonic()
        self._patience = float(os.environ.get(RAY_WAITS, 60)) / 2
        self.is_lost = False

    def check(self) -> None:
        """Look at times whether it still answers.

        Raises:
            UserError: it did not for half a minute.
        """
        if monotonic() - self._asked < self._patience / 10:
            return
        with suppress(OSError):
            _connect_to(self._address, self._patience / 10)
            self._seen = monotonic()
        self._asked = monotonic()
        if self._asked - self._seen > self._patience:
            self.is_lost = True
            raise UserError(
                "ray.head_lost",
                f"the head node of the Ray cluster ({self._address}) has not answered for {self._patience:.0f} s; "
                "finished shards are kept; the same command resumes on a cluster that runs",
            )


@contextmanager
def named_cluster() -> Iterator[tuple[Any, bool]]:
    """Join or start a cluster as `ray_cluster` does, and name it to processes that are started within the block."""
    with ray_cluster() as (ray, grows), _restored("RAY_ADDRESS"):
        if "://" not in os.environ.get("RAY_ADDRESS", ""):
            os.environ["RAY_ADDRESS"] = ray.get_runtime_context().gcs_address
        yield ray, grows


def _connect(ray: Any) -> bool:
    """Connect; returns whether to a cluster that was there."""
    quiet = {"log_to_driver": False, "logging_level": logging.ERROR}
    address = os.environ.get("RAY_ADDRESS", "")
    where = f"the cluster of RAY_ADDRESS, {address}, cannot be joined"
    try:
        if "://" not in address:  # a proxy's does that itself
            found = ray._private.services.canonicalize_bootstrap_address(None)
            if found is None:
                where = "Ray does not start here"
                _start(ray, quiet)
                return False
            if not address:
                where = f"{found}, which was started on this machine, cannot be joined (if it is gone: `ray stop`)"
            address = found
            _agree_on_authentication(address)
        ray.init(address, **quiet)
        return True
    except UserError:
        raise
    except Exception as error:  # of many kinds; Ray gives its processes half a minute to start
        raise UserError("ray.unreachable", f"{where}: {first_line(error)}") from None


def _start(ray: Any, quiet: dict[str, Any]) -> None:
    """Start a cluster that only this command can use."""
    if os.environ.get("RAY_AUTH_MODE", "token") == "token":
        # Ray would write a new token into the home directory, from where every later `ray start` takes it.
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
        _authenticate("token")
    own = {"num_cpus": usable_cores(), "object_store_memory": OBJECT_STORE, "include_dashboard": False}
    ray.init("local", **own, **quiet)


def _agree_on_authentication(address: str) -> None:
    """Send a token if the cluster wants one, and only then.

    Ray sends it if the machine has one and the address is not named. A command that expects tokens can join a cluster
    without any, but its actors all die as they start.
    """
    _connect_to(address, CONNECTS_WITHIN)
    mode = next((mode for mode in ("disabled", "token") if _answers(address, mode)), None)
    if mode is None:
        raise UserError(
            "ray.authentication",
            f"the Ray cluster {address} needs a token, and not the one of this machine, if it has any; put it into "
            "RAY_AUTH_TOKEN or ~/.ray/auth_token",
        )
    asked = os.environ.get("RAY_AUTH_MODE", mode)
    if asked != mode:
        raise UserError(
            "ray.authentication", f"RAY_AUTH_MODE is {asked}; the Ray cluster {address} was started with {mode}"
        )
    _authenticate(mode)


def _connect_to(address: str, seconds: float) -> None:
    host, _, port = address.rpartition(":")
    socket.create_connection((host.strip("[]"), int(port)), seconds).close()


def _answers(address: str, mode: str) -> bool:
    """Whether a cluster accepts this machine, with its token or without."""
    words = [sys.executable, "-c", PROBE, address]
    environment = {**os.environ, "RAY_AUTH_MODE": mode}
    try:
        probe = subprocess.run(
            words, env=environment, stdin=subprocess.DEVNULL, capture_output=True, timeout=ANSWERS_WITHIN
        )
    except subprocess.TimeoutExpired:
        raise ConnectionError("no head node of Ray answers there") from None
    if probe.returncode not in (0, REFUSED):
        raise ConnectionError("no head node of Ray answers there")
    return probe.returncode == 0


def _authenticate(mode: str) -> None:
    os.environ["RAY_AUTH_MODE"] = mode
    _read_environment()


def _read_environment() -> None:
    """Have Ray read again how to authenticate."""
    import ray._raylet

    core: Any = ray._raylet  # whose stubs lack both
    core.Config.initialize("")
    core.AuthenticationTokenLoader.instance().reset_cache()


@contextmanager
def _restored(*names: str) -> Iterator[None]:
    """Restore environment variables when the block ends."""
    before = {name: os.environ.get(name) for name in names}
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
