"""The benchmark of passes: its table says what was measured, and ratios are those of multiply-adds."""

import json

import pytest

from tools.bench import forward
from tools.bench.command import main as bench
from vidsemi.models.flops import measure_cost
from vidsemi.models.registry import create_model

pytestmark = pytest.mark.slow


@pytest.mark.usefixtures("warm_contenders")
def test_forward_passes(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.setattr(forward, "SECONDS", 0.1)
    names = ["torchvision eager, float32", "vidsemi prepared, float32", "vidsemi prepared, bfloat16"]
    options = ["--frames", "2", "--size", "16", "--clips", "3", "--device", "cpu", "--rounds", "1"]
    assert bench(["forward", *options, "--only", *names, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["frames"], document["size"], document["clips"], document["device"]) == (2, 16, 3, "cpu")
    gmacs = document["gmacs_per_clip"]
    ours = create_model("r2plus1d_18", num_classes=400, frames=2)
    assert gmacs["vidsemi"] == measure_cost(ours, frames=2, size=16).gmacs_per_view != gmacs["torchvision"]
    rows = {row["name"]: row for row in document["contenders"]}
    assert list(rows) == names
    for row in rows.values():
        assert row["failed"] is None
        assert row["clips_per_second"] > 0 and row["peak_mib"] > 10
        assert row["all"] == [row["clips_per_second"]]
        assert row["compile_seconds"] is None
        network = row["name"].split()[0]
        assert row["gmacs_per_second"] == pytest.approx(row["clips_per_second"] * gmacs[network])
    peer, prepared, rough = rows.values()
    assert peer["per_multiply_add_over_torchvision"] == 1
    ratio = prepared["gmacs_per_second"] / peer["gmacs_per_second"]
    assert prepared["per_multiply_add_over_torchvision"] == pytest.approx(ratio)
    assert rough["per_multiply_add_over_torchvision"] is None  # its yardstick, in bfloat16, was not run
    assert "| vidsemi prepared, float32  |" in forward.text(document)


@pytest.mark.usefixtures("warm_contenders")
def test_out_of_memory_is_reported(monkeypatch: pytest.MonkeyPatch):
    """Seven petabytes of clips."""
    monkeypatch.setattr(forward, "SECONDS", 0.1)
    document = forward.bench_forward(
        frames=1, size=16, clips=10**13, device="cpu", rounds=1, only=["vidsemi eager, float32"]
    )
    (row,) = document["contenders"]
    assert row["failed"].startswith("failed: ") and row["clips_per_second"] is None
    assert row["failed"] in forward.text(document)


def test_compile_seconds():
    """The first pass minus a later one; None if a run failed."""
    runs = [{"first_seconds": first, "seconds_a_pass": 0.5} for first in (9.5, 12.5, 10.5)]
    assert forward._compile_seconds(runs) == 10.0
    assert forward._compile_seconds([*runs, {"failed": "no compiler"}]) is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--frames", "0"], "--frames is 0; it must lie in"),
        (["--clips", "0"], "--clips is 0; it must lie in"),
        (["--only", "nobody"], "there is no contender 'nobody'; they are: torchvision eager, float32"),
        (["--device", "abacus"], "'abacus' cannot be used here"),
    ],
)
def test_bad_options(options: list[str], message: str, capsys: pytest.CaptureFixture[str]):
    assert bench(["forward", *options]) == 2
    assert message in capsys.readouterr().err
