"""Where multiprocessing keeps its sockets: a folder that does not outlive its process, even one that is killed."""

import json
import multiprocessing
import os
import shutil
import stat
import tempfile
from multiprocessing import util
from pathlib import Path
from typing import Any

from vidsemi.io.files import read_regular
from vidsemi.runtime.process import is_dead, this_process

PREFIX, OWNER = "vidsemi-", "owner.json"
MAX_LENGTH = 70  # of the temporary folder's path: a socket's path has up to 104 bytes


def own_temporary_folder() -> None:
    """Give this process and those that it starts one temporary folder, and remove those that killed processes left.

    multiprocessing's own, `pymp-*`, is one for each process, and nothing tells whether that process is still there.
    """
    settings: Any = multiprocessing.current_process()._config  # type: ignore[attr-defined]
    if settings.get("tempdir"):  # that of the parent
        return
    base = tempfile.gettempdir()
    if len(os.fsencode(base)) > MAX_LENGTH and os.access("/tmp", os.W_OK):
        base = "/tmp"
    _remove_left(Path(base))
    folder = tempfile.mkdtemp(prefix=PREFIX, dir=base)
    Path(folder, OWNER).write_text(json.dumps(this_process()))
    util.Finalize(None, shutil.rmtree, args=(folder, True), exitpriority=-100)
    settings["tempdir"] = folder


def _remove_left(base: Path) -> None:
    """Remove the folders of processes of this machine and user that are gone."""
    for folder in base.glob(f"{PREFIX}*"):
        try:
            state = os.lstat(folder)
            ours = stat.S_ISDIR(state.st_mode) and state.st_uid == os.getuid()
            gone = ours and is_dead(json.loads(read_regular(folder / OWNER, 1 << 16)))
        except (OSError, ValueError, RecursionError):
            continue
        if gone:
            shutil.rmtree(folder, ignore_errors=True)
