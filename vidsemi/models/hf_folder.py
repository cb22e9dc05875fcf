"""A network in Hugging Face's layout, as a local folder: its JSON files and tensors. Nothing in it is executed."""

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import yaml

from vidsemi.config.model import HF_FOLDER
from vidsemi.data.class_names import class_name
from vidsemi.io.errors import UserError
from vidsemi.io.files import fingerprint_file, fingerprint_json, read_regular
from vidsemi.io.tables import printable
from vidsemi.models.published import read_safetensors

CONFIG, TENSORS, INDEX, CARD = "config.json", "model.safetensors", "model.safetensors.index.json", "README.md"
PICKLES = ("pytorch_model.bin", "pytorch_model.bin.index.json")
PROCESSORS = ("processor_config.json", "video_preprocessor_config.json", "preprocessor_config.json")
MAX_JSON = 1 << 26  # bytes; a million class names fit
MAX_CARD = 1 << 22

# Of the published weights of these families, by the prefix of the classifier's name; a folder may hold others.
LICENSES = {
    "VideoMAE": "CC-BY-NC-4.0, non-commercial",
    "Timesformer": "CC-BY-NC-4.0, non-commercial",
    "VJEPA2": "MIT or Apache-2.0",
}

logger = logging.getLogger("vidsemi")


def folder_of(name: str) -> Path | None:
    """The folder in the name of a network, `hf:DIR`; None for other names."""
    return Path(name.removeprefix(HF_FOLDER)) if name.startswith(HF_FOLDER) else None


def is_hf_folder(path: Path) -> bool:
    """Whether a folder is in Hugging Face's layout and not one of `vidsemi publish`."""
    try:
        config = read_json(path / CONFIG)
    except (UserError, OSError):
        return False
    return "spec" not in config and not config.keys().isdisjoint({"architectures", "model_type"})


def read_config(folder: Path) -> dict[str, Any]:
    """Read config.json; a UserError if it is missing or damaged, or the folder is not there."""
    if not folder.is_dir():
        raise UserError("hf.missing_folder", f"the folder {folder} does not exist; download the network into it first")
    return read_json(folder / CONFIG)


def folder_classes(folder: Path) -> list[str]:
    """The class names of a network in Hugging Face's layout, by the index of its outputs.

    They are those of `id2label` in its config.json, sorted by their integer ids: name i is that of output i, in an
    order that need not be alphabetical. Without `id2label` they are LABEL_0, LABEL_1, …, as transformers names them.
    Names have the form of `data.class_names.class_name`; whether one is there twice, or is not a class at all, is not
    checked.

    Raises:
        UserError: config.json is missing or damaged, or the ids are not 0, 1, … up to the number of names.
    """
    file, config = folder / CONFIG, read_config(folder)
    if config.get("id2label") is None:
        count = config.get("num_labels", 2)
        if not isinstance(count, int) or isinstance(count, bool) or count < 1:
            raise UserError("hf.invalid_classes", f"{file}: num_labels is {count!r}, not a number of classes")
        return [f"LABEL_{index}" for index in range(count)]
    names = config["id2label"]
    try:
        by_index = {int(index): class_name(str(name)) for index, name in names.items()}
    except (AttributeError, TypeError, ValueError):
        raise UserError("hf.invalid_classes", f"{file}: id2label is not a JSON object of ids and names") from None
    if not by_index or len(by_index) < len(names) or by_index.keys() != set(range(len(by_index))):
        raise UserError(
            "hf.invalid_classes", f"{file}: the ids of id2label are not the numbers from 0 to {len(names) - 1}"
        )
    return [by_index[index] for index in range(len(by_index))]


def are_placeholders(classes: list[str]) -> bool:
    """Whether names of classes are those that transformers gives to outputs without names."""
    return classes == [f"LABEL_{index}" for index in range(len(classes))]


def named_classes(folder: Path) -> list[str]:
    """`folder_classes`, refused with a UserError if they are the names that transformers gives to outputs without."""
    classes = folder_classes(folder)
    if are_placeholders(classes):
        raise UserError(
            "hf.unnamed_classes",
            f"{folder / CONFIG} has no names for its {len(classes)} classes; give a list of them, in the order of the "
            "outputs",
        )
    return classes


def processor_values(folder: Path) -> tuple[dict[str, Any], Path]:
    """What the folder's processor is made of, with its file: the first that transformers reads.

    Raises:
        UserError: there is none of `PROCESSORS`, or it is damaged.
    """
    for name in PROCESSORS:
        if (folder / name).exists():
            values = read_json(folder / name)
            if name == PROCESSORS[0]:
                values = values.get("video_processor") or values.get("image_processor") or {}
            if isinstance(values, dict) and values:
                return values, folder / name
    raise UserError(
        "hf.missing_processor",
        f"{folder} does not say how to resize and normalize frames: it has none of {', '.join(PROCESSORS)}",
    )


def weight_files(folder: Path) -> list[Path]:
    """The files with the folder's weights: model.safetensors, or its index and the shards that this names.

    Raises:
        UserError: there are none, only pickles, or the index names other files than those of the folder.
    """
    if (folder / TENSORS).exists():
        return [folder / TENSORS]
    index = folder / INDEX
    if index.exists():
        named = read_json(index).get("weight_map")
        names = sorted(set(map(str, named.values()))) if isinstance(named, dict) else []
        if not names or any(Path(name).name != name or not name.endswith(".safetensors") for name in names):
            raise UserError("hf.invalid_index", f"{index} does not name the safetensors files of its folder")
        return [index, *(folder / name for name in names)]
    if any((folder / name).exists() for name in PICKLES):
        classifier = printable(str((read_config(folder).get("architectures") or ["AutoModel"])[0]))
        raise UserError(
            "hf.pickled_weights",
            f"{folder} has its weights only as pickles, which are not read; convert them where you trust them: "
            f'python -c "from transformers import {classifier} as M; '
            f"M.from_pretrained('{folder}', use_safetensors=False).save_pretrained('{folder}')\"",
        )
    raise UserError("hf.missing_weights", f"{folder} has no weights: neither {TENSORS} nor {INDEX} is there")


def read_tensors(folder: Path) -> dict[str, torch.Tensor]:
    """Read the folder's tensors to the CPU under the names that they have there; a UserError if that fails."""
    tensors: dict[str, torch.Tensor] = {}
    for file in weight_files(folder):
        if file.name != INDEX:
            tensors |= read_safetensors(file, str(file))
    return tensors


def fingerprint_folder(folder: Path) -> str:
    """SHA-256 of the config and the weights. What the processor says is part of a network's input."""
    return fingerprint_json([fingerprint_file(file) for file in (folder / CONFIG, *weight_files(folder))])


def license_of(folder: Path, classifier: str) -> str | None:
    """The license that the folder's model card names, or else that of the family's published weights."""
    family = next((own for family, own in LICENSES.items() if classifier.startswith(family)), None)
    return _named_license(folder) or (f"{family} (of the family's published weights)" if family else None)


def _named_license(folder: Path) -> str | None:
    try:
        text = read_regular(folder / CARD, MAX_CARD).decode("utf-8", "replace")
        header = yaml.safe_load(text.split("---", 2)[1]) if text.startswith("---") else None
    except (OSError, IndexError, ValueError, RecursionError, yaml.YAMLError):  # a card is not needed
        return None
    named = header.get("license") if isinstance(header, Mapping) else None
    return printable(named) if isinstance(named, str) else None


def read_json(file: Path) -> dict[str, Any]:
    """Read a JSON object from a file of such a folder.

    Raises:
        UserError: the file is missing, too large, or not a JSON object.
    """
    if not file.is_file():
        raise UserError("hf.missing_file", f"{file.parent} is not a network in Hugging Face's layout: no {file.name}")
    if file.stat().st_size > MAX_JSON:
        raise UserError("hf.damaged_file", f"{file} has more than {MAX_JSON:,} bytes")
    try:
        content = json.loads(read_regular(file, MAX_JSON))
    except (ValueError, RecursionError) as error:  # also of bytes that are not UTF-8
        raise UserError("hf.damaged_file", f"{file} is damaged: {error}") from None
    if not isinstance(content, dict):
        raise UserError("hf.damaged_file", f"{file} is damaged: it is not a JSON object")
    return content
