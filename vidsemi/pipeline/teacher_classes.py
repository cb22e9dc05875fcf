"""The classes of a frozen teacher: the names of its outputs, and which classes of the run they stand for."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vidsemi.config import Teacher
from vidsemi.data.class_map import ClassMap, map_classes, read_class_map, refuse_disjoint, unmatched_classes
from vidsemi.data.class_names import match_names, read_class_names
from vidsemi.io.errors import UserError
from vidsemi.io.tables import printable

if TYPE_CHECKING:
    from vidsemi.models.weights import Weights

logger = logging.getLogger("vidsemi")


@dataclass(frozen=True)
class TeacherClasses:
    """What the outputs of a frozen teacher are."""

    outputs: list[str]  # their names, in their order
    class_map: ClassMap

    def warnings(self, key: str) -> list[str]:
        """Warn of classes that no output stands for; `key` is the teacher's in the config."""
        known = set(self.class_map.known)
        missing = [name for number, name in enumerate(self.class_map.classes) if number not in known]
        if not missing:
            return []
        return [
            f"{key}: {len(missing)} of {len(self.class_map.classes)} classes are not among the teacher's and get no "
            f"pseudo-labels: {unmatched_classes(self.outputs, missing)}"
        ]


def teacher_classes(teacher: Teacher, weights: "Weights", classes: list[str] | None) -> TeacherClasses | None:
    """Match the outputs of a frozen teacher with classes.

    Args:
        teacher: its section of the config.
        weights: its weights.
        classes: of the labeled set; None if there is none, where the teacher defines them, in alphabetical order.

    Returns:
        None if the outputs are the classes, but perhaps for their order, or have no names.

    Raises:
        UserError: the outputs have no names and need them, or a file with names is wrong; or none of the classes is
            among the outputs.
    """
    from vidsemi.models.hf_folder import are_placeholders

    outputs = read_class_names(_existing(teacher.classes, "classes")) if teacher.classes else weights.classes
    placeholders = outputs is not None and not teacher.classes and are_placeholders(outputs)
    if outputs is None or placeholders:
        if teacher.class_map or classes is None or placeholders:
            raise UserError(
                "teacher.unnamed_classes",
                f"{weights.file} has no names for its outputs{', only LABEL_0 and so on' * placeholders}; list them in "
                "a text file, one a line, and set teacher.classes to it",
            )
        return None
    if repeated := next((name for name in outputs if outputs.count(name) > 1), None):
        raise UserError(
            "teacher.class_twice",
            f"{weights.file} has two outputs with the name '{printable(repeated)}'; give all of them names of "
            "their own in a text file, and set teacher.classes to it",
        )
    if teacher.class_map:
        pairs = read_class_map(_existing(teacher.class_map, "class_map"), outputs, classes)
    else:
        pairs = match_names(outputs, outputs if classes is None else classes)
    ours = classes if classes is not None else sorted(set(pairs.values()))
    if not pairs:
        raise refuse_disjoint(weights.file, outputs, ours)
    if not (teacher.classes or teacher.class_map) and sorted(outputs) == sorted(ours):
        return None
    return TeacherClasses(outputs, map_classes(outputs, ours, pairs))


def _existing(name: str, key: str) -> Path:
    if not Path(name).is_file():
        raise UserError("teacher.missing_file", f"teacher.{key}: {name} does not exist, or is not a file")
    return Path(name)
