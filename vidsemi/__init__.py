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
    from vidsemi.api.browse import browse as browse
    from vidsemi.api.clips import read_clips as read_clips
    from vidsemi.api.evaluate import Evaluation as Evaluation
    from vidsemi.api.evaluate import evaluate as evaluate
    from vidsemi.api.export import Exported as Exported
    from vidsemi.api.export import export as export
    from vidsemi.api.flops import flops as flops
    from vidsemi.api.make_model import create_model as create_model
    from vidsemi.api.make_model import load_model as load_model
    from vidsemi.api.model import Model as Model
    from vidsemi.api.plan import RunCost as RunCost
    from vidsemi.api.plan import plan as plan
    from vidsemi.api.predict import predict as predict
    from vidsemi.api.publish import Published as Published
    from vidsemi.api.publish import publish as publish
    from vidsemi.api.report import report as report
    from vidsemi.api.run import RunResult as RunResult
    from vidsemi.api.run import run as run
    from vidsemi.api.run import transfer as transfer
    from vidsemi.api.score import Scores as Scores
    from vidsemi.api.score import score as score
    from vidsemi.api.select import select as select
    from vidsemi.api.train import TrainResult as TrainResult
    from vidsemi.api.train import train as train
    from vidsemi.api.train_dataset import TrainDataset as TrainDataset
    from vidsemi.data.formats.registry import register_format as register_format
    from vidsemi.data.formats.scan import ScanResult as ScanResult
    from vidsemi.data.input_spec import InputSpec as InputSpec
    from vidsemi.data.manifest import Manifest as Manifest
    from vidsemi.inference.predict import Prediction as Prediction
    from vidsemi.io.errors import DecodeError as DecodeError
    from vidsemi.io.errors import UserError as UserError
    from vidsemi.io.progress import Progress as Progress
    from vidsemi.models.flops import Cost as Cost
    from vidsemi.models.registry import list_models as list_models
    from vidsemi.models.registry import register_model as register_model
    from vidsemi.reporting.write import Report as Report
    from vidsemi.selection.policies import Policy as Policy
    from vidsemi.selection.policies import register_policy as register_policy
    from vidsemi.selection.result import Selection as Selection

__version__ = "0.2.0"

__all__ = [
    "Cost",
    "DecodeError",
    "Evaluation",
    "Exported",
    "InputSpec",
    "Manifest",
    "Model",
    "Policy",
    "Prediction",
    "Progress",
    "Published",
    "Report",
    "RunCost",
    "RunResult",
    "ScanResult",
    "Scores",
    "Selection",
    "TrainDataset",
    "TrainResult",
    "UserError",
    "__version__",
    "browse",
    "create_model",
    "data",
    "evaluate",
    "export",
    "flops",
    "list_models",
    "load_model",
    "plan",
    "predict",
    "publish",
    "read_clips",
    "register_format",
    "register_model",
    "register_policy",
    "report",
    "run",
    "score",
    "select",
    "train",
    "transfer",
]

_HOMES = {
    "Cost": "vidsemi.models.flops",
    "DecodeError": "vidsemi.io.errors",
    "Evaluation": "vidsemi.api.evaluate",
    "Exported": "vidsemi.api.export",
    "InputSpec": "vidsemi.data.input_spec",
    "Manifest": "vidsemi.data.manifest",
    "Model": "vidsemi.api.model",
    "Policy": "vidsemi.selection.policies",
    "Prediction": "vidsemi.inference.predict",
    "Progress": "vidsemi.io.progress",
    "Published": "vidsemi.api.publish",
    "Report": "vidsemi.reporting.write",
    "RunCost": "vidsemi.api.plan",
    "RunResult": "vidsemi.api.run",
    "ScanResult": "vidsemi.data.formats.scan",
    "Scores": "vidsemi.api.score",
    "Selection": "vidsemi.selection.result",
    "TrainDataset": "vidsemi.api.train_dataset",
    "TrainResult": "vidsemi.api.train",
    "UserError": "vidsemi.io.errors",
    "browse": "vidsemi.api.browse",
    "create_model": "vidsemi.api.make_model",
    "data": "vidsemi.data",
    "evaluate": "vidsemi.api.evaluate",
    "export": "vidsemi.api.export",
    "flops": "vidsemi.api.flops",
    "list_models": "vidsemi.models.registry",
    "load_model": "vidsemi.api.make_model",
    "plan": "vidsemi.api.plan",
    "predict": "vidsemi.api.predict",
    "publish": "vidsemi.api.publish",
    "read_clips": "vidsemi.api.clips",
    "register_format": "vidsemi.data.formats.registry",
    "register_model": "vidsemi.models.registry",
    "register_policy": "vidsemi.selection.policies",
    "report": "vidsemi.api.report",
    "run": "vidsemi.api.run",
    "score": "vidsemi.api.score",
    "select": "vidsemi.api.select",
    "train": "vidsemi.api.train",
    "transfer": "vidsemi.api.run",
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
