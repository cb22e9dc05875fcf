"""What all pictures share: matplotlib set up to draw into files, the same file for the same figures."""

import base64
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Picture:
    """A picture of a report.

    Attributes:
        name: of its file, without the ending.
        title: what it shows.
        svg: the file's content.
    """

    name: str
    title: str
    svg: bytes

    @property
    def encoded(self) -> str:
        """The SVG as base64."""
        return base64.b64encode(self.svg).decode()


def names_of_pictures(begin: str, runs: Sequence[str]) -> list[str]:
    """Of one picture a run, without the ending: none twice, and safe as files and in links."""
    if len(runs) == 1:
        return [begin]
    names = [f"{begin}_{re.sub(r'[^a-zA-Z0-9-]+', '_', run)}" for run in runs]
    return names if len(set(names)) == len(names) else [f"{name}_{i}" for i, name in enumerate(names, start=1)]


def pyplot() -> Any:
    """Matplotlib's pyplot, set up."""
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams["svg.hashsalt"] = "vidsemi"
    matplotlib.rcParams["text.parse_math"] = False  # a class may be called "$"
    from matplotlib import pyplot

    return pyplot


def file_content(figure: Any, format: str) -> bytes:
    """A figure as a file's content; the figure is closed.

    Args:
        figure: of matplotlib.
        format: svg or png.
    """
    content = io.BytesIO()
    figure.savefig(content, format=format, dpi=150, metadata={"Date": None} if format == "svg" else None)
    pyplot().close(figure)
    return content.getvalue()
