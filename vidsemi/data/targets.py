"""Label targets of training examples: one class each, or several with equal or given shares."""

from dataclasses import dataclass

import numpy as np

from vidsemi.io.errors import UserError


@dataclass(frozen=True)
class Targets:
    """A sparse (N, classes) matrix: example i's k classes are `labels[offsets[i]:offsets[i + 1]]`.

    Each has 1/k, or its share.
    """

    offsets: np.ndarray  # (N + 1,) int64
    labels: np.ndarray  # class indices, int32 or int64
    classes: int
    shares: np.ndarray | None = None  # float32, of each of the labels; those of an example sum to 1

    @classmethod
    def single(cls, labels: np.ndarray, classes: int) -> "Targets":
        """One class an example: labels (N,)."""
        return cls(np.arange(len(labels) + 1), labels, classes)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def dense(self, index: int) -> np.ndarray:
        """Example `index` as a distribution over the classes, (classes,) float32."""
        own = slice(self.offsets[index], self.offsets[index + 1])
        labels = self.labels[own]
        target = np.zeros(self.classes, np.float32)
        target[labels] = 1 / len(labels) if self.shares is None else self.shares[own]
        return target

    def check(self, title: str) -> None:
        """Raise a `UserError` if a label is not one of the classes; `title` says whose they are."""
        labels = self.labels
        if len(labels) and not (labels.min() >= 0 and labels.max() < self.classes):
            raise UserError(
                "labels.out_of_range",
                f"{title}: labels go from {labels.min()} to {labels.max()}, but the network has {self.classes} classes",
            )
