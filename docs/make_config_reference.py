"""Generate docs/reference/config.md from the docstrings in vidsemi/config/.

python docs/make_config_reference.py > docs/reference/config.md
"""

from collections.abc import Iterator

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
    yield from (config.Evaluate, config.Target, config.Split, config.FcOnly, config.Runtime, config.Log)
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


def main() -> None:
    """Print the page."""
    print(HEAD)
    for section in sections():
        about = (section.__doc__ or "").split("\n")[0]
        print(f"## {section.__name__}\n\n{about}\n\n| key | default | meaning |\n|---|---|---|")
        inherited = set().union(*(base.model_fields for base in section.__bases__ if issubclass(base, BaseModel)))
        for name, field in section.model_fields.items():
            if name not in inherited:
                print(f"| `{name}` | {default(field)} | {' '.join((field.description or '').split())} |")
        print()


if __name__ == "__main__":
    main()
