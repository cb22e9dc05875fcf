"""Packages outside ours: importable where their folder is on the path, with the entry points of an installed one."""

import tomllib
from collections.abc import Mapping
from pathlib import Path

import pytest

from vidsemi.data.formats.registry import _FORMATS
from vidsemi.models.registry import _MODELS
from vidsemi.runtime import registry
from vidsemi.selection.policies import _POLICIES


def isolate(monkeypatch: pytest.MonkeyPatch) -> None:
    """Undo, after the test, what it registers and which plug-ins it loads."""
    for one in (_FORMATS, _POLICIES, _MODELS):
        one.all()
        for name in ("_values", "_owners", "_plugins"):
            monkeypatch.setattr(one, name, dict(getattr(one, name)))
    monkeypatch.setattr(registry, "_loaded", False)
    monkeypatch.setattr(registry, "_failed", [])


def write_package(folder: Path, pyproject: str, files: Mapping[str, str]) -> None:
    """Write a package's modules, by path, and the metadata that installing its `pyproject.toml` would write."""
    for name, text in files.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        (file.parent / "__init__.py").touch()
        file.write_text(text, encoding="utf-8")
    project = tomllib.loads(pyproject)["project"]
    name, version = project["name"], project["version"]
    info = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    lines = []
    for group, points in project["entry-points"].items():
        lines += [f"[{group}]", *(f"{point} = {module}" for point, module in points.items())]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n")
