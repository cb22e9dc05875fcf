"""The targets of a config and their splits, read and checked before anything runs. Needs no torch."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from vidsemi.config import Data, Target
from vidsemi.corpus.manifest import Manifest
from vidsemi.stages.corpora import Corpora, load_corpora
from vidsemi.stages.duplicate_checks import Check, check_duplicates
from vidsemi.stages.groups import groups_of
from vidsemi.steps import corpus_identity


@dataclass(frozen=True)
class LoadedTarget:
    """A target of the config and its splits, read and checked."""

    target: Target
    splits: list[Corpora]

    @property
    def identities(self) -> list[dict[str, str]]:
        """What the corpora of each split are known by."""
        return [
            {
                "train": corpus_identity(corpora.labeled, split.train),
                "test": corpus_identity(corpora.test, split.test),
            }
            for corpora, split in zip(self.splits, self.target.all_splits, strict=True)
        ]


def load_targets(targets: Iterable[Target]) -> list[LoadedTarget]:
    """Read the manifests of targets, as those of a run are read.

    Raises:
        UserError: as `load_corpora` does; or a path names no group.
    """
    loaded = []
    for target in targets:
        splits = [
            load_corpora(Data(labeled=split.train, test=split.test, dataset=target.dataset))
            for split in target.all_splits
        ]
        if "fc_only" in target.protocols:
            for split in splits:
                groups_of(split.labeled, target.fc_only.group)
        loaded.append(LoadedTarget(target, splits))
    return loaded


def duplicates_of_targets(learnt: Mapping[str, Manifest | None], targets: Iterable[LoadedTarget]) -> list[Check]:
    """What is known of duplicates between the test set of each split and what is trained on before and for it.

    Args:
        learnt: what the networks were trained on before, by names in a config.
        targets: that they go to.
    """
    checks = []
    for loaded in targets:
        for number, split in enumerate(loaded.splits, start=1):
            name = f"{loaded.target.name}{f' split {number}' if len(loaded.splits) > 1 else ''}"
            checks += check_duplicates({**learnt, "its own training set": split.labeled}, {name: split.test})
    return checks


def target_lines(targets: Iterable[LoadedTarget]) -> list[str]:
    """What was read of each split, for people."""
    return [
        f"transfer to {loaded.target.name}{f', split {number}' if len(loaded.splits) > 1 else ''}: "
        f"{len(split.classes)} classes; {len(split.labeled)} train, {len(split.test)} test"
        for loaded in targets
        for number, split in enumerate(loaded.splits, start=1)
    ]
