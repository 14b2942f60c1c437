"""minidl: neural networks with explicit forward and backward, on any array library."""

from minidl.backend import (
    Backend,
    BackendError,
    BackendStatus,
    available_backends,
    backend_of,
    get_backend,
    to_numpy,
    use_backend,
)
from minidl.capture import CaptureError, capture
from minidl.data import Standardizer, disk, minibatches
from minidl.exchange import (
    FileFormatError,
    Summary,
    export_onnx,
    from_torch,
    load,
    save,
    summary,
    to_torch,
)
from minidl.gradcheck import GradientError, gradcheck
from minidl.nn import (
    MSE,
    Buffer,
    Initializer,
    KaimingNormal,
    KaimingUniform,
    Linear,
    Loss,
    Module,
    Normal,
    Parameter,
    ReLU,
    Sequential,
    Tanh,
    XavierNormal,
    XavierUniform,
)
from minidl.optim import SGD, Optimizer
from minidl.training import Epoch, History, NonFiniteLossError, classification_error, fit

__version__ = "0.1.0"

__all__ = [
    "to_torch",
    "summary",
    "save",
    "load",
    "from_torch",
    "export_onnx",
    "Summary",
    "FileFormatError",
    "MSE",
    "SGD",
    "Backend",
    "BackendError",
    "BackendStatus",
    "Buffer",
    "CaptureError",
    "Epoch",
    "GradientError",
    "History",
    "Initializer",
    "KaimingNormal",
    "KaimingUniform",
    "Linear",
    "Loss",
    "Module",
    "NonFiniteLossError",
    "Normal",
    "Optimizer",
    "Parameter",
    "ReLU",
    "Sequential",
    "Standardizer",
    "Tanh",
    "XavierNormal",
    "XavierUniform",
    "available_backends",
    "backend_of",
    "capture",
    "classification_error",
    "disk",
    "fit",
    "get_backend",
    "gradcheck",
    "minibatches",
    "to_numpy",
    "use_backend",
]
