"""Options for fine-tuning large networks, against plain torch: AdamW, layer-wise rates, frozen parts, checkpointing."""

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import nn
from torch.nn import functional

from tests.helpers.errors import refused
from tests.helpers.reference_training import SPEC, assert_close, by_hand, make_data, small, trained
from vidsemi.config import Recipe, Runtime
from vidsemi.data.normalize import normalize
from vidsemi.models.registry import create_model
from vidsemi.pipeline.stage import to_json
from vidsemi.training.gradient_checkpointing import start
from vidsemi.training.layers import depths_of, layers_of
from vidsemi.training.optimizer import freeze, make_optimizer

RECIPE = {"examples": 24, "batch_size": 8, "learning_rate": 0.1}


@pytest.fixture
def data() -> list[tuple[np.ndarray, torch.Tensor]]:
    return make_data()


class Transformer(nn.Module):
    """As the public ones are built: embeddings, a list of blocks, a norm, a head."""

    def __init__(self):
        super().__init__()
        self.position = nn.Parameter(torch.zeros(1, 8))
        self.embed = nn.Linear(8, 8)
        self.encoder = nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16), 3, enable_nested_tensor=False)
        self.norm = nn.LayerNorm(8)
        self.head = nn.Linear(8, 5)


def loop(network: nn.Module, data: list, optimizer: torch.optim.Optimizer, norms_fixed: bool = False) -> nn.Module:
    """The steps in plain torch with any optimizer."""
    if norms_fixed:
        network[1].eval()
    for clips, targets in data:
        optimizer.zero_grad()
        functional.cross_entropy(network(normalize(torch.from_numpy(clips), SPEC)), targets).backward()
        optimizer.step()
    return network


def test_adamw_is_torchs(data: list):
    """Without batch norm, before which a bias has a gradient of rounding alone, of whatever sign."""

    def fresh() -> nn.Module:
        return small(lambda planes: nn.GroupNorm(1, planes))

    plain = fresh()
    plain = loop(plain, data, torch.optim.AdamW(plain.parameters(), 0.1, (0.9, 0.999), weight_decay=0.3))
    ours = trained(fresh(), data, optimizer="adamw", weight_decay=0.3)[0]
    assert_close(ours, plain, rtol=1e-3, atol=1e-5)
    assert not torch.allclose(ours[5].weight, by_hand(fresh(), data, weight_decay=0.3)[5].weight, atol=1e-3)


def test_each_layer_has_its_learning_rate(data: list):
    """Of three layers, the head has the recipe's rate, and each before it half of the next one's."""
    plain = small()
    rates = {0: 0.025, 1: 0.05, 5: 0.1}
    groups = [{"params": plain[number].parameters(), "lr": rate} for number, rate in rates.items()]
    loop(plain, data, torch.optim.SGD(groups, 0.1, momentum=0.9, weight_decay=1e-4))
    assert_close(trained(small(), data, layer_decay=0.5)[0], plain)


def depth_by_layer(network: nn.Module) -> dict[str, int]:
    layers = layers_of(network)
    return dict(zip([layer.name for layer in layers], depths_of(layers), strict=True))


def test_layers_are_the_blocks_and_what_is_before_and_after_them():
    network = Transformer()
    blocks = {f"encoder.layers.{number}": number + 1 for number in range(3)}
    assert depth_by_layer(network) == {"embed": 0, **blocks, "norm": 4, "head": 4}
    assert any(own is network.position for own in layers_of(network)[0].parameters)
    deep = create_model("r2plus1d_18", num_classes=8, frames=8, args={"width": 0.0625})
    names = ["stem", *(f"layer{number}.{block}" for number in range(1, 5) for block in range(2)), "fc"]
    assert depth_by_layer(deep) == {name: depth for depth, name in enumerate(names)}
    shallow = create_model("r2plus1d_10", num_classes=8, frames=8, args={"width": 0.0625})
    assert [*depth_by_layer(shallow)] == ["stem", "layer1", "layer2", "layer3", "layer4", "fc"]
    for one in (network, deep, shallow):
        owned = [id(parameter) for layer in layers_of(one) for parameter in layer.parameters]
        assert sorted(owned) == sorted(map(id, one.parameters()))


def test_learning_rates_of_a_transformer_by_hand():
    """As BEiT and VideoMAE count them: 0.5 per block below the head, and norms and biases without decay."""
    network = Transformer()
    recipe = Recipe(**RECIPE, layer_decay=0.5, no_decay_norm_and_bias=True, optimizer="adamw", weight_decay=0.05)
    optimizer, shares = make_optimizer(network, recipe)
    found = {
        id(parameter): (share, group["weight_decay"])
        for group, share in zip(optimizer.param_groups, shares, strict=True)
        for parameter in group["params"]
    }
    assert len(found) == len([*network.parameters()])
    for parameter, expected in {
        network.position: (0.5**4, 0.05),
        network.embed.bias: (0.5**4, 0.0),
        network.encoder.layers[0].linear1.weight: (0.5**3, 0.05),
        network.encoder.layers[2].norm1.weight: (0.5, 0.0),
        network.norm.weight: (1.0, 0.0),
        network.head.weight: (1.0, 0.05),
    }.items():
        assert found[id(parameter)] == pytest.approx(expected)


@pytest.mark.parametrize("micro_batches", [1, 4])
def test_frozen_batch_norm_is_that_of_evaluation(data: list, micro_batches: int):
    """Its statistics and its weights stay to the bit; the rest trains as with a batch norm in eval mode."""

    def warm() -> nn.Module:
        network = small()
        network[1].running_mean.uniform_(-1, 1, generator=torch.Generator().manual_seed(1))
        network[1].running_var.uniform_(0.5, 2, generator=torch.Generator().manual_seed(2))
        return network

    plain = warm()
    parameters = [*plain[0].parameters(), *plain[5].parameters()]
    loop(plain, data, torch.optim.SGD(parameters, 0.1, momentum=0.9, weight_decay=1e-4), norms_fixed=True)
    ours = trained(warm(), data, micro_batches, frozen_batch_norm=True)[0]
    assert_close(ours, plain)
    for name, value in warm()[1].state_dict().items():
        assert torch.equal(ours[1].state_dict()[name], value), name


def test_everything_before_a_module_stays_fixed(data: list):
    ours = trained(small(), data, 2, freeze_until="5", ema=0.5)[0]
    before = small()
    for name, value in before.state_dict().items():
        assert torch.equal(ours.state_dict()[name], value) == (not name.startswith("5.")), name
    plain = small()
    loop(plain, data, torch.optim.SGD(plain[5].parameters(), 0.1, momentum=0.9, weight_decay=1e-4), norms_fixed=True)
    assert_close(trained(small(), data, freeze_until="5")[0], plain)


def test_precise_batch_norm_leaves_what_is_frozen(data: list):
    from vidsemi.training.train_step import TrainStep

    network = create_model("r2plus1d_10", num_classes=5, frames=4, args={"width": 0.0625})
    recipe = Recipe(**RECIPE, freeze_until="layer3")
    step = TrainStep(network, recipe, SPEC, 1, torch.device("cpu"), Runtime())
    step.finish([normalize(torch.from_numpy(data[0][0]), SPEC)], 1)
    assert network.stem[1].running_mean.abs().max() == 0 and network.layer4[0].conv1[1].running_mean.abs().max() > 0


@pytest.mark.parametrize("extra", [{}, {"precision": "bfloat16"}, {"frozen_batch_norm": True}])
def test_gradient_checkpointing_changes_no_bit(data: list, extra: dict):
    def fresh() -> nn.Module:
        torch.manual_seed(0)
        network = create_model("r2plus1d_10", num_classes=5, frames=4, args={"width": 0.0625})
        network.layer2.append(nn.Sequential(nn.Dropout(0.5)))
        return network

    kept, again = ({}, {"gradient_checkpointing": True})
    settings = {"mixup": 0.3, "ema": 0.9, **extra}
    (one, *figures), (two, *others) = (trained(fresh(), data, 2, **settings, **more) for more in (kept, again))
    for name, value in one.state_dict().items():
        assert torch.equal(two.state_dict()[name], value), name
    assert figures[0].tolist() == others[0].tolist()
    assert not any("forward" in vars(module) for module in two.modules())  # nothing of it is left


def test_checkpointed_layers_keep_fewer_activations():
    """What autograd holds between the passes, of a network whose layers all are alike."""

    def held(checkpointed: bool) -> int:
        network = nn.Sequential(*(nn.Sequential(nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 64)) for _ in range(6)))
        if checkpointed:
            start(network)
        sizes = []
        with torch.autograd.graph.saved_tensors_hooks(lambda x: sizes.append(x.numel()) or x, lambda x: x):
            network(torch.zeros(32, 64, requires_grad=True))
        return sum(sizes)

    assert held(True) < held(False) / 2


def test_a_layer_that_changes_its_input_is_refused(data: list):
    class Layer(nn.Sequential):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(x.mul_(2))

    network = small()
    network[2] = Layer(nn.Conv3d(6, 6, 1), nn.ReLU())
    with refused("recipe.changes_its_input", "Layer"):
        trained(network, data, gradient_checkpointing=True)


def test_names_that_are_not_there_are_refused(data: list):
    network = create_model("r2plus1d_10", num_classes=5, frames=4, args={"width": 0.0625})
    for name, code, words in (
        ("layer5", "recipe.unknown_module", "layer4"),
        ("stem", "recipe.nothing_frozen", "stem"),
    ):
        with refused(code, words):
            freeze(network, Recipe(**RECIPE, freeze_until=name))
    with refused("recipe.all_frozen", "1"):
        freeze(nn.Sequential(nn.Linear(2, 2), nn.ReLU()), Recipe(**RECIPE, freeze_until="1"))
    with refused("recipe.no_layers", "gradient_checkpointing"):
        trained(small(), data, gradient_checkpointing=True)
    with refused("recipe.compiled_checkpointing", "runtime.compile"):
        trained(small(), data, runtime=Runtime(compile=True), gradient_checkpointing=True)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"optimizer": "adamw", "nesterov": True}, "nesterov"),
        ({"optimizer": "adamw", "momentum": 0.8}, "momentum"),
        ({"frozen_batch_norm": True, "sync_batch_norm": True}, "sync_batch_norm"),
        ({"frozen_batch_norm": True, "precise_batch_norm": 3}, "precise_batch_norm"),
        ({"gradient_checkpointing": True, "sync_batch_norm": True}, "sync_batch_norm"),
        ({"layer_decay": 0.0}, "layer_decay"),
        ({"layer_decay": 1.1}, "layer_decay"),
        ({"optimizer": "adam"}, "optimizer"),
    ],
)
def test_combinations_that_cannot_be_are_refused(values: dict, words: str):
    with pytest.raises(ValidationError, match=words):
        Recipe(**RECIPE, **values)


def test_a_recipe_without_them_is_the_document_it_was():
    """Finished stages stay done, and weights keep their bytes."""
    keys = {"optimizer", "layer_decay", "frozen_batch_norm", "freeze_until", "gradient_checkpointing"}
    plain = Recipe(**RECIPE)
    assert not keys & plain.model_dump().keys() and not keys & to_json(plain).keys()
    assert plain.model_dump().keys() == Recipe.model_fields.keys() - keys
    others = {"optimizer": "adamw", "layer_decay": 0.5, "frozen_batch_norm": True, "freeze_until": "fc"}
    for key, value in {**others, "gradient_checkpointing": True}.items():
        own = Recipe(**RECIPE, **{key: value})
        assert to_json(own) == {**to_json(plain), key: value}
        assert Recipe.model_validate(own.model_dump()) == own
