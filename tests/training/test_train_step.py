"""A train step against plain torch: micro-batches, moving average, mixup, weight decay, gradient clipping."""

import shutil
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from tests.helpers.reference_training import (
    CLASSES,
    CPU,
    SPEC,
    STEPS,
    assert_close,
    batch,
    by_hand,
    make_data,
    small,
    trained,
)
from vidsemi.config import Recipe, Runtime
from vidsemi.data.normalize import normalize
from vidsemi.io.errors import UserError
from vidsemi.training.train_step import TrainStep, mixup


@pytest.fixture(scope="module")
def data() -> list:
    return make_data()


@pytest.mark.parametrize("channels_last", [True, False])
def test_a_step_is_plain_sgd_on_soft_targets(data: list, channels_last: bool):
    ours, metrics, norm = trained(small(), data, runtime=Runtime(channels_last=channels_last))
    plain = by_hand(small(), data)
    assert_close(ours, plain)
    before_last = by_hand(small(), data[:-1])
    clips, targets = data[-1]
    logits = before_last(normalize(torch.from_numpy(clips), SPEC))
    loss = functional.cross_entropy(logits, targets)
    before_last.zero_grad()
    loss.backward()
    assert metrics[0].item() == pytest.approx(loss.item(), rel=1e-4)
    assert metrics[1].item() == (logits.argmax(1) == targets.argmax(1)).sum()  # its likeliest class, of soft targets
    expected = sum(parameter.grad.square().sum() for parameter in before_last.parameters()).sqrt()
    assert norm.item() == pytest.approx(expected.item(), rel=1e-3)
    assert ours[0].weight.is_contiguous()


def test_correct_means_that_the_highest_scoring_class_is_one_of_the_clips(data: list):
    clips, _ = data[0]
    network = small()
    with torch.no_grad():
        best = network.train()(normalize(torch.from_numpy(clips), SPEC)).argmax(1)
    targets = functional.one_hot(best, CLASSES).float()
    targets[3:] = targets[3:].roll(1, dims=1)
    assert trained(small(), [(clips, targets)])[1][1].item() == 3


def test_micro_batches_without_batch_norm_equal_the_whole_batch(data: list):
    def group_norm(planes: int) -> nn.Module:
        return nn.GroupNorm(2, planes)

    whole, metrics, norm = trained(small(group_norm), data)
    for micro_batches in (2, 4):
        split, same_metrics, same_norm = trained(small(group_norm), data, micro_batches)
        assert_close(split, whole)
        assert torch.allclose(metrics, same_metrics)
        assert torch.allclose(norm, same_norm)


def test_each_micro_batch_has_its_own_batch_norm_statistics(data: list):
    """Against copies that share weights but not statistics, whose gradients and statistics are averaged."""
    ours, _, _ = trained(small(), data, micro_batches=4)
    copies = [small() for _ in range(4)]
    optimizers = [torch.optim.SGD(copy.parameters(), 0.1, momentum=0.9, weight_decay=1e-4) for copy in copies]
    for clips, targets in data:
        for network, optimizer, own, target in zip(
            copies, optimizers, np.split(clips, 4), targets.chunk(4), strict=True
        ):
            optimizer.zero_grad()
            functional.cross_entropy(network(normalize(torch.from_numpy(own), SPEC)), target).backward()
        for same in zip(*[network.parameters() for network in copies], strict=True):
            mean = torch.stack([parameter.grad for parameter in same]).mean(0)
            for parameter in same:
                parameter.grad = mean.clone()
        for optimizer in optimizers:
            optimizer.step()
    wanted = copies[0]
    for name in ("running_mean", "running_var"):
        getattr(wanted[1], name).copy_(torch.stack([getattr(network[1], name) for network in copies]).mean(0))
    assert_close(ours, wanted)
    whole, _, _ = trained(small(), data)
    assert not torch.allclose(ours[0].weight, whole[0].weight, rtol=1e-4)


def test_label_smoothing_spreads_a_share_over_all_classes(data: list):
    def loss(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        smooth = 0.8 * targets + 0.2 / CLASSES
        return -(smooth * logits.log_softmax(1)).sum(1).mean()

    assert_close(trained(small(), data, label_smoothing=0.2)[0], by_hand(small(), data, loss))


def test_gradients_are_clipped(data: list):
    plain = small()

    def clip() -> None:
        norm = sum(parameter.grad.square().sum() for parameter in plain.parameters()).sqrt()
        assert norm > 0.05
        for parameter in plain.parameters():
            parameter.grad *= 0.05 / norm

    by_hand(plain, data, after=clip)
    ours, _, norm = trained(small(), data, max_grad_norm=0.05)
    assert_close(ours, plain, rtol=1e-3)
    assert norm.item() > 0.05  # before clipping


def test_no_weight_decay_on_norms_and_biases(data: list):
    plain, ours = small(), trained(small(), data, weight_decay=0.5, no_decay_norm_and_bias=True)[0]
    kernels = [plain[0].weight, plain[5].weight]

    def decay() -> None:
        for kernel in kernels:
            kernel.grad += 0.5 * kernel.detach()

    by_hand(plain, data, after=decay, weight_decay=0.0)
    assert_close(ours, plain)
    assert_close(trained(small(), data, weight_decay=0.5)[0], by_hand(small(), data, weight_decay=0.5))


def test_nesterov(data: list):
    plain = small()
    assert_close(trained(small(), data, nesterov=True)[0], by_hand(plain, data, nesterov=True))
    assert not torch.allclose(plain[0].weight, by_hand(small(), data)[0].weight)


def test_the_moving_average_is_kept(data: list):
    expected = {}
    plain = small()
    for number, step in enumerate(data):
        by_hand(plain, [step], momentum=0.0)
        for name, value in plain.state_dict().items():
            if value.is_floating_point():
                expected[name] = value.clone() if number == 0 else 0.75 * expected[name] + 0.25 * value
    ours = trained(small(), data, ema=0.75, momentum=0.0)[0].state_dict()
    assert all(torch.allclose(ours[name], value, rtol=1e-4, atol=1e-6) for name, value in expected.items())


def test_mixup_mixes_clips_and_targets_alike(data: list):
    clips, targets = normalize(torch.from_numpy(data[0][0]), SPEC), data[0][1]
    torch.manual_seed(3)
    new_clips, new_targets = mixup(clips, targets, 0.4)
    shares = (new_targets - targets) / (targets.flip(0) - targets)
    share = shares.median()
    assert 0 < share < 1
    assert torch.allclose(shares, share, atol=1e-3)
    assert torch.allclose(new_clips, (1 - share) * clips + share * clips.flip(0), atol=1e-3)
    assert torch.allclose(new_targets.sum(1), torch.ones(8))
    torch.manual_seed(0)
    means = torch.stack([(mixup(targets, targets, 0.4)[1][0, 0] - targets[0, 0]) for _ in range(500)])
    assert (means / (targets[7, 0] - targets[0, 0])).mean() == pytest.approx(0.5, abs=0.08)  # Beta(α, α) is symmetric
    assert not torch.allclose(trained(small(), data, mixup=0.4)[0][0].weight, trained(small(), data)[0][0].weight)


def test_another_number_of_classes_is_an_error(data: list):
    clips, _ = data[0]
    with pytest.raises(UserError, match=r"\(8, 5\).*\(8, 4\)") as error:
        trained(small(), [(clips, torch.full((8, 4), 0.25))])
    assert error.value.code == "network.wrong_output"


def test_precise_batch_norm_averages_over_the_trained_network(data: list):
    """Against means and variances of the inputs of batch norm, over all clips at once."""
    recipe = Recipe(examples=24, batch_size=8, learning_rate=0.1)
    train_step = TrainStep(small(), recipe, SPEC, 1, CPU, Runtime())
    clips = [normalize(torch.from_numpy(own), SPEC) for own, _ in data]
    weights = {name: value.clone() for name, value in train_step.network.named_parameters()}
    train_step.finish(iter(clips), STEPS)
    values = train_step.network[0](torch.cat(clips)).transpose(0, 1).flatten(1)
    assert torch.allclose(train_step.network[1].running_mean, values.mean(1), atol=1e-5)
    assert torch.allclose(train_step.network[1].running_var, values.var(1), rtol=1e-3)
    assert all(torch.equal(value, weights[name]) for name, value in train_step.network.named_parameters())


@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler on CPUs")
@pytest.mark.slow
def test_a_compiled_network_trains_the_same(data: list):
    from torch._inductor import config

    # compiled here, and without trials of the vector instructions: both would be in processes that import torch first
    with config.patch({"compile_threads": 1, "cpp.vec_isa_ok": True}):
        compiled = trained(small(), data, runtime=Runtime(compile=True))[0]
    assert_close(compiled, trained(small(), data)[0], rtol=1e-3, atol=1e-5)


def test_every_training_run_of_a_process_is_compiled_but_not_its_smaller_last_step(
    data: list, monkeypatch: pytest.MonkeyPatch
):
    """torch keeps 8 graphs for a forward function, which the networks of a run share."""
    graphs: list[int] = []

    def count(graph: torch.fx.GraphModule, _: object) -> Callable:
        graphs.append(1)
        return graph.forward

    compile_module = nn.Module.compile
    monkeypatch.setattr(nn.Module, "compile", lambda self, **settings: compile_module(self, backend=count, **settings))

    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = small()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.layers(x)

    made = []
    for _ in range(10):
        train_step = TrainStep(
            Network(), Recipe(examples=12, batch_size=8, learning_rate=0.1), SPEC, 1, CPU, Runtime(compile=True)
        )
        clips, targets = data[0]
        for clips_of_step in (8, 8, 4):
            train_step.run([batch(clips[:clips_of_step], targets[:clips_of_step])], [7], clips_of_step, 0.1)
        train_step.finish()
        made.append(len(graphs))
        graphs.clear()
    assert made == [1] * 10
