"""Measured rates cover a plan; the plan that is kept is held against the run in its report."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

import vidsemi
from tests.helpers.builders import spec_for
from tests.helpers.errors import assert_refused, refused
from vidsemi.cli import main as cli
from vidsemi.config.load import load_config
from vidsemi.models.flops import measure_cost, quick_macs
from vidsemi.pipeline import run as pipeline
from vidsemi.pipeline.cost import measure as measuring
from vidsemi.pipeline.cost.measure import machine_here, measure
from vidsemi.pipeline.cost.plan import network_costs
from vidsemi.pipeline.cost.rates import Rates
from vidsemi.pipeline.cost.work import work_of
from vidsemi.pipeline.plan import plan_run
from vidsemi.pipeline.resolve import resolve
from vidsemi.reporting.plan_and_reality import plan_sections
from vidsemi.reporting.results import load_runs


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Measure for a moment."""
    monkeypatch.setattr(measuring, "LONGEST", 0.02)


@pytest.mark.parametrize(
    ("name", "frames", "args"),
    [
        ("r2plus1d_10", 4, {"width": 0.125}),
        ("resnet18", 1, {"stem": "cifar", "width": 0.25}),
        ("torchvision/mobilenet_v3_small", None, {}),
        ("pytorchvideo/x3d_xs", None, {}),
    ],
)
def test_the_quick_count_is_that_of_fvcore(name: str, frames: int | None, args: dict):
    spec = spec_for(name, 7, frames=frames, **args)
    view = {"frames": spec.input.frames, "size": spec.input.crop}
    expected = measure_cost(spec.build(), **view).gmacs_per_view * 1e9
    assert quick_macs(spec.meta_model, **view) == pytest.approx(expected, rel=1e-6)


@pytest.mark.slow
def test_measured_rates_cover_the_plan(tiny_config: Callable[..., Path]):
    more = ["data.validation={share: 0.34}", "train.pretrain.clips_per_video=2", "score.precision=auto"]
    config = load_config(str(tiny_config()), [*more, "input.random_resized_crop_scale=[0.5,1]", "evaluate.crops=10"])
    work = work_of(plan_run(resolve(config)), network_costs())
    rates = measure(work, config.runtime)
    assert rates.reads.keys() == {own.key for one in work for own in one.readings}
    assert rates.networks.keys() == {own.key for one in work for own in one.computing}
    assert len(rates.reads) >= 5 and min(rates.reads.values()) > 0
    assert rates.is_cpu and rates.loader_seconds is not None and rates.reader_seconds is not None
    assert Rates.model_validate(json.loads(json.dumps(rates.model_dump()))) == rates
    assert machine_here(config.runtime).devices == 1


def test_files_that_cannot_be_read_are_no_rate(tiny_config: Callable[..., Path], tmp_path: Path, write_csv: Callable):
    (tmp_path / "a.mp4").write_bytes(b"not a video")
    file = write_csv("broken.csv", ["path", "label"], [["a.mp4", str(label)] for label in range(2)])
    config = load_config(str(tiny_config()), [f"data.labeled={file}", f"data.test={file}", "approaches=[supervised]"])
    with refused("rates.nothing_readable", "broken.csv"):
        pipeline.plan_cost_of(config, measured=True)


@pytest.mark.slow
def test_the_report_holds_the_plan_against_the_run(
    tiny_config: Callable[..., Path], tmp_path: Path, capfd: pytest.CaptureFixture[str]
):
    config = str(tiny_config())
    assert cli.main(["plan", "--cfg", config, "approaches=[supervised]", "--save", "--json"]) == 0
    planned = json.loads(capfd.readouterr().out)
    document = vidsemi.run(config, {"approaches": ["supervised"]}).report.document
    assert planned == json.loads((tmp_path / "run" / "plan.json").read_text())
    names = [own["name"] for own in planned["stages"]]
    assert names == ["seed0/small/supervised/train", "seed0/small/supervised/evaluate"]
    for row, own in zip(document["plan"], planned["stages"], strict=True):
        record = json.loads((tmp_path / "run" / own["name"] / "stage.json").read_text())
        assert row["stage"] == own["name"].replace("seed0", "seed*")
        assert (row["planned_seconds"], row["seconds"]) == (own["seconds"], record["seconds"])
        assert row["ratio"] == pytest.approx(record["seconds"] / own["seconds"])
    assert "2 of 2 planned stages" in (tmp_path / "run" / "results.md").read_text()
    for content in ("{", "[]", '{"stages": [{"name": 1}], "source": ""}', '{"stages": []}'):
        (tmp_path / "run" / "plan.json").write_text(content)
        assert plan_sections(load_runs([tmp_path / "run"])) == []
    capfd.readouterr()


def test_check_prints_what_is_left_to_do(tiny_config: Callable[..., Path]):
    document, text = pipeline.check(load_config(str(tiny_config()), []))
    (line,) = [line for line in text.splitlines() if line.startswith("to do: about ")]
    assert "cores" in line
    assert document["cost"]["seconds"] > 0 and document["cost"]["macs"] > 0


@pytest.mark.parametrize(
    ("words", "code", "mentioned"),
    [
        (["--measure", "--device-type", "a100"], "options.invalid", "device_type"),
        (["--device-type", "a1000"], "rates.unknown_device", "a100"),
        (["--rates", "none.yaml"], "none.yaml", "none.yaml"),
        (["--devices", "0"], "options.invalid", "--devices"),
        (["train.supervised.example=1"], "config.unknown_key", "examples"),
    ],
)
def test_wrong_options(
    tiny_config: Callable[..., Path], capfd: pytest.CaptureFixture[str], words: list[str], code: str, mentioned: str
):
    assert cli.main(["plan", "--cfg", str(tiny_config()), *words]) == 2
    err = capfd.readouterr().err
    if code == mentioned:  # an error of the file system has no code
        assert err.count("\n") == 1 and mentioned in err
    else:
        assert_refused(err, code, mentioned)


def test_the_function_is_the_command(tiny_config: Callable[..., Path], capfd: pytest.CaptureFixture[str]):
    cost = vidsemi.plan(str(tiny_config()), device_type="h100", devices=2, cores=3)
    words = ["--device-type", "h100", "--devices", "2", "--cores", "3", "--json"]
    assert cli.main(["plan", "--cfg", str(tiny_config()), *words]) == 0
    assert json.loads(capfd.readouterr().out) == cost.document
    assert cost.total["seconds"] == sum(own["seconds"] for own in cost.stages)
    assert "2 × h100 and 3 cores" in cost.text and cost.rates["device"] == "h100"
