"""The config: what is accepted, and how errors are reported."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.helpers.errors import refused
from vidsemi.config import Config, TransferConfig
from vidsemi.config.load import find_config, load_config
from vidsemi.config.synonyms import KEYS, NAMES, NOTES, key_paths
from vidsemi.io.errors import UserError

WriteConfig = Callable[..., Path]


def test_overrides_reach_nested_keys_and_lists(tiny_config: WriteConfig):
    config = load_config(
        str(tiny_config()),
        ["train.supervised.learning_rate=1e-3", "students.0.args.width=0.5", "seeds=[3, 4]", "select.per_class=7"],
    )
    assert config.train.supervised.learning_rate == 0.001
    assert config.students[0].args == {"width": 0.5}
    assert config.seeds == (3, 4)
    assert config.select.per_class == 7


def test_numbers_with_exponents(tiny_config: WriteConfig):
    """YAML takes 1e6 for a text."""
    overrides = ["train.supervised.examples=1e4", "train.pretrain.learning_rate=1e-3", "seeds=[1e3, 2.5e1]"]
    overrides += ["students.0.args.width=1.25e-1", "input.resize=[2e1, 2e1]", "students.0.name=1e6"]
    config = load_config(str(tiny_config()), overrides)
    assert (config.train.supervised.examples, config.seeds, config.input.resize) == (10_000, (1000, 25), (20, 20))
    assert isinstance(config.train.supervised.examples, int)
    assert config.train.pretrain is not None and config.train.pretrain.learning_rate == 0.001
    assert (config.students[0].args, config.students[0].name) == ({"width": 0.125}, "1e6")
    for wrong in ("1.5e0", "1e-3", "1e30", "1e999"):
        with refused("config.invalid_value", "train.supervised.examples"):
            load_config(str(tiny_config()), [f"train.supervised.examples={wrong}"])


def test_an_override_changes_no_alias_of_its_section(tiny_config: WriteConfig, tmp_path: Path):
    text = tiny_config().read_text()
    text = text.replace("supervised: {", "supervised: &all {", 1).replace(
        "pretrain: {examples: 24, batch_size: 8, learning_rate: 0.01}", "pretrain: *all"
    )
    (tmp_path / "alias.yaml").write_text(text)
    config = load_config(str(tmp_path / "alias.yaml"), ["train.pretrain.examples=48"])
    assert config.train.pretrain is not None
    assert (config.train.supervised.examples, config.train.pretrain.examples) == (24, 48)
    levels = "\n".join(f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 10)}]" for n in range(1, 9))
    (tmp_path / "bomb.yaml").write_text(f"l0: &l0 [1]\n{levels}\n")
    with refused("config.too_large", "bomb.yaml"):
        load_config(str(tmp_path / "bomb.yaml"))


@pytest.mark.parametrize(
    ("key", "meant"),
    [
        *(("train.supervised.epochs", "examples"), ("epochs", "train.supervised.examples")),
        *(("train.supervised.lr", "learning_rate"), ("lr", "train.supervised.learning_rate")),
        *(("train.finetune.batch", "batch_size"), ("batch", "train.supervised.batch_size")),
        *(("train.pretrain.warmup_epochs", "warmup_examples"), ("train.pretrain.wd", "weight_decay")),
        *(
            ("train.supervised.accumulate_grad_batches", "micro_batches"),
            ("train.supervised.clip_grad", "max_grad_norm"),
        ),
        *(("data.train", "labeled"), ("data.val", "validation"), ("data.unlabelled", "unlabeled")),
        *(("students.0.num_frames", "frames"), ("input.sampling_rate", "stride"), ("input.img_size", "crop")),
        *(("teacher.pretrained", "init_from"), ("runtime.num_workers", "workers"), ("evaluate.num_clips", "views")),
        *(("select.K", "per_class"), ("per_class", "select.per_class"), ("seed", "seeds"), ("work-dir", "output")),
        *(
            ("train.supervised.optim", "optimizer"),
            ("train.finetune.norm_eval", "frozen_batch_norm"),
            ("num_classes", "data.labeled"),
            ("input.flip", "hflip_prob"),
        ),
    ],
)
def test_other_programs_names_of_keys_are_answered(tiny_config: WriteConfig, key: str, meant: str):
    with refused("config.unknown_key", f"{key}: unknown key", meant if "data." in meant else f"'{meant}'"):
        load_config(str(tiny_config()), [f"{key}=3"])


def test_every_answer_is_a_key():
    keys = {path.rpartition(".")[2] for kind in (Config, TransferConfig) for path in key_paths(kind)}
    assert NAMES.keys() | NOTES.keys() <= keys
    assert len(KEYS) == sum(len(names.split()) for names in NAMES.values())  # no name has two answers


def test_base_files_are_inherited(tiny_config: WriteConfig, tmp_path: Path):
    tiny_config("base.yaml")
    (tmp_path / "child.yaml").write_text("_BASE_: base.yaml\nselect: {per_class: 9}\n")
    config = load_config(str(tmp_path / "child.yaml"))
    assert config.select.per_class == 9
    assert config.select.per_example == 2


def test_defaults_are_the_papers(tiny_config: WriteConfig):
    config = load_config(str(tiny_config()), ["input={}", "select={}", "score={}", "evaluate={}"])
    assert (config.select.per_class, config.select.per_example) == (4000, 4)
    assert (config.score.views, config.evaluate.views) == (10, 10)
    assert (config.input.resize, config.input.crop, config.input.hflip_prob) == ((128, 171), 112, 0.5)
    assert config.input.mean == (0.43216, 0.394666, 0.37645)
    assert config.input.std == (0.22803, 0.22145, 0.216989)


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("studnets=3", "studnets: unknown key; did you mean 'students'?"),
        (
            "train.supervised.learning_rte=3",
            "train.supervised.learning_rte: unknown key; did you mean 'learning_rate'?",
        ),
        ("train.pretrain.batchsize=3", "train.pretrain.batchsize: unknown key; did you mean 'batch_size'?"),
        ("students.0.frame=3", "students.0.frame: unknown key; did you mean 'frames'?"),
        ("data.labelled=x", "data.labelled: unknown key; did you mean 'labeled'?"),
        ("train.supervised.batch_size=many", "train.supervised.batch_size: Input should be a valid integer"),
        ("select.per_class=0", "select.per_class: Input should be greater than 0 (it is 0)"),
        ("input.crop=33", "crop 33 is larger than resize [20, 20]"),
        ("seeds=[]", "seeds"),
        ("approaches=[magic]", "approaches.0"),
        ("teacher=null", "semi_supervised requires the key teacher"),
        ("data.unlabeled=null", "requires the key data.unlabeled"),
        ("students.0.name=../up", "not a valid folder name"),
        ("students.0.name=teacher", "reserved"),
        ("seeds=[1, 2, 1]", "seeds lists the same value twice"),
        ("seeds=[36893488147419103232]", "seeds.0"),
        ("data.dataset=../../evil", "data.dataset"),
        ("train.pretrain.examples=25", "train.pretrain: examples 25 leave a last step of one example"),
        ("score.per_example=1", "must not be below select.per_example"),
        ("select", "key.path=value"),
        ("students.5.frames=1", "students.5.frames does not exist"),
        ("select.per_class=[", "not valid YAML"),
    ],
)
def test_a_wrong_key_or_value_is_named(tiny_config: WriteConfig, override: str, words: str):
    with pytest.raises(UserError) as caught:
        load_config(str(tiny_config()), [override])
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_file_is_named(tiny_config: WriteConfig, tmp_path: Path):
    with pytest.raises(UserError, match=r"tiny\.yaml: extra: unknown key"):
        load_config(str(tiny_config(text="extra: 1")))
    (tmp_path / "broken.yaml").write_text("a: [1\n")
    (tmp_path / "list.yaml").write_text("- 1\n")
    (tmp_path / "evil.yaml").write_text("a: !!python/object/apply:os.getcwd []\n")
    (tmp_path / "circle.yaml").write_text("_BASE_: circle.yaml\n")
    (tmp_path / "empty.yaml").write_text("")
    for name in ("broken", "list", "evil", "circle", "empty"):
        with pytest.raises(UserError, match=f"{name}.yaml"):
            load_config(str(tmp_path / f"{name}.yaml"))


def test_two_students_need_two_names(tiny_config: WriteConfig):
    twins = "[{model: r2plus1d_10, frames: 8}, {model: r2plus1d_10, frames: 8}]"
    with pytest.raises(UserError, match="two students have the name 'r2plus1d_10_8f'"):
        load_config(str(tiny_config()), [f"students={twins}"])


def test_supervised_alone_needs_no_teacher(tiny_config: WriteConfig):
    config = load_config(str(tiny_config()), ["approaches=[supervised]", "teacher=null", "data.unlabeled=null"])
    assert not config.teacher_approaches


def test_bare_names_are_found_from_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    assert find_config("demo.yaml").is_file()
    with pytest.raises(UserError, match=r"nowhere\.yaml not found"):
        find_config("nowhere.yaml")


def test_the_kinetics_recipe_is_the_papers_setting():
    config = load_config("kinetics_student.yaml")
    assert config.teacher is not None
    assert (config.teacher.model, config.teacher.frames) == ("r2plus1d_34", 32)
    students = [(student.model, student.frames) for student in config.students]
    assert students == [("r2plus1d_18", 8), ("r2plus1d_18", 32), ("r2plus1d_34", 8)]
    assert (config.select.per_class, config.select.per_example) == (4000, 4)
    assert config.evaluate.views == 10


def test_an_unknown_policy_is_found_before_anything_runs(tiny_config: WriteConfig):
    from vidsemi.pipeline import run as pipeline

    with pytest.raises(UserError) as caught:
        pipeline.check(load_config(str(tiny_config()), ["select.policy=balanced"]))
    assert caught.value.code == "policy.unknown"
    assert "balanced_ranked" in caught.value.message
