"""Where a manifest is: what a worker on another machine needs to read the same one."""

from dataclasses import dataclass

from vidsemi.data.manifest import Manifest, load_manifest
from vidsemi.io.errors import UserError
from vidsemi.io.store import Place


@dataclass(frozen=True)
class ManifestSource:
    """The file of a manifest, instead of its content."""

    file: Place
    root: Place
    fingerprint: str

    @classmethod
    def of(cls, manifest: Manifest) -> "ManifestSource":
        """Return where a manifest was read from."""
        return cls(manifest.file, manifest.root, manifest.fingerprint)

    def read(self) -> Manifest:
        """Read the manifest.

        Raises:
            UserError: it cannot be read here, or has changed.
        """
        manifest = load_manifest(self.file, self.root)
        if manifest.fingerprint != self.fingerprint:
            raise UserError("manifest.changed", f"{self.file} is not the manifest that the command has read")
        return manifest
