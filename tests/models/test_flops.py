"""What networks cost, against counts by hand and against the tables that torchvision publishes."""

import json

import pytest
import torch
from torch import nn
from torchvision import models

from tests.helpers import warm
from tests.helpers.builders import zeros_of
from vidsemi.cli import main as cli
from vidsemi.models.flops import measure_cost
from vidsemi.models.registry import create_model, meta_model, pretrained_config


def weightless(network: nn.Module) -> nn.Module:
    """A network of the meta device on the CPU, with weights of zero that take no memory."""
    network.load_state_dict(zeros_of(network), assign=True)
    return network


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "frames", "parameters", "gmacs"), [("r2plus1d_18", 8, 33.37, 20.75), ("r2plus1d_34", 8, 63.70, 38.09)]
)
def test_cost_is_that_of_table_7(name: str, frames: int, parameters: float, gmacs: float):
    cost = measure_cost(weightless(meta_model(name, num_classes=400, frames=frames)), frames=frames, size=112)
    assert cost.parameters / 1e6 == pytest.approx(parameters, abs=0.005)
    assert cost.gmacs_per_view == pytest.approx(gmacs, abs=0.005)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["vit_b_16", "shufflenet_v2_x1_0"])
def test_costs_are_those_that_torchvision_publishes(name: str):
    """Grouped convolutions, and fused attention."""
    meta = models.get_model_weights(name).DEFAULT.meta
    wanted = pretrained_config(f"torchvision/{name}")
    assert wanted is not None and wanted.frames and wanted.crop
    network = meta_model(f"torchvision/{name}", num_classes=len(meta["categories"]), frames=wanted.frames)
    cost = measure_cost(weightless(network), frames=wanted.frames, size=wanted.crop)
    assert cost.parameters == meta["num_params"]
    assert cost.gmacs_per_view == pytest.approx(meta["_ops"], abs=0.0006)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mvit_v2_s", "r2plus1d_18"])
def test_costs_of_large_networks_are_those_that_torchvision_publishes(name: str):
    """Attention by products and by einsum, and convolutions; processes of their own, as they take up to 0.7 GB more."""
    meta = models.get_model_weights(name).DEFAULT.meta
    cost = json.loads(warm.run("-m", "vidsemi", "flops", "--model", f"torchvision/{name}", "--json").stdout)
    assert cost["parameters"] == meta["num_params"]
    assert cost["gmacs_per_view"] == pytest.approx(meta["_ops"], abs=0.0006)


@pytest.mark.slow
def test_multiply_adds_and_activations_by_hand():
    network = create_model("r2plus1d_10", num_classes=7, frames=4, args={"width": 0.125})
    macs, outputs, groups = 0, 0, {}

    def count(name: str, module: nn.Module, output: torch.Tensor) -> None:
        nonlocal macs, outputs
        products = module.weight[0].numel() if isinstance(module, nn.Conv3d) else module.in_features
        own = output[0].numel() * products
        macs, outputs = macs + own, outputs + output[0].numel()
        group = name.split(".")[0]
        groups[group] = groups.get(group, 0) + own / 1e9

    for name, module in network.named_modules():
        if isinstance(module, nn.Conv3d | nn.Linear):
            module.register_forward_hook(lambda module, _, output, name=name: count(name, module, output))
    network(torch.zeros(2, 3, 4, 24, 24))
    expected = macs / 1e9
    by_hand, expected_outputs = dict(groups), outputs
    cost = measure_cost(network, frames=4, size=24)
    assert cost.gmacs_per_view == pytest.approx(expected, rel=1e-12)
    assert cost.activations_per_view == expected_outputs
    assert cost.gmacs_by_group == pytest.approx(by_hand)
    norms = sum(isinstance(module, nn.BatchNorm3d) for module in network.modules())
    assert cost.uncounted == {"adaptive_avg_pool3d": 1, "add_": 4, "batch_norm": norms}


@pytest.mark.slow
def test_the_network_and_torch_are_left_as_they_were():
    network = create_model("r2plus1d_10", num_classes=7, frames=4, args={"width": 0.125}).train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    measure_cost(network, frames=4, size=24)
    assert network.training
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert torch.backends.mha.get_fastpath_enabled()


def test_operators_without_a_count_are_named():
    class Spectrum(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(4, 2)

        def forward(self, clips: torch.Tensor) -> torch.Tensor:
            return self.fc(torch.fft.rfft(clips.mean(dim=(1, 2, 3)))[:, :4].abs())

    cost = measure_cost(Spectrum(), frames=2, size=16)
    assert cost.uncounted == {"abs": 1, "fft_rfft": 1, "mean": 1}
    assert cost.gmacs_by_group == {"fc": 8e-9}


class Products(nn.Module):
    """Products of matrices and vectors by many names; the rows are (2, 16)."""

    def __init__(self) -> None:
        super().__init__()
        self.weight, self.norm = nn.Parameter(torch.ones(16, 8)), nn.LayerNorm(8)

    def forward(self, clips: torch.Tensor) -> torch.Tensor:
        rows = clips.mean(dim=(2, 3)).repeat(1, 1, 1).reshape(-1, 16)[:2]  # (2, 16)
        low = self.norm(torch.mm(rows, self.weight))  # 2·16·8
        low = torch.addmm(low, rows, self.weight)  # 2·16·8
        many = rows.unsqueeze(1) @ self.weight.expand(4, 1, 16, 8)  # broadcast to (4, 2, 1, 8): 64·16
        batch = torch.bmm(many.flatten(0, 1), self.weight.T.expand(8, 8, 16))  # (8, 1, 16): 128·8
        batch = torch.baddbmm(batch, many.flatten(0, 1), self.weight.T.expand(8, 8, 16))  # 128·8
        vector = self.weight.T @ rows[0]  # 8·16
        number = vector @ vector  # 8
        return low[:1, :2] + batch.sum() + number


def test_products_of_every_name_are_counted():
    cost = measure_cost(Products(), frames=2, size=16)
    assert cost.gmacs_per_view * 1e9 == pytest.approx(256 + 256 + 1024 + 1024 + 1024 + 128 + 8)
    assert "layer_norm" in cost.uncounted
    assert not {"mm", "addmm", "matmul", "bmm", "baddbmm"} & cost.uncounted.keys()


def test_convolutions_whose_padding_is_a_word_are_counted():
    """Torch has an operator of its own for them."""

    class Same(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.fc = nn.Conv3d(3, 6, (3, 3, 3), groups=3, padding="same"), nn.Linear(6, 2)

        def forward(self, clips: torch.Tensor) -> torch.Tensor:
            return self.fc(self.conv(clips).mean(dim=(2, 3, 4)))

    cost = measure_cost(Same(), frames=2, size=8)
    assert cost.gmacs_by_group == pytest.approx({"conv": 6 * 2 * 8 * 8 * 27 / 1e9, "fc": 12e-9})
    assert cost.activations_per_view == 6 * 2 * 8 * 8 + 2


def test_groups_that_no_module_has_are_other():
    class Direct(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc, self.head = nn.Linear(16, 8), nn.Linear(8, 2)

        def forward(self, clips: torch.Tensor) -> torch.Tensor:
            rows = self.fc(clips.mean(dim=(1, 2, 3)))
            return self.head(rows @ torch.ones(8, 8))

    cost = measure_cost(Direct(), frames=2, size=16)
    assert cost.gmacs_by_group == pytest.approx({"fc": 128e-9, "head": 16e-9, "other": 64e-9})
    assert cost.gmacs_per_view == pytest.approx(208e-9)


@pytest.mark.slow
def test_the_command(capsys: pytest.CaptureFixture[str]):
    command = ["flops", "--model", "r2plus1d_10", "--frames", "4", "--size", "32", "--args", "width=0.125"]
    assert cli.main([*command, "--views", "3"]) == 0
    text = capsys.readouterr().out
    assert "r2plus1d_10, 4 frames of 32×32, 400 classes (--classes)" in text
    assert "| layer4 |" in text
    assert "not counted: adaptive_avg_pool3d ×1, add_ ×4, batch_norm ×21" in text
    assert cli.main([*command, "--views", "3", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["gmacs_per_video"] == pytest.approx(3 * document["gmacs_per_view"])
    assert sum(document["gmacs_by_group"].values()) == pytest.approx(document["gmacs_per_view"])
    assert document["args"] == {"width": 0.125}
    assert f"parameters      {document['parameters'] / 1e6:.2f}M\n" in text
    assert cli.main([*command, "--classes", "7", "--json"]) == 0
    fewer = json.loads(capsys.readouterr().out)
    assert document["parameters"] - fewer["parameters"] == (400 - 7) * (64 + 1)  # a head of 64 planes
    assert (document["classes"], fewer["classes"]) == (400, 7)


@pytest.mark.parametrize(
    ("options", "code", "mentions"),
    [
        (["--model", "r2plus1d_18"], "model.frames_missing", "frames"),
        (["--model", "mvit_v2_s"], "model.unknown", "'torchvision/mvit_v2_s'"),
        (["--model", "torchvision/mvit_v2_s", "--size", "112"], "model.input_mismatch", "16 frames of 112×112"),
        (["--model", "r2plus1d_18", "--frames", "0"], "options.invalid", "--frames is 0"),
        (["--model", "r2plus1d_18", "--frames", "8", "--args", "width"], "options.invalid", "--args"),
        (["--model", "r2plus1d_18", "--frames", "8", "--args", "width=[1]"], "options.invalid", "width"),
    ],
)
def test_bad_options_are_one_line(options: list[str], code: str, mentions: str, capsys: pytest.CaptureFixture[str]):
    assert cli.main(["flops", *options]) == 2
    error = capsys.readouterr().err
    assert f"[{code}]" in error
    assert mentions in error
    assert error.count("\n") == 1
