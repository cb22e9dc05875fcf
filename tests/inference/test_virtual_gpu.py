"""The CUDA branches of scoring on a virtual GPU: the scores of a CPU, and no wait for a later pass."""

import numpy as np
import pytest
import torch
from torch import nn

from tests.helpers.virtual_cuda import virtual_cuda
from tests.helpers.virtual_streams import Stream
from vidsemi.config import Runtime
from vidsemi.data.input_spec import InputSpec
from vidsemi.data.manifest import Row
from vidsemi.data.views import ViewRequest
from vidsemi.inference.model import Inference
from vidsemi.inference.score_views import VideoScore, _Batcher
from vidsemi.io.errors import UserError
from vidsemi.runtime.device import pick_device

SPEC = InputSpec(frames=4, stride=1, resize=(20, 24), crop=16, mean=(0.4, 0.5, 0.3), std=(0.2, 0.25, 0.3))
CPU = torch.device("cpu")
VIDEOS = np.random.default_rng(0).integers(0, 256, (6, 4, 4, 3, 16, 16), dtype=np.uint8)  # of 4 clips


class Small(nn.Module):
    """A network that runs out of memory with more than `room` clips."""

    def __init__(self, room: int = 1_000):
        super().__init__()
        torch.manual_seed(0)
        layers = nn.Conv3d(3, 8, 3, 2, bias=False), nn.BatchNorm3d(8), nn.ReLU(inplace=True)
        self.layers = nn.Sequential(*layers, nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(8, 5))
        self.room = room

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if len(x) > self.room:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return self.layers(x)


def scored(batcher: _Batcher) -> list[VideoScore]:
    found: list[VideoScore] = []
    for number, clips in enumerate(VIDEOS):
        batcher.add(ViewRequest(Row(number, f"{number}.mp4"), 0, 4, 4), clips)
        found += batcher.scored()
    batcher.flush()
    return found + list(batcher.scored())


def wanted() -> list[np.ndarray]:
    infer = Inference(Small(), SPEC, CPU)
    return [infer([clips]).mean(0).numpy() for clips in VIDEOS]


@pytest.mark.parametrize(("precision", "tolerance"), [("float32", 1e-5), ("bfloat16", 0.02)])
def test_scores_of_a_gpu_that_is_not_the_first(precision: str, tolerance: float):
    """Processes of `vidsemi score` are not connected: nothing but `pick_device` makes their GPU the current one."""
    with virtual_cuda(gpus=4) as gpu:
        infer = Inference(Small(), SPEC, pick_device(Runtime(device="cuda:3")), precision)
        gpu.waits.clear()
        scores = infer([VIDEOS[0], VIDEOS[1]])
        assert scores.device == torch.device("cuda:3")
        assert not gpu.waits
        with pytest.raises(TypeError, match="can't convert cuda:3"):
            scores.numpy()
        found = scored(_Batcher(infer, 4))
    for score, expected in zip(found, wanted(), strict=True):
        np.testing.assert_allclose(score.probabilities, expected, atol=tolerance)


def test_fetching_the_scores_of_a_pass_does_not_wait_for_the_next():
    with virtual_cuda() as gpu:
        batcher = _Batcher(Inference(Small(), SPEC, torch.device("cuda:0")), 4)
        gpu.waits.clear()
        assert len(scored(batcher)) == len(VIDEOS)
    assert not gpu.waits
    assert len(gpu.event_waits) == len(VIDEOS)


def test_the_next_pass_is_copied_while_a_pass_is_computed():
    with virtual_cuda() as gpu:
        batcher = _Batcher(Inference(Small(), SPEC, torch.device("cuda:0")), 4)
        gpu.copies.clear()
        found = scored(batcher)
        copying, computing = gpu.copies[0][0], gpu.stream("cuda:0")
        assert not gpu.unrecorded
    for score, expected in zip(found, wanted(), strict=True):
        np.testing.assert_allclose(score.probabilities, expected, atol=1e-5)
    assert copying is not computing
    assert copying.launched == copying.copies  # copies and no kernels
    assert not copying.seen  # it waits for no kernel
    # Each pass is copied before the host waits for the scores of the pass before it.
    assert gpu.copies == [(copying, max(number - 1, 0)) for number in range(len(VIDEOS))]


def test_a_stream_that_does_not_wait_for_the_copy_is_an_error(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(Stream, "wait_stream", lambda *_: None)
    with virtual_cuda(), pytest.raises(RuntimeError, match="another one may still be writing"):
        Inference(Small(), SPEC, torch.device("cuda:0"))([VIDEOS[0]])


def test_memory_that_another_stream_uses_has_to_be_recorded():
    with virtual_cuda() as gpu:
        side = torch.cuda.Stream("cuda:0")
        with torch.cuda.stream(side):
            numbers = torch.ones(3, device="cuda:0") * 2
        torch.cuda.current_stream().wait_stream(side)
        assert (numbers + 1).tolist() == [3, 3, 3]
        assert gpu.unrecorded
        numbers.record_stream(torch.cuda.current_stream())
        assert not gpu.unrecorded


def test_pinned_memory_may_not_be_overwritten_before_its_copy_is_done():
    with virtual_cuda():
        pinned = torch.zeros(3).pin_memory()
        copy = pinned.to("cuda:0", non_blocking=True)
        with pytest.raises(RuntimeError, match="pinned memory"):
            pinned.fill_(1)
        copied = torch.cuda.Event()
        copied.record()
        copied.synchronize()
        pinned.fill_(1)
        assert copy.tolist() == [0, 0, 0]


def test_scoring_halves_its_passes_when_memory_is_short(caplog: pytest.LogCaptureFixture):
    batcher = _Batcher(Inference(Small(room=3), SPEC, CPU), 8)
    for score, expected in zip(scored(batcher), wanted(), strict=True):
        np.testing.assert_allclose(score.probabilities, expected, atol=1e-6)
    assert [record.args[-1] for record in caplog.records] == [4, 2]  # clips a pass, once each


def test_one_clip_that_does_not_fit_is_an_error():
    with pytest.raises(UserError) as error:
        scored(_Batcher(Inference(Small(room=0), SPEC, CPU), 8))
    assert error.value.code == "device.out_of_memory"
