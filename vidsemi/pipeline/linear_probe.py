"""The stages of a linear probe: features of a transfer target, and a classifier for each of its splits."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from vidsemi.config import FcOnly
from vidsemi.data.manifest import Manifest
from vidsemi.pipeline.stage import Context, Stage, WeightsFile
from vidsemi.pipeline.stages import decoder_of


@dataclass(frozen=True, eq=False)
class FeaturesStage(Stage):
    """Extract the features of all splits of a transfer target: (training set, test set) of each."""

    together: ClassVar[bool] = True

    weights: Stage | WeightsFile
    splits: tuple[tuple[Manifest, Manifest], ...]
    views: int

    @property
    def manifests(self) -> list[Manifest]:
        """The training and the test set of each split, in turn."""
        return [manifest for split in self.splits for manifest in split]

    def run(self, context: Context) -> dict[str, Any]:
        from vidsemi.inference.features import extract_features

        return extract_features(
            context.folder(self),
            weights=Path(context.weights(self.weights)),
            decoder=decoder_of(self.weights),
            manifests=self.manifests,
            views=self.views,
            runtime=context.runtime,
            title=context.name(self),
        )


@dataclass(frozen=True, eq=False)
class LinearProbeStage(Stage):
    """Fit a linear classifier to the features of one split's training set, and test it."""

    features: FeaturesStage
    split: int
    fc_only: FcOnly
    seed: int

    def run(self, context: Context) -> dict[str, Any]:
        from vidsemi.training.linear_probe import train_linear_probe

        return train_linear_probe(
            context.folder(self),
            weights=Path(context.weights(self.features.weights)),
            features=context.folder(self.features),
            manifests=self.features.manifests,
            split=self.split,
            fc_only=self.fc_only,
            views=context.metrics(self.features)["views"],
            seed=self.seed,
            title=context.name(self),
        )
