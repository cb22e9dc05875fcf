"""Connections to object stores: one per process and bucket, made when it is first needed."""

import os
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from vidsemi.io.errors import UserError

if TYPE_CHECKING:
    from obstore.store import ObjectStore as Connection

REQUEST_SECONDS = "30s"


def is_connected() -> bool:
    """Whether this process has talked to a store; processes that are forked from it then cannot."""
    return connect.cache_info().currsize > 0


@lru_cache(maxsize=16)
def connect(root: str, *, retries: int = 0) -> "Connection":
    """Open a bucket, with credentials from the environment, as its own programs do.

    By default retries are left to the caller: obstore repeats no conditional request whose answer is lost.
    """
    if _forked:  # obstore would wait forever for threads that only the parent has
        raise UserError(
            "store.forked",
            f"{root} cannot be read in a process that was forked from one that has read from an object store; start "
            "processes with spawn or forkserver, such as DataLoader(..., multiprocessing_context='forkserver')",
        )
    try:
        from obstore.store import from_url
    except ImportError:
        raise UserError(
            "store.not_installed", f"{root} needs the package obstore: pip install 'vidsemi[cluster]'"
        ) from None
    options: Any = {"timeout": REQUEST_SECONDS, "connect_timeout": "10s", "allow_http": True}
    return from_url(root, client_options=options, retry_config={"max_retries": retries})


def _note_fork() -> None:
    global _forked
    _forked |= is_connected()
    connect.cache_clear()


_forked = False
os.register_at_fork(after_in_child=_note_fork)
