"""A trained network's weights and a Python API to use them with."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from vidsemi.config import Input, Network
from vidsemi.data.manifest import Manifest
from vidsemi.models.build import network_spec
from vidsemi.models.weights_file import save_weights


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory, shapes: Path) -> Path:
    """A narrow R(2+1)D for clips of 4 frames, with the classes of the moving shapes, and random weights."""
    torch.manual_seed(0)
    classes = Manifest.read(shapes / "labeled.csv").class_names()
    spec = network_spec(
        Network(model="r2plus1d_10", frames=4, args={"width": 0.0625}), Input(resize=(20, 20), crop=16), classes
    )
    file = tmp_path_factory.mktemp("weights") / "weights.pt"
    save_weights(file, spec.build(), spec, {"hashtags": True, "seed": 3})
    return file


@pytest.fixture(autouse=True)
def silence(capfd: pytest.CaptureFixture[str]) -> Iterator[None]:
    """The library prints nothing."""
    yield
    printed = capfd.readouterr()
    assert (printed.out, printed.err) == ("", "")
