"""The pipeline on images: folders, tars and a video in one unlabeled set, and unreadable files."""

import json
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from vidsemi.cli import main as cli
from vidsemi.data.manifest import load_manifest

COLORS = {"blue": (20, 30, 200), "green": (30, 200, 20), "red": (200, 20, 30)}


def write_images(folder: Path, each: int, seed: int) -> Path:
    rng = np.random.default_rng(seed)
    for name, color in COLORS.items():
        (folder / name).mkdir(parents=True)
        for number in range(each):
            noise = rng.integers(-20, 20, (20, 24 + number, 3))
            Image.fromarray(np.clip(noise + color, 0, 255).astype(np.uint8)).save(folder / name / f"{number}.png")
    return folder


@pytest.mark.slow
def test_a_run_on_images(tmp_path: Path, make_video: Callable[..., Path], capsys: pytest.CaptureFixture):
    def manifest(*words: object) -> dict:
        assert cli.main(["manifest", *map(str, words), "--json"]) == 0
        return json.loads(capsys.readouterr().out)

    for seed, split in enumerate(("labeled", "test", "unlabeled")):
        folder = write_images(tmp_path / split, 4, seed)
        if split != "unlabeled":
            (folder / "red" / "torn.png").write_bytes((folder / "red" / "0.png").read_bytes()[:200])
            (folder / "red" / "phone.heic").write_bytes(b"\0\0\0\x18ftypheic")
            made = manifest("folder", "--root", folder, "--output", tmp_path / f"{split}.csv")
            assert made["examples"] == 14
    with tarfile.open(tmp_path / "u.tar", "w") as tar:
        for file in sorted((tmp_path / "unlabeled").rglob("*.png"))[:6]:
            tar.add(file, f"{file.parent.name}-{file.name}")
    loose = tmp_path / "loose"
    for file in sorted((tmp_path / "unlabeled").rglob("*.png"))[6:]:
        loose.mkdir(exist_ok=True)
        file.rename(loose / f"{file.parent.name}-{file.name}")
    make_video("loose/clip.mp4", frames=5, size=(24, 32))
    (loose / "page.jpg").write_text("<html>404")
    manifest("tar", tmp_path / "u.tar", "--output", tmp_path / "tar.csv")
    assert manifest("files", "--root", loose, "--output", tmp_path / "files.csv")["examples"] == 8
    tables = [load_manifest(tmp_path / f"{name}.csv").table for name in ("tar", "files")]
    pq.write_table(pa.concat_tables(tables, promote_options="default"), tmp_path / "unlabeled.parquet")
    (tmp_path / "c.yaml").write_text(
        f"""
output: {tmp_path / "run"}
data: {{labeled: {tmp_path}/labeled.csv, unlabeled: {tmp_path}/unlabeled.parquet, test: {tmp_path}/test.csv}}
input: {{resize: 20, crop: 16}}
teacher: {{model: resnet18, frames: 1, args: {{stem: cifar, width: 0.25}}}}
students: [{{name: small, model: resnet18, frames: 1, args: {{stem: cifar, width: 0.25}}}}]
train:
  supervised: {{examples: 24, batch_size: 8, learning_rate: 0.01}}
  pretrain: {{examples: 16, batch_size: 8, learning_rate: 0.01}}
  finetune: {{examples: 16, batch_size: 8, learning_rate: 0.001}}
score: {{views: 2, shard_size: 4, precision: float32}}
select: {{per_class: 3, per_example: 2}}
evaluate: {{crops: 10}}
runtime: {{device: cpu, workers: 0}}
""",
        encoding="utf-8",
    )
    assert cli.main(["run", "--cfg", str(tmp_path / "c.yaml"), "--json"]) == 0
    rows = json.loads((tmp_path / "run" / "results.json").read_text())
    assert {row["approach"] for row in rows} >= {"supervised", "semi_supervised"}
    for row in rows:
        assert (row["read"], row["total"], row["views"], row["crops"]) == (12, 14, 10, 10)
        assert row["gmacs_per_video"] == 10 * row["gmacs_per_view"]
    score = tmp_path / "run" / "seed0" / "teacher" / "score"
    assert json.loads((score / "stage.json").read_text())["metrics"]["scored"] == 13
    (failure,) = pq.read_table(score / "failures").to_pylist()
    assert "web page" in failure["error"]
    assert (tmp_path / "run" / "seed0" / "teacher" / "select" / "selection.parquet").exists()
