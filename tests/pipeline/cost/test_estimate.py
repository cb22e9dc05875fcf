"""The arithmetic of a plan: one config by hand, what must hold for all of them, and the recipe for Kinetics."""

import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.configs.test_recipes import plans_of
from tests.helpers.errors import refused
from vidsemi.config.load import load_config
from vidsemi.models.flops import measure_cost
from vidsemi.pipeline.cost.estimate import StageCost, estimate, total_of
from vidsemi.pipeline.cost.plan import network_costs, plan_text, summary
from vidsemi.pipeline.cost.rates import PEAKS, Machine, Rates, rates_of, read_rates, row_of
from vidsemi.pipeline.cost.work import LOG_BYTES, PREDICTION_BYTES, SCORE_BYTES, Work, work_of
from vidsemi.pipeline.plan import plan_run
from vidsemi.pipeline.resolve import resolve


@pytest.fixture
def work(tiny_config: Callable[..., Path]) -> Callable[..., list[Work]]:
    def of(*overrides: str) -> list[Work]:
        return work_of(plan_run(resolve(load_config(str(tiny_config()), overrides))), network_costs())

    return of


def by_name(costs: list[StageCost]) -> dict[str, StageCost]:
    return {own.name: own for own in costs}


def test_one_config_by_hand(work: Callable[..., list[Work]], shapes: Path):
    """8 classes: 24 labeled, 52 unlabeled and 16 test videos; the teacher is the student's network."""
    network = load_config_network()
    macs = measure_cost(network, frames=4, size=16).gmacs_per_view * 1e9
    weights = sum(own.numel() * own.element_size() for own in network.state_dict().values())
    rates = Rates(
        device="a100",
        training_tmacs=1e-3,
        inference_tmacs=2e-3,
        files_per_core_second=4,
        loader_seconds=1,
        reader_seconds=3,
    )
    found = by_name(estimate(work("runtime.workers=null"), rates, Machine(devices=2, cores=8)))
    assert list(found) == [
        "seed0/teacher/train",
        "seed0/teacher/evaluate",
        "seed0/teacher/score",
        "seed0/teacher/select",
        "seed0/small/semi_supervised/pretrain",
        "seed0/small/semi_supervised/finetune",
        "seed0/small/semi_supervised/evaluate",
    ]
    train, score = found["seed0/teacher/train"], found["seed0/teacher/score"]
    assert (train.examples, train.clips, train.macs) == (24, 24, pytest.approx(24 * 3 * macs))
    assert (train.core_seconds, train.device_seconds) == (24 / 4, pytest.approx(24 * 3 * macs / 1e9))
    assert train.seconds == pytest.approx(1 + max(24 / 4 / 8, 24 * 3 * macs / 1e9 / 2)) and train.limit == "start"
    assert (train.kept, train.written) == (weights + LOG_BYTES, weights + LOG_BYTES)  # no checkpoint in 300 s
    assert (score.examples, score.clips, score.macs) == (52, 104, pytest.approx(104 * macs))
    assert score.seconds == pytest.approx(3 + max(52 / 4 / 8, 104 * macs / 2e9 / 2))
    assert score.cores_per_device == pytest.approx((52 / 4) / (104 * macs / 2e9))
    assert score.kept == SCORE_BYTES * 52 * 2
    evaluate = found["seed0/teacher/evaluate"]
    assert (evaluate.clips, evaluate.kept) == (32, PREDICTION_BYTES * 16)
    total = total_of([*found.values()])
    assert total.macs == pytest.approx(macs * (3 * (24 + 24 + 16) + 32 + 104 + 32))
    assert total.seconds == sum(own.seconds for own in found.values())
    assert total.peak == total.kept == total.written == sum(own.kept for own in found.values())


def load_config_network():
    from tests.helpers.builders import spec_for

    return spec_for("r2plus1d_10", 8, frames=4, width=0.0625).build()


def test_training_that_validates_recalibrates_and_keeps_averages(work: Callable[..., list[Work]], shapes: Path):
    more = ["data.validation={share: 0.34}", "train.supervised.precise_batch_norm=2", "train.supervised.validations=2"]
    more += ["train.supervised.ema=0.9", "train.supervised.keep=best", "runtime.checkpoint_steps=1"]
    own = work(*more, "approaches=[supervised]")[0]
    plain = work("approaches=[supervised]")[0]
    held_out = own.readings[1].files // 2
    assert held_out == 8  # one of three videos of each class, at each of two validations
    assert own.readings[0].files == 24 + 2 * 8 and own.loaders == 2 and own.readers == 2
    assert own.clips == 24 + 2 * 8 + 2 * held_out
    assert own.macs == pytest.approx(plain.macs * (24 * 3 + 16 + 2 * held_out) / (24 * 3))
    assert own.checkpoint == 4 * (own.kept - LOG_BYTES)  # weights, momentum, average, best weights
    assert own.checkpoints == 3 + 1
    (cost,) = estimate([own], Rates(), Machine(1, 1))
    assert cost.written == own.kept + 4 * own.checkpoint and cost.peak == own.kept + 3 * own.checkpoint


def test_images_have_one_clip_and_shared_stages_count_once(colors: Path, tiny_config: Callable[..., Path]):
    data = f"data={{labeled: {colors}/train.csv, unlabeled: {colors}/train.csv, test: {colors}/test.csv}}"
    image = ["teacher={model: resnet18, frames: 1}", "students=[{name: a, model: resnet18, frames: 1}]"]
    config = load_config(
        str(tiny_config()), [data, *image, "evaluate.views=10", "approaches=[supervised,semi_supervised]"]
    )
    own = {one.name: one for one in work_of(plan_run(resolve(config)), network_costs())}
    assert own["seed0/teacher/evaluate"].clips == 9
    assert "seed0/a/supervised/train" not in own  # the teacher is trained alike


def test_the_cpu_computes_and_reads_with_the_same_cores(work: Callable[..., list[Work]]):
    own, rates = work()[2:3], Rates(inference_tmacs=1e-6, files_per_core_second=10, reader_seconds=0)
    (one,), (two,) = (estimate(own, rates, Machine(1, cores, cores)) for cores in (1, 2))
    assert one.seconds == pytest.approx(one.core_seconds + one.device_seconds) == pytest.approx(2 * two.seconds)
    (limited,) = estimate(own, rates, Machine(1, 8, threads=1))
    assert limited.seconds == pytest.approx(limited.device_seconds)


counts = st.integers(1, 10_000)
rate = st.floats(1e-3, 1e6)


@given(devices=counts, cores=counts, more=counts, training=rate, reading=rate, device=st.sampled_from(["cpu", "h100"]))
def test_more_of_anything_is_never_slower(
    stored_work: list[Work], devices: int, cores: int, more: int, training: float, reading: float, device: str
):
    def seconds(machine: Machine, speed: float = 1.0) -> list[float]:
        rates = Rates(
            device=device, training_tmacs=training * speed, inference_tmacs=speed, files_per_core_second=reading * speed
        )
        return [own.seconds for own in estimate(stored_work, rates, machine)]

    base = seconds(Machine(devices, cores))
    for faster in (
        seconds(Machine(devices + more, cores)),
        seconds(Machine(devices, cores + more)),
        seconds(Machine(devices, cores), speed=1.0 + more),
    ):
        assert all(own <= before * (1 + 1e-9) for own, before in zip(faster, base, strict=True))
    assert all(math.isfinite(own) and own >= 0 for own in base)


@pytest.fixture(scope="module")
def stored_work(shapes: Path) -> list[Work]:
    """The recipe for Kinetics with the lengths of its training, and data of a few videos."""
    (plan,) = plans_of(["kinetics_student.yaml"], shapes)
    return work_of(plan, network_costs())


def test_decoding_limits_eight_gpus_with_16_cores(stored_work: list[Work]):
    """35M clips on labels alone, at 27 videos a second and core, take 16 cores 22.5 hours; 8 GPUs less."""
    rates = Rates(device="h100")
    found = by_name(estimate(stored_work, rates, Machine(devices=8, cores=16)))
    student = found["seed0/r2plus1d_18_8f/supervised/train"]
    assert student.limit == "decoding"
    assert student.seconds == pytest.approx(student.examples / 27 / 16, rel=0.01)
    assert student.cores_per_device > 16 / 8
    total = total_of([*found.values()])
    assert total.limit == "decoding"
    assert [text for text in summary(total, rates, Machine(8, 16), "") if "cores for each" in text]
    enough = Machine(8, 8 * math.ceil(student.cores_per_device))
    assert by_name(estimate(stored_work, rates, enough))[student.name].limit == "device"
    assert "limited by decoding" in plan_text(stored_work, rates, Machine(8, 16), "the table")


def test_one_row_for_all_seeds(work: Callable[..., list[Work]]):
    lines = plan_text(work("seeds=[0,1,2]"), Rates(), Machine(1, 2), "the table").splitlines()
    (row,) = [line for line in lines if line.startswith("| seed*/teacher/train")]
    assert [cell.strip() for cell in row.split("|")][3:5] == ["3", "72"]


def test_rates_come_from_yaml_or_from_an_answer(tmp_path: Path):
    (tmp_path / "r.yaml").write_text("device: a100\ntraining_tmacs: 40\nreads: {x: 3.5}\n")
    rates = read_rates(tmp_path / "r.yaml")
    assert (rates.device, rates.training_tmacs, rates.reads) == ("a100", 40, {"x": 3.5})
    (tmp_path / "r.json").write_text(json.dumps({"stages": [], "rates": rates.model_dump()}))
    assert read_rates(tmp_path / "r.json") == rates


@pytest.mark.parametrize(
    ("text", "code", "mentioned"),
    [
        ("", "rates.unreadable", "r.yaml"),
        ("[1]", "rates.unreadable", "r.yaml"),
        ("{", "rates.unreadable", "r.yaml"),
        ("a: !!python/object/apply:os.system [ls]", "rates.unreadable", "r.yaml"),
        ("trainings_tmacs: 1", "rates.invalid", "trainings_tmacs"),
        ("training_tmacs: 0", "rates.invalid", "training_tmacs"),
        ("training_tmacs: .nan", "rates.invalid", "training_tmacs"),
        ("networks: {a: {clips_per_second: -1}}", "rates.invalid", "networks.a.clips_per_second"),
        ("device: h10", "rates.unknown_device", "h100"),
    ],
)
def test_wrong_rates(tmp_path: Path, text: str, code: str, mentioned: str):
    (tmp_path / "r.yaml").write_text(text)
    with refused(code, mentioned):
        read_rates(tmp_path / "r.yaml")


def test_gpus_are_found_by_the_names_of_their_drivers():
    names = {
        "NVIDIA A100-SXM4-80GB": "a100",
        "NVIDIA A10": "a10",
        "Tesla V100-SXM2-16GB": "v100",
        "NVIDIA L40S": "l40s",
    }
    assert {name: row_of(name) for name in names} == names
    assert row_of("Another GPU") == "t4" and all(half >= single for half, single in PEAKS.values())
    assert rates_of({"device": "l4"}, "x").device == "l4"
