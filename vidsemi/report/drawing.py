"""What all pictures share: matplotlib set up to draw into files, the same file for the same figures."""

import io
from typing import Any


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
