"""The fuzzer: its damage can be repeated, and it notices readers that crash, hang, swell or read wrong."""

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tools.fuzz.command import main
from tools.fuzz.damage import WAYS, damage
from tools.fuzz.engine import Case, Fault, Subject, fuzz
from vidsemi.io.errors import DecodeError


def test_damage_is_repeatable_and_differs_by_number_and_seed(tmp_path: Path):
    good, other = tmp_path / "good", tmp_path / "other"
    good.write_bytes(bytes(range(256)) * 8)
    other.write_bytes(b"other" * 100)
    contents = {(number, seed): Case(number, seed, good, other).content() for number in range(50) for seed in (0, 1)}
    for (number, seed), content in contents.items():
        assert content == Case(number, seed, good, other).content()
    assert len(set(contents.values())) > 95
    assert sum(content != good.read_bytes() for content in contents.values()) > 95


@pytest.mark.parametrize("size", [1, 2, 5000])
def test_every_way_damages_files_of_any_size(size: int):
    for way in WAYS:
        for seed in range(50):
            damaged = way(bytearray(size), b"x", np.random.default_rng(seed))
            assert len(damaged) <= size * 4 + 5000
    assert damage(bytes(size), b"x", np.random.default_rng(0))


def bad_reader(file: Path, good: Path) -> str:
    """Behave by the number of a case."""
    number = int(file.stem)
    if number == 1:
        os.kill(os.getpid(), signal.SIGSEGV)
    if number == 9:
        signal.pause()
    if number == 3:
        raise Fault("other numbers")
    if number == 4:
        raise TypeError("unforeseen")
    if number == 5:
        raise DecodeError("video.no_frames", str(file), "no frame")
    if number == 6:
        assert np.ones(200 << 20, np.uint8)[-1] == 1
    return "read"


def make(folder: Path) -> list[Path]:
    """Two files."""
    (folder / "a.bin").write_bytes(bytes(1000))
    (folder / "b.bin").write_bytes(bytes(10))
    return [folder / "a.bin", folder / "b.bin"]


@pytest.mark.slow
def test_faults_are_counted_and_kept(tmp_path: Path):
    subject = Subject("things", make, bad_reader)
    document = fuzz(subject, count=8, seed=3, output=tmp_path / "out", workers=2, seconds=60, memory=180 << 20)
    counts = {outcome.split(":")[0]: number for outcome, number in document["outcomes"].items()}
    assert counts == {"read": 4, "refused": 1, "crashed": 1, "wrong": 1, "exception": 1}
    assert document["faults"] == 4
    assert document["peak_mib"] > 180
    assert {file.name for file in (tmp_path / "out").iterdir()} == {f"3-{number}.bin" for number in (1, 3, 4, 6)}
    assert "SIGSEGV" in document["faulty"][0]
    again = fuzz(subject, count=1, first=4, seed=3, output=tmp_path / "again", workers=1, seconds=60)
    assert again["faults"] == 1
    hung = fuzz(subject, count=1, first=9, seed=3, output=tmp_path / "hung", workers=1, seconds=1)
    assert hung["faults"] == 1 and "hung" in hung["faulty"][0]
    assert (tmp_path / "again/3-4.bin").read_bytes() == (tmp_path / "out/3-4.bin").read_bytes()


@pytest.mark.slow
def test_a_few_damaged_videos(make_video: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """No crash, no hang, nothing read wrong; the full run is `python tools/fuzz.py videos --count 20000`."""
    files = [make_video("a.mp4"), make_video("b.avi", codec="mpeg4", bf=0), make_video("c.webm", codec="libvpx", bf=0)]
    options = ["videos", "--count", "60", "--output", str(tmp_path / "out"), "--workers", "2", "--json"]
    assert main([*options, "--files", *map(str, files)]) == 0
    document = json.loads(capsys.readouterr().out)
    assert sum(document["outcomes"].values()) == 60
    assert len(document["outcomes"]) > 2
    assert document["faults"] == 0
    assert document["peak_mib"] < 1024
    assert not (tmp_path / "out").exists()
