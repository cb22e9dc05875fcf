"""Dataset formats: each reads files or folders into a `ScanResult`, which becomes a manifest."""

from vidsemi.data.formats.registry import Format, formats, register_format
from vidsemi.data.formats.scan import ScanResult

__all__ = ["Format", "ScanResult", "formats", "register_format"]
