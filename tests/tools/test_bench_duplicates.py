"""The benchmark of duplicates: its contenders find all that was planted, and the same besides."""

import json
from pathlib import Path

import numpy as np
import pytest

from tools.bench.command import main as bench
from tools.bench.duplicate_data import MAX_FLIPS, DuplicateData
from tools.bench.duplicates_contenders import CONTENDERS

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("videos", [False, True])
def test_all_contenders_find_what_was_planted(tmp_path: Path, videos: bool):
    pytest.importorskip("duckdb")
    data = DuplicateData(5000, 60, videos)
    data.write(tmp_path / "hashes")
    dataset, tests = data.stored(tmp_path / "hashes"), data.test_set()
    planted = [column.tolist() for column in data.planted()]
    assert max(planted[2]) <= MAX_FLIPS and len(planted[0]) == 5
    found = {name: make(dataset, tests)() for name, make in CONTENDERS.items()}
    assert found.pop("bare read") is None
    for name, columns in found.items():
        assert columns is not None
        assert [np.asarray(column).tolist() for column in columns] == planted, name


def test_the_table_has_recall_and_memory(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    options = ["--rows", "3000", "--tests", "50", "--rounds", "1", "--data", str(tmp_path)]
    assert bench(["duplicates", *options, "--only", "vidsemi", "bare read", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    ours, limit = document["contenders"]
    assert (ours["recall"], ours["found"], limit["recall"]) == (1.0, 3, None)
    assert ours["peak_mib"] > 0
