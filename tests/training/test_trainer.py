"""The training loop: exact resume, schedules, targets, NaN losses, and files that do not decode."""

import json
import multiprocessing
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from vidsemi.config import Recipe, Runtime
from vidsemi.data.batch import collate
from vidsemi.data.input_spec import InputSpec
from vidsemi.data.manifest import Manifest, load_manifest
from vidsemi.data.samplers import EpochSampler
from vidsemi.data.targets import Targets
from vidsemi.data.train_clips import TrainClips
from vidsemi.io.errors import UserError
from vidsemi.models import weights_file
from vidsemi.models.registry import create_model
from vidsemi.models.weights_file import NetworkSpec
from vidsemi.training.checkpoint import Checkpoints
from vidsemi.training.log import read_log
from vidsemi.training.schedule import learning_rate
from vidsemi.training.train_step import TrainStep
from vidsemi.training.trainer import Trainer

SPEC = InputSpec(frames=4, stride=1, resize=(20, 20), crop=16, mean=(0.4, 0.4, 0.4), std=(0.2, 0.2, 0.2))
RECIPE = Recipe(examples=60, batch_size=8, learning_rate=0.05, warmup_examples=16)
CPU = Runtime(device="cpu", workers=0)


@pytest.fixture
def clips(shapes: Path) -> TrainClips:
    manifest = load_manifest(shapes / "labeled.csv")
    labels = manifest.label_indices(manifest.class_names(), "D")
    return TrainClips(manifest, np.arange(len(manifest)), Targets.single(labels, 8), SPEC, hflip_prob=0.5, seed=3)


def fresh() -> nn.Module:
    torch.manual_seed(0)
    return create_model("r2plus1d_10", num_classes=8, frames=4, args={"width": 0.0625})


def run(
    folder: Path, clips: TrainClips, runtime: Runtime = CPU, recipe: Recipe = RECIPE, network: nn.Module | None = None
) -> tuple[nn.Module, dict]:
    folder.mkdir(exist_ok=True)
    network = network or fresh()
    return network, Trainer(network, clips, recipe, folder=folder, runtime=runtime, title="test").run()


def equal(a: nn.Module, b: nn.Module) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True))


def test_no_loss_is_shown_before_one_is_known(tmp_path: Path, clips: TrainClips, monkeypatch: pytest.MonkeyPatch):
    """Results are fetched one step late."""
    from tqdm import tqdm

    shown: list[str] = []
    monkeypatch.setattr(tqdm, "set_postfix_str", lambda bar, text, refresh: shown.append(text))
    run(tmp_path, clips, recipe=Recipe(examples=24, batch_size=8, learning_rate=0.05))
    assert len(shown) == 3 and shown[0].startswith("lr ")
    assert all(text.startswith("loss ") for text in shown[1:]) and "nan" not in " ".join(shown)


@pytest.mark.parametrize("stop_at", [1, 4, 7])
@pytest.mark.slow
def test_a_resumed_run_equals_an_uninterrupted_one(
    tmp_path: Path, clips: TrainClips, die_in_steps: Callable[..., list[int]], stop_at: int
):
    straight, metrics = run(tmp_path / "a", clips)
    every_step = CPU.model_copy(update={"checkpoint_steps": 1})
    die_in_steps(stop_at)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "b", clips, every_step)
    assert len(Checkpoints(tmp_path / "b").files()) == min(stop_at - 1, 2)
    resumed, more = run(tmp_path / "b", clips, every_step.model_copy(update={"workers": 2}))
    assert equal(straight, resumed)
    assert more["examples"] == metrics["examples"] == 60
    assert more["loss"] == metrics["loss"]


@pytest.mark.slow
def test_dropout_resumes_exactly(tmp_path: Path, clips: TrainClips, die_in_steps: Callable[..., list[int]]):
    straight, _ = run(tmp_path / "a", clips, network=nn.Sequential(fresh(), nn.Dropout(0.5)))
    die_in_steps(5)
    with pytest.raises(KeyboardInterrupt):
        run(
            tmp_path / "b",
            clips,
            CPU.model_copy(update={"checkpoint_seconds": 1e-9}),
            network=nn.Sequential(fresh(), nn.Dropout(0.5)),
        )
    torch.rand(100)  # another process would have drawn other numbers
    resumed, _ = run(tmp_path / "b", clips, network=nn.Sequential(fresh(), nn.Dropout(0.5)))
    assert equal(straight, resumed)
    other, _ = run(tmp_path / "c", clips, network=nn.Sequential(fresh(), nn.Dropout(0.4)))
    assert not equal(straight, other)  # it has an effect


EXTRAS: dict[str, dict] = {
    "of training": {},
    "of fine-tuning": {
        "optimizer": "adamw",
        "layer_decay": 0.7,
        "freeze_until": "layer2",
        "gradient_checkpointing": True,
        "learning_rate": 0.005,
    },
}


@pytest.mark.parametrize("kind", EXTRAS)
@pytest.mark.parametrize("stop_at", [2, 5])
@pytest.mark.slow
def test_every_option_resumes_exactly(
    tmp_path: Path, clips: TrainClips, die_in_steps: Callable[..., list[int]], stop_at: int, kind: str
):
    """The last step is smaller; resuming from the fourth checkpoint has only that one."""
    extras = {"ema": 0.9, "mixup": 0.3, "precision": "bfloat16", "precise_batch_norm": 2, "max_grad_norm": 1.0}
    extras = {"learning_rate": 0.05, **extras, **EXTRAS[kind]}
    recipe = Recipe(examples=36, batch_size=8, micro_batches=2, label_smoothing=0.1, **extras)
    runtime = CPU.model_copy(update={"checkpoint_steps": 1})
    straight, _ = run(tmp_path / "a", clips, recipe=recipe)
    die_in_steps(stop_at)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "b", clips, runtime, recipe)
    assert equal(straight, run(tmp_path / "b", clips, runtime, recipe)[0])
    plain = recipe.model_copy(update={"precise_batch_norm": 0})
    assert not equal(straight, run(tmp_path / "c", clips, recipe=plain)[0])  # it has an effect


@pytest.mark.slow
def test_a_frozen_batch_norm_resumes_exactly(tmp_path: Path, clips: TrainClips, die_in_steps: Callable[..., list[int]]):
    recipe = RECIPE.model_copy(update={"frozen_batch_norm": True, "micro_batches": 2})
    straight, _ = run(tmp_path / "a", clips, recipe=recipe)
    die_in_steps(4)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "b", clips, CPU.model_copy(update={"checkpoint_steps": 1}), recipe)
    assert equal(straight, run(tmp_path / "b", clips, recipe=recipe)[0])
    assert torch.equal(straight.stem[1].running_mean, fresh().stem[1].running_mean)


def test_a_checkpoint_of_another_network_is_refused(tmp_path: Path, clips: TrainClips):
    """And so is one without the optimizer's state."""
    (tmp_path / "a").mkdir()
    wider = create_model("r2plus1d_10", num_classes=8, frames=4, args={"width": 0.125})
    state = torch.optim.SGD(wider.parameters(), lr=0.1).state_dict()
    for network, optimizer in ((wider, state), (fresh(), None), (fresh(), {})):
        content = {"network": network.state_dict(), "optimizer": optimizer, "in_float32": None}
        Checkpoints(tmp_path / "a").save(8, {**content, "micro_batches": 1, "unreadable": [], "losses": [0.5]})
        with pytest.raises(UserError, match=r"checkpoint-000000000008.pt") as error:
            run(tmp_path / "a", clips)
        assert error.value.code == "checkpoint.mismatch"


@pytest.mark.slow
def test_the_number_of_workers_changes_nothing(tmp_path: Path, clips: TrainClips):
    networks = [run(tmp_path / str(n), clips, Runtime(device="cpu", workers=n))[0] for n in (0, 1, 3)]
    assert equal(networks[0], networks[1])
    assert equal(networks[0], networks[2])
    assert not equal(networks[0], fresh())


@pytest.mark.slow
def test_the_log_is_json_lines(tmp_path: Path, clips: TrainClips):
    run(tmp_path / "a", clips)
    events = [json.loads(line) for line in (tmp_path / "a" / "train.jsonl").read_text().splitlines()]
    assert [event["event"] for event in events] == ["begin"] + ["step"] * 8 + ["end"]
    assert [event["examples"] for event in events[1:-1]] == [8, 16, 24, 32, 40, 48, 56, 60]
    assert {"loss", "accuracy", "learning_rate", "gradient_norm", "waited", "clips_per_second"} <= events[-2].keys()


@pytest.mark.slow
def test_it_learns(tmp_path: Path, clips: TrainClips):
    torch.manual_seed(0)
    few = TrainClips(clips.manifest, clips.examples[:4], clips.targets, SPEC, hflip_prob=0.0, seed=0)
    _, metrics = run(tmp_path / "a", few, recipe=RECIPE.model_copy(update={"examples": 1600}))
    assert metrics["loss"] < 0.5  # chance is log 8 = 2.08


def test_a_loss_that_is_not_finite_stops_before_it_is_saved(tmp_path: Path, clips: TrainClips):
    wild = RECIPE.model_copy(update={"learning_rate": 1e20, "warmup_examples": 16})
    with pytest.raises(UserError, match=r"NaN.*loss .* step \d, after \d+ examples.*example ids \d") as error:
        run(tmp_path / "a", clips, CPU.model_copy(update={"checkpoint_seconds": 1e-9}), wild)
    assert error.value.code == "training.not_finite"
    assert Checkpoints(tmp_path / "a").files()
    assert read_log(tmp_path / "a" / "train.jsonl")[-1]["event"] == "not_finite"
    assert len(read_log(tmp_path / "a" / "train.jsonl")[-1]["example_ids"]) == 8
    for file in Checkpoints(tmp_path / "a").files():
        state = weights_file.load(file)
        assert all(tensor.isfinite().all() for tensor in state["network"].values())
        assert state["examples"] < 60


def test_schedules_by_hand():
    steps = Recipe(
        examples=1400,
        batch_size=1,
        learning_rate=0.6,
        warmup_examples=100,
        warmup_start_lr=0.1,
        lr_steps=13,
        lr_gamma=0.5,
    )
    assert learning_rate(steps, 0) == pytest.approx(0.1)
    assert learning_rate(steps, 50) == pytest.approx(0.35)
    for stage in range(1, 14):
        assert learning_rate(steps, 100 * stage - 1) == pytest.approx(0.6 * 0.5 ** (stage - 1) if stage > 1 else 0.595)
        assert learning_rate(steps, 100 * stage) == pytest.approx(0.6 * 0.5**stage)
    assert learning_rate(steps, 1399) == pytest.approx(0.6 / 2**13)
    cosine = Recipe(examples=100, batch_size=1, learning_rate=1.0, schedule="cosine")
    assert [learning_rate(cosine, n) for n in (0, 50, 100)] == pytest.approx([1.0, 0.5, 0.0])


def test_order_is_a_permutation_of_each_pass_from_any_position():
    whole = list(EpochSampler(np.ones(7, int), seed=5, start=0, stop=30))
    for pass_number in range(4):
        assert sorted(whole[7 * pass_number : 7 * pass_number + 7]) == [(pass_number, index, 0) for index in range(7)]
    assert len({tuple(index for _, index, _ in whole[7 * p : 7 * p + 7]) for p in range(4)}) > 1
    for start in range(30):
        assert list(EpochSampler(np.ones(7, int), seed=5, start=start, stop=30)) == whole[start:]
    assert list(EpochSampler(np.ones(7, int), seed=6, start=0, stop=30)) != whole


def test_targets_share_one_between_the_classes_that_took_an_example():
    targets = Targets(np.array([0, 1, 4]), np.array([2, 0, 1, 3]), 4)
    assert targets.dense(0).tolist() == [0, 0, 1, 0]
    assert targets.dense(1) == pytest.approx([1 / 3, 1 / 3, 0, 1 / 3])


def test_the_loss_is_the_cross_entropy_of_soft_targets(tmp_path: Path, clips: TrainClips):
    """Against the sum written out, on a network that gives fixed logits."""

    class Fixed(nn.Module):
        def __init__(self):
            super().__init__()
            self.logits = nn.Parameter(torch.linspace(-1, 1, 8))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.logits.expand(len(x), 8)

    network = Fixed()
    pairs = Targets(np.arange(0, 2 * len(clips) + 1, 2), np.tile([1, 6], len(clips)), 8)
    soft = TrainClips(clips.manifest, clips.examples, pairs, SPEC, hflip_prob=0.0, seed=0)
    batch = collate([soft[(0, 0, 0)], soft[(0, 1, 0)]])
    train_step = TrainStep(network, RECIPE, SPEC, 1, torch.device("cpu"), CPU)
    value = train_step.run([batch], [0], 2, 0.0)[0].item()
    probabilities = np.exp(np.linspace(-1, 1, 8)) / np.exp(np.linspace(-1, 1, 8)).sum()
    assert value == pytest.approx(-0.5 * np.log(probabilities[1]) - 0.5 * np.log(probabilities[6]), rel=1e-6)


def some_broken(tmp_path: Path, shapes: Path, good: list[bool]) -> Manifest:
    """A manifest of readable and unreadable files."""
    lines = ["path,label"]
    for number, ok in enumerate(good):
        broken = tmp_path / f"broken{number}.mp4"
        broken.write_bytes(b"nothing")
        lines.append(f"{shapes / 'labeled' / f'{number:05d}.mp4' if ok else broken},x")
    (tmp_path / "mixed.csv").write_text("\n".join(lines))
    return load_manifest(tmp_path / "mixed.csv")


@pytest.mark.slow
def test_a_file_that_does_not_decode_is_replaced_by_the_next_and_counted(tmp_path: Path, shapes: Path):
    manifest = some_broken(tmp_path, shapes, [True, False, False, True])
    targets = Targets.single(np.array([0, 1, 2, 3]), 8)
    clips = TrainClips(manifest, np.arange(4), targets, SPEC, hflip_prob=0.0, seed=0)
    item = clips[(0, 1, 0)]
    assert item.example_id == 3
    assert item.unreadable == [1, 2]
    assert item.target.argmax() == 3  # the label goes with the file
    assert torch.equal(item.frames, clips[(0, 3, 0)].frames)
    _, metrics = run(tmp_path / "a", clips, Runtime(device="cpu", workers=2))
    assert metrics["unreadable"] == [1, 2]
    assert metrics["examples"] == 60


@pytest.mark.slow
def test_a_corpus_of_broken_files_stops_the_training_in_a_line(tmp_path: Path, shapes: Path):
    manifest = some_broken(tmp_path, shapes, [False] * 5)
    clips = TrainClips(manifest, np.arange(5), Targets.single(np.zeros(5, int), 8), SPEC, hflip_prob=0.0, seed=0)
    for workers in (0, 2):
        with pytest.raises(UserError, match=r"cannot be read; the last is .*broken"):
            run(tmp_path / "a", clips, Runtime(device="cpu", workers=workers))


def test_augmentation_depends_on_seed_pass_and_example_only(clips: TrainClips):
    once, again, later = clips[(2, 5, 0)], clips[(2, 5, 0)], [clips[(number, 5, 0)] for number in range(3, 9)]
    assert torch.equal(once.frames, again.frames)
    assert once.windows == again.windows
    assert not all(torch.equal(once.frames, item.frames) for item in later)
    assert not all(once.windows == item.windows for item in later)
    reordered = TrainClips(clips.manifest, clips.examples[::-1], clips.targets, SPEC, hflip_prob=0.5, seed=3)
    last = len(clips) - 1
    assert torch.equal(reordered[(2, last - 5, 0)].frames, once.frames)
    assert reordered[(2, last - 5, 0)].windows == once.windows


def first_item(dataset: TrainClips, queue: multiprocessing.Queue) -> None:
    queue.put(dataset[(0, 0, 0)].frames.numpy())


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
@pytest.mark.slow
def test_datasets_travel_to_other_processes(clips: TrainClips, method: str):
    assert torch.equal(pickle.loads(pickle.dumps(clips))[(0, 0, 0)].frames, clips[(0, 0, 0)].frames)
    context = multiprocessing.get_context(method)
    queue = context.Queue()
    process = context.Process(target=first_item, args=(clips, queue))
    process.start()
    assert np.array_equal(queue.get(timeout=60), clips[(0, 0, 0)].frames.numpy())
    process.join()


@pytest.mark.slow
def test_weights_come_back_with_all_that_is_needed(tmp_path: Path):
    spec = NetworkSpec("r2plus1d_10", {"width": 0.0625}, [f"c{i}" for i in range(8)], SPEC)
    network = fresh().eval()
    weights_file.save_weights(tmp_path / "w.pt", network, spec, {"seed": 1})
    again, spec_again = weights_file.load_weights(tmp_path / "w.pt")
    assert spec_again == spec
    x = torch.randn(2, 3, 4, 16, 16)
    assert torch.equal(again.eval()(x), network(x))
    assert torch.load(tmp_path / "w.pt", weights_only=True)["provenance"] == {"seed": 1}


def test_weights_that_would_execute_something_are_refused(tmp_path: Path):
    class Evil:
        def __reduce__(self) -> tuple[Callable, tuple]:
            return (Path.touch, (tmp_path / "executed",))

    torch.save({"format": 1, "spec": Evil()}, tmp_path / "evil.pt")
    (tmp_path / "text.pt").write_text("no weights")
    torch.save({"state": 1}, tmp_path / "foreign.pt")
    for name in ("evil.pt", "text.pt", "foreign.pt", "missing.pt"):
        with pytest.raises(UserError, match=name):
            weights_file.load_weights(tmp_path / name)
    assert not (tmp_path / "executed").exists()
