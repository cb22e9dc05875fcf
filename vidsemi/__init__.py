"""vidsemi: train small action-recognition networks with unlabeled video (Yalniz et al. 2019).

The Python API, all of it: `vidsemi.__all__`. Its names are imported when they are first used, so that `import vidsemi`
takes a few milliseconds and loads neither torch nor numpy. All else is private. The library prints nothing; it logs to
the logger "vidsemi".
"""

import logging
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # what `__getattr__` gives, for mypy and editors
    from vidsemi import data as data
    from vidsemi.api.clips import read_clips as read_clips
    from vidsemi.api.model import Model as Model
    from vidsemi.api.model import create_model as create_model
    from vidsemi.api.model import load_model as load_model
    from vidsemi.api.predict import predict as predict
    from vidsemi.api.train_dataset import TrainDataset as TrainDataset
    from vidsemi.data.formats.registry import register_format as register_format
    from vidsemi.data.formats.scan import ScanResult as ScanResult
    from vidsemi.data.input_spec import InputSpec as InputSpec
    from vidsemi.data.manifest import Manifest as Manifest
    from vidsemi.inference.predict import Prediction as Prediction
    from vidsemi.io.errors import DecodeError as DecodeError
    from vidsemi.io.errors import UserError as UserError
    from vidsemi.io.progress import Progress as Progress
    from vidsemi.models.registry import list_models as list_models
    from vidsemi.models.registry import register_model as register_model
    from vidsemi.selection.policies import Policy as Policy
    from vidsemi.selection.policies import register_policy as register_policy
    from vidsemi.selection.result import Selection as Selection

__version__ = "0.1.0"

__all__ = [
    "DecodeError",
    "InputSpec",
    "Manifest",
    "Model",
    "Policy",
    "Prediction",
    "Progress",
    "ScanResult",
    "Selection",
    "TrainDataset",
    "UserError",
    "__version__",
    "create_model",
    "data",
    "list_models",
    "load_model",
    "predict",
    "read_clips",
    "register_format",
    "register_model",
    "register_policy",
]

_HOMES = {
    "DecodeError": "vidsemi.io.errors",
    "InputSpec": "vidsemi.data.input_spec",
    "Manifest": "vidsemi.data.manifest",
    "Model": "vidsemi.api.model",
    "Policy": "vidsemi.selection.policies",
    "Prediction": "vidsemi.inference.predict",
    "Progress": "vidsemi.io.progress",
    "ScanResult": "vidsemi.data.formats.scan",
    "Selection": "vidsemi.selection.result",
    "TrainDataset": "vidsemi.api.train_dataset",
    "UserError": "vidsemi.io.errors",
    "create_model": "vidsemi.api.model",
    "data": "vidsemi.data",
    "list_models": "vidsemi.models.registry",
    "load_model": "vidsemi.api.model",
    "predict": "vidsemi.api.predict",
    "read_clips": "vidsemi.api.clips",
    "register_format": "vidsemi.data.formats.registry",
    "register_model": "vidsemi.models.registry",
    "register_policy": "vidsemi.selection.policies",
}  # the module of each name

logging.getLogger(__name__).addHandler(logging.NullHandler())


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'vidsemi' has no attribute '{name}'")
    module = import_module(_HOMES[name])
    value = module if name == "data" else getattr(module, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
