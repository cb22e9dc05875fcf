"""The benchmark of training: its two loops are one arithmetic, its ratios those of what was measured."""

import copy
import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tools.bench import train, train_readers
from tools.bench.command import main as bench
from tools.bench.train_contenders import CONTENDERS, Clock, Enough, MemoryClips, Setting, learn, plain_loop
from tools.bench.train_readers import READERS
from vidsemi.data.batch import collate
from vidsemi.data.normalize import normalize
from vidsemi.io.errors import UserError

TINY = Setting("r2plus1d_10", {"width": 0.0625}, frames=4, size=32, batch=4, device="cpu")


pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]  # several threads would wait for each other


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch):
    """Tiny networks."""
    small = ("narrow R(2+1)D-10", TINY.model, TINY.args)
    monkeypatch.setattr(train, "MEMORY", small)
    monkeypatch.setattr(train, "FILES", {TINY.model: (small[0], TINY.args, 4, 1.0)})
    monkeypatch.setattr(train, "SECONDS", 0.1)


def test_both_loops_train_the_same_network():
    """From the same weights, on the same clips; only the order within a step differs."""
    clips = MemoryClips(TINY.spec((32, 32)), TINY.batch)
    fresh, steps = TINY.network(), 5
    plain, ours = copy.deepcopy(fresh), copy.deepcopy(fresh)
    batch = normalize(clips.frames, clips.spec), torch.from_numpy(clips.targets.labels)
    assert plain_loop(plain, [batch] * steps, torch.device("cpu"), "float32") == steps * TINY.batch
    recipe = TINY.recipe("float32", clips=steps * TINY.batch)
    assert learn(ours, clips, recipe, "cpu", workers=0, channels_last=False) == steps * TINY.batch
    moved = 0.0
    for name, before in fresh.state_dict().items():
        expected, found = plain.state_dict()[name].double(), ours.state_dict()[name].double()
        distance = (expected - before).norm()
        moved = max(moved, float(distance / (before.double().norm() + 1e-9)))
        assert (found - expected).norm() <= 1e-3 * distance + 1e-6 * expected.norm(), name
    assert moved > 0.01


@pytest.mark.parametrize("treatment", [name for name in CONTENDERS if "compiled" not in name])
def test_contenders_train_until_the_clock_stops_them(treatment: str):
    clock = Clock(torch.device("cpu"), 0.0)
    network = CONTENDERS[treatment](TINY, "float32", clock)
    assert clock.steps == 3 and clock.seconds > 0 and clock.first > 0
    fresh = TINY.network()
    assert not torch.equal(network.fc.weight, fresh.fc.weight)


def test_the_clock_times_steps_after_the_warm_up(monkeypatch: pytest.MonkeyPatch):
    """Steps start at 0, 10, 12, 14, … s: the first one compiles, the others take two seconds."""
    now = iter([0.0, 10.0, *[14.0], *[20.0, 22.0, 24.0, 24.0]])
    monkeypatch.setattr("time.perf_counter", lambda: next(now))
    clock = Clock(torch.device("cpu"), 9.5)
    with suppress(Enough):
        while True:
            clock()
    assert (clock.first, clock.steps, clock.seconds) == (10.0, 5, 10.0)


def test_every_contender_is_in_a_table():
    for kind in ("cpu", "cuda"):
        treatments = train.treatments_on(kind)
        assert {treatment for treatment, _ in treatments.values()} <= {*CONTENDERS, train.LIMIT}
        assert not set(treatments) & set(train.READERS)  # --only picks from both
    assert "vidsemi, channels last, bfloat16" in train.treatments_on("cuda")
    assert {reader for reader, _ in train.READERS.values()} == set(READERS)


@pytest.mark.usefixtures("warm_contenders")
def test_training_from_memory(tiny: None, make_video: Callable[..., Path], capsys: pytest.CaptureFixture[str]):
    names = ["matrix product, float32", "plain loop, float32", "vidsemi, bfloat16"]
    options = [str(make_video("a.mp4", frames=20)), "--frames", "4", "--size", "32", "--batch", "4", "--device", "cpu"]
    assert bench(["train", *options, "--rounds", "1", "--only", *names, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["frames"], document["size"], document["batch"], document["device"]) == (4, 32, 4, "cpu")
    assert document["files"]["contenders"] == []
    rows = {row["name"]: row for row in document["memory"]["contenders"]}
    assert list(rows) == names
    for row in rows.values():
        assert row["failed"] is None, row
        assert row["clips_per_second"] > 0
        assert row["name"].startswith("matrix") or (row["weights_finite"] and row["peak_mib"] > 10)


@pytest.mark.usefixtures("warm_contenders")
def test_training_from_files(tiny: None, make_video: Callable[..., Path], capsys: pytest.CaptureFixture[str]):
    files = [str(make_video(f"{number}.mp4", frames=30)) for number in range(2)]
    names = ["network alone", "pytorchvideo", "vidsemi, 4 clips a file"]
    options = ["--frames", "4", "--size", "32", "--batch", "4", "--device", "cpu", "--videos", "9", "--rounds", "1"]
    assert bench(["train", *files, *options, "--only", *names, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["files"]["clips"] == 8  # whole steps
    assert document["memory"]["contenders"] == []
    rows = {row["name"]: row for row in document["files"]["contenders"]}
    assert list(rows) == names
    for row in rows.values():
        assert row["failed"] is None, row
        assert row["clips_per_second"] > 0 and row["peak_mib"] > 10
        assert ("over_pytorchvideo" in row) == row["name"].startswith("vidsemi")


@pytest.mark.parametrize("reader", READERS)
def test_readers_train_on_the_requested_number_of_clips(make_video: Callable[..., Path], reader: str):
    files = [str(make_video(f"{number}.mp4", frames=12)) for number in range(3)]
    assert READERS[reader](TINY, 1, files, 8) == 8


def test_an_unreadable_file_is_an_error(tmp_path: Path):
    (tmp_path / "broken.mp4").write_bytes(b"x" * 1000)
    with pytest.raises(UserError, match="cannot be read"):
        READERS["reading alone"](TINY, 1, [str(tmp_path / "broken.mp4")], 8)


def test_the_peer_gets_as_many_clips_of_the_same_shape(
    make_video: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
):
    fed = []
    monkeypatch.setattr(train_readers, "plain_loop", lambda network, batches, *_: fed.extend(batches))
    file = str(make_video("a.mp4", frames=30))
    train_readers.pytorchvideo(TINY, 1, [file], 8)
    clips = torch.cat([batch for batch, _ in fed])
    ours = collate([train_readers.train_clips(TINY, [file], 4)[0, 0, 0]])
    spec = train_readers.spec_of(TINY)
    assert ours.clips(torch.device("cpu"), spec, torch.contiguous_format).shape == (4, 3, 4, 32, 32)
    assert clips.shape == (8, 3, 4, 32, 32)
    assert train_readers.spec_of(replace(TINY, size=112)).resize == (128, 171)


def test_transform_of_the_peer():
    """Of ten uniform gray frames the first, the last and two in between remain, normalized as by vidsemi."""
    grays = torch.arange(10) * 20
    video = grays.float().view(1, 10, 1, 1).expand(3, 10, 50, 60)
    spec = train_readers.spec_of(TINY)
    found = train_readers._transform(spec)(video)
    chosen = grays[[0, 3, 6, 9]].to(torch.uint8).view(1, 4, 1, 1, 1).expand(1, 4, 3, 32, 32)
    assert found.is_contiguous()
    torch.testing.assert_close(found, normalize(chosen, spec)[0])


def test_rows_from_memory():
    """Rates 2 and 3 against 1 and 0.5, 1 GMAC per clip, a device of 30 and 60 GFLOP/s; one compiled, one failed."""
    figures = {"peak_mib": 100.0, "weights_finite": True, "first_seconds": 9.0, "seconds_a_step": 0.5}
    runs = {
        "matrix product, float32": [{"flops_per_second": flops} for flops in (1e9, 3e10, 9e10)],
        "plain loop, float32": [{**figures, "clips_per_second": rate} for rate in (0.9, 1.0, 5.0)],
        "vidsemi, compiled, float32": [{**figures, "clips_per_second": 2.0}],
        "matrix product, bfloat16": [{"flops_per_second": 6e10}],
        "plain loop, bfloat16": [{**figures, "clips_per_second": 0.5, "weights_finite": False}],
        "vidsemi, bfloat16": [{**figures, "clips_per_second": 3.0}],
        "vidsemi, compiled, bfloat16": [{"failed": "failed: no compiler"}],
    }
    rows = {row["name"]: row for row in train.memory_rows(runs, gmacs=1.0)}

    def column(key: str) -> list[object]:
        return [row[key] for row in rows.values()]

    assert column("clips_per_second") == [5.0, 1.0, 2.0, 10.0, 0.5, 3.0, None]
    assert column("over_plain_loop") == [None, 1.0, 2.0, None, 1.0, 6.0, None]
    assert column("over_plain_loop_float32") == [None, 1.0, 2.0, None, 0.5, 3.0, None]
    assert column("of_matrix_product") == [1.0, 0.2, 0.4, 1.0, 0.05, 0.3, None]
    assert column("compile_seconds") == [None, None, 8.5, None, None, None, None]
    assert column("weights_finite") == [None, True, True, None, False, True, None]
    assert column("failed") == [None] * 6 + ["failed: no compiler"]


def test_rows_from_files():
    rates = {"reading alone": 20.0, "network alone": 8.0, "pytorchvideo": 2.0, "pytorchvideo, reading alone": 10.0}
    rates |= {"reading alone, 4 clips a file": 40.0, "vidsemi": 4.0, "vidsemi, 4 clips a file": 6.0}
    runs = {name: [{"clips_per_second": rate, "peak_mib": 10.0}] for name, rate in rates.items()}
    rows = {row["name"]: row for row in train.file_rows(runs, shared=True)}
    assert rows["vidsemi"]["of_lower_limit"] == 4 / 8
    assert rows["vidsemi"]["of_shared_limit"] == pytest.approx(4 * (1 / 20 + 1 / 8))
    assert rows["vidsemi"]["over_pytorchvideo"] == 2
    assert rows["reading alone, 4 clips a file"]["over_pytorchvideo"] == 4
    many = rows["vidsemi, 4 clips a file"]
    assert many["of_lower_limit"] == 6 / 8
    assert many["of_shared_limit"] == pytest.approx(6 * (1 / 40 + 1 / 8))
    assert "over_pytorchvideo" not in rows["network alone"]
    on_gpu = {row["name"]: row for row in train.file_rows(runs, shared=False)}  # which takes no core time
    assert on_gpu["vidsemi"]["of_lower_limit"] == 4 / 8 and on_gpu["vidsemi"]["of_shared_limit"] is None
    del runs["pytorchvideo"], runs["network alone"]
    rows = {row["name"]: row for row in train.file_rows(runs, shared=True)}
    assert "of_lower_limit" not in rows["vidsemi"] and rows["vidsemi"]["over_pytorchvideo"] is None


def test_text():
    run = {"clips_per_second": 3.0, "peak_mib": 10.0, "weights_finite": False}
    document = {
        **{"frames": 8, "size": 112, "batch": 24, "rounds": 3},
        **{"device": "cpu", "cores": 2, "processor": "a processor", "versions": {"torch": "2"}},
        "memory": {
            "network": "R(2+1)D-18",
            "gmacs_per_clip": 20.75,
            "contenders": train.memory_rows(
                {"plain loop, bfloat16": [run], "vidsemi, float32": [{"failed": "failed: no memory"}]}, 20.75
            ),
        },
        "files": {
            "network": "small",
            "programs": 5,
            "files": ["a.mp4"],
            "clips": 48,
            "batch": 32,
            "contenders": train.file_rows({"vidsemi": [run]}, shared=True),
        },
    }
    text = train.text(document)
    assert "clips of 8×112×112" in text
    assert "R(2+1)D-18, 20.75 GMAC a clip forward, 24 clips a step" in text
    assert "small, 48 clips, 32 a step, from 1 files, beside 5 busy programs" in text
    (plain,) = [line for line in text.splitlines() if line.startswith("| plain loop, bfloat16")]
    assert [cell.strip() for cell in plain.strip("|").split("|")] == [
        *["plain loop, bfloat16", "3.00", "1.00", "", "", "10", "", "no"]
    ]
    assert "failed: no memory" in text
    document["files"]["contenders"] = []
    assert "small" not in train.text(document)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--only", "nobody"], "there is no contender 'nobody'; they are: matrix product, float32"),
        (["--batch", "0"], "--batch is 0; it must lie in"),
        (["--device", "abacus"], "'abacus' cannot be used here"),
    ],
)
def test_bad_options(options: list[str], message: str, capsys: pytest.CaptureFixture[str]):
    assert bench(["train", __file__, *options]) == 2
    assert message in capsys.readouterr().err


def test_a_missing_file(tiny: None, capsys: pytest.CaptureFixture[str]):
    options = ["--model", TINY.model, "--only", "vidsemi", "--device", "cpu"]
    assert bench(["train", "missing.mp4", *options]) == 2
    assert "there is no file missing.mp4" in capsys.readouterr().err
