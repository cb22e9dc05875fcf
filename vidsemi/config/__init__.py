"""The config of a run: every key, its default, description and validation. `load.py` reads it from YAML."""

from vidsemi.config.base import Log, Runtime, Section
from vidsemi.config.data import Cut, Data, Hashtags, Source, Validation
from vidsemi.config.model import TEACHER_APPROACHES, Approach, Input, Network, OwnInput, Student, Teacher
from vidsemi.config.run import Config, Evaluate, Score, Select
from vidsemi.config.training import Recipe, Train
from vidsemi.config.transfer import FcOnly, Protocol, Split, Target, TransferConfig
from vidsemi.config.variants import Variants

__all__ = [
    "TEACHER_APPROACHES",
    "Approach",
    "Config",
    "Cut",
    "Data",
    "Evaluate",
    "FcOnly",
    "Hashtags",
    "Input",
    "Log",
    "Network",
    "OwnInput",
    "Protocol",
    "Recipe",
    "Runtime",
    "Score",
    "Section",
    "Select",
    "Source",
    "Split",
    "Student",
    "Target",
    "Teacher",
    "Train",
    "TransferConfig",
    "Validation",
    "Variants",
]
