"""The script behind the tables of docs/guides/duplicates.md, on a folder with known answers."""

import importlib.util
import re
import shutil
import zipfile
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from tests.conftest import REPOSITORY
from tests.data.dedup.test_exclude import picture, video
from vidsemi.data.dedup.duplicates import FRAMES, MIN_MATCHING_FRAMES
from vidsemi.data.dedup.hamming import near_pairs

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("measure_duplicates", REPOSITORY / "docs" / "measure_duplicates.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("places", [1, FRAMES])
def test_the_distance_is_the_one_at_which_a_pair_is_found(script: ModuleType, places: int):
    random = np.random.default_rng(places)
    rows = random.integers(1, 2**64, (20, places), np.uint64)
    flips = np.uint64(1) << random.integers(0, 64, (4, *rows.shape)).astype(np.uint64)
    others = rows ^ np.bitwise_xor.reduce(flips, axis=0)
    others[random.random(others.shape) < 0.2] = 0
    first, second, bits = near_pairs(
        rows, others, max_distance=16, min_matches=1 if places == 1 else MIN_MATCHING_FRAMES
    )
    found = {(i, j): d for i, j, d in zip(first.tolist(), second.tolist(), bits.tolist(), strict=True)}
    asked = {(i, j): script.distance(rows[i].tolist(), others[j].tolist()) for i in range(20) for j in range(20)}
    assert found and found == {pair: d for pair, d in asked.items() if d <= 16}


@pytest.mark.slow
def test_copies_in_a_made_folder_are_counted(script: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture):
    """Three clips of one group, of which two are the same; one of another group is, too. Images likewise."""
    (tmp_path / "clips").mkdir()
    folder = tmp_path / "ucf3" / "A"
    folder.mkdir(parents=True)
    video(tmp_path / "clips" / "other.mp4", 200)
    one = video(folder / "v_A_g01_c01.avi", 100)
    for copy in ("v_A_g01_c02.avi", "v_A_g02_c01.avi"):
        shutil.copy(one, folder / copy)
    video(folder / "v_A_g01_c03.avi", 300)
    with zipfile.ZipFile(tmp_path / "cifar10.zip", "w") as archive:
        for seed, name in enumerate(("test/a/0", "test/b/0", "train/a/0", "train/b/0", "train/b/1")):
            archive.write(picture(tmp_path / f"{seed}.jpg", seed % 4, size=32), f"cifar10/{name}.jpg")
    script.main(["--data", str(tmp_path)])
    changes, clips, groups, classes = re.split(r"\n\n(?=[A-Z])", capsys.readouterr().out)
    cells = {
        line.split("|")[1].strip(): line.split("|")[2:-1] for line in (changes + clips).splitlines() if "|" in line
    }
    assert [cell.strip() for cell in cells["images with enough contrast"]] == ["2", "5"]
    assert [cell.strip() for cell in cells["flipped horizontally"]] == ["0.0 / 0.0 / 0.0 / 0.0 / 0.0"] * 2
    assert cells["JPEG, quality 75"][1].strip().endswith("100.0")
    assert cells["H.264, crf 35"][0].strip() == "5" and cells["H.264, crf 35"][1].strip().endswith(" / 5")
    assert cells["starts 1 s later"][0].strip() == "5"
    assert re.search(r"of 3 pairs of one group \| of 3 others \|\n.*\n\| 2 +\| 1 +\| 2 +\|\n", groups)
    assert re.search(r"of 3 pairs of one class \| of 3 others \|\n.*\n\| 2 +\| 0 +\| 1 +\|\n", classes)
