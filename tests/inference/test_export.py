"""An exported network computes what scoring computes, in programs that do not know vidsemi."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.conftest import REPOSITORY
from tests.helpers import warm
from vidsemi import __version__
from vidsemi.cli import main as cli
from vidsemi.data.input_spec import InputSpec
from vidsemi.data.normalize import normalize
from vidsemi.inference import export
from vidsemi.inference.model import Inference
from vidsemi.models import trained, weights_file
from vidsemi.models.weights_file import NetworkSpec, load_weights, save_weights

FORMATS = ["pt2", "onnx"]


@pytest.fixture
def image_weights(tmp_path: Path) -> Path:
    """A narrow ResNet-18 with running statistics and a head that do not leave all scores alike."""
    torch.manual_seed(0)
    takes = InputSpec(1, 1, (32, 32), 32, (0.4, 0.5, 0.3), (0.2, 0.25, 0.3))
    spec = NetworkSpec("resnet18", {"width": 0.125}, ["cat", "dog", "wörm"], takes)
    network = spec.build()
    network(torch.randn(8, 3, 1, 32, 32))
    torch.nn.init.normal_(network.fc.weight, std=0.5)
    save_weights(tmp_path / "image.pt", network, spec, {})
    return tmp_path / "image.pt"


def load(file: Path) -> tuple[Callable[[np.ndarray], np.ndarray], dict]:
    """Open a file as its user does; returns what runs it and the document inside."""
    if file.suffix == ".onnx":
        import onnxruntime

        session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
        (takes,), (gives,) = session.get_inputs(), session.get_outputs()
        assert (takes.name, takes.type, gives.name, gives.type) == ("clips", "tensor(uint8)", "scores", "tensor(float)")
        about = json.loads(session.get_modelmeta().custom_metadata_map["vidsemi"])
        return lambda clips: session.run(["scores"], {"clips": clips})[0], about
    extra = {"vidsemi": ""}
    module = torch.export.load(file, extra_files=extra).module()
    return lambda clips: module(torch.from_numpy(clips)).detach().numpy(), json.loads(extra["vidsemi"])


@pytest.mark.slow
@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("network", ["weights", "image_weights"])
def test_an_exported_network_scores_like_scoring(
    network: str, format: str, request: pytest.FixtureRequest, tmp_path: Path, capfd: pytest.CaptureFixture[str]
):
    weights = request.getfixturevalue(network)
    output = tmp_path / "new" / f"network.{format}"
    assert cli.main(["export", "--weights", str(weights), "--output", str(output), "--json"]) == 0
    printed = capfd.readouterr()
    document = json.loads(printed.out)
    assert printed.err == ""
    assert [file.name for file in output.parent.iterdir()] == [output.name]
    trained, spec = weights_file.load_weights(weights)
    run, about = load(output)
    infer = Inference(trained, spec.input, torch.device("cpu"))
    shape = (spec.input.frames, 3, spec.input.crop, spec.input.crop)
    for many in (1, 2, 5, 16):
        clips = np.random.default_rng(many).integers(0, 256, (many, *shape), dtype=np.uint8)
        found = run(clips)
        assert found.dtype == np.float32 and found.shape == (many, len(spec.classes))
        np.testing.assert_allclose(found, infer([clips]).numpy(), atol=1e-5, rtol=0)
        assert found.std() > 0.01
    assert about == {
        "vidsemi": __version__,
        "model": spec.model,
        "classes": spec.classes,
        "frames": spec.input.frames,
        "stride": spec.input.stride,
        "resize": list(spec.input.resize),
        "crop": spec.input.crop,
        "mean": list(spec.input.mean),
        "std": list(spec.input.std),
    }
    assert 0 < document.pop("largest_difference") < document.pop("tolerance") <= 1e-4
    assert document == {
        "file": str(output),
        "format": format,
        "bytes": output.stat().st_size,
        "classes": len(spec.classes),
        "input": ["N", *shape],
    }
    assert str(REPOSITORY).encode() not in output.read_bytes()


def normalize_in_export(monkeypatch: pytest.MonkeyPatch, normalization: Callable) -> None:
    """Normalize otherwise in the exported graph, but not in the comparison."""

    def forward(scorer: export.Scorer, clips: torch.Tensor) -> torch.Tensor:
        return scorer.network(normalization(clips, scorer.spec)).float().softmax(dim=1)

    monkeypatch.setattr(export.Scorer, "forward", forward)


@pytest.mark.slow
@pytest.mark.parametrize("format", FORMATS)
def test_an_export_that_scores_differently_is_refused(
    format: str, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    """Here the exported graph does not normalize."""
    normalize_in_export(monkeypatch, lambda clips, spec: clips.float().transpose(1, 2) / 255)
    output = tmp_path / "out" / f"network.{format}"
    assert cli.main(["export", "--weights", str(weights), "--output", str(output)]) == 2
    error = capsys.readouterr().err
    assert re.search(r"by up to \d\S* .* (1e-05|0\.0001); \S+ is not written \[export.inaccurate\]", error)
    assert list(output.parent.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize("format", FORMATS)
def test_a_confident_network_hides_no_difference(
    format: str, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    """Scores of 0 and 1, which a mean of red that is wrong by 0.01 moves by 3e-9.

    With this draw folded batch norm makes 2.6e-6, a quarter of the tolerance, and the wrong mean 0.16.
    """
    network, spec = load_weights(weights)
    torch.nn.init.normal_(network.fc.weight, std=200.0, generator=torch.Generator().manual_seed(4))
    save_weights(weights, network, spec, {})
    command = ["export", "--weights", str(weights), "--output", str(tmp_path / f"network.{format}")]
    assert cli.main(command) == 0
    red, *others = spec.input.mean
    wrong = replace(spec.input, mean=(red + 0.01, *others))
    normalize_in_export(monkeypatch, lambda clips, spec: normalize(clips, wrong))
    assert cli.main(command) == 2
    assert "[export.inaccurate]" in capsys.readouterr().err


@pytest.mark.slow
def test_scores_that_are_not_a_number_are_refused_and_leave_an_earlier_export(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    (tmp_path / "network.pt2").write_bytes(b"earlier")
    normalize_in_export(monkeypatch, lambda clips, spec: clips.float().transpose(1, 2) * torch.inf)
    assert cli.main(["export", "--weights", str(weights), "--output", str(tmp_path / "network.pt2")]) == 2
    error = capsys.readouterr().err
    assert "nan" in error and "[export.inaccurate]" in error
    assert (tmp_path / "network.pt2").read_bytes() == b"earlier"
    assert sorted(file.name for file in tmp_path.iterdir()) == ["network.pt2", "weights.pt"]


class DataDependent(torch.nn.Module):
    """A network whose forward depends on its input."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = torch.nn.Linear(1, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        bright = x.mean(dim=(1, 2, 3, 4))
        return self.fc(bright[:, None]) if bright.sum() > 0 else torch.zeros(len(x), 8)


@pytest.mark.slow
@pytest.mark.parametrize("format", FORMATS)
def test_a_network_that_torch_cannot_trace_is_refused(
    format: str, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
):
    _, spec = weights_file.load_weights(weights)
    monkeypatch.setattr(trained, "load_weights", lambda file, decoder: (DataDependent(), spec))
    output = tmp_path / "out" / f"network.{format}"
    assert cli.main(["export", "--weights", str(weights), "--output", str(output)]) == 2
    printed = capfd.readouterr()
    assert printed.out == "" and len(printed.err.splitlines()) == 1
    assert "Could not guard on data-dependent" in printed.err and "[export.untraceable]" in printed.err
    assert list(output.parent.iterdir()) == []


@pytest.mark.parametrize("package", ["onnx", "onnxscript", "onnxruntime"])
def test_a_missing_package_is_named(
    package: str, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setitem(sys.modules, package, None)
    assert cli.main(["export", "--weights", str(weights), "--output", str(tmp_path / "network.onnx")]) == 2
    error = capsys.readouterr().err
    assert "pip install 'vidsemi[export]'" in error and "[export.missing_package]" in error


def test_onnx_of_a_network_too_large_for_a_file(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(export, "ONNX_LIMIT", 1000)
    assert cli.main(["export", "--weights", str(weights), "--output", str(tmp_path / "network.onnx")]) == 2
    assert "[export.too_large]" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "mention", "code"),
    [
        ([], "--format", "export.missing_format"),
        (["--output", "a.bin"], "a.bin", "export.unknown_suffix"),
        (["--output", "a.bin", "--format", "onnx"], "a.bin", "export.unknown_suffix"),
        (["--output", "a.pt2", "--format", "onnx"], "a.pt2", "export.format_mismatch"),
        (["--output", "a.pt2"], "missing.pt", ""),
    ],
)
def test_bad_options(options: list[str], mention: str, code: str, capsys: pytest.CaptureFixture[str]):
    assert cli.main(["export", "--weights", "missing.pt", *options]) == 2
    error = capsys.readouterr().err
    assert mention in error and code in error


@pytest.mark.slow
def test_the_document_alone_goes_to_standard_output(weights: Path, tmp_path: Path):
    """In a process of its own, where nothing has silenced the exporter before."""
    words = ["export", "--weights", weights, "--output", tmp_path / "network.onnx", "--format", "onnx", "--json"]
    done = warm.run("-m", "vidsemi", *words)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["format"] == "onnx"
    assert done.stderr == ""


@pytest.mark.slow
def test_the_page_runs_without_vidsemi(weights: Path, tmp_path: Path):
    """The examples of docs/guides/exporting.md, in a process with files exported beside the weights and no vidsemi."""
    weights.rename(tmp_path / "student.pt")
    for suffix in FORMATS:
        assert cli.main(["export", "--weights", str(tmp_path / "student.pt"), "--format", suffix]) == 0
    page = (REPOSITORY / "docs/guides/exporting.md").read_text(encoding="utf-8")
    of_onnx, of_pt2 = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    program = "\n".join(
        [
            of_onnx,
            "assert scores.shape == (10, 8) and best == about['classes'][int(np.argmax(scores.sum(axis=0)))]",
            "import sys, torch",
            "by_onnx = video",
            of_pt2,
            "assert np.abs(video.numpy() - by_onnx).max() < 1e-5",
            "assert not [name for name in sys.modules if name.startswith('vidsemi')]",
        ]
    )
    subprocess.run([sys.executable, "-c", program], cwd=tmp_path, check=True)
