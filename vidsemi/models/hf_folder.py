"""A network in Hugging Face's layout, as a local folder: what its JSON files say. Nothing in it is executed."""

import json
from pathlib import Path
from typing import Any

from vidsemi.data.class_names import class_name
from vidsemi.io.errors import UserError
from vidsemi.io.files import read_regular

CONFIG = "config.json"
MAX_JSON = 1 << 26  # bytes; a million class names fit


def folder_classes(folder: Path) -> list[str]:
    """The class names of a network in Hugging Face's layout, by the index of its outputs.

    They are those of `id2label` in its config.json, sorted by their integer ids: name i is that of output i, in an
    order that need not be alphabetical. Without `id2label` they are LABEL_0, LABEL_1, …, as transformers names them.
    Names have the form of `data.class_names.class_name`; whether one is there twice, or is not a class at all, is not
    checked.

    Raises:
        UserError: config.json is missing or damaged, or the ids are not 0, 1, … up to the number of names.
    """
    file, config = folder / CONFIG, read_json(folder / CONFIG)
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
