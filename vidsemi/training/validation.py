"""Validation while a network is trained: how accurate it is now and then, and the best weights so far."""

from collections.abc import Mapping
from contextlib import closing
from dataclasses import asdict
from typing import Any

import torch

from vidsemi.config import Recipe, Runtime
from vidsemi.data.split import ValidationSet
from vidsemi.inference.accuracy import accuracy, rank_of_label
from vidsemi.inference.score_views import score_examples
from vidsemi.models.weights_file import NetworkSpec
from vidsemi.runtime.distributed import gather, processes


class Validation:
    """The validations of one training run. All processes take part; nothing here changes the training itself."""

    def __init__(self, spec: NetworkSpec, validation_set: ValidationSet, recipe: Recipe, runtime: Runtime):
        self.spec, self.recipe, self.runtime, self.views = spec, recipe, runtime, validation_set.views
        self.manifest, self.examples = validation_set.manifest, validation_set.examples()
        self.labels = self.manifest.label_indices(spec.classes, "the labeled set")[self.examples]
        self.results: list[dict[str, Any]] = []  # of each validation so far: examples trained on, accuracy
        self.best: dict[str, Any] | None = None  # the best result
        self.best_weights: dict[str, torch.Tensor] | None = None  # if they are to be kept
        self._network = spec.build()

    def is_due(self, examples: int) -> bool:
        """Whether the step that ends after so many examples has passed the point of a validation."""
        count, length = self.recipe.validations, self.recipe.examples
        before = (examples - 1) // self.recipe.batch_size * self.recipe.batch_size
        return count * examples // length > count * before // length

    def measure(self, examples: int, weights: Mapping[str, torch.Tensor]) -> dict[str, Any]:
        """Measure the accuracy of weights after so many examples, and remember them if they are the best."""
        self._network.load_state_dict(weights)
        process = processes()
        share = range(process.rank, len(self.examples), process.size)
        ids = [int(self.examples[place]) for place in share]
        ranks: dict[int, int | None] = {}
        scores = score_examples(
            self._network, self.spec.input, ids, self.manifest, views=self.views, runtime=self.runtime
        )
        with closing(scores):
            for place, score in zip(share, scores, strict=True):
                own = score.probabilities
                ranks[place] = None if own is None else rank_of_label(own, int(self.labels[place]))
        ranks = dict(pair for share in gather([*ranks.items()]) for pair in share)
        result = {"examples": examples, **asdict(accuracy(ranks, self.labels))}
        if len(self.spec.classes) <= 5:  # all would be right
            del result["top5"]
        self.results.append(result)
        if self.best is None or result["top1"] >= self.best["top1"]:
            self.best = result
            if self.recipe.keep == "best":
                self.best_weights = {name: tensor.detach().cpu().clone() for name, tensor in weights.items()}
        return result

    def state(self) -> dict[str, Any]:
        """What a checkpoint holds of it."""
        return {"results": self.results, "best": self.best, "best_weights": self.best_weights}

    def load(self, state: Mapping[str, Any]) -> None:
        """Load what `state` returned."""
        self.results, self.best, self.best_weights = state["results"], state["best"], state["best_weights"]

    def summary(self) -> dict[str, Any]:
        """The last result and the best one, and which of them the weights are of."""
        return {"last": self.results[-1], "best": self.best, "kept": self.recipe.keep}
