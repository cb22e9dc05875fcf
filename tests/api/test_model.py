"""`Model`: loaded, created, saved, and used as a module."""

from pathlib import Path

import pytest
import torch

import vidsemi
from tests.helpers.errors import refused
from vidsemi.data.normalize import normalize
from vidsemi.io.files import fingerprint_file
from vidsemi.models import weights_file

NARROW = {"frames": 4, "size": 16, "resize": (20, 20), "args": {"width": 0.0625}}


def test_a_model_knows_its_classes_and_input(weights: Path):
    model = vidsemi.load_model(weights)
    network, spec = weights_file.load_weights(weights)
    assert (model.name, model.classes, model.input) == ("r2plus1d_10", spec.classes, spec.input)
    assert isinstance(model, torch.nn.Module) and not model.training
    clips = normalize(torch.randint(0, 256, (2, 4, 3, 16, 16), dtype=torch.uint8), spec.input)
    assert torch.equal(model(clips), network.eval()(clips))
    assert [name for name, _ in model.named_children()] == ["network"]


def test_saved_weights_load_and_remember_hashtags(tmp_path: Path, weights: Path):
    model = vidsemi.load_model(str(weights))
    model.save(tmp_path / "folder" / "w.pt")
    again = vidsemi.load_model(tmp_path / "folder" / "w.pt")
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), again.parameters(), strict=True))
    assert (again.classes, again.input) == (model.classes, model.input)
    stored = weights_file.load(tmp_path / "folder" / "w.pt")["provenance"]
    assert stored == {"init_from": fingerprint_file(weights), "hashtags": True}
    assert weights_file.load_spec(tmp_path / "folder" / "w.pt") == model.spec


def test_the_fingerprint_is_the_files_until_the_weights_change(tmp_path: Path, weights: Path):
    model = vidsemi.load_model(weights)
    assert model._trained().fingerprint() == fingerprint_file(weights)
    with torch.no_grad():
        next(model.parameters()).data[0] += 1e-6
    changed = model._trained().fingerprint()
    assert changed != fingerprint_file(weights) and changed == model._trained().fingerprint()
    model.save(tmp_path / "w.pt")
    assert model._trained().fingerprint() == fingerprint_file(tmp_path / "w.pt")
    (tmp_path / "w.pt").write_bytes(b"another file")
    assert model._trained().fingerprint() == changed


def test_a_created_model_trains_in_a_loop_of_ones_own():
    torch.manual_seed(0)
    model = vidsemi.create_model("r2plus1d_10", ["a", "b", "c"], **NARROW)
    assert model.training and model.classes == ["a", "b", "c"]
    assert (model.input.frames, model.input.crop, model.input.resize) == (4, 16, (20, 20))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    clips, labels = torch.randn(3, 3, 4, 16, 16), torch.arange(3)
    losses = []
    for _ in range(12):
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(model(clips), labels)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 2


def test_models_of_libraries_bring_their_input():
    model = vidsemi.create_model("torchvision/mc3_18", 2)
    entry = vidsemi.list_models("torchvision/mc3_18")[0]
    assert (model.input.frames, model.input.crop) == (entry["frames"], entry["crop"])
    assert model.classes == ["class 0", "class 1"]


def test_weights_of_other_programs_need_name_and_classes(tmp_path: Path):
    torch.manual_seed(1)
    source = vidsemi.create_model("resnet18", ["a", "b"])
    torch.save(source.network.state_dict(), tmp_path / "other.pth")
    model = vidsemi.load_model(tmp_path / "other.pth", name="resnet18", classes=["a", "b"])
    clips = torch.randn(1, 3, 1, 64, 64)
    assert torch.equal(model(clips), source.eval()(clips))
    assert model.provenance == {"init_from": fingerprint_file(tmp_path / "other.pth")}
    with refused("weights.not_vidsemi", "other.pth"):
        vidsemi.load_model(tmp_path / "other.pth")
    with refused("weights.missing_classes", "other.pth"):
        vidsemi.load_model(tmp_path / "other.pth", name="resnet18")
    with refused("weights.head_mismatch"):
        vidsemi.load_model(tmp_path / "other.pth", name="resnet18", classes=3)
    started = vidsemi.create_model("resnet18", 3, init_from=tmp_path / "other.pth")
    assert torch.equal(next(started.parameters()), next(source.parameters()))


def test_a_name_of_a_library_stands_for_its_published_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from vidsemi.models.zoo import torchvision

    name = "torchvision/resnet18"
    source = vidsemi.create_model(name, 3)
    torch.save(source.network.network.state_dict(), tmp_path / "published.pth")
    monkeypatch.setattr(torchvision, "weights", lambda own: [str(tmp_path / "published.pth")])
    model = vidsemi.load_model(name, classes=3)
    assert torch.equal(next(model.parameters()), next(source.parameters())) and not model.training
    with refused("model.unknown", "torchvision/resnet19"):
        vidsemi.load_model("torchvision/resnet19", classes=3)
