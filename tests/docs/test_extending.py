"""The package of docs/extending.md, outside ours, in processes of its own."""

import json
import os
import re
import shlex
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import REPOSITORY
from tests.helpers import warm
from tests.helpers.errors import refused
from tests.helpers.plugins import write_package
from vidsemi.models.weights_file import load, load_weights
from vidsemi.selection.result import Selection

PAGE = (REPOSITORY / "docs/extending.md").read_text(encoding="utf-8")
COMMANDS = [shlex.split(line) for line in re.findall(r"^\$ vidsemi (.*)$", PAGE, re.MULTILINE)]


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)```", PAGE, re.DOTALL | re.MULTILINE)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with the page's package installed in `site`, and its config."""
    modules = {block.split("\n")[0].removeprefix("# "): block for block in blocks("python")}
    assert sorted(modules) == [f"acme_video/{name}.py" for name in ("formats", "models", "plugin", "policies")]
    (pyproject,), (config,) = blocks("toml"), blocks("yaml")
    write_package(tmp_path / "site", pyproject, modules)
    (tmp_path / "acme.yaml").write_text(config)
    return tmp_path


def run(project: Path, *words: str, processes: int = 1) -> dict:
    path = os.pathsep.join(map(str, (REPOSITORY, project / "site")))
    command = ["-m", "vidsemi", *words, "--json"]
    results = warm.launch(processes, *command, cwd=project, PYTHONPATH=path, OMP_NUM_THREADS="1")
    for done in results:
        assert done.returncode == 0, done.stderr
        assert "cannot be loaded" not in done.stderr
    return json.loads(results[0].stdout)


@pytest.mark.slow
def test_the_format_of_the_page(project: Path):
    (project / "videos").mkdir()
    (project / "videos" / "a.mp4").touch()
    (project / "train.txt").write_text("a.mp4 catching fish\ngone.mp4 zumba\n")
    (words,) = [words for words in COMMANDS if words[0] == "manifest"]
    document = run(project, *words)
    assert (document["examples"], document["missing"]) == (1, 1)
    assert (project / "train.csv").read_text().replace('"', "") == "path,label\nvideos/a.mp4,catching fish\n"


@pytest.mark.slow
def test_the_network_and_the_policy_of_the_page(project: Path, shapes: Path):
    """They train, score and select in two processes, and the weights tell what they need."""
    list_models, _, train, select = COMMANDS
    (listed,) = run(project, *list_models)["models"]
    assert listed == {"name": "acme/tiny3d", "frames": 4, "stride": None, "resize": [20, 20], "crop": 16, "weights": []}

    (project / "data").symlink_to(shapes)
    overrides = ["runtime.device=cpu", "runtime.workers=1", "score.precision=float32"]
    (row,) = [row for row in run(project, *train, *overrides, processes=2)["results"] if row["student"] == "tiny"]
    assert row["parameters"] == 3 * 16 * 27 + 32 + 16 * 32 * 27 + 64 + 32 * 8 + 8

    (scores,) = {file.parent for file in project.glob("runs/acme/**/part-*.parquet") if file.parent.name != "failures"}
    (project / "runs/acme/scores").symlink_to(scores)
    run(project, *select)
    selection = Selection.read(project / "selection.parquet")
    taken, candidates = np.bincount(selection.label, minlength=8), np.array(selection.info.candidates_per_class)
    assert candidates.sum() == 52 and (taken == np.minimum(3, (candidates + 1) // 2)).all()

    weights = project / "runs/acme" / row["weights"]
    assert load(weights)["plugin"] == "acme-video 1.0"
    with refused("weights.missing_plugin", weights, "'acme/tiny3d'", "acme-video 1.0"):  # not in this process
        load_weights(weights)
