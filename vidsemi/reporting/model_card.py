"""A model card: README.md of a published network, with the metadata that the Hugging Face Hub reads."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vidsemi.data.dedup.checks import describe_checks
from vidsemi.io.tables import markdown, markdown_table
from vidsemi.models.flops import CONVENTION, Cost
from vidsemi.pipeline.lineage import Lineage

if TYPE_CHECKING:
    from vidsemi.models.weights_file import NetworkSpec

IDENTIFIER = re.compile(r"[a-z0-9][a-z0-9.-]*")  # of a license, as the Hub writes them
MOST_CLASSES = 1000  # that are listed
LIBRARY = "vidsemi"


@dataclass(frozen=True)
class Card:
    """What a model card says; what is not known is left out.

    Args:
        name: of the model.
        spec: of the network.
        cost: of the network.
        license: of these weights.
        teacher_license: of the teacher's weights.
        datasets: names on the Hub.
        tests: metrics of evaluations, as results.json has them, with `test_manifest`.
        lineage: the run that the weights come from.
    """

    name: str
    spec: "NetworkSpec"
    cost: Cost
    license: str | None
    teacher_license: str | None
    datasets: Sequence[str]
    tests: Sequence[Mapping[str, Any]]
    lineage: Lineage | None


def card_text(card: Card) -> str:
    """The text of README.md. Names of strangers are escaped, in the metadata as YAML and below as Markdown."""
    import yaml

    front = yaml.safe_dump(metadata(card), sort_keys=False, allow_unicode=True, width=120)
    sections = [
        f"# {markdown(card.name)}",
        _summary(card),
        _facts(card),
        *_accuracy(card),
        *_training(card),
        "## Use",
        _use(card),
        "## Input",
        _input(card),
        "## Classes",
        _classes(card),
    ]
    return f"---\n{front}---\n\n" + "\n\n".join(sections) + "\n"


def metadata(card: Card) -> dict[str, Any]:
    """What the Hub reads of a model card, as YAML values."""
    task = f"{_kind(card)}-classification"
    own: dict[str, Any] = {}
    if card.license is not None:
        known = IDENTIFIER.fullmatch(card.license) is not None
        own |= {"license": card.license} if known else {"license": "other", "license_name": card.license}
    own |= {"library_name": LIBRARY, "pipeline_tag": task}
    if card.datasets:
        own["datasets"] = [*card.datasets]
    own["tags"] = [LIBRARY, *(["action-recognition"] if _kind(card) == "video" else []), card.spec.model]
    results = [
        {
            "task": {"type": task},
            "dataset": {"name": name, "type": card.datasets[0] if len(card.datasets) == 1 else name},
            "metrics": [metric for test in card.tests if _test_set(test) == name for metric in _metrics(test)],
        }
        for name in dict.fromkeys(map(_test_set, card.tests))
    ]
    return own | ({"model-index": [{"name": card.name, "results": results}]} if results else {})


def _metrics(test: Mapping[str, Any]) -> list[dict[str, Any]]:
    values = {"top-1": test["top1"]} | ({"top-5": test["top5"]} if _has_top5(test) else {})
    return [
        {"type": "accuracy", "name": f"{name} accuracy in percent, {_views(test)}", "value": round(value, 2)}
        for name, value in values.items()
    ]


def _has_top5(test: Mapping[str, Any]) -> bool:
    return int(test.get("num_classes", 6)) > 5


def _views(test: Mapping[str, Any]) -> str:
    crops = test.get("crops", 1)
    clips = test["views"] // crops
    unit = "image" if test.get("frames") == 1 else "clip"
    return f"{clips} {unit}{'s' * (clips > 1)}" + (f" × {crops} crops" if crops > 1 else "")


def _test_set(test: Mapping[str, Any]) -> str:
    """The name of a test set: its manifest, and the folder of that."""
    return "/".join(Path(str(test.get("test_manifest") or "test")).parts[-2:])


def _kind(card: Card) -> str:
    return "image" if card.spec.input.frames == 1 else "video"


def _summary(card: Card) -> str:
    lineage = card.lineage
    text = f"A {_kind(card)} classification network for {len(card.spec.classes)} classes, written by vidsemi"
    if lineage is None or lineage.selection is None or not lineage.teachers:
        return f"{text}."
    names = " and ".join(markdown(str(fields["network"]["model"])) for fields, _ in lineage.teachers)
    teacher, whose = (f"teacher {names}", "its") if len(lineage.teachers) == 1 else (f"teachers {names}", "their")
    then = " and then on labels" if lineage.fine_tuned else " alone"
    return f"{text}: a student of the {teacher}, trained on {whose} pseudo-labels{then}."


def _facts(card: Card) -> str:
    cost, lineage = card.cost, card.lineage
    rows = [
        ("network", str(card.spec)),
        ("parameters", f"{cost.parameters / 1e6:.2f}M"),
        ("GMAC per view", f"{cost.gmacs_per_view:.4g}"),
        ("license", card.license or "not stated"),
    ]
    if lineage is not None and lineage.row is not None:
        rows.append(("approach", str(lineage.row["approach"])))
    teachers = lineage.teachers if lineage is not None else ()
    for fields, row in teachers:
        rows += _teacher(fields, row)
    if card.teacher_license or teachers:
        rows.append(("license of the teacher", card.teacher_license or "not stated"))
    if lineage is not None and lineage.selection is not None:
        found = lineage.selection
        rows += [
            ("examples per class (K)", str(found["per_class"])),
            ("classes per example (P)", str(found["per_example"])),
            ("selection policy", str(found["policy"])),
            ("targets", _targets(found)),
            ("pseudo-labeled examples", f"{found['chosen']:,} of {found['examples']:,}"),
        ]
    table = markdown_table(("", "of this model"), rows, rendered=True)
    return "\n".join([*table, "", f"GMAC: {CONVENTION}, in billions."])


def _targets(selection: Mapping[str, Any]) -> str:
    if selection.get("targets") == "soft":  # metrics of earlier versions have no such key
        return f"soft, at temperature {selection['temperature']:g}"
    return "one-hot"


def _teacher(fields: Mapping[str, Any], row: Mapping[str, Any] | None) -> list[tuple[str, str]]:
    network = fields["network"]
    arguments = "".join(f" {name}={value}" for name, value in network.get("args", {}).items())
    frozen = "recipe" not in fields
    rows = [("teacher", f"{network['model']}{arguments}, {'used as published' if frozen else 'trained in this run'}")]
    if frozen:
        rows.append(("SHA-256 of the teacher's weights", str(fields["init_from"])))
    if row is not None:
        rows.append(("top-1 accuracy of the teacher", f"{row['top1']:.1f}% ({_views(row)})"))
    return rows


def _accuracy(card: Card) -> list[str]:
    if not card.tests:
        return []
    rows = [
        (
            _test_set(test),
            _views(test),
            f"{test['top1']:.2f}",
            f"{test['top5']:.2f}" if _has_top5(test) else "",
            f"{test['mean_class_top1']:.2f}",
            f"{test['gmacs_per_view'] * test['views']:.4g}",
            f"{test['read']} of {test['total']}" if "total" in test else "",
        )
        for test in card.tests
    ]
    header = ("test set", "views", "top-1 %", "top-5 %", "class mean %", "GMAC per example", "examples read")
    note = "The scores of the views of an example are averaged. An example that cannot be read counts as wrong."
    return ["## Accuracy", "\n".join([*markdown_table(header, rows, 2, rendered=True), "", note])]


def _training(card: Card) -> list[str]:
    lineage, lines = card.lineage, []
    if lineage is None:
        return []
    if lineage.checks is not None:
        checked, warnings = describe_checks(lineage.checks)
        lines += [f"- {markdown(line)}" for line in (*checked, *warnings[:1])]
    if lineage.command:
        lines += [*([""] if lines else []), "The command:", "", *_fenced("sh", lineage.command)]
    return ["## Training", "\n".join(lines)] if lines else []


def _use(card: Card) -> str:
    code = [
        "import vidsemi",
        "",
        f"model = vidsemi.load_model({card.name!r})  # this folder",
        f"print(model.predict({'picture.jpg' if _kind(card) == 'image' else 'video.mp4'!r}))",
    ]
    return "\n".join(_fenced("python", "\n".join(code)))


def _fenced(language: str, text: str) -> list[str]:
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return [f"{fence}{language}", text, fence]


def _input(card: Card) -> str:
    takes = card.spec.input
    resize = f"shorter side {takes.resize}" if isinstance(takes.resize, int) else "{}×{}".format(*takes.resize)
    rows = [
        ("frames per clip", str(takes.frames)),
        ("step between frames", str(takes.stride)),
        ("resized to (height × width)", resize),
        ("center crop", f"{takes.crop}×{takes.crop}"),
        ("mean of red, green, blue", ", ".join(f"{value:g}" for value in takes.mean)),
        ("standard deviation", ", ".join(f"{value:g}" for value in takes.std)),
    ]
    return "\n".join(markdown_table(("", "for pixel values from 0 to 1"), rows, rendered=True))


def _classes(card: Card) -> str:
    names = card.spec.classes
    shown = ", ".join(map(markdown, names[:MOST_CLASSES]))
    more = f", and {len(names) - MOST_CLASSES:,} more in config.json" if len(names) > MOST_CLASSES else ""
    return f"In the order of the outputs: {shown}{more}."
