"""The benchmark of feeding: rates are measured for files and their small copies, and the lowest limit is named."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tools.bench.command import main as bench
from tools.bench.feed import limit, text
from tools.bench.feed_contenders import feed


def test_the_lowest_limit_is_named():
    assert limit(1, 16, device=1000, reading=100, host=5000) == (1000, "GPU")
    rate, name = limit(8, 16, device=1000, reading=100, host=5000)
    assert name == "reading" and rate == pytest.approx(16 * 100 * 5000 / 5100)  # the host's cores do not read
    assert limit(2, 128, device=9000, reading=1000, host=5000) == (10_000, "host")


@pytest.mark.slow
@pytest.mark.usefixtures("warm_contenders")
def test_rates_are_measured_and_compared_with_a_device(
    tmp_path: Path, make_video: Callable[..., Path], capsys: pytest.CaptureFixture[str]
):
    file = str(make_video("a.mp4", frames=40))
    words = ["feed", file, "--frames", "4", "--seconds", "1", "--rounds", "1", "--data", str(tmp_path), "--parts-only"]
    kind = "training, 4 clips a file"
    assert bench([*words, "--device-rate", "3000", "1000", "--only", kind, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    (row,) = document["kinds"]
    assert row["failed"] is None and row["device"] == 1000
    assert set(row["rates"]) == {"host", "reading, originals", "reading, small copies"}
    assert all(rate > 0 for rate in row["rates"].values())
    assert [len(own) for own in row["limits"].values()] == [24, 24]
    shown = text(document)
    assert kind in shown and "8 GPUs" in shown and "if a GPU takes 1000 clips/s" in shown


@pytest.mark.slow
@pytest.mark.parametrize("each", [0, 4])
def test_files_are_read_into_the_sink(make_video: Callable[..., Path], each: int):
    assert feed(4, each, 0.1, [str(make_video("a.mp4", frames=40))]) > 0


def test_a_rate_of_a_device_is_above_zero(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert bench(["feed", "a.mp4", "--device-rate", "0", "10"]) == 2
    assert "--device-rate" in capsys.readouterr().err
