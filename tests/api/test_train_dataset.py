"""The public training dataset: the trainer's pixels, in any DataLoader."""

import copy
import pickle
import warnings
from collections.abc import Callable
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, DistributedSampler

import vidsemi
from tests.helpers.builders import write_shard
from tests.helpers.errors import refused
from vidsemi import InputSpec, Manifest, Selection, TrainDataset, UserError
from vidsemi.api import train_dataset
from vidsemi.config import Runtime
from vidsemi.data.loader import Loader
from vidsemi.data.manifest_file import write_manifest
from vidsemi.data.samplers import EpochSampler, MicroBatchSampler
from vidsemi.data.train_clips import TrainClips
from vidsemi.selection.score_format import ScoresInfo
from vidsemi.selection.score_reader import open_shards, shard_files
from vidsemi.selection.select import select

SPEC = InputSpec(frames=4, resize=(20, 24), crop=16)
DIRECTIONS = ["east", "north", "northeast", "northwest", "south", "southeast", "southwest", "west"]


@pytest.fixture
def labeled(shapes: Path) -> Manifest:
    return Manifest.read(shapes / "labeled.csv")


@pytest.fixture
def dataset(labeled: Manifest) -> TrainDataset:
    return TrainDataset.from_labels(labeled, input=SPEC, seed=3)


def trainer_clips(dataset: TrainDataset, epoch: int) -> tuple[dict[tuple[int, int], torch.Tensor], dict]:
    """Clips and targets that the trainer's own loader gives in an epoch, by (example id, how often it came before)."""
    own = dataset.training_set
    repeats = np.ones(len(own.examples), np.int64) if own.repeats is None else own.repeats
    clips = TrainClips(
        own.manifest,
        own.examples,
        own.targets,
        dataset.input,
        hflip_prob=dataset.hflip_prob,
        random_resized_crop_scale=dataset.random_resized_crop_scale,
        seed=dataset.seed,
    )
    size = int(repeats.sum())
    keys = EpochSampler(repeats, seed=dataset.seed, start=epoch * size, stop=(epoch + 1) * size)
    repeat_of = [repeat for _, _, repeat in keys]
    batches = MicroBatchSampler(keys, step_size=6, micro_batches=2, own=range(2))
    found, targets = {}, {}
    with Loader(clips, batches, Runtime(workers=0), pin_memory=False) as loader:
        for batch in loader.take(len(batches)):
            pixels = batch.clips(torch.device("cpu"), dataset.input, torch.preserve_format)
            for example_id, clip, target in zip(batch.example_ids, pixels, batch.targets, strict=True):
                key = (example_id, repeat_of[len(found)])
                found[key], targets[key] = clip, target
    return found, targets


@pytest.mark.parametrize("scale", [None, (0.2, 0.8)])
@pytest.mark.parametrize("epoch", [0, 2])
def test_the_pixels_are_those_of_the_trainer(labeled: Manifest, epoch: int, scale: tuple[float, float] | None):
    dataset = TrainDataset.from_labels(labeled, input=SPEC, seed=3, random_resized_crop_scale=scale)
    clips, targets = trainer_clips(dataset, epoch)
    dataset.set_epoch(epoch)
    assert len(dataset) == len(clips) == 24
    for (example_id, _), expected in clips.items():
        clip, target = dataset[example_id]
        assert clip.shape == (3, 4, 16, 16) and clip.dtype == torch.float32 and clip.is_contiguous()
        assert torch.equal(clip, expected)
        assert torch.equal(target, targets[example_id, 0]) and target.dtype == torch.float32
        assert dataset.classes[int(target.argmax())] == labeled.table["label"][example_id].as_py()


def test_repeated_examples_are_those_of_the_trainer(labeled: Manifest, write_csv: Callable[..., Path]):
    paths = labeled.take(np.arange(6))["path"].to_pylist()
    file = write_csv("m.csv", ["path", "label"], [[path, "rare" if path == paths[0] else "common"] for path in paths])
    dataset = TrainDataset.from_labels(Manifest.read(file), input=SPEC, repeat_factor="uniform")
    assert len(dataset) == 10  # the rare one 5 times
    clips, _ = trainer_clips(dataset, 0)
    assert set(clips) == {(0, number) for number in range(5)} | {(number, 0) for number in range(1, 6)}
    for position, key in enumerate(sorted(clips)):
        clip, target = dataset[position]
        assert torch.equal(clip, clips[key])
        assert dataset.classes[int(target.argmax())] == ("rare" if position < 5 else "common")


def test_classes_may_be_those_of_a_network(labeled: Manifest):
    names = ["unseen", *reversed(labeled.class_names())]
    dataset = TrainDataset.from_labels(labeled, classes=names, input=SPEC)
    assert dataset.classes == names
    assert names[int(dataset[0][1].argmax())] == labeled.table["label"][0].as_py()
    assert len(dataset[0][1]) == 9
    with refused("manifest.unknown_label", labeled.table["label"][0].as_py()):
        TrainDataset.from_labels(labeled, classes=["unseen"], input=SPEC)


def test_it_is_found_in_both_places():
    assert vidsemi.data.TrainDataset is TrainDataset and vidsemi.data.read_clips is vidsemi.read_clips
    with pytest.raises(AttributeError, match="no_such_name"):
        vidsemi.data.no_such_name  # noqa: B018


def test_it_is_a_sequence(dataset: TrainDataset):
    assert len(list(dataset)) == 24
    assert torch.equal(dataset[-1][0], dataset[23][0])
    assert torch.equal(dataset[np.int64(5)][0], dataset[torch.tensor(5)][0])
    for index in (24, -25):
        with pytest.raises(IndexError, match="24 clips"):
            dataset[index]
    with pytest.raises(TypeError):
        dataset["a"]


def clips_of(loader: DataLoader) -> torch.Tensor:
    return torch.cat([clips for clips, _ in loader])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("workers", "persistent", "method"), [(2, True, "fork"), (1, False, "fork"), (1, True, "spawn")]
)
def test_workers_change_nothing_and_see_the_epoch(dataset: TrainDataset, workers: int, persistent: bool, method: str):
    """Persistent workers are copies that were made in the first epoch."""
    loader = DataLoader(
        dataset, batch_size=5, num_workers=workers, persistent_workers=persistent, multiprocessing_context=method
    )
    epochs = []
    for epoch in (0, 1, 7):
        next(iter(loader))  # an epoch that is left early, with batches prefetched
        dataset.set_epoch(epoch)
        epochs.append(clips_of(loader))
        assert torch.equal(epochs[-1], torch.stack([clip for clip, _ in dataset]))
    assert not torch.equal(epochs[0], epochs[1]) and not torch.equal(epochs[1], epochs[2])
    dataset.set_epoch(0)
    assert torch.equal(clips_of(loader), epochs[0])


def test_epochs_that_are_alike_are_a_warning(dataset: TrainDataset, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(train_dataset, "ALIKE", 24)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for epoch in range(3):
            dataset.set_epoch(epoch)
            list(dataset)
    with pytest.warns(UserWarning, match="set_epoch") as found:
        list(chain(dataset, dataset, dataset))
    assert len(found) == 1


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda dataset: pickle.loads(pickle.dumps(dataset))])
@pytest.mark.slow
def test_a_copy_has_an_epoch_of_its_own(dataset: TrainDataset, copied: Callable[[TrainDataset], TrainDataset]):
    own = copied(dataset)
    loader = DataLoader(own, batch_size=24, num_workers=1, persistent_workers=True)
    for epoch in (0, 4):
        own.set_epoch(epoch)
        assert torch.equal(clips_of(loader), torch.stack([clip for clip, _ in own]))
    assert torch.equal(dataset[3][0], copied(dataset)[3][0]) and not torch.equal(dataset[3][0], own[3][0])


def test_samplers_choose_the_order_only(dataset: TrainDataset):
    dataset.set_epoch(5)
    expected = {tuple(clip.flatten()[:99].tolist()) for clip, _ in dataset}
    assert len(expected) == 24
    shuffled = DataLoader(dataset, batch_size=4, shuffle=True)
    assert {tuple(clip.flatten()[:99].tolist()) for clip in clips_of(shuffled)} == expected
    parts = [DistributedSampler(dataset, num_replicas=3, rank=rank, seed=1) for rank in range(3)]
    for part in parts:
        part.set_epoch(5)
    split = [clips_of(DataLoader(dataset, batch_size=4, sampler=part)) for part in parts]
    assert [len(clips) for clips in split] == [8, 8, 8]
    assert {tuple(clip.flatten()[:99].tolist()) for clip in torch.cat(split)} == expected


def some_broken(folder: Path, shapes: Path, broken: set[int], of: int = 8) -> Manifest:
    videos = sorted((shapes / "labeled").glob("*.mp4"))[:of]
    for number in broken:
        (folder / f"broken{number}.mp4").write_bytes(b"no video")
    paths = [str(folder / f"broken{number}.mp4") if number in broken else str(videos[number]) for number in range(of)]
    write_manifest(folder / "m.parquet", {"path": paths, "label": [f"class {number}" for number in range(of)]})
    return Manifest.read(folder / "m.parquet")


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 2])
def test_unreadable_files_are_replaced_by_the_next_and_counted(tmp_path: Path, shapes: Path, workers: int):
    dataset = TrainDataset.from_labels(some_broken(tmp_path, shapes, {1, 2, 7}), input=SPEC)
    loader = DataLoader(dataset, batch_size=3, num_workers=workers, persistent_workers=workers > 0)
    clips, targets = zip(*loader, strict=True)
    assert torch.cat(targets).argmax(1).tolist() == [0, 3, 3, 3, 4, 5, 6, 0]
    assert torch.equal(torch.cat(clips)[1], dataset[3][0])
    assert dataset.unreadable == [1, 2, 7]
    expected, _ = trainer_clips(dataset, 0)  # by the trainer's loader
    assert {example_id for example_id, _ in expected} == {0, 3, 4, 5, 6}


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 1])
def test_a_dataset_of_broken_files_is_refused_with_its_code(tmp_path: Path, shapes: Path, workers: int):
    """Also from a worker, whose errors DataLoader raises again with a traceback as their text."""
    dataset = TrainDataset.from_labels(some_broken(tmp_path, shapes, {0, 1, 2}, of=3), input=SPEC)
    with pytest.raises(UserError) as error:
        next(iter(DataLoader(dataset, num_workers=workers)))
    assert error.value.code == "loader.unreadable_files"
    assert "3 files in a row" in error.value.message and "\n" not in error.value.message
    assert dataset.unreadable == [0, 1, 2]


def selection_of(folder: Path, manifest: Manifest, probabilities: np.ndarray, **rule: int) -> Selection:
    classes = [f"class {number}" for number in range(probabilities.shape[1])]
    info = ScoresInfo(manifest.fingerprint, "w", classes, per_example=2, views=1, examples=len(manifest))
    write_shard(folder / "scores", 0, np.arange(len(probabilities)), probabilities, info)
    shards, scores = open_shards(shard_files(folder / "scores"))
    return select(shards, scores, **rule)


def test_a_selection_has_soft_targets(tmp_path: Path, shapes: Path):
    manifest = Manifest.read(shapes / "unlabeled.csv")
    probabilities = np.array([[0.6, 0.3, 0.1], [0.5, 0.4, 0.1], [0.1, 0.1, 0.8], [0.2, 0.45, 0.35]], np.float32)
    selection = selection_of(tmp_path, manifest, probabilities, per_class=2, per_example=2)
    dataset = TrainDataset.from_selection(manifest, selection, input=SPEC, seed=1)
    assert dataset.classes == ["class 0", "class 1", "class 2"]
    ids, targets = selection.examples()
    assert ids.tolist() == [0, 1, 2, 3]
    expected = np.array([[1, 0, 0], [0.5, 0.5, 0], [0, 0, 1], [0, 0.5, 0.5]], np.float32)
    assert np.array_equal(targets.toarray(), expected)
    assert np.array_equal(torch.stack([target for _, target in dataset]).numpy(), expected)
    clips, _ = trainer_clips(dataset, 0)
    assert all(torch.equal(dataset[example_id][0], clip) for (example_id, _), clip in clips.items())


def test_a_selection_of_another_manifest_is_refused(tmp_path: Path, shapes: Path, labeled: Manifest):
    unlabeled = Manifest.read(shapes / "unlabeled.csv")
    selection = selection_of(tmp_path, unlabeled, np.full((3, 2), 0.5, np.float32), per_class=1, per_example=1)
    with refused("selection.wrong_manifest", "labeled.csv"):
        TrainDataset.from_selection(labeled, selection)
    none = selection_of(
        tmp_path, unlabeled, np.full((3, 2), 0.5, np.float32), per_class=1, per_example=1, min_score=0.9
    )
    with refused("selection.empty"):
        TrainDataset.from_selection(unlabeled, none)


def test_hashtags_are_soft_targets(labeled: Manifest, write_csv: Callable[..., Path]):
    paths = labeled.take(np.arange(5))["path"].to_pylist()
    tags = ["#catchingfish #zumba", "#zumba", "", "#catchfish", "#nothing"]
    manifest = Manifest.read(
        write_csv("w.csv", ["path", "hashtags"], [list(row) for row in zip(paths, tags, strict=True)])
    )
    dataset = TrainDataset.from_hashtags(manifest, ["catching fish", "zumba"], min_examples=2, input=SPEC)
    assert dataset.classes == ["#catchingfish", "#zumba"]
    assert [target.tolist() for _, target in dataset] == [[0.5, 0.5], [0, 1], [1, 0]]
    clips, _ = trainer_clips(dataset, 0)
    assert {example_id for example_id, _ in clips} == {0, 1, 3}
    assert torch.equal(dataset[2][0], clips[3, 0])
    with refused("hashtags.too_few_labels", "min_examples"):
        TrainDataset.from_hashtags(manifest, ["catching fish", "zumba"], input=SPEC)


def test_a_vocabulary_may_be_a_file(shapes: Path, tmp_path: Path):
    from vidsemi.data.hashtags.vocabulary import build_vocabulary, write_vocabulary

    names = [f"drifting {direction}" for direction in DIRECTIONS]
    write_vocabulary(tmp_path / "v.csv", build_vocabulary(names, {}))
    manifest = Manifest.read(shapes / "unlabeled.csv")
    from_file = TrainDataset.from_hashtags(manifest, tmp_path / "v.csv", min_examples=1, input=SPEC)
    from_names = TrainDataset.from_hashtags(manifest, names, min_examples=1, input=SPEC)
    assert from_file.classes == from_names.classes
    assert len(from_file) == len(from_names) > 8
    assert torch.equal(from_file[5][0], from_names[5][0])


def test_the_defaults_are_those_of_the_config(labeled: Manifest):
    from vidsemi.config import Input

    config, default = Input(), InputSpec()
    for name in ("stride", "resize", "crop", "mean", "std", "decoder"):
        assert getattr(default, name) == getattr(config, name)
    dataset = TrainDataset.from_labels(labeled)
    assert dataset.input == default and dataset.hflip_prob == config.hflip_prob
    assert dataset[0][0].shape == (3, 8, 112, 112)
