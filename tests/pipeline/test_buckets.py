"""A whole run that was copied to a bucket: its report is that of the disk."""

import shutil
from pathlib import Path

import pytest

import vidsemi
from tests.helpers.s3_server import S3Server
from tests.reporting.test_buckets import upload

pytestmark = [pytest.mark.cluster, pytest.mark.slow]


def test_previews_scores_and_speed_of_a_run(server: S3Server, finished_run: Path, tmp_path: Path):
    """The scores are read where they are, and weights are copied to the cache, to measure speed."""
    run = Path(shutil.copytree(finished_run, tmp_path / "run"))
    vidsemi.report(run, tmp_path / "disk", speed=False, previews=1)
    upload(server, run, "copied/run")  # with its previews
    vidsemi.report("s3://bucket/copied/run/", tmp_path / "bucket", speed=False, previews=1)
    pages = [(tmp_path / name / "report.html").read_text() for name in ("disk", "bucket")]
    assert pages[0] == pages[1] and "first that was not selected" in pages[0]
    measured = vidsemi.report("s3://bucket/copied/run", tmp_path / "speed", previews=0, device="cpu")
    assert measured.document["speed"] is not None and all(
        line["clips_per_second"] for line in measured.document["lines"]
    )
