"""Weights files that are damaged or made to harm: one line each, no memory, nothing executed or cast in silence."""

import copy
import json
import os
import pickle
import struct
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.helpers.errors import refused
from tools.fuzz.command import main
from vidsemi.data.input_spec import InputSpec
from vidsemi.io.errors import UserError
from vidsemi.models import weights_file
from vidsemi.models.build import import_weights
from vidsemi.models.weights import read_weights

SPEC = weights_file.NetworkSpec(
    "r2plus1d_10", {"width": 0.0625}, ["a", "b", "c"], InputSpec(4, 1, (32, 32), 28, (0.45,) * 3, (0.225,) * 3)
)


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    file = tmp_path_factory.mktemp("good") / "w.pt"
    weights_file.save_weights(file, SPEC.build(), SPEC, {})
    return file


@pytest.fixture
def change(good: Path, tmp_path: Path) -> Callable[..., Path]:
    """Save the good content after a change of it."""

    def save(edit: Callable[[dict[str, Any]], object]) -> Path:
        content = copy.deepcopy(torch.load(good, weights_only=True))
        edit(content)
        torch.save(content, tmp_path / "changed.pt")
        return tmp_path / "changed.pt"

    return save


def rezip(good: Path, file: Path, edit: Callable[[str, bytes], bytes], method: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(good) as source, zipfile.ZipFile(file, "w", method) as target:
        for name in source.namelist():
            target.writestr(name, edit(name, source.read(name)))
    return file


def test_the_good_file_loads(good: Path):
    network, spec = weights_file.load_weights(good)
    assert spec == SPEC
    assert all(torch.equal(own, read_weights(str(good)).tensors[key]) for key, own in network.state_dict().items())


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *(("frames", value) for value in (10**9, 0, -1, "4", "1e1", 4.0, True, None)),
        *(("stride", value) for value in (0, -2, 10**30, "1")),
        *(("resize", value) for value in (0, -3, 20_000, (100_000, 100_000), (1, 2, 3), "abc", None, 32.5)),
        *(("crop", value) for value in (0, -1, 64, 10**6, "28", 28.5)),
        *(("mean", value) for value in ("abc", (0.5,), (float("nan"),) * 3, (float("inf"),) * 3, None)),
        *(("std", value) for value in ((0, 0, 0), (-1.0, 1.0, 1.0), (float("nan"),) * 3)),
        ("hflip_prob", 0.5),
        ("other", 1),
    ],
)
def test_the_input_is_validated_as_in_a_config(change: Callable[..., Path], key: str, value: object):
    file = change(lambda content: content["spec"]["input"].update({key: value}))
    for load in (weights_file.load_weights, weights_file.load_spec, lambda path: read_weights(str(path))):
        with refused("weights.invalid_spec", file, key):
            load(file)


def test_a_clip_must_fit_the_memory(change: Callable[..., Path]):
    file = change(lambda content: content["spec"]["input"].update(frames=60_000, resize=(64, 64)))
    with refused("weights.invalid_spec", file, "pixels"):
        weights_file.load_spec(file)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *(("classes", value) for value in ("abc", [], ["a", "a", "b"], [1, 2, 3], ["\ud800", "b", "c"], ["x" * 10**6])),
        *(("args", value) for value in ({"width": float("nan")}, {"width": [1]}, [1], None)),
        *(("model", value) for value in (5, "", "x" * 10**6)),
        ("input", None),
        ("evil", 1),
    ],
)
def test_the_rest_of_the_spec_is_validated(change: Callable[..., Path], key: str, value: object):
    file = change(lambda content: content["spec"].update({key: value}))
    with refused("weights.invalid_spec", file, key) as _:
        weights_file.load_weights(file)


@pytest.mark.parametrize("decoder", ["decord", "os", ["pyav"]])
def test_a_weights_file_chooses_no_decoder(change: Callable[..., Path], good: Path, decoder: object, tmp_path: Path):
    file = change(lambda content: content["spec"]["input"].update(decoder=decoder))
    assert weights_file.load_weights(file)[1].input.decoder == "pyav"
    assert weights_file.load_weights(file, "torchcodec")[1].input.decoder == "torchcodec"
    spec = replace(SPEC, input=replace(SPEC.input, decoder="decord"))
    weights_file.save_weights(tmp_path / "w.pt", weights_file.load_weights(good)[0], spec, {})
    assert (tmp_path / "w.pt").read_bytes() == good.read_bytes()


FLOATS: dict[str, Callable[[torch.Tensor], Any]] = {
    "half": torch.Tensor.half,
    "double": torch.Tensor.double,
    "int8": lambda tensor: tensor.to(torch.int8),
    "complex": lambda tensor: tensor.to(torch.complex64),
    "float8": lambda tensor: tensor.to(torch.float8_e4m3fn),
    "meta": lambda tensor: tensor.to("meta"),
    "sparse": lambda tensor: tensor.reshape(len(tensor), -1).to_sparse(),
    "repeated": lambda tensor: torch.zeros(1).expand(tensor.shape) if tensor.numel() > 1 else tensor,
    "huge": lambda tensor: torch.zeros(1).expand(10**12),
    "text": lambda tensor: "x",
}


@pytest.mark.parametrize("kind", FLOATS)
def test_tensors_are_those_of_the_network(change: Callable[..., Path], kind: str):
    def edit(content: dict[str, Any]) -> None:
        state = content["state_dict"]
        state.update({key: FLOATS[kind](own) for key, own in state.items() if own.is_floating_point() and own.dim()})

    file = change(edit)
    with pytest.raises(UserError) as error:
        weights_file.load_weights(file)
    assert error.value.code in ("weights.invalid_tensors", "weights.invalid_tensor", "weights.not_finite")
    assert str(file) in str(error.value)


def test_weights_of_another_precision_are_converted_and_reported(
    change: Callable[..., Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    file = change(lambda content: content.update({"spec": None, "state_dict": halves(content["state_dict"])}))
    content = torch.load(file, weights_only=True)["state_dict"]
    torch.save(content, tmp_path / "half.pth")
    with caplog.at_level("INFO"):
        import_weights(tmp_path / "w.pt", SPEC, str(tmp_path / "half.pth"))
    assert "float16" in caplog.text
    loaded = weights_file.load_weights(tmp_path / "w.pt")[0].state_dict()
    assert all(torch.equal(loaded[key], own.to(loaded[key].dtype)) for key, own in content.items())


def halves(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {key: own.half() if own.is_floating_point() else own for key, own in state.items()}


class Evil:
    """Runs a command where it is unpickled without care."""

    def __init__(self, canary: Path):
        self.canary = canary

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self.canary}",)


def test_nothing_in_a_file_is_executed(good: Path, tmp_path: Path):
    canary, evil = tmp_path / "canary", tmp_path / "evil.pt"
    for write in (
        lambda: torch.save({"a": Evil(canary)}, evil),
        lambda: torch.save({"a": Evil(canary)}, evil, _use_new_zipfile_serialization=False),
        lambda: evil.write_bytes(pickle.dumps(Evil(canary))),
        lambda: torch.save({**torch.load(good, weights_only=True), "provenance": Evil(canary)}, evil),
    ):
        write()
        with refused("weights.unsafe", evil):
            read_weights(str(evil))
        with pytest.raises(UserError):
            weights_file.load(evil)
        assert not canary.exists()


def test_archives_that_grow_in_memory_are_refused(good: Path, tmp_path: Path):
    file = tmp_path / "w.pt"

    def grow(member: str, content: bytes) -> Callable[[str, bytes], bytes]:
        return lambda name, own: content if name.endswith(member) else own

    rezip(good, file, grow("data/0", bytes(64 << 20)), zipfile.ZIP_DEFLATED)
    with refused("weights.compressed", file):
        read_weights(str(file))
    allocates = b"\x80\x02cbuiltins\nbytearray\nJ" + struct.pack("<i", 1 << 30) + b"\x85R."
    rezip(good, file, grow("data.pkl", allocates))
    with refused("weights.unsafe", file, "bytearray"):
        read_weights(str(file))
    rezip(good, file, lambda name, own: own)  # as good as the original
    assert weights_file.load_weights(file)[1] == SPEC


def test_members_that_share_their_bytes_are_refused(good: Path, tmp_path: Path):
    """Many names for the bytes of one member: a small file that is large in memory."""
    file = rezip(good, tmp_path / "w.pt", lambda name, own: own)
    with zipfile.ZipFile(file, "a") as archive:
        largest = max(archive.infolist(), key=lambda member: member.file_size)
        for number in range(1000, 1000 + 2 * file.stat().st_size // largest.file_size):
            other = copy.copy(largest)
            other.filename = largest.filename.rpartition("/")[0] + f"/{number}"
            archive.filelist.append(other)
            archive._didModify = True  # type: ignore[attr-defined]
    with refused("weights.oversized", file):
        read_weights(str(file))


def test_every_cut_is_noticed(good: Path, tmp_path: Path):
    whole, file = good.read_bytes(), tmp_path / "w.pt"
    for length in [*range(1, 4000, 97), *range(4000, len(whole), len(whole) // 100), len(whole) - 1]:
        file.write_bytes(whole[:length])
        for load in (weights_file.load_weights, lambda path: read_weights(str(path))):
            with pytest.raises(UserError) as error:
                load(file)
            assert str(file) in str(error.value)


def test_flipped_bits_never_change_weights(good: Path, tmp_path: Path):
    """Nor for `init_from`; names and padding of the archive, which matter to nobody, may differ."""
    whole, file = good.read_bytes(), tmp_path / "w.pt"
    right = torch.load(good, weights_only=True)["state_dict"]
    size = len(whole)
    for place in [*range(0, 3000, 61), *range(3000, size, size // 60), *range(size - 600, size, 9)]:
        content = bytearray(whole)
        content[place] ^= 1 << place % 8
        file.write_bytes(content)
        try:
            read = read_weights(str(file))
        except UserError:
            continue
        assert read.spec == SPEC
        assert all(torch.equal(read.tensors[key], own) for key, own in right.items())


def test_a_tensor_marked_as_a_folder_is_refused(good: Path, tmp_path: Path):
    """torch would leave its values as the memory happens to be."""
    content = bytearray(good.read_bytes())
    entry = content.index(b"PK\x01\x02", content.index(b"PK\x01\x02") + 4)
    while b"data/0" not in content[entry : entry + 70]:
        entry = content.index(b"PK\x01\x02", entry + 4)
    content[entry + 38] = 0x10  # the external attributes
    (tmp_path / "w.pt").write_bytes(content)
    for load in (weights_file.load_weights, lambda path: read_weights(str(path))):
        with refused("weights.damaged", tmp_path / "w.pt", "data/0"):
            load(tmp_path / "w.pt")


def test_what_is_not_a_file_is_not_opened(tmp_path: Path):
    os.mkfifo(tmp_path / "pipe.pt")
    (tmp_path / "folder.pt").mkdir()
    for name in ("pipe.pt", "folder.pt"):
        with refused("weights.not_a_file", tmp_path / name):
            weights_file.load(tmp_path / name)


def test_a_few_damaged_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """The full run is `python tools/fuzz.py weights --count 5000`."""
    assert main(["weights", "--count", "40", "--output", str(tmp_path), "--workers", "1", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["faults"] == 0
    assert sum(document["outcomes"].values()) == 40
