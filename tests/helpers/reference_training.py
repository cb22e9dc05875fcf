"""A small network that a TrainStep trains, and the same steps in plain torch."""

from collections.abc import Callable

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from vidsemi.config import Recipe, Runtime
from vidsemi.data.batch import Batch, collate
from vidsemi.data.input_spec import InputSpec
from vidsemi.data.normalize import normalize
from vidsemi.data.train_clips import TrainItem
from vidsemi.data.transforms import Window
from vidsemi.training.train_step import TrainStep

CPU = torch.device("cpu")
SPEC = InputSpec(frames=4, stride=1, resize=16, crop=16, mean=(0.4, 0.4, 0.4), std=(0.2, 0.2, 0.2))
WHOLE = Window(0, 0, 16, False)
STEPS, CLASSES = 3, 5


def small(norm: Callable[[int], nn.Module] = nn.BatchNorm3d) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv3d(3, 6, 3, 2), norm(6), nn.ReLU(), nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(6, CLASSES)
    )


def batch(clips: np.ndarray, targets: torch.Tensor) -> Batch:
    items = [
        TrainItem(torch.from_numpy(clip[None]), [WHOLE], target, 0, [])
        for clip, target in zip(clips, targets, strict=True)
    ]
    return collate(items)


def make_data() -> list[tuple[np.ndarray, torch.Tensor]]:
    """Clips (8, T, 3, 16, 16) uint8 and targets (8, classes) of some steps."""
    rng = np.random.default_rng(0)
    clips = rng.integers(0, 256, (STEPS, 8, 4, 3, 16, 16), dtype=np.uint8)
    targets = rng.dirichlet(np.ones(CLASSES), (STEPS, 8)).astype(np.float32)
    return list(zip(clips, torch.from_numpy(targets), strict=True))


def trained(
    network: nn.Module, data: list, micro_batches: int = 1, runtime: Runtime | None = None, **settings: object
) -> tuple:
    """A network after some steps, and the loss and number of correct clips, and the gradient norm, of the last."""
    settings = {"examples": 24, "batch_size": 8, "learning_rate": 0.1, **settings}
    train_step = TrainStep(network, Recipe(**settings), SPEC, micro_batches, CPU, runtime or Runtime())
    for clips, targets in data:
        pieces = zip(np.split(clips, micro_batches), targets.chunk(micro_batches), strict=True)
        result = train_step.run([batch(*piece) for piece in pieces], [7] * micro_batches, 8, 0.1)
    train_step.finish()
    return network, result[:2], result[2]


def by_hand(
    network: nn.Module,
    data: list,
    loss_of: Callable[..., torch.Tensor] = functional.cross_entropy,
    after: Callable[[], None] = lambda: None,
    **sgd: float,
) -> nn.Module:
    """The same steps in plain torch."""
    optimizer = torch.optim.SGD(network.parameters(), **{"lr": 0.1, "momentum": 0.9, "weight_decay": 1e-4, **sgd})
    for clips, targets in data:
        optimizer.zero_grad()
        loss_of(network(normalize(torch.from_numpy(clips), SPEC)), targets).backward()
        after()
        optimizer.step()
    return network


def assert_close(a: nn.Module, b: nn.Module, rtol: float = 1e-4, atol: float = 1e-6) -> None:
    others = b.state_dict()
    for name, value in a.state_dict().items():
        if value.is_floating_point():
            assert torch.allclose(value, others[name], rtol=rtol, atol=atol), name
