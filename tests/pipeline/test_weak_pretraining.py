"""Weakly supervised pre-training: the labels of hashtags, and the four approaches in one run."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from vidsemi.cli import main as cli
from vidsemi.config import Config
from vidsemi.config.load import load_config
from vidsemi.data.hashtags.match import match_hashtags, read_matches
from vidsemi.data.hashtags.vocabulary import build_vocabulary, read_vocabulary
from vidsemi.data.manifest import load_manifest
from vidsemi.io.errors import UserError
from vidsemi.models import weights_file
from vidsemi.pipeline import run as pipeline
from vidsemi.reporting.hashtags import hashtag_sections
from vidsemi.reporting.render import to_html, to_markdown
from vidsemi.reporting.results import load_runs
from vidsemi.training.training_set import hashtag_set

FOUR = "approaches=[supervised,weakly_supervised,semi_supervised,semi_weakly_supervised]"
WEAK = [
    FOUR,
    "train.weak_pretrain={examples: 24, batch_size: 8, learning_rate: 0.01}",
    "hashtags.min_examples=1",
]


@pytest.fixture
def weak(write_csv: Callable[..., Path]) -> Path:
    """Six examples: "#a" four times, "#bee" three times, "#c" once."""
    tags = ["#a", "#A #x", "bee, a", "#b_e_e", "#a #bee #c", ""]
    return write_csv("weak.csv", ["path", "hashtags"], [[f"{n}.mp4", tag] for n, tag in enumerate(tags)])


def test_the_hashtags_stage_matches_labels_and_examples(weak: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture):
    manifest = load_manifest(weak)
    space = build_vocabulary(["c", "bee", "a"], {"bee": ["wasp"]})
    options = {"weak": manifest, "vocabulary": space, "title": "hashtags"}
    with caplog.at_level("INFO"):
        metrics = match_hashtags(tmp_path, min_examples=2, **options)
    names, examples, labels = read_matches(tmp_path)
    assert names == ["#bee", "#a"]
    assert list(zip(examples.tolist(), labels.tolist(), strict=True)) == [
        *[(0, 1), (1, 1), (2, 0), (2, 1), (3, 0), (4, 0), (4, 1)]
    ]
    assert metrics == {
        "examples": 5,
        "without": 1,
        "min_examples": 2,
        "labels": [{"tag": "bee", "classes": ("bee",), "examples": 3}, {"tag": "a", "classes": ("a",), "examples": 4}],
        "dropped": [{"tag": "c", "classes": ("c",), "examples": 1}],
    }
    assert "dropped for fewer than 2 examples: #c (1)" in caplog.text
    assert "wasp" in read_vocabulary(tmp_path / "vocabulary.csv").labels[0].variants
    with pytest.raises(UserError) as caught:
        match_hashtags(tmp_path, min_examples=4, **options)
    assert caught.value.code == "hashtags.too_few_labels" and "at least 4 examples" in str(caught.value)

    training_set = hashtag_set(manifest, *read_matches(tmp_path), "uniform", seed=0)
    assert training_set.examples.tolist() == [0, 1, 2, 3, 4]
    assert [training_set.targets.dense(i).tolist() for i in (0, 2, 3)] == [
        [0, 1],
        [0.5, 0.5],
        [1, 0],
    ]  # 1/k on each of k
    assert training_set.repeats is not None
    assert training_set.repeats.tolist()[:2] == [1, 1]
    assert set(training_set.repeats.tolist()[2:]) <= {1, 2}  # 4/3


def run_of(config: Config) -> tuple[Path, dict[str, dict]]:
    folder = Path(config.output)
    return folder, {
        file.parent.relative_to(folder).as_posix(): json.loads(file.read_text()) for file in folder.rglob("stage.json")
    }


@pytest.mark.slow
def test_four_approaches_in_one_run_share_what_they_have_in_common(tiny_config: Callable[..., Path]):
    """The teacher is the student's own network here, so each of the two is one training and one test."""
    config = load_config(str(tiny_config()), WEAK)
    rows = pipeline.run(config)
    approaches = ["supervised", "weakly_supervised", "semi_supervised", "semi_weakly_supervised"]
    assert [(row["student"], row["approach"]) for row in rows] == [
        ("teacher", "teacher"),
        ("teacher", "weakly_supervised_teacher"),
        *(("small", approach) for approach in approaches),
    ]
    folder, stages = run_of(config)
    assert sorted(stages) == sorted(
        [
            "hashtags",
            *(f"seed0/teacher/{stage}" for stage in ("train", "evaluate", "score", "select")),
            *(
                f"seed0/weakly_supervised_teacher/{stage}"
                for stage in ("pretrain", "finetune", "evaluate", "score", "select")
            ),
            *(
                f"seed0/small/{approach}/{stage}"
                for approach in approaches[2:]
                for stage in ("pretrain", "finetune", "evaluate")
            ),
        ]
    )
    by_approach = {row["approach"]: row["weights"] for row in rows if row["student"] == "small"}
    assert by_approach["weakly_supervised"] == rows[1]["weights"]
    network, spec = weights_file.load_weights(folder / "seed0/weakly_supervised_teacher/pretrain/weights.pt")
    assert spec.classes[0] == "#driftingeast"
    assert network.fc.out_features == len(spec.classes) == len(stages["hashtags"]["metrics"]["labels"])
    fresh = stages["seed0/weakly_supervised_teacher/finetune"]["metrics"]["init_from"]
    assert "fc.weight" in json.dumps(fresh)  # the head of the hashtags is not that of the classes

    (section,) = hashtag_sections(load_runs([folder]))
    assert "| #driftingeast" in to_markdown([section])
    assert "<td>#driftingeast</td>" in to_html("run", [section])
    assert pipeline.run(config) == rows  # all is done


@pytest.mark.slow
def test_a_killed_weak_pretraining_ends_with_the_same_weights(
    tiny_config: Callable[..., Path], die_in_steps: Callable[..., list[int]]
):
    overrides = [*WEAK, "approaches=[weakly_supervised]", "runtime.checkpoint_seconds=0.000001"]

    def weights(output: str) -> bytes:
        config = load_config(str(tiny_config()), [*overrides, f"output={output}"])
        pipeline.run(config, until="pretrain")
        return (Path(config.output) / "seed0/small/weakly_supervised/pretrain/weights.pt").read_bytes()

    folder = Path(load_config(str(tiny_config())).output).parent
    straight = weights(f"{folder}/straight")
    steps = die_in_steps(3)
    with pytest.raises(KeyboardInterrupt):
        weights(f"{folder}/killed")
    assert weights(f"{folder}/killed") == straight
    assert len(steps) == 4  # two, the one that died, and that one again


@pytest.mark.slow
def test_the_weakly_labeled_set_may_be_a_dataset_of_its_own(
    tiny_config: Callable[..., Path], shapes: Path, tmp_path: Path
):
    weak = tmp_path / "w.csv"
    weak.write_text(f"path,hashtags\n{shapes}/labeled/00000.mp4,#drifteast\n{shapes}/labeled/00001.mp4,#northdrift\n")
    overrides = [*WEAK, "approaches=[weakly_supervised]", f"data.weak={weak}", "data.unlabeled=null", "teacher=null"]
    config = load_config(str(tiny_config()), overrides)
    pipeline.run(config, until="hashtags")
    _, stages = run_of(config)
    assert [label["tag"] for label in stages["hashtags"]["metrics"]["labels"]] == ["driftingeast", "driftingnorth"]
    document, text = pipeline.check(config)
    assert document["weak"] == 2
    assert "2 weak" in text


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["data.unlabeled={shapes}/labeled.csv"], "[manifest.missing_hashtags]"),
        (["hashtags.synonyms={shapes}/labeled.csv"], "[synonyms.bad_line]"),
        (["hashtags.repeat_factor=cubic"], "repeat_factor"),
        (["train.weak_pretrain=null"], "train.weak_pretrain"),
        (["data.weak=nowhere.csv"], "[manifest.missing_file]"),
        (["data.weak={shapes}/../other/w.csv"], "w.csv"),
        (["students.0.approaches=[supervised,supervised]"], "the approaches of student small"),
        (["students.0.approaches=[]"], "students.0.approaches"),
        (
            ["teacher.train={{examples: 8, batch_size: 8, learning_rate: 1}}", "approaches=[semi_weakly_supervised]"],
            "train.weak_finetune",
        ),
        (["hashtags={{vocabulary: v.csv, synonyms: s.csv}}"], "either vocabulary or synonyms"),
    ],
)
def test_missing_input_is_reported_in_one_line(
    overrides: list[str],
    words: str,
    tiny_config: Callable[..., Path],
    shapes: Path,
    capsys: pytest.CaptureFixture[str],
):
    (shapes.parent / "other").mkdir(exist_ok=True)
    (shapes.parent / "other" / "w.csv").write_text(f"path\n{shapes}/test/00000.mp4\n")
    given = [*WEAK, *(override.format(shapes=shapes) for override in overrides)]
    assert cli.main(["run", "--cfg", str(tiny_config()), "--check", *given]) == 2
    error = capsys.readouterr().err
    assert words.format(shapes=shapes) in error
    assert error.count("\n") == 1


@pytest.mark.slow
def test_synonyms_of_a_dataset_serve_a_labeled_set_with_some_of_its_classes(
    tiny_config: Callable[..., Path], write_csv: Callable[..., Path], shapes: Path
):
    """And a labeled set with other classes is fine, since the config does not ask for synonyms."""
    rows = [
        [str(shapes / f"labeled/{n:05d}.mp4"), name] for n, name in enumerate(["playing tennis", "my own class"] * 2)
    ]
    labeled = write_csv("d.csv", ["path", "label"], rows)
    test = write_csv("t.csv", ["path", "label"], [[str(shapes / "test/00000.mp4"), "playing tennis"]])
    weak = write_csv("w.csv", ["path", "hashtags"], [[rows[0][0], "#tennis"], [rows[1][0], "#myownclass"]])
    data = [f"data.labeled={labeled}", f"data.test={test}", f"data.weak={weak}", "data.dataset=kinetics"]
    config = load_config(str(tiny_config()), [*WEAK, *data, "approaches=[weakly_supervised]"])
    pipeline.run(config, until="hashtags")
    _, stages = run_of(config)
    assert [label["tag"] for label in stages["hashtags"]["metrics"]["labels"]] == ["myownclass", "playingtennis"]
    pipeline.check(load_config(str(tiny_config()), [*data, "approaches=[supervised]"]))


@pytest.mark.slow
def test_a_run_trains_on_an_edited_vocabulary(tiny_config: Callable[..., Path], tmp_path: Path):
    command = ["hashtags", "--classes", str(tmp_path / "classes.txt"), "--output", str(tmp_path / "v.csv")]
    (tmp_path / "classes.txt").write_text("drifting east\ndrifting north\ndrifting west\n")
    assert cli.main(command) == 0
    lines = (tmp_path / "v.csv").read_text().splitlines()
    (tmp_path / "v.csv").write_text("\n".join(lines[:3]).replace("#drifteast ", "") + "\n")
    found = []
    for more in ([f"hashtags.vocabulary={tmp_path}/v.csv"], []):
        config = load_config(str(tiny_config()), [*WEAK, *more, f"output={tmp_path}/run{len(more)}"])
        pipeline.run(config, until="hashtags")
        labels = run_of(config)[1]["hashtags"]["metrics"]["labels"]
        found.append({label["tag"]: label["examples"] for label in labels})
    assert list(found[0]) == ["driftingeast", "driftingnorth"]
    assert found[0]["driftingeast"] < found[1]["driftingeast"]
    with pytest.raises(UserError) as caught:
        pipeline.check(load_config(str(tiny_config()), [*WEAK, f"output={tmp_path}/run1"]))
    assert caught.value.code == "stage.different_config" and "vocabulary was" in str(caught.value)
    (tmp_path / "v.csv").write_text("tag,classes,examples,variants\n#a,drifting eats,,\n")
    with pytest.raises(UserError, match=r"v.csv: #a: 'drifting eats'.* did you mean 'drifting east'"):
        pipeline.check(load_config(str(tiny_config()), [*WEAK, f"hashtags.vocabulary={tmp_path}/v.csv"]))


@pytest.mark.slow
def test_a_selection_waits_for_no_student(tiny_config: Callable[..., Path]):
    """`--until select` trains the teachers and nothing else, though a student trains on hashtags too."""
    student = "students=[{name: other, model: r2plus1d_10, frames: 2, args: {width: 0.0625}}]"
    config = load_config(str(tiny_config()), [*WEAK, student])
    pipeline.run(config, until="select")
    _, stages = run_of(config)
    assert "seed0/weakly_supervised_teacher/select" in stages
    assert not [name for name in stages if "/other/" in name]


@pytest.mark.slow
def test_own_weights_pre_trained_on_hashtags_must_be_declared(tiny_config: Callable[..., Path]):
    config = load_config(str(tiny_config()), [*WEAK, "approaches=[weakly_supervised]"])
    pipeline.run(config, until="pretrain")
    weights = f"{config.output}/seed0/small/weakly_supervised/pretrain/weights.pt"
    init = [f"students.0.init_from={weights}", "approaches=[supervised]", f"output={config.output}/other"]
    with pytest.raises(UserError, match="weakly_pretrained: true"):
        pipeline.check(load_config(str(tiny_config()), init))
    init[1:2] = ["approaches=[weakly_supervised]", "students.0.weakly_pretrained=true"]
    pipeline.check(load_config(str(tiny_config()), init))


@pytest.mark.slow
def test_selection_by_tags_uses_the_synonyms_too(tiny_config: Callable[..., Path], tmp_path: Path):
    """balanced_with_tags takes the examples that the same vocabulary matches."""
    (tmp_path / "s.csv").write_text("class,tag\n" + "".join(f"drifting west,{tag}\n" for tag in ("love", "fyp", "tbt")))
    chosen = []
    for number, more in enumerate(([], [f"hashtags.synonyms={tmp_path}/s.csv"])):
        overrides = [
            "select.policy=balanced_with_tags",
            "select.per_class=50",
            "approaches=[semi_supervised]",
            f"output={tmp_path}/{number}",
        ]
        config = load_config(str(tiny_config()), [*overrides, *more])
        pipeline.run(config, until="select")
        _, stages = run_of(config)
        chosen.append(stages["seed0/teacher/select"]["metrics"]["rows"])
    assert chosen[1] > chosen[0]
