"""Every kind of convolution of the networks: is it right, and how fast, in each precision and memory format?"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from tools.gpu.measure import CLASSES, Options, row, seconds_of
from vidsemi.models.registry import create_model

NETWORKS = (("r2plus1d_18", 8, 64), ("r2plus1d_34", 32, 24))  # name, frames, clips
PRECISIONS = (("bfloat16", torch.bfloat16), ("tf32", torch.float32))
FORMATS = (("contiguous", torch.contiguous_format), ("channels last", torch.channels_last_3d))


def convolutions(options: Options) -> dict[str, Any]:
    """Error of output and gradients relative to float32 without TF32, and TFLOP/s forward and in training."""
    device, kinds = torch.device(options.device), _kinds(clips=1 if options.small else None)
    torch.backends.cudnn.benchmark = True
    least = 0.0 if options.small else 0.05
    rows = []
    for model, layer, shape in kinds[: 2 if options.small else None]:
        torch.manual_seed(0)
        settings = (layer.in_channels, layer.out_channels, layer.kernel_size, layer.stride, layer.padding)
        own = nn.Conv3d(*settings, bias=False).to(device)  # type: ignore[arg-type]
        x = torch.randn(shape, device=device, requires_grad=True)
        with _without_tf32():
            y = own(x)
            slope = torch.randn_like(y)
            exact = [y, *torch.autograd.grad(y, (x, own.weight), slope)]
        operations = 2 * y.numel() * own.weight[0].numel()
        found: dict[str, Any] = {
            "network": model,
            "channels": f"{own.in_channels}→{own.out_channels}",
            "kernel": "×".join(map(str, own.kernel_size)),
            "input": "×".join(map(str, shape)),
        }
        for precision, dtype in PRECISIONS:
            for name, layout in FORMATS:
                own_x = x.detach().to(dtype, memory_format=layout).requires_grad_()
                weight = nn.Parameter(own.weight.detach().to(dtype, memory_format=layout))
                own_slope = slope.to(dtype, memory_format=layout)

                def forward(x: torch.Tensor = own_x, weight: torch.Tensor = weight) -> torch.Tensor:
                    return nn.functional.conv3d(x, weight, None, own.stride, own.padding)  # noqa: B023

                def training(x: torch.Tensor = own_x, weight: torch.Tensor = weight, slope: Any = own_slope) -> Any:
                    return torch.autograd.grad(forward(x, weight), (x, weight), slope)

                results = zip([forward(), *training()], exact, strict=True)
                found[f"{precision} {name}, error"] = max(_relative(result, wanted) for result, wanted in results)
                with torch.no_grad():
                    found[f"{precision} {name}, TFLOP/s"] = operations / seconds_of(forward, device, least) / 1e12
                seconds = seconds_of(training, device, least)
                found[f"{precision} {name}, training TFLOP/s"] = 3 * operations / seconds / 1e12
        rows.append(row(found))
    return {"rows": rows}


def _kinds(clips: int | None) -> list[tuple[str, nn.Conv3d, torch.Size]]:
    """Each kind of convolution with a network that has it and the shape of its input."""
    kinds: dict[tuple[str, torch.Size], tuple[str, nn.Conv3d, torch.Size]] = {}
    for model, frames, usual in NETWORKS:
        with torch.device("meta"):
            network = create_model(model, num_classes=CLASSES, frames=frames)

        def note(layer: nn.Module, inputs: tuple[torch.Tensor], model: str = model) -> None:
            assert isinstance(layer, nn.Conv3d)
            kinds.setdefault((str(layer), inputs[0].shape), (model, layer, inputs[0].shape))

        for layer in network.modules():
            if isinstance(layer, nn.Conv3d):
                layer.register_forward_pre_hook(note)
        with torch.no_grad():
            network(torch.zeros(clips or usual, 3, frames, 112, 112, device="meta"))
    return list(kinds.values())


@contextmanager
def _without_tf32() -> Iterator[None]:
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    yield
    torch.backends.cudnn.allow_tf32 = before


def _relative(found: torch.Tensor, wanted: torch.Tensor) -> float:
    return float((found.detach().float() - wanted.detach()).norm() / wanted.detach().norm())
