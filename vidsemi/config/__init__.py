"""The config of a run: every key, its default, description and validation. `load.py` reads it from YAML."""

from vidsemi.config.base import Section
from vidsemi.config.data import Data, Source
from vidsemi.config.hashtags import Hashtags
from vidsemi.config.input import Input, OwnInput
from vidsemi.config.log import Log
from vidsemi.config.model import TAUGHT, Approach, Network, Student, Teacher
from vidsemi.config.run import Config, Evaluate, Runtime, Score, Select
from vidsemi.config.training import Recipe, Train
from vidsemi.config.transfer import FcOnly, Protocol, Split, Target
from vidsemi.config.transfer_run import TransferConfig

__all__ = [
    "TAUGHT",
    "Approach",
    "Config",
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
]
