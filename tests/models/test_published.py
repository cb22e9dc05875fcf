"""A network as a folder: it loads like its weights file, and what strangers put there is refused on one line."""

import json
import shutil
import struct
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest
import torch

from tests.helpers.errors import refused
from vidsemi.models import weights_file
from vidsemi.models.archive import MAX_PICKLE
from vidsemi.models.weights import fingerprint_weights, read_weights

safetensors = pytest.importorskip("safetensors.torch")


@pytest.fixture
def folder(weights: Path, tmp_path: Path) -> Path:
    network, spec = weights_file.load_weights(weights)
    odd = {"hashtags": True, "seed": 3, "tensor": torch.zeros(2), "loss": float("nan")}
    weights_file.publish(tmp_path / "model", network, spec, odd)
    return tmp_path / "model"


def test_every_reader_takes_it_as_the_file(weights: Path, folder: Path):
    network, spec = weights_file.load_weights(weights)
    again, same, provenance = weights_file.load_with_provenance(folder)
    assert same == spec == weights_file.load_spec(folder)
    assert provenance == {"hashtags": True, "seed": 3}  # what is JSON
    clips = torch.randn(2, 3, 4, 16, 16)
    assert torch.equal(network.eval()(clips), again.eval()(clips))
    read = read_weights(str(folder))
    assert read.trained_on_hashtags and read.spec == spec
    assert all(torch.equal(read.tensors[key], own) for key, own in network.state_dict().items())


def test_the_files_are_what_other_programs_read(weights: Path, folder: Path):
    network, spec = weights_file.load_weights(weights)
    tensors = safetensors.load_file(folder / "model.safetensors")
    assert tensors.keys() == network.state_dict().keys()
    assert all(torch.equal(tensors[key], own) for key, own in network.state_dict().items())
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    about = json.loads(json.dumps(asdict(spec)))
    del about["input"]["decoder"]
    assert config["spec"] == about and config["library_name"] == "vidsemi"


def test_equal_networks_are_equal_folders_and_the_fingerprint_is_of_both_files(folder: Path, tmp_path: Path):
    network, spec, provenance = weights_file.load_with_provenance(folder)
    weights_file.publish(tmp_path / "again", network, spec, provenance)
    for file in folder.iterdir():
        assert (tmp_path / "again" / file.name).read_bytes() == file.read_bytes()
    before = fingerprint_weights(str(folder))
    assert before == fingerprint_weights(str(tmp_path / "again")) == weights_file.fingerprint(folder)
    for name in ("config.json", "model.safetensors"):
        shutil.copytree(folder, tmp_path / name)
        with open(tmp_path / name / name, "ab") as file:
            file.write(b" ")
        assert fingerprint_weights(str(tmp_path / name)) != before


def edit(change: Callable[[dict], object]) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        content = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        change(content)
        (folder / "config.json").write_text(json.dumps(content), encoding="utf-8")

    return write


def config(text: str | bytes) -> Callable[[Path], object]:
    return lambda folder: (folder / "config.json").write_bytes(text.encode() if isinstance(text, str) else text)


def tensors(content: bytes) -> Callable[[Path], object]:
    return lambda folder: (folder / "model.safetensors").write_bytes(content)


def oversized(folder: Path) -> None:
    with open(folder / "config.json", "ab") as file:
        file.truncate(MAX_PICKLE + 1)


def other_tensors(change: Callable[[dict[str, torch.Tensor]], object]) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        state = safetensors.load_file(folder / "model.safetensors")
        change(state)
        safetensors.save_file(state, folder / "model.safetensors")

    return write


@pytest.mark.parametrize(
    ("break_it", "code", "mentioned"),
    [
        (lambda folder: (folder / "config.json").unlink(), "weights.not_a_file", "config.json"),
        (lambda folder: (folder / "model.safetensors").unlink(), "weights.missing", "model.safetensors"),
        (config(""), "weights.empty", "config.json"),
        (config("{"), "weights.invalid_config", "config.json"),
        (config("[" * 100_000), "weights.invalid_config", "config.json"),
        (config(b"\xff\xfe"), "weights.invalid_config", "config.json"),
        (config("9" * 5000), "weights.invalid_config", "config.json"),
        (config("[]"), "weights.invalid_config", "config.json"),
        (oversized, "weights.oversized", "config.json"),
        (config('{"model_type": "videomae"}'), "weights.not_vidsemi", "model"),
        (edit(lambda own: own.update(format=2)), "weights.not_vidsemi", "format"),
        (edit(lambda own: own.update(spec=None)), "weights.invalid_spec", "spec"),
        (edit(lambda own: own["spec"]["input"].update(frames=10**9)), "weights.invalid_spec", "frames"),
        (edit(lambda own: own["spec"]["input"].update(mean=[float("nan")] * 3)), "weights.invalid_spec", "mean"),
        (edit(lambda own: own["spec"].update(classes=["a", "a"])), "weights.invalid_spec", "classes"),
        (edit(lambda own: own["spec"].update(classes=["\ud800", "b"])), "weights.invalid_spec", "classes"),
        (edit(lambda own: own["spec"].update(classes=["a", "b"])), "weights.invalid_tensors", "model.safetensors"),
        (edit(lambda own: own["spec"].update(model="os.system")), "model.unknown", "os.system"),
        (tensors(b""), "weights.empty", "model.safetensors"),
        (tensors(b"\xff" * 40), "weights.unreadable", "model.safetensors"),
        (tensors(struct.pack("<Q", MAX_PICKLE + 1) + b"{}"), "weights.unreadable", "header"),
        (other_tensors(lambda state: state.popitem()), "weights.invalid_tensors", "lacks"),
        (other_tensors(lambda state: state.update(more=torch.zeros(1))), "weights.invalid_tensors", "more"),
        (
            other_tensors(lambda state: state.update({"fc.bias": state["fc.bias"].half()})),
            "weights.invalid_tensors",
            "fc.bias",
        ),
    ],
)
def test_damaged_and_hostile_folders(folder: Path, break_it: Callable[[Path], object], code: str, mentioned: str):
    break_it(folder)
    with refused(code, folder if code != "model.unknown" else "", mentioned):
        weights_file.load_weights(folder)
