"""The GPU check: what it concludes from measurements, and that it survives sections that fail or take too long."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY
from tools.gpu.report import report, verdicts


def test_verdicts_name_what_is_wrong_and_what_is_faster_than_the_default():
    convolution = {"kernel": "1×3×3", "channels": "64→144"}
    errors = {
        "bfloat16 contiguous, error": 0.7,
        "bfloat16 channels last, error": 0.003,
        "tf32 contiguous, error": float("nan"),
    }
    speeds = {"default": 100.0, "contiguous": 90.0, "compiled": 130.0}
    rows = [
        {"loop": "vidsemi", "variant": name, "precision": "bfloat16", "clips_per_second": own}
        for name, own in speeds.items()
    ]
    found = verdicts(
        {
            "convolutions": {"rows": [convolution | errors]},
            "train": {
                "rows": [*rows, {"loop": "vidsemi", "variant": "broken", "precision": "bfloat16", "failed": "x"}]
            },
            "resume": {
                "rows": [{"precision": "float32", "deterministic": own, "resumed": 0.5} for own in (True, False)]
            },
            "memory": {"scoring 8 clips": "NOT ONE LINE: RuntimeError()"},
            "score": {"failed": "killed after 80 s", "rows": []},
        }
    )
    assert len(found) == 6
    assert "killed after 80 s" in found[0]
    assert all("1×3×3" in line for line in found[1:3]) and "0.7" in found[1] and "tf32" in found[2]
    assert "0.5" in found[3] and "scoring 8 clips" in found[4]
    assert "compiled is 1.30 times the default" in found[5]


def test_the_report_has_a_table_for_rows_and_a_line_for_each_value():
    text = report({"decode": {"clips": 2.0, "rows": [{"processes": 1, "videos/s": 12.345}, {"processes": 2}]}})
    assert "- clips: 2\n" in text and "| 1         | 12.35    |" in text


@pytest.mark.slow
def test_the_check_runs_sections_apart_and_reports_what_failed(tmp_path: Path):
    """Without a GPU: one section works, one has too little time."""
    words = [
        "--small",
        "--device",
        "cpu",
        "--output",
        str(tmp_path),
        "--only",
        "machine",
        "convolutions",
        "--patience",
        "9",
    ]
    program = (
        "import sys\nfrom tools.gpu import check\ncheck.SECTIONS['convolutions'] = (0, 0.01)\nsys.exit(check.main())"
    )
    done = subprocess.run([sys.executable, "-c", program, *words], capture_output=True, text=True, cwd=REPOSITORY)
    assert done.returncode == 1, done.stderr
    lines = [json.loads(line) for line in (tmp_path / "results.jsonl").read_text().splitlines()]
    assert [line["section"] for line in lines] == ["machine", "convolutions"]
    assert lines[0]["torch"] and "failed" not in lines[0] and "killed" in lines[1]["failed"]
    assert "convolutions: FAILED" in (tmp_path / "report.md").read_text()
