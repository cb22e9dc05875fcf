"""Registries, the plug-ins of other packages, and what becomes of those that are wrong."""

import logging
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import vidsemi
from tests.conftest import REPOSITORY
from tests.helpers.builders import spec_for, write_shard
from tests.helpers.errors import assert_refused, refused
from tests.helpers.plugins import isolate, write_package
from vidsemi import Policy, UserError, register_format, register_model, register_policy
from vidsemi.cli import main as cli
from vidsemi.cli.options import error_line
from vidsemi.config.load import load_config
from vidsemi.data.formats import formats
from vidsemi.models.build import check_network
from vidsemi.models.registry import _MODELS, create_model, pretrained_config
from vidsemi.models.weights_file import load, load_weights, save, save_weights
from vidsemi.pipeline.resolve import resolve
from vidsemi.selection.policies import get_policy
from vidsemi.selection.score_format import ScoresInfo

PROJECT = """
[project]
name = "{name}"
version = "2.1"
[project.entry-points."vidsemi.plugins"]
"""


class Net(nn.Module):
    """Logits from the mean color."""

    def __init__(self, num_classes: int, frames: int):
        super().__init__()
        self.head = nn.Linear(3, num_classes)

    def forward(self, clips: torch.Tensor) -> torch.Tensor:
        """(N, 3, T, H, W) → (N, classes)."""
        return self.head(clips.mean((2, 3, 4)))


class Other(Net):
    """Another class."""


class Worst(Policy):
    """Another policy."""


@pytest.fixture(autouse=True)
def isolated(monkeypatch: pytest.MonkeyPatch) -> None:
    isolate(monkeypatch)


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Path]]:
    """install("acme", good="text of a module", …): a package whose modules are plug-ins."""
    monkeypatch.syspath_prepend(tmp_path)

    def write(name: str, **modules: str) -> Path:
        points = "".join(f'{module} = "{name}.{module}"\n' for module in modules)
        files = {f"{name}/{module}.py": text for module, text in modules.items() if text}
        write_package(tmp_path, PROJECT.format(name=name) + points, files)
        return tmp_path

    yield write
    for name in [name for name in sys.modules if name.partition(".")[0] == "acme"]:
        del sys.modules[name]


REGISTER = {
    "model": (register_model, Net, "r2plus1d_18"),
    "policy": (register_policy, Worst, "random"),
    "format": (lambda name: register_format(name, summary="x"), lambda: None, "folder"),
}


@pytest.mark.parametrize("kind", REGISTER)
@pytest.mark.parametrize("name", ["", "a b", "-x", "../x", "x/", "x" * 101, "é", "a\n", Net])
def test_names_that_no_config_or_command_line_takes(kind: str, name: object):
    with refused("registry.invalid_name", f"@register_{kind}("):
        REGISTER[kind][0](name)


@pytest.mark.parametrize("kind", REGISTER)
def test_a_name_is_registered_once(kind: str):
    register, value, built_in = REGISTER[kind]
    with refused("registry.name_taken", f"'{built_in}'", "vidsemi."):
        register(built_in)(value)
    assert register("my/own-1.0")(value) is value
    other = {"model": Other, "policy": type("Best", (Policy,), {}), "format": max}[kind]
    with refused("registry.name_taken", "'my/own-1.0'", "test_registry"):
        register("my/own-1.0")(other)


def test_the_same_class_may_be_registered_again_but_not_another_lambda():
    register_model("mine")(Net)
    register_model("mine", frames=2)(Net)
    assert pretrained_config("mine").frames == 2
    register_model("a")(lambda **_: Net(2, 1))
    with refused("registry.name_taken", "lambda"):
        register_model("a")(lambda **_: Other(2, 1))
    register_model("b")(partial(Net, frames=2))
    with refused("registry.name_taken", "partial"):
        register_model("b")(partial(Net, frames=3))
    with refused("registry.name_taken", "torchvision"):
        register_model("torchvision/mine")
    with refused("policy.not_a_policy", "Net"):
        register_policy("net")(Net)


def test_plugins_that_fail_are_named_and_the_others_work(
    install: Callable[..., Path], caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
):
    good = "from vidsemi import register_policy, Policy\n@register_policy('{}')\nclass P(Policy): pass\n"
    folder = install(
        "acme",
        a="import acme_lacks_this\n",
        b=good.format("policy_b"),
        c="def f(:\n",
        d="",
        e=good.format("random"),
        f="import sys\nsys.exit(3)\n",
        g="\n\nraise RuntimeError('two\\nlines \x1b[31m')\n",
        h=good.format("policy_h"),
    )
    with caplog.at_level(logging.WARNING):
        assert get_policy("random") and not caplog.records  # built in: no plug-in is needed
        assert get_policy("policy_b") and get_policy("policy_h")
        assert get_policy("policy_h") and formats() and pretrained_config("r2plus1d_18")
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == 6 and all("\n" not in line for line in lines)
    for line, name, *mentioned in zip(
        lines,
        "acdefg",
        ("ModuleNotFoundError", "acme_lacks_this", f"{folder}/acme/a.py, line 1"),
        ("SyntaxError",),
        ("ModuleNotFoundError", "acme.d"),
        ("UserError", "'random'", f"{folder}/acme/e.py, line 2"),
        ("SystemExit", "3"),
        ("RuntimeError", "two", f"{folder}/acme/g.py, line 3"),
        strict=False,
    ):
        assert f"{name} = acme.{name} of acme 2.1" in line
        assert all(text in line for text in mentioned[0])
    with refused("policy.unknown", "'policy_a'", "did you mean 'policy_", "acme_lacks_this"):
        get_policy("policy_a")
    assert cli.main(["flops", "--model", "acme/tiny", "--frames", "2"]) == 2
    assert_refused(capsys.readouterr().err, "model.unknown", "acme/tiny", "acme_lacks_this")


@pytest.mark.slow
def test_plugins_are_loaded_when_they_are_needed(install: Callable[..., Path]):
    folder = install("acme", loud="print('LOADED')\nimport missing\n")
    environment = {**os.environ, "PYTHONPATH": f"{REPOSITORY}:{folder}"}

    def output(code: str, **more: str) -> str:
        command, env = [sys.executable, "-c", code], {**environment, **more}
        done = subprocess.run(command, env=env, check=True, text=True, capture_output=True)
        assert "LOADED" not in done.stdout  # which is for results
        return done.stdout + done.stderr

    usage = (
        "import vidsemi.cli.main as m, contextlib\nwith contextlib.suppress(SystemExit):\n    m.main([{}'--help'])\n"
    )
    assert "LOADED" not in output(usage.format(""))
    listed = output(usage.format("'manifest', "))
    assert listed.count("LOADED") == listed.count("missing") == 1
    taken = "import vidsemi\ntry: vidsemi.register_format('folder', summary='x')(lambda: 0)\n"
    assert "vidsemi.data.formats.folder." in output(f"{taken}except vidsemi.UserError as error: print(error)")
    ranks = {"RANK": "1", "WORLD_SIZE": "2"}
    assert output(usage.format("'manifest', "), **ranks).count("missing") == 0  # the first process warns


@pytest.mark.slow
def test_a_network_of_a_plugin_keeps_its_weights_and_its_input(install: Callable[..., Path], tmp_path: Path):
    install("acme", broken="raise OSError('no license')\n")
    register_model("mine", frames=3, crop=24, resize=(30, 40), stride=2, mean=(0.1, 0.2, 0.3))(Net)
    spec = spec_for("mine", 5)
    assert (spec.input.frames, spec.input.crop, spec.input.resize, spec.input.stride) == (3, 24, (30, 40), 2)
    assert spec.input.mean == (0.1, 0.2, 0.3) and spec_for("mine", 5, frames=7).input.frames == 7
    check_network(spec)
    network = spec.build()
    save_weights(tmp_path / "w.pt", network, spec, {})
    loaded, stored = load_weights(tmp_path / "w.pt")
    assert stored == spec and all(map(torch.equal, loaded.state_dict().values(), network.state_dict().values()))

    model = vidsemi.load_model(tmp_path / "w.pt")
    assert model.classes == spec.classes and vidsemi.create_model("mine", 5).input == spec.input
    del _MODELS._values["mine"]
    with refused("weights.missing_plugin", tmp_path / "w.pt", "'mine'", __name__, "no license"):
        load_weights(tmp_path / "w.pt")
    for plugin in ({"x": 1}, 7, ["a"]):  # of a stranger
        save(tmp_path / "odd.pt", {**load(tmp_path / "w.pt"), "plugin": plugin})
        with refused("model.unknown", "'mine'"):
            load_weights(tmp_path / "odd.pt")
    save(tmp_path / "odd.pt", {**load(tmp_path / "w.pt"), "plugin": "\x1b[31m" + "x" * 10**6})
    with pytest.raises(UserError) as caught:
        load_weights(tmp_path / "odd.pt")
    line = error_line(caught.value)
    assert "[weights.missing_plugin]" in line and "\x1b" not in line and len(line) < 3000


def test_networks_of_the_paper_name_no_plugin(weights: Path):
    assert "plugin" not in load(weights)


def test_networks_that_fail_are_refused():
    def fails(num_classes: int, frames: int, width: int = 3) -> nn.Module:
        return nn.Linear(width, num_classes).nothing  # type: ignore[return-value]

    register_model("fails")(fails)
    with refused("model.invalid_args", "'fails'", "nothing", f"{__file__}, line"):
        create_model("fails", num_classes=2, frames=1)
    with refused("model.invalid_args", "'fails'", "height"):
        create_model("fails", num_classes=2, frames=1, args={"height": 1})
    register_model("text")(lambda **_: "net")
    with refused("model.not_a_module", "'text'", "str"):
        create_model("text", num_classes=2, frames=1)
    register_model("narrow")(lambda num_classes, frames: Net(num_classes + 1, frames))
    with refused("model.output_mismatch", "narrow", "(2, 6)", "(2, 5)"):
        check_network(spec_for("narrow", 5, frames=2))
    with refused("model.frames_missing", "narrow", "frames"):
        spec_for("narrow", 5)


def test_a_network_that_reads_values_while_it_is_built():
    def builds(num_classes: int, frames: int) -> nn.Module:
        assert float(torch.linspace(0, 1, 3)[1]) == 0.5  # impossible on the meta device
        return Net(num_classes, frames)

    register_model("reads")(builds)
    spec = spec_for("reads", 5, frames=2)
    check_network(spec)
    assert spec.head_keys == {"head.weight", "head.bias"}


@pytest.mark.parametrize(
    ("quotas", "priority", "code"),
    [
        (lambda k, counts: np.full(len(counts), 1.0), None, "policy.invalid_quotas"),
        (lambda k, counts: counts[1:], None, "policy.invalid_quotas"),
        (lambda k, counts: counts - 1, None, "policy.invalid_quotas"),
        (lambda k, counts: k, None, "policy.invalid_quotas"),
        (None, lambda example, label: np.zeros(len(example)), "policy.invalid_priority"),
        (None, lambda example, label: np.full(len(example), 2, np.float32), "policy.invalid_priority"),
        (None, lambda example, label: np.full(len(example), np.nan, np.float32), "policy.invalid_priority"),
        (None, lambda example, label: 1, "policy.invalid_priority"),
    ],
)
def test_policies_that_return_something_else_are_refused(
    quotas: Callable | None, priority: Callable | None, code: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    class Mine(Policy):
        def quotas(self, per_class: int, candidates: np.ndarray) -> np.ndarray:
            return quotas(per_class, candidates) if quotas else super().quotas(per_class, candidates)

        def priority(self, seed: int) -> Callable | None:
            return priority

    register_policy("mine")(Mine)
    info = ScoresInfo(manifest="m", weights="w", classes=["a", "b"], per_example=1, views=1, examples=2)
    write_shard(tmp_path, 0, np.arange(2), np.array([[0.9, 0.1], [0.2, 0.8]], np.float32), info)
    words = ["--per-class", "1", "--per-example", "1", "--policy", "mine", "--output", str(tmp_path / "s.parquet")]
    assert cli.main(["select", "--scores", str(tmp_path), *words]) == 2
    assert_refused(capsys.readouterr().err, code, "'mine'")
    assert not (tmp_path / "s.parquet").exists()


@pytest.mark.slow
def test_a_config_with_a_policy_that_does_not_exist(tiny_config: Callable[..., Path]):
    config = load_config(str(tiny_config()), ["select.policy=balanced_rankd"])
    with refused("policy.unknown", "'balanced_rankd'", "did you mean 'balanced_ranked'?"):
        resolve(config)
