"""Networks of transformers from local folders: what they compute, against transformers' own model and processor."""

import json
import shutil
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch

import vidsemi
from tests.helpers.errors import assert_refused, refused
from tests.helpers.hf_folders import CLASSES, FAMILIES, FRAMES, LAYERS, PATCH, SIDE, VIDEO, WIDTH, save_folder
from tests.helpers.videos import write_video
from vidsemi.api.clips import read_clips
from vidsemi.cli import main as cli
from vidsemi.config import Input, Network
from vidsemi.data.normalize import normalize
from vidsemi.models.build import check_network, initialize_all, network_spec
from vidsemi.models.flops import measure_cost, quick_macs
from vidsemi.models.hf_input import input_of
from vidsemi.models.registry import meta_model
from vidsemi.models.weights import fingerprint_weights, read_weights
from vidsemi.models.weights_file import NetworkSpec, load_weights, save_weights

transformers = pytest.importorskip("transformers")
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {family: save_folder(tmp_path_factory.mktemp("hf") / family, family) for family in FAMILIES}


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any) -> None:
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)


def copied(folder: Path, to: Path) -> Path:
    return Path(shutil.copytree(folder, to))


def changed(folder: Path, file: str, **values: Any) -> Path:
    """The folder with other values in one of its JSON files; None removes a key."""
    content = {**json.loads((folder / file).read_text()), **values}
    (folder / file).write_text(json.dumps({key: value for key, value in content.items() if value is not None}))
    return folder


def spec_in(folder: Path, classes: list[str] | None = None, **network: Any) -> NetworkSpec:
    values = {"model": f"hf:{folder}", "input": {"stride": 3}, **network}
    return network_spec(Network.model_validate(values), Input(), classes or CLASSES)


def loaded(folder: Path) -> tuple[torch.nn.Module, NetworkSpec]:
    spec = spec_in(folder)
    network = spec.build().eval()
    initialize_all(network, spec, read_weights(str(folder)))
    return network, spec


def theirs(folder: Path, family: str) -> tuple[Any, Any]:
    """transformers' own network and processor, read from the folder by itself."""
    network, _, processor, _ = FAMILIES[family]
    kinds = getattr(transformers, network), getattr(transformers, processor)
    model, prepare = (kind.from_pretrained(folder, local_files_only=True) for kind in kinds)
    return model.eval(), prepare


@torch.no_grad()
@pytest.mark.parametrize("family", FAMILIES)
def test_logits_are_those_of_transformers(family: str, folders: dict[str, Path]):
    network, spec = loaded(folders[family])
    check_network(spec)
    assert spec.input.frames == (FRAMES if family in VIDEO else 1)
    model, prepare = theirs(folders[family], family)
    random = np.random.default_rng(0)
    frames = random.integers(0, 256, (spec.input.frames, 3, spec.input.crop, spec.input.crop), dtype=np.uint8)
    ours = network(normalize(torch.from_numpy(frames)[None], spec.input))
    given = frames if family in VIDEO else frames[0]
    pixels = prepare(torch.from_numpy(given), return_tensors="pt", do_resize=False, do_center_crop=False)
    torch.testing.assert_close(ours, model(**pixels).logits, atol=1e-5, rtol=1e-5)
    assert ours.std() > 0.01


@torch.no_grad()
@pytest.mark.parametrize("family", FAMILIES)
def test_the_whole_way_from_a_file_is_that_of_transformers(family: str, folders: dict[str, Path], tmp_path: Path):
    """torchvision's antialiased resizing and swscale's differ by some grey levels."""
    network, spec = loaded(folders[family])
    model, prepare = theirs(folders[family], family)
    file = write_video(tmp_path / "video.mp4", 20, size=(96, 128))
    ours = network(read_clips(file, clips=1, input=spec.input))
    with av.open(str(file)) as container:
        decoded = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    start = (len(decoded) - (spec.input.frames - 1) * 3 - 1) // 2
    chosen = torch.from_numpy(np.stack(decoded[start : start + 3 * spec.input.frames : 3])).permute(0, 3, 1, 2)
    if family not in VIDEO:
        chosen = torch.from_numpy(decoded[(len(decoded) - 1) // 2]).permute(2, 0, 1)
    expected = model(**prepare(chosen, return_tensors="pt")).logits
    torch.testing.assert_close(ours, expected, atol=0.05 * float(expected.std()), rtol=0)
    assert ours.argmax() == expected.argmax()


def test_a_weights_file_stands_without_the_folder(folders: dict[str, Path], tmp_path: Path):
    for family in ("videomae", "vjepa2", "convnext"):
        network, spec = loaded(folders[family])
        save_weights(tmp_path / "weights.pt", network, spec, {})
        again, stored = load_weights(tmp_path / "weights.pt")
        assert stored == spec and str(folders[family]) not in str(stored)
        clips = torch.rand(1, 3, spec.input.frames, spec.input.crop, spec.input.crop)
        with torch.no_grad():
            assert torch.equal(network(clips), again.eval()(clips))


def test_a_folder_becomes_a_weights_file(folders: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    folder, file = copied(folders["videomae"], tmp_path / "videomae"), tmp_path / "weights.pt"
    convert = ["convert", "--model", f"hf:{folder}", "--output", str(file)]
    assert cli.main(convert) == 2
    assert_refused(capsys.readouterr().err, "model.stride_missing", "stride")
    assert cli.main([*convert, "--stride", "3"]) == 0
    assert cli.main(["convert", "--model", "r2plus1d_18", "--output", str(file)]) == 2
    assert_refused(capsys.readouterr().err, "convert.missing_option", "--weights")
    ours, direct = vidsemi.load_model(file), vidsemi.load_model(f"hf:{folder}", stride=3)
    assert ours.classes == direct.classes == CLASSES
    assert ours.input == direct.input and ours.input.stride == 3
    clips = torch.rand(1, 3, FRAMES, SIDE, SIDE)
    with torch.no_grad():
        assert torch.equal(ours(clips), direct(clips))

    changed(folder, "config.json", id2label=None, label2id=None, num_labels=5)
    with refused("hf.unnamed_classes", folder / "config.json", 5):
        vidsemi.load_model(f"hf:{folder}", stride=3)
    named = vidsemi.load_model(f"hf:{folder}", stride=3, classes=list("abcde"))
    assert named.classes == list("abcde")
    (tmp_path / "names.txt").write_text("\n".join("vwxyz"))
    assert cli.main([*convert, "--stride", "3", "--classes", str(tmp_path / "names.txt")]) == 0
    again = vidsemi.load_model(file)
    assert again.classes == list("vwxyz")
    with torch.no_grad():
        assert torch.equal(again(clips), direct(clips)) and torch.equal(named(clips), direct(clips))


def test_a_run_fine_tunes_a_public_teacher(
    folders: dict[str, Path], tiny_config: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    """Its head is new, since the labels are other classes; its weights file stands for itself afterwards."""
    folder = copied(folders["videomae"], tmp_path / "public")
    config = str(tiny_config(text="approaches: [semi_supervised]\n"))
    assert cli.main(["run", "--cfg", config, f"teacher={{model: 'hf:{folder}'}}"]) == 2
    assert_refused(capsys.readouterr().err, "model.stride_missing", folder)
    override = f"teacher={{model: 'hf:{folder}', input: {{stride: 1}}}}"
    assert cli.main(["run", "--cfg", config, override]) == 0
    rows = json.loads((tmp_path / "run/results.json").read_text())
    assert rows[0]["model"] == "transformers/VideoMAEForVideoClassification"
    shutil.rmtree(folder)
    model = vidsemi.load_model(tmp_path / "run" / rows[0]["weights"])
    assert model.input.frames == FRAMES and model.input.crop == SIDE
    record = (tmp_path / "run/seed0/teacher/train/stage.json").read_text()
    assert "network.classifier.weight" in record  # among the tensors with fresh values


def test_sizes_of_the_published_processors(folders: dict[str, Path], tmp_path: Path):
    """As the published folders have them: old forms of sizes, files with other names, V-JEPA 2's own rule."""
    folder = copied(folders["vjepa2"], tmp_path / "vjepa2")
    (folder / "video_preprocessor_config.json").write_text('{"size": {"shortest_edge": 7}, "crop_size": 256}')
    takes = input_of(folder)
    assert (takes.resize, takes.crop, takes.mean) == (292, 256, (0.485, 0.456, 0.406))

    folder = copied(folders["videomae"], tmp_path / "videomae")
    (folder / "video_preprocessor_config.json").unlink()
    old = {"size": 224, "crop_size": 224, "do_center_crop": True, "feature_extractor_type": "VideoMAEFeatureExtractor"}
    (folder / "preprocessor_config.json").write_text(json.dumps({**old, "image_mean": [0.1, 0.2, 0.3]}))
    takes = input_of(folder)
    assert (takes.resize, takes.crop, takes.mean, takes.std) == (224, 224, (0.1, 0.2, 0.3), (0.5, 0.5, 0.5))
    (folder / "processor_config.json").write_text('{"video_processor": {"size": {"shortest_edge": 256}}}')
    assert (input_of(folder).resize, input_of(folder).crop) == (256, 224)

    takes = input_of(folders["vivit"])
    assert (takes.mean, takes.std) == ((0.75, 0.75, 0.75), (0.25, 0.25, 0.25))
    takes = input_of(folders["vit"])
    assert (takes.frames, takes.stride, takes.resize, takes.crop) == (1, 1, (SIDE, SIDE), SIDE)
    assert input_of(folders["convnext"]).resize == int(SIDE / 0.875)
    assert input_of(folders["videomae"]).stride is None


def test_shards_and_half_precision(folders: dict[str, Path], tmp_path: Path):
    folder = tmp_path / "shards"
    network, *_ = theirs(folders["videomae"], "videomae")
    network.half().save_pretrained(folder, max_shard_size="50KB")
    assert not (folder / "model.safetensors").exists()
    whole, parts = read_weights(str(folders["videomae"])), read_weights(str(folder))
    assert whole.tensors.keys() == parts.tensors.keys()
    for key, tensor in whole.tensors.items():
        assert torch.equal(tensor.half().float(), parts.tensors[key])
    before = fingerprint_weights(str(folder))
    changed(folder, "config.json", hidden_act="relu")
    assert fingerprint_weights(str(folder)) != before


def test_the_clip_length_of_timesformer_may_change(folders: dict[str, Path]):
    spec = spec_in(folders["timesformer"], frames=8)
    check_network(spec)
    network = spec.build()
    initialize_all(network, spec, read_weights(str(folders["timesformer"])))
    assert spec.args["num_frames"] == FRAMES and spec.input.frames == 8


@pytest.mark.parametrize(
    ("family", "network", "code", "mentions"),
    [
        ("videomae", {"frames": 8}, "model.fixed_frames", [4, 8]),
        ("vivit", {"frames": 8}, "model.fixed_frames", [4, 8]),
        ("vjepa2", {"frames": 5}, "model.odd_frames", [2, 5]),
        ("vjepa2", {"input": {"stride": 2, "crop": 36}}, "model.fixed_crop", [32, 36]),
        ("videomae", {"input": {"stride": 2, "crop": 16}}, "model.input_mismatch", ["16", "32"]),
        ("videomae", {"input": {}}, "model.stride_missing", ["stride"]),
        ("vit", {"frames": 2, "input": {}}, "model.takes_images", [2]),
        ("videomae", {"args": {"hidden_sice": 3}}, "hf.invalid_config", ["hidden_sice"]),
        ("videomae", {"args": {"hidden_size": "many"}}, "hf.invalid_config", ["hidden_size"]),
        ("videomae", {"args": {"num_labels": 3}}, "hf.invalid_config", ["num_labels"]),
    ],
)
def test_inputs_that_do_not_fit(
    family: str, network: dict[str, Any], code: str, mentions: list[object], folders: dict[str, Path]
):
    with refused(code, *mentions):
        check_network(spec_in(folders[family], **network))


def test_folders_that_are_refused(folders: dict[str, Path], tmp_path: Path):
    folder = copied(folders["videomae"], tmp_path / "videomae")
    (folder / "model.safetensors").unlink()
    with refused("hf.missing_weights", folder):
        read_weights(str(folder))
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"classifier.weight": "../elsewhere.safetensors"}}))
    with refused("hf.invalid_index", index):
        read_weights(str(folder))
    index.write_text(json.dumps({"weight_map": {"classifier.weight": "model-00001-of-00002.safetensors"}}))
    with refused("weights.missing", "model-00001-of-00002.safetensors"):
        read_weights(str(folder))

    (folder / "video_preprocessor_config.json").unlink()
    with refused("hf.missing_processor", folder):
        input_of(folder)
    for name, code in (
        ("VideoMAEForPreTraining", "hf.not_a_classifier"),
        ("VideoPrismForVideoClassification", "hf.unsupported_network"),
        ("InternVideo2ForVideoClassification", "hf.unsupported_network"),
        (None, "hf.not_a_classifier"),
    ):
        changed(folder, "config.json", architectures=[name] if name else None)
        with refused(code, name or folder):
            read_weights(str(folder))
    with refused("hf.missing_folder", tmp_path / "nothing"):
        spec_in(tmp_path / "nothing")


@pytest.mark.parametrize(
    ("family", "values", "code"),
    [
        ("vit", {"image_processor_type": "EfficientNetImageProcessor"}, "hf.unsupported_processor"),
        ("vit", {"image_processor_type": None}, "hf.unsupported_processor"),
        ("vit", {"size": {"height": 32, "width": 40}}, "hf.invalid_processor"),
        ("vit", {"do_resize": False}, "hf.invalid_processor"),
        ("vit", {"size": {"shortest_edge": 32}}, "hf.invalid_processor"),
        ("videomae", {"do_center_crop": False}, "hf.invalid_processor"),
        ("videomae", {"crop_size": {"height": 32, "width": 30}}, "hf.invalid_processor"),
        ("videomae", {"image_std": [0.0, 0.0, 0.0]}, "hf.invalid_processor"),
        ("videomae", {"image_mean": "red"}, "hf.invalid_processor"),
        ("videomae", {"rescale_factor": 0}, "hf.invalid_processor"),
        ("vivit", {"offset": False}, "hf.invalid_processor"),
    ],
)
def test_processors_that_are_refused(
    family: str, values: dict[str, Any], code: str, folders: dict[str, Path], tmp_path: Path
):
    folder = copied(folders[family], tmp_path / family)
    file = "video_preprocessor_config.json" if family in VIDEO else "preprocessor_config.json"
    with refused(code, folder):
        input_of(changed(folder, file, **values))


def test_pickles_are_refused_with_the_command_that_converts_them(folders: dict[str, Path], tmp_path: Path):
    folder = copied(folders["videomae"], tmp_path / "videomae")
    network, _ = theirs(folder, "videomae")
    torch.save(network.state_dict(), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    with pytest.raises(Exception, match="python -c") as caught:
        read_weights(str(folder))
    assert getattr(caught.value, "code", None) == "hf.pickled_weights"
    exec(str(caught.value).partition('python -c "')[2].removesuffix('"'))
    expected = read_weights(str(folders["videomae"])).tensors
    assert all(torch.equal(own, expected[key]) for key, own in read_weights(str(folder)).tensors.items())


def test_weights_that_do_not_fit_their_config(folders: dict[str, Path], tmp_path: Path):
    """transformers itself fills gaps with random values."""
    from safetensors.torch import load_file, save_file

    folder = copied(folders["timesformer"], tmp_path / "timesformer")
    tensors = load_file(folder / "model.safetensors")
    del tensors["classifier.weight"]
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    with refused("weights.network_mismatch", folder, "classifier.weight"):
        read_weights(str(folder))
    folder = changed(copied(folders["timesformer"], tmp_path / "wider"), "config.json", hidden_size=64)
    with refused("weights.network_mismatch", folder):
        read_weights(str(folder))


def test_no_code_of_a_folder_runs(folders: dict[str, Path], tmp_path: Path):
    folder = copied(folders["videomae"], tmp_path / "videomae")
    (folder / "modeling_own.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    auto = {"AutoModelForVideoClassification": "modeling_own.Own", "AutoConfig": "modeling_own.Own"}
    changed(folder, "config.json", auto_map=auto, _attn_implementation="someone/kernels", quantization_config={"a": 1})
    _, spec = loaded(folder)
    assert spec == spec_in(folders["videomae"])
    assert not (tmp_path / "ran").exists()


def test_it_is_described(folders: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    folder = copied(folders["videomae"], tmp_path / "videomae")
    assert cli.main(["models", f"hf:{folder}", "--json"]) == 0
    (entry,) = json.loads(capsys.readouterr().out)["models"]
    assert (entry["frames"], entry["stride"], entry["resize"], entry["crop"]) == (FRAMES, None, 40, SIDE)
    assert (entry["model"], entry["classes"]) == ("transformers/VideoMAEForVideoClassification", 5)
    assert "CC-BY-NC-4.0" in entry["license"] and entry["weights"] == [str(folder / "model.safetensors")]
    (folder / "README.md").write_text("---\nlicense: apache-2.0\n---\n# A network\n")
    assert cli.main(["models", f"hf:{folder}"]) == 0
    text = capsys.readouterr().out
    assert "apache-2.0" in text and "stride" in text
    assert cli.main(["models", "transformers/Vivit"]) == 0
    assert "transformers/VivitForVideoClassification" in capsys.readouterr().out
    assert cli.main(["flops", "--model", f"hf:{folder}", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["frames"] == FRAMES
    assert cli.main(["models", f"hf:{tmp_path}"]) == 2
    assert_refused(capsys.readouterr().err, "hf.missing_file", tmp_path)


def linear_and_attention(tokens: int, keys: int, width: int, hidden: int) -> int:
    """Multiply-adds of one transformer layer: four projections, both products of attention, and the MLP."""
    return tokens * 4 * width * width + 2 * tokens * keys * width + 2 * tokens * width * hidden


def by_hand(family: str, frames: int, side: int, width: int, layers: int, hidden: int, classes: int) -> int:
    """Multiply-adds of the linear layers, attention and patch embedding of a ViT with patches of 16×16 pixels."""
    area = (side // PATCH) ** 2
    tubes = frames if family == "timesformer" else frames // 2
    pixels = 3 * PATCH * PATCH * (1 if family == "timesformer" else 2)
    embedding, head = tubes * area * pixels * width, width * classes
    if family == "timesformer":  # time, a linear layer, then space for each frame with a class token, then the MLP
        time = frames * area * (4 * width * width + 2 * frames * width) + frames * area * width * width
        space = frames * ((area + 1) * 4 * width * width + 2 * (area + 1) ** 2 * width)
        return embedding + layers * (time + space + 2 * (frames * area + 1) * width * hidden) + head
    tokens = tubes * area + (family == "vivit")
    macs = embedding + layers * linear_and_attention(tokens, tokens, width, hidden) + head
    if family == "vjepa2":  # the pooler: self-attention layers, then one query that attends to all; its MLPs are wider
        macs += (1 if layers == LAYERS else 3) * linear_and_attention(tokens, tokens, width, 4 * width)
        macs += 2 * tokens * width * width + width * width + 2 * tokens * width + 2 * width * 4 * width
    return macs


@pytest.mark.parametrize("family", VIDEO)
def test_multiply_adds_are_those_counted_by_hand(family: str, folders: dict[str, Path]):
    network, _ = loaded(folders[family])
    expected = by_hand(family, FRAMES, SIDE, WIDTH, LAYERS, 96, len(CLASSES))
    assert measure_cost(network, frames=FRAMES, size=SIDE).gmacs_per_view * 1e9 == pytest.approx(expected, rel=0.01)


@pytest.mark.parametrize(
    ("family", "frames", "side", "width", "layers", "published"),
    [
        ("videomae", 16, 224, 768, 12, 180),
        ("timesformer", 8, 224, 768, 12, 196),
        ("vivit", 32, 224, 768, 12, None),
        ("vjepa2", 16, 256, 1024, 24, None),
    ],
)
def test_multiply_adds_of_the_published_sizes(
    family: str, frames: int, side: int, width: int, layers: int, published: float | None
):
    """Without memory, on the meta device. VideoMAE-B and TimeSformer state their own in their papers."""
    network = meta_model(f"transformers/{FAMILIES[family][0]}", num_classes=400, frames=frames)
    macs = quick_macs(network, frames=frames, size=side)
    assert macs == pytest.approx(by_hand(family, frames, side, width, layers, 4 * width, 400), rel=0.01)
    if published is not None:
        assert macs == pytest.approx(published * 1e9, rel=0.02)
