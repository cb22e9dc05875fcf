"""Label targets of training examples: one class each, or several with equal weights."""

from dataclasses import dataclass

import numpy as np

from vidsemi.io.errors import UserError


@dataclass(frozen=True)
class Targets:
    """A sparse (N, classes) matrix: example i's k classes are `labels[offsets[i]:offsets[i + 1]]`, each with 1/k."""

    offsets: np.ndarray  # (N + 1,) int64
    labels: np.ndarray  # int64 class indices
    classes: int

    @classmethod
    def single(cls, labels: np.ndarray, classes: int) -> "Targets":
        """One class an example: labels (N,)."""
        return cls(np.arange(len(labels) + 1), labels, classes)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def dense(self, index: int) -> np.ndarray:
        """Example `index` as a distribution over the classes, (classes,) float32."""
        own = self.labels[self.offsets[index] : self.offsets[index + 1]]
        target = np.zeros(self.classes, np.float32)
        target[own] = 1 / len(own)
        return target

    def check(self, title: str) -> None:
        """Raise a `UserError` if a label is not one of the classes; `title` says whose they are."""
        labels = self.labels
        if len(labels) and not (labels.min() >= 0 and labels.max() < self.classes):
            raise UserError(
                "labels.out_of_range",
                f"{title}: labels go from {labels.min()} to {labels.max()}, but the network has {self.classes} classes",
            )
