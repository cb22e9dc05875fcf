"""What is released: the wheel, its metadata, versions that agree, and constraints that satisfy pyproject.toml."""

import os
import re
import subprocess
import sys
import tomllib
import zipfile
from email import message_from_bytes
from pathlib import Path

import pytest
import yaml
from hatchling.builders.wheel import WheelBuilder
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.conftest import REPOSITORY
from tools.minimum_versions import minimum_versions
from vidsemi import __version__

PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]
REQUIREMENTS = [Requirement(line) for lines in (PROJECT["dependencies"], *EXTRAS.values()) for line in lines]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(next(WheelBuilder(str(REPOSITORY)).build(directory=str(tmp_path_factory.mktemp("dist")))))


def test_the_wheel_holds_the_package_with_its_configs_and_datasets_and_nothing_else(wheel: Path):
    assert wheel.name == f"vidsemi-{__version__}-py3-none-any.whl"
    expected = {
        prefix + file.relative_to(REPOSITORY).as_posix()
        for folder, prefix in (("vidsemi", ""), ("configs", "vidsemi/"), ("datasets", "vidsemi/"))
        for file in (REPOSITORY / folder).rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }
    information = f"vidsemi-{__version__}.dist-info"
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {"vidsemi/py.typed", "vidsemi/configs/demo.yaml", "vidsemi/datasets/ucf101/prepare.py"} <= names
    own = {f"{information}/{name}" for name in ("METADATA", "WHEEL", "RECORD", "entry_points.txt", "licenses/LICENSE")}
    assert names == expected | own
    metadata = message_from_bytes(zipfile.ZipFile(wheel).read(f"{information}/METADATA"))
    assert metadata["Requires-Python"] == ">=3.11"
    assert metadata["License-Expression"] == "Apache-2.0"
    assert (REPOSITORY / "README.md").read_text(encoding="utf-8") in metadata.get_payload(decode=True).decode()


@pytest.mark.slow
def test_the_installed_wheel_finds_its_configs_and_datasets_from_another_folder(wheel: Path, tmp_path: Path):
    target = tmp_path / "installed"
    install = ["-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--no-compile", "--target", str(target)]
    subprocess.run([sys.executable, *install, str(wheel)], check=True)
    elsewhere, environment = tmp_path / "elsewhere", {**os.environ, "PYTHONPATH": str(target)}
    elsewhere.mkdir()

    def run(script: Path, *words: str) -> str:
        command = [sys.executable, str(script), *words]
        done = subprocess.run(command, capture_output=True, text=True, cwd=elsewhere, env=environment)
        assert done.returncode == 0, done.stderr
        return done.stdout

    sizes = ["--labeled", "3", "--unlabeled", "6", "--no-class", "4", "--test", "2"]
    run(target / "vidsemi/datasets/moving_shapes/prepare.py", "--output", "data/moving_shapes", *sizes)
    assert "seed2/r2plus1d_10_4x2" in run(
        target / "bin/vidsemi", "run", "--cfg", "demo.yaml", "--check", "hashtags.min_examples=2"
    )
    (elsewhere / "where.py").write_text("import vidsemi\nprint(vidsemi.__file__)")
    assert run(elsewhere / "where.py").strip() == str(target / "vidsemi/__init__.py")


def test_changelog_citation_and_package_name_one_version():
    changelog = (REPOSITORY / "CHANGELOG.md").read_text(encoding="utf-8")
    version, date = re.findall(r"^## (\d+\.\d+\.\d+) – (\d{4}-\d\d-\d\d)$", changelog, re.MULTILINE)[0]
    citation = yaml.safe_load((REPOSITORY / "CITATION.cff").read_text(encoding="utf-8"))
    assert version == citation["version"] == __version__
    assert date == citation["date-released"]
    assert citation["license"] == PROJECT["license"]


def test_constraints_satisfy_every_requirement():
    lines = (REPOSITORY / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [line.split("==") for line in lines if line and not line.startswith("#")]
    pinned = {canonicalize_name(name): version for name, version in pins}
    assert len(pinned) == len(pins)
    for requirement in REQUIREMENTS:
        name = canonicalize_name(requirement.name)
        if name not in ("vidsemi", "wandb"):  # wandb needs an account; it is tested with a stand-in
            assert name in pinned, name
            assert requirement.specifier.contains(pinned[name]), requirement


def test_every_requirement_has_a_minimum():
    assert {*minimum_versions()} == {Requirement(line).name for line in PROJECT["dependencies"]}
