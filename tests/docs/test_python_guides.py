"""Every Python example of the guides runs, on small clips with a small network, and is short."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import vidsemi
from tests.conftest import REPOSITORY
from tests.helpers.builders import write_shard
from vidsemi.data.manifest_file import write_manifest
from vidsemi.selection.score_format import ScoresInfo
from vidsemi.selection.score_reader import open_shards, shard_files
from vidsemi.selection.select import select

GUIDES = ("train-dataset", "frames-in-memory", "selection-in-pandas")
SMALLER = {  # what the tests change of the examples, so that they take seconds
    '"r2plus1d_18", manifest.class_names(), frames=8': '"r2plus1d_10", manifest.class_names(), frames=4, size=16, '
    'resize=(20, 24), args={"width": 0.0625}',
    "InputSpec(frames=16)": "InputSpec(frames=4, resize=(20, 24), crop=16)",
    "resize=182, crop=160": "resize=40, crop=32",
    "input_crop_size=160": "input_crop_size=32",
    "num_workers=4, persistent_workers=True": "num_workers=0",
    "num_workers=4": "num_workers=0",
    "range(10)": "range(2)",
    "max_epochs=10": "max_epochs=2, logger=False, enable_checkpointing=False, callbacks=[CHECK]",
    '"/dev/video0", format="v4l2"': '"long.mp4"',
}
LIGHTNING_CHECK = """
import copy
import lightning


class Check(lightning.Callback):  # the batches of an epoch are augmented with its number
    def on_train_batch_start(self, trainer, module, batch, batch_idx):
        dataset = copy.deepcopy(trainer.train_dataloader.dataset)
        dataset.set_epoch(trainer.current_epoch)
        expected = {clip.numpy().tobytes() for clip, _ in dataset}
        assert all(clip.numpy().tobytes() in expected for clip in batch[0])
        print("checked epoch", trainer.current_epoch)


CHECK = Check()
"""


def examples() -> list[tuple[str, str, str]]:
    """(guide, heading, code) of every Python block."""
    found = []
    for guide in GUIDES:
        text = (REPOSITORY / "docs" / "guides" / f"{guide}.md").read_text(encoding="utf-8")
        for section in text.split("\n## ")[1:]:
            blocks = re.findall(r"^```python\n(.*?)^```", section, re.DOTALL | re.MULTILINE)
            found += [(guide, section.partition("\n")[0], block) for block in blocks]
    return found


def smaller(code: str) -> str:
    for text, replacement in SMALLER.items():
        code = code.replace(text, replacement)
    return code


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, shapes: Path, untrained_weights: Path) -> Path:
    """The files that the examples name."""
    folder = tmp_path_factory.mktemp("project")
    shutil.copy(untrained_weights, folder / "weights.pt")
    videos = sorted((shapes / "unlabeled").glob("*.mp4"))[:40]
    shutil.copy(videos[0], folder / "video.mp4")
    classes = vidsemi.load_model(folder / "weights.pt").classes
    labeled = vidsemi.Manifest.read(shapes / "labeled.csv").take(np.arange(24))
    names = [classes[number % 8] for number in range(24)]
    write_manifest(folder / "labeled.csv", {"path": labeled["path"].to_pylist(), "label": names})
    known = [classes[number % 8] if number < 20 else None for number in range(40)]
    tags = [f"#{classes[number % 4].replace(' ', '')} #cool" for number in range(40)]
    columns = {"path": list(map(str, videos)), "label": known, "hashtags": tags}
    write_manifest(folder / "unlabeled.csv", columns)
    manifest = vidsemi.Manifest.read(folder / "unlabeled.csv")
    info = ScoresInfo(manifest.fingerprint, "w", classes, per_example=2, views=1, examples=40, shards=1)
    probabilities = np.random.default_rng(0).dirichlet(np.ones(8), 40).astype(np.float32)
    write_shard(folder / "scores", 0, np.arange(40), probabilities, info)
    shards, scores = open_shards(shard_files(folder / "scores"))
    select(shards, scores, per_class=4, per_example=2).write(folder / "selection.parquet")
    return folder


@pytest.fixture
def here(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the files, as the current folder."""
    shutil.copytree(project, tmp_path / "project")
    monkeypatch.chdir(tmp_path / "project")
    return tmp_path / "project"


def run(heading: str, capsys: pytest.CaptureFixture[str]) -> str:
    """What the example under a heading prints."""
    (code,) = [code for _, own, code in examples() if own == heading]
    exec(compile(smaller(code), heading, "exec"), {"__name__": "__main__"})
    return capsys.readouterr().out


def test_examples_are_short():
    for guide, heading, code in examples():
        assert code.count("\n") <= 25, (guide, heading)


def test_the_tests_change_only_what_is_there():
    everything = "".join(code for *_, code in examples())
    assert all(text in everything for text in SMALLER)


@pytest.mark.slow
def test_a_plain_loader(here: Path, capsys: pytest.CaptureFixture[str]):
    before = (here / "weights.pt").read_bytes()
    assert run("A plain DataLoader", capsys) == "0 files could not be read\n"
    assert (here / "weights.pt").read_bytes() != before
    assert len(vidsemi.load_model(here / "weights.pt").classes) == 8


@pytest.mark.slow
def test_pseudo_labels_and_hashtags(here: Path, capsys: pytest.CaptureFixture[str]):
    first, second = run("Pseudo-labels and hashtags", capsys).splitlines()
    assert first.startswith("torch.Size([3, 4, 16, 16]) {'drifting ")
    assert "40 clips an epoch with the hashtags #" in second


@pytest.mark.slow
def test_fine_tuning(here: Path, capsys: pytest.CaptureFixture[str]):
    run("Fine-tune a trained network", capsys)
    before, after = (vidsemi.load_model(here / name).state_dict() for name in ("weights.pt", "fine-tuned.pt"))
    assert before.keys() == after.keys() and any(not before[name].equal(after[name]) for name in before)


@pytest.mark.slow
def test_lightning(here: Path):
    (code,) = [code for _, heading, code in examples() if heading == "Lightning"]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    command = [sys.executable, "-c", LIGHTNING_CHECK + smaller(code).replace("num_workers=0", "num_workers=1")]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    assert re.findall(r"checked epoch (\d)", done.stdout) == ["0"] * 3 + ["1"] * 3


@pytest.mark.slow
def test_the_program_of_torchvision(here: Path, capsys: pytest.CaptureFixture[str]):
    lines = run("torchvision's training program", capsys).splitlines()
    assert [line.split(":")[0] for line in lines] == ["epoch 0", "epoch 1"]


@pytest.mark.slow
def test_a_program_of_pytorchvideo(here: Path, capsys: pytest.CaptureFixture[str]):
    run("PyTorchVideo", capsys)


@pytest.mark.slow
def test_frames_in_memory(here: Path, capsys: pytest.CaptureFixture[str]):
    first, second = run("Frames in memory", capsys).splitlines()
    assert re.fullmatch(rf"\(16, 32, 32, 3\) uint8 {second} 0\.\d+", first)  # the video has fewer than 40 frames


@pytest.mark.slow
def test_a_webcam(here: Path, make_long_video: None, capsys: pytest.CaptureFixture[str]):
    lines = run("A webcam", capsys).splitlines()
    assert len(lines) == 2 and all(re.fullmatch(r"drifting \w+ \(\d+%\)", line) for line in lines)


@pytest.fixture
def make_long_video(here: Path) -> None:
    from tests.helpers.videos import write_video

    write_video(here / "long.mp4", 60)


@pytest.mark.slow
def test_a_loop_of_ones_own(here: Path, capsys: pytest.CaptureFixture[str]):
    line = run("Your own loop", capsys).rstrip()
    prediction = vidsemi.load_model(here / "weights.pt").predict(here / "video.mp4", workers=0)
    assert line.startswith(f"video.mp4 {prediction.label} ")
    assert float(line.split()[-1]) == pytest.approx(float(prediction.scores[0]), rel=1e-4)


@pytest.mark.slow
def test_a_selection_as_a_frame(here: Path, capsys: pytest.CaptureFixture[str]):
    printed = run("As a pandas frame", capsys)
    assert printed.startswith("balanced_ranked, per_class = 4, per_example = 2; one-hot targets\n")
    assert len(re.findall(r"^drifting \w+ +4 +0\.\d+ +0\.\d+$", printed, re.MULTILINE)) == 8


@pytest.mark.slow
def test_precision(here: Path, capsys: pytest.CaptureFixture[str]):
    import pyarrow.parquet as pq

    first = run("Precision where labels are known", capsys).splitlines()[0]
    rows = [row for row in pq.read_table("selection.parquet").to_pylist() if row["example_id"] < 20]
    correct = sum(row["label"] == row["example_id"] % 8 for row in rows)
    assert first == f"precision {correct / len(rows):.1%} of {len(rows)} selected rows with a known label"


@pytest.mark.slow
def test_examples_with_soft_targets(here: Path, capsys: pytest.CaptureFixture[str]):
    first, second, third = run("Examples with soft targets", capsys).splitlines()
    assert re.fullmatch(r"\d+ examples; targets \(\d+, 8\) \(csr_array\)", first)
    assert sum(map(float, re.findall(r": ([\d.]+)", second))) == 1
    assert "'class': 'drifting east'" in third
