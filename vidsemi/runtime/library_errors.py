"""What exceptions of other libraries mean, where only their wording tells.

The next release of a library may word an error differently, so every such decision is made here, and
`tests/runtime/test_library_errors.py` provokes the library's real error for each of them.
"""

import os
import re
import traceback

OUT_OF_MEMORY = re.compile("allocate memory|out of memory|ALLOC_FAILED")  # torch on CPUs; CUDA; cuDNN and cuBLAS
DEVICE_ERROR = re.compile("CUDA error|cuDNN error|CUDNN_STATUS|CUBLAS_STATUS|NCCL error|HIP error")
DEAD_LOADER_WORKER = re.compile(r"DataLoader worker \(pid|Pin memory thread|shared memory\(shm\)|DefaultCPUAllocator")
LOST_PEER = re.compile("by peer|Broken pipe|Connection was likely closed")  # gloo; torch's store, sending; receiving
UNPICKLABLE_GLOBAL = re.compile(r"GLOBAL ([\w.]+)")
TRUNCATED_IMAGE = re.compile("truncated|EOF", re.IGNORECASE)


def first_line(error: BaseException) -> str:
    """The first line of an error's message, or the name of its type if it has none."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def raised_at(error: BaseException) -> str:
    """Where code that this function called raised an error, ` (FILE, line N)`; empty if none of its lines was reached.

    It is the innermost line in the folder of the code that was called, not one of a library that this used.
    """
    frames = [frame for frame in traceback.extract_tb(error.__traceback__)[1:] if "importlib" not in frame.filename]
    own = [frame for frame in frames if frame.filename.startswith(os.path.dirname(frames[0].filename))]
    return f" ({own[-1].filename}, line {own[-1].lineno})" if own else ""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a computation ran out of memory on its device: torch, CUDA, cuDNN, cuBLAS, NumPy.

    Only torch on GPUs has a type for it, a RuntimeError; torch on CPUs and the CUDA libraries raise a plain one.
    """
    return isinstance(error, MemoryError) or _matches(error, OUT_OF_MEMORY)


def is_device_error(error: BaseException) -> bool:
    """Whether a GPU failed: the error of an earlier kernel, which any later call may raise, or the driver's own.

    torch has a type for it since 2.8, a RuntimeError.
    """
    return type(error).__name__ == "AcceleratorError" or _matches(error, DEVICE_ERROR)


def is_lost_peer(error: BaseException | None) -> bool:
    """Whether another process of a gloo group has ended, or the one that serves the store."""
    return error is not None and _matches(error, LOST_PEER)


def is_dead_loader_worker(error: BaseException) -> bool:
    """Whether a worker of a torch DataLoader was killed, or has too little memory or shared memory."""
    return isinstance(error, MemoryError) or _matches(error, DEAD_LOADER_WORKER)


def _matches(error: BaseException, words: re.Pattern[str]) -> bool:
    return isinstance(error, RuntimeError) and words.search(str(error)) is not None


def needs_tensor_values(error: BaseException) -> bool:
    """Whether a network failed on torch's meta device because it reads the values of a tensor, not only its shape."""
    return "meta" in first_line(error)


def unpicklable_global(error: BaseException) -> str | None:
    """The class or function that `torch.load(weights_only=True)` refused to load, None if the error names none."""
    name = UNPICKLABLE_GLOBAL.search(str(error))
    return name[1] if name else None


def is_torchscript(error: BaseException) -> bool:
    """Whether `torch.load(weights_only=True)` refused a file because it is a TorchScript archive."""
    return "TorchScript" in first_line(error)


def is_refused_format(error: BaseException) -> bool:
    """Whether `torch.load(weights_only=True)` refused a file because its old format can execute code."""
    return "weights_only" in first_line(error)


def is_field_too_long(error: BaseException) -> bool:
    """Whether the csv module gave up on a field longer than its limit, such as one whose quote is never closed."""
    return "larger than field limit" in str(error)


def is_truncated_image(error: BaseException) -> bool:
    """Whether Pillow found that an image file ends early."""
    return TRUNCATED_IMAGE.search(str(error)) is not None
