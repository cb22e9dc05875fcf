"""Generate docs/reference/config.md from the docstrings in vidsemi/config/.

python docs/make_config_reference.py > docs/reference/config.md
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from vidsemi import config

HEAD = """# Config reference: every key

A config is a YAML file. `_BASE_: other.yaml` inherits from another config, relative to the file with this key; keys
that are set again override the inherited ones. Keys can also be set on the command line, as in
`vidsemi run --cfg demo.yaml select.per_class=500`; list items go by number: `students.0.frames=4`. An unknown key is an
error that suggests the closest known key.

Lengths are in examples processed, not in steps or epochs: `examples` = epochs × size of the dataset. This page is
generated from `vidsemi/config` by `docs/make_config_reference.py`.
"""


def sections() -> Iterator[type[BaseModel]]:
    """Yield the run, then its sections in the order of its keys."""
    yield config.Config
    for name in (
        "Data",
        "Source",
        "Cut",
        "Validation",
        "Input",
        "Network",
        "OwnInput",
        "Teacher",
        "Student",
        "Hashtags",
        "Train",
        "Recipe",
        "Score",
        "Select",
    ):
        yield getattr(config, name)
    yield from (
        config.Evaluate,
        config.Target,
        config.Split,
        config.FcOnly,
        config.Variants,
        config.Runtime,
        config.Log,
    )
    yield config.TransferConfig


def default(field: FieldInfo) -> str:
    """The default value as Markdown."""
    if field.is_required():
        return "**required**"
    value = field.default
    if isinstance(value, BaseModel):
        return "see section"
    if value is None:
        return "–"
    return f"`{list(value) if isinstance(value, tuple) else value}`" if value != "" else "–"


def places(section: type[BaseModel], path: str = "") -> Iterator[tuple[type[BaseModel], str]]:
    """Yield the sections below a section, each with the path of a key that holds it."""
    for name, field in section.model_fields.items():
        for inner in models_in(field.annotation):
            here = f"{path}.{name}".removeprefix(".")
            yield inner, here
            yield from places(inner, here)


def models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    """Yield the models in a type: `tuple[Student, ...]` holds Student."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from models_in(argument)


def linked(text: str) -> str:
    """A description with links to sections and to pages of the documentation."""

    def page(match: re.Match[str]) -> str:
        title = (Path(__file__).parent / match[1]).read_text(encoding="utf-8").splitlines()[0].removeprefix("# ")
        return f"[{re.split(r': | [(]', title)[0]}](../{match[1]})"

    names = "|".join(section.__name__ for section in sections())
    text = re.sub(rf"\bSection ({names})\b", lambda match: f"Section [{match[1]}](#{match[1].lower()})", text)
    return re.sub(r"\bdocs/([\w/-]+\.md)", page, text)


def main() -> None:
    """Print the page."""
    print(HEAD)
    found: dict[type[BaseModel], list[str]] = {}
    for section, path in places(config.Config):
        if path not in found.setdefault(section, []):
            found[section].append(path)
    for section in sections():
        about = linked((section.__doc__ or "").split("\n")[0])
        if section in found:
            about += f" Keys: {', '.join(f'`{path}`' for path in found[section])}."
        print(f"## {section.__name__}\n\n{about}\n\n| key | default | meaning |\n|---|---|---|")
        inherited = set().union(*(base.model_fields for base in section.__bases__ if issubclass(base, BaseModel)))
        for name, field in section.model_fields.items():
            if name not in inherited:
                print(f"| `{name}` | {default(field)} | {linked(' '.join((field.description or '').split()))} |")
        print()


if __name__ == "__main__":
    main()
