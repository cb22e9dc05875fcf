"""Signals of processes that tests start."""

import signal


def heed_ctrl_c() -> None:
    """As in a terminal; a shell starts what runs in its background with SIGINT ignored, and that is inherited."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
