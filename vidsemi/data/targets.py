"""Label targets of training examples: one class each, or several with equal weights."""

from dataclasses import dataclass

import numpy as np


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
