"""Writes docs/config.md from vidsemi/config/, which is where keys are documented.

python docs/make_config_reference.py > docs/config.md
"""

from collections.abc import Iterator

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from vidsemi import config

HEAD = """# Every key of a config

A config is a YAML file. `_BASE_: other.yaml` inherits from another one, relative to the file that says so; keys given
again replace the inherited ones. Keys can be set on the command line too: `select.per_class=500`. An unknown key is an
error that names its nearest neighbour. Made from the files of `vidsemi/config` by `docs/make_config_reference.py`.
"""


def sections() -> Iterator[type[BaseModel]]:
    """The run first, then its sections in the order in which it names them."""
    yield config.Config
    for name in (
        "Data",
        "Source",
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
    """The default, or that there is none."""
    if field.is_required():
        return "**needed**"
    value = field.default
    if isinstance(value, BaseModel):
        return "its defaults"
    return f"`{list(value) if isinstance(value, tuple) else value}`"


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
