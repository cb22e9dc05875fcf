"""`TrainDataset`: the training clips of vidsemi for the DataLoader of any PyTorch program."""

import operator
import re
import warnings
from collections.abc import Sequence
from os import PathLike
from typing import Any, SupportsIndex

import numpy as np
import torch
from torch.utils.data import Dataset, get_worker_info

from vidsemi.api.arguments import PathArgument, check_count, manifest_of, path_of, place_of
from vidsemi.api.checked_input import checked_input
from vidsemi.api.specs import class_names_of
from vidsemi.config.base import RepeatFactor
from vidsemi.data.hashtags.match import match_frequent
from vidsemi.data.hashtags.vocabulary import Vocabulary, build_vocabulary, read_vocabulary
from vidsemi.data.input_spec import InputSpec
from vidsemi.data.manifest import Manifest
from vidsemi.data.normalize import normalize
from vidsemi.data.samplers import REPEAT_RULES
from vidsemi.data.train_clips import TrainClips
from vidsemi.data.video.backends import check_decoder
from vidsemi.io.errors import UserError
from vidsemi.selection.result import Selection
from vidsemi.training.training_set import TrainingSet, hashtag_set, labeled_set, pseudo_labeled_set

ALIKE = 1000  # clips that are drawn again in an epoch before a warning; fewer may be batches that nobody waited for


class TrainDataset(Dataset[tuple[torch.Tensor, torch.Tensor]]):
    """Random clips of videos or images with soft targets, for a `torch.utils.data.DataLoader`.

    `dataset[i]` is a clip, (3, T, H, W) float32, normalized, and its target, (classes,) float32, which sums to 1: the
    pixels that `vidsemi.train` feeds a network. Clip, crop and flip are drawn from (seed, epoch, example) alone, so
    the number of workers and the order change nothing. Call `set_epoch` before each epoch, or all of them are alike,
    which is a warning.

    A file that cannot be read is replaced by the next one, and is listed in `unreadable`. If 50 files in a row cannot
    be read, or their disk went away, `dataset[i]` raises a `UserError`. A file that hangs is not noticed; DataLoader
    has the argument `timeout` for it.

    Create one with `from_labels`, `from_selection` or `from_hashtags`.

    Attributes:
        input: clip length, size and normalization of the clips.
    """

    def __init__(
        self,
        training_set: TrainingSet,
        input: InputSpec | None = None,
        *,
        hflip_prob: float = 0.5,
        random_resized_crop_scale: tuple[float, float] | None = None,
        seed: int = 0,
    ):
        scale = random_resized_crop_scale
        self.input, values = checked_input(input, hflip_prob=hflip_prob, random_resized_crop_scale=scale)
        check_decoder(self.input.decoder)
        self.training_set, self.seed = training_set, _check_seed(seed)
        self.hflip_prob, self.random_resized_crop_scale = values.hflip_prob, values.random_resized_crop_scale
        self._clips = TrainClips(
            training_set.manifest,
            training_set.examples,
            training_set.targets,
            self.input,
            hflip_prob=self.hflip_prob,
            random_resized_crop_scale=self.random_resized_crop_scale,
            seed=self.seed,
        )
        examples = len(training_set.examples)
        repeats = training_set.repeats
        self._ends = None if repeats is None else np.cumsum(repeats)
        # In memory that workers share: persistent ones would not see another epoch, nor could they tell what they read.
        self._epoch = torch.zeros((), dtype=torch.int64).share_memory_()
        self._unreadable = torch.zeros(examples, dtype=torch.bool).share_memory_()
        self._drawn = torch.zeros(len(self), dtype=torch.bool).share_memory_()  # since `set_epoch`
        self._alike = torch.zeros((), dtype=torch.int64).share_memory_()  # how many were drawn again

    @classmethod
    def from_labels(
        cls,
        manifest: Manifest | PathArgument,
        *,
        classes: Sequence[str] | None = None,
        repeat_factor: RepeatFactor = "natural",
        input: InputSpec | None = None,
        hflip_prob: float = 0.5,
        random_resized_crop_scale: tuple[float, float] | None = None,
        seed: int = 0,
    ) -> "TrainDataset":
        """All examples of a manifest with their labels.

        Args:
            manifest: the examples, or the file of the manifest; every example needs a label.
            classes: names in the order of the network's outputs, such as `model.classes`; the labels in alphabetical
                order by default.
            repeat_factor: oversampling of rare classes: "natural" (none), "square_root" or "uniform". The dataset is
                longer than the manifest if it repeats examples; each time they are augmented differently.
            input: such as `model.input`; 8 frames of 112×112 by default.
            hflip_prob: probability of a horizontal flip. Set it to 0 if classes differ by left and right.
            random_resized_crop_scale: crop a random share of the frame's area between these two values, such as
                (0.08, 1), and resize it; None for a random crop of the resized frame.
            seed: of the augmentation and the repeats.

        Returns:
            The dataset.

        Raises:
            UserError: a label is missing or not one of the classes, or a value is invalid.
        """
        _check_rule(repeat_factor)
        names = None if classes is None else class_names_of(classes)
        chosen = labeled_set(manifest_of(manifest), _check_seed(seed), repeat_factor, classes=names)
        scale = random_resized_crop_scale
        return cls(chosen, input, hflip_prob=hflip_prob, random_resized_crop_scale=scale, seed=seed)

    @classmethod
    def from_selection(
        cls,
        manifest: Manifest | PathArgument,
        selection: Selection | PathArgument,
        *,
        input: InputSpec | None = None,
        hflip_prob: float = 0.5,
        random_resized_crop_scale: tuple[float, float] | None = None,
        seed: int = 0,
    ) -> "TrainDataset":
        """The pseudo-labeled examples of a selection, each once, with 1/k on each of the k classes that selected it.

        Args:
            manifest: the manifest that was scored, or its file.
            selection: of `vidsemi.select`, or its file or address.
            input: as for `from_labels`, and so are the others.
            hflip_prob: probability of a horizontal flip.
            random_resized_crop_scale: shares of the frame's area.
            seed: of the augmentation.

        Returns:
            The dataset.

        Raises:
            UserError: the selection is empty or was made from another manifest, or a value is invalid.
        """
        if isinstance(selection, str | PathLike):
            selection = Selection.read(place_of("selection", selection))
        if not isinstance(selection, Selection):
            raise UserError(
                "selection.wrong_type", f"the selection is a {type(selection).__name__}; give a Selection or its file"
            )
        chosen = pseudo_labeled_set(manifest_of(manifest), selection.classes, selection)
        scale = random_resized_crop_scale
        return cls(chosen, input, hflip_prob=hflip_prob, random_resized_crop_scale=scale, seed=seed)

    @classmethod
    def from_hashtags(
        cls,
        manifest: Manifest | PathArgument,
        vocabulary: PathArgument | Sequence[str],
        *,
        min_examples: int = 50,
        repeat_factor: RepeatFactor = "square_root",
        input: InputSpec | None = None,
        hflip_prob: float = 0.5,
        random_resized_crop_scale: tuple[float, float] | None = None,
        seed: int = 0,
    ) -> "TrainDataset":
        """The examples with a hashtag of a vocabulary, for weakly supervised pre-training.

        The classes are hashtags, such as `#catchingfish`; an example with k of them has 1/k on each.

        Args:
            manifest: the examples, or the file of the manifest, with a column `hashtags`.
            vocabulary: a file of `vidsemi hashtags`, or class names, whose tag variants are then looked for.
            min_examples: hashtags of fewer examples are left out.
            repeat_factor: as for `from_labels`, and so are the others.
            input: clip length, size and normalization.
            hflip_prob: probability of a horizontal flip.
            random_resized_crop_scale: shares of the frame's area.
            seed: of the augmentation and the repeats.

        Returns:
            The dataset.

        Raises:
            UserError: there are no hashtags, fewer than two of them have enough examples, or a value is invalid.
        """
        _check_rule(repeat_factor)
        _check_seed(seed)
        manifest, least = manifest_of(manifest), check_count("min_examples", min_examples, 2**63 - 1)
        matches = match_frequent(manifest, _vocabulary(vocabulary), least, "a dataset of hashtags")
        names = matches.vocabulary.names
        if len(names) < 2:
            raise UserError(
                "hashtags.too_few_labels",
                f"{manifest.file}: {len(names)} labels have at least {least} examples (min_examples), 2 are needed",
            )
        chosen = hashtag_set(manifest, names, matches.example_ids, matches.labels, repeat_factor, seed)
        scale = random_resized_crop_scale
        return cls(chosen, input, hflip_prob=hflip_prob, random_resized_crop_scale=scale, seed=seed)

    @property
    def classes(self) -> list[str]:
        """Names of the classes, in the order of the targets."""
        return self.training_set.classes

    @property
    def unreadable(self) -> list[int]:
        """Example ids that could not be read so far, by this process or its workers."""
        ids: list[int] = self.training_set.examples[self._unreadable.numpy()].tolist()
        return ids

    def set_epoch(self, epoch: int) -> None:
        """Augment differently from now on; call it before iterating, as that of a `DistributedSampler`.

        Workers see it, persistent ones too.

        Args:
            epoch: number of the epoch, from 0 on.
        """
        self._epoch.fill_(check_count("epoch", epoch, 2**63 - 1, least=0))
        self._drawn.zero_()
        self._alike.zero_()

    def __len__(self) -> int:
        return len(self._clips) if self._ends is None else int(self._ends[-1])

    def __getitem__(self, index: SupportsIndex) -> tuple[torch.Tensor, torch.Tensor]:
        position = operator.index(index)
        if not -len(self) <= position < len(self):
            raise IndexError(f"index {position} is out of range: the dataset has {len(self)} clips")
        position %= len(self)
        self._note(position)
        example, repeat = position, 0
        if self._ends is not None and self.training_set.repeats is not None:
            example = int(np.searchsorted(self._ends, position, side="right"))
            repeat = position - int(self._ends[example] - self.training_set.repeats[example])
        item = self._clips[(int(self._epoch), example, repeat)]
        self._unreadable[np.searchsorted(self.training_set.examples, item.unreadable)] = True
        if item.frames is None:
            assert item.error is not None
            raise item.error if get_worker_info() is None else WorkerError(f"[{item.error.code}] {item.error}")
        clips = torch.from_numpy(np.ascontiguousarray(item.windows[0].cut(item.frames.numpy())))
        return normalize(clips, self.input)[0].contiguous(), item.target

    def _note(self, position: int) -> None:
        """Warn of epochs that are all alike; once, but for what several processes do at the same moment."""
        if self._drawn[position]:
            self._alike += 1
            if self._alike == ALIKE:
                warnings.warn(
                    f"{ALIKE} clips were drawn again without change: call set_epoch(epoch) of the dataset before each "
                    "epoch; to repeat rare examples, use repeat_factor",
                    stacklevel=3,
                )
        self._drawn[position] = True

    def __setstate__(self, state: dict[str, Any]) -> None:
        """A copy shares its own memory with its workers."""
        self.__dict__.update(state)
        for shared in (self._epoch, self._unreadable, self._drawn, self._alike):
            shared.share_memory_()


class WorkerError(UserError):
    """A `UserError` in a worker of a DataLoader, which raises it again here with the worker's traceback as its text."""

    def __init__(self, text: str):
        found = re.search(r"\[(\w+\.\w+)\] (.*)$", text.rstrip().rpartition("\n")[2])
        super().__init__(*(found.groups() if found else ("loader.failed", text)))

    def __str__(self) -> str:
        return f"[{self.code}] {self.message}"


def _check_rule(repeat_factor: str) -> None:
    if repeat_factor not in REPEAT_RULES:
        known = ", ".join(REPEAT_RULES)
        raise UserError("options.invalid", f"repeat_factor is {repeat_factor!r}; choose one of {known}")


def _check_seed(seed: int) -> int:
    return check_count("seed", seed, 2**63 - 1, least=0)


def _vocabulary(vocabulary: PathArgument | Sequence[str]) -> Vocabulary:
    if isinstance(vocabulary, str | PathLike):
        return read_vocabulary(path_of("vocabulary", vocabulary))
    return build_vocabulary(class_names_of(vocabulary), {})
