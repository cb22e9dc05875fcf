"""`predict`: the classes of files, or of frames in memory."""

from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any

from vidsemi.api.arguments import PathArgument, check_count, runtime_of
from vidsemi.api.model import Model
from vidsemi.api.model_arguments import check_views, trained_of
from vidsemi.data.input_spec import Decoder
from vidsemi.data.manifest import Manifest
from vidsemi.data.memory import MemoryRow, rows_in_memory
from vidsemi.data.reachable import Dataset, Rows
from vidsemi.inference.predict import Prediction, examples_to_predict, predict_examples
from vidsemi.io.errors import UserError
from vidsemi.io.progress import ShowProgress, show_progress


def predict(
    model: Model | PathArgument,
    examples: Any,
    *,
    top: int | None = 5,
    views: int = 10,
    crops: int = 1,
    decoder: Decoder = "pyav",
    device: str = "auto",
    workers: int | None = None,
    seconds_per_file: float = 600,
    clips_per_forward: int | None = None,
    progress: ShowProgress = None,
) -> Prediction | list[Prediction]:
    """Predict the classes of videos and images.

    Frames in memory are resized, cropped and cut into views by the code that does it for files. They have to be RGB and
    upright. The scores of a file and of its frames, as PyAV decodes them, are equal to the bit if the frames have the
    size that the network resizes to or are coded in RGB, or if the list holds PyAV's own `VideoFrame`s, upright with
    square pixels. Else they differ as the colors do, by about one gray level of 255, since FFmpeg scales a video's
    color planes before it converts them to RGB.

    Args:
        model: a network, or its weights file.
        examples: what to predict. One video or image: a path, an address, an array (n, height, width, 3) uint8 of
            frames, a list of frames (height, width, 3), or an array (height, width, 3), which is an image. Several: a
            folder, a manifest, a list of paths, or a list of arrays of frames.
        top: classes of each prediction, the highest-scoring first; None for all.
        views: clips per video, evenly spread, whose softmax scores are averaged.
        crops: per clip: 1 (the center), or 10 (the corners and the center, and the same mirrored).
        decoder: of videos that it is known to decode correctly; PyAV reads the others.
        device: "cpu", "cuda", "cuda:1", …; "auto" is the one where the model is, or a GPU if that is the CPU.
        workers: processes that decode files; by default one per core. With 0 this process decodes.
        seconds_per_file: time limit for decoding a file.
        clips_per_forward: batch size; by default 10 on a CPU, else 64.
        progress: True for a bar, or a function that takes a `Progress`.

    Returns:
        a `Prediction` for one video or image, a list of them in the order of the examples for several. Where some files
        cannot be read, their predictions have an `error`.

    Raises:
        UserError: no file can be read, a path does not exist, or an argument is wrong.
    """
    runtime = runtime_of(device, workers, seconds_per_file, clips_per_forward)
    check_views(views, crops)
    if top is not None:
        check_count("top", top)
    with show_progress(progress):
        trained, runtime = trained_of(model, decoder, runtime)
        dataset, single = _dataset(examples)
        if not len(dataset):
            return []
        if isinstance(dataset.row(0), MemoryRow):
            runtime = runtime.model_copy(update={"workers": 0})
        predictions = predict_examples(
            weights=trained, dataset=dataset, views=views, crops=crops, decoder=decoder, top=top, runtime=runtime
        )
    return predictions[0] if single else predictions


def _dataset(examples: Any) -> tuple[Dataset, bool]:
    """The examples, and whether they were given as a single one."""
    if isinstance(examples, Manifest):
        return examples, False
    if isinstance(examples, str | PathLike):
        path = str(examples)
        dataset = examples_to_predict([path])
        return dataset, not (isinstance(dataset, Manifest) or Path(path).is_dir())
    if not isinstance(examples, list | tuple):
        return Rows(rows_in_memory([examples])), True
    paths = [isinstance(one, str | PathLike) for one in examples]
    if paths and all(paths):
        return examples_to_predict([str(one) for one in examples]), False
    if any(paths):
        raise UserError("predict.mixed", "the examples are paths and frames in one list; give two lists")
    if examples and all(_is_frame(one) for one in examples):
        return Rows(rows_in_memory([examples])), True
    return Rows(rows_in_memory(examples)), False


def _is_frame(value: Any) -> bool:
    """Whether a value is one frame, not several: PyAV's, Pillow's, or an array (height, width, 3)."""
    dimensions = getattr(value, "ndim", None)
    return dimensions == 3 if dimensions is not None else not isinstance(value, Sequence)
