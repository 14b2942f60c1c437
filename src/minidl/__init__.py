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
from minidl.gradcheck import GradientError, gradcheck
from minidl.nn import (
    L1,
    MSE,
    BCEWithLogits,
    Buffer,
    CrossEntropy,
    Huber,
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
    "L1",
    "MSE",
    "SGD",
    "BCEWithLogits",
    "Backend",
    "BackendError",
    "BackendStatus",
    "Buffer",
    "CaptureError",
    "CrossEntropy",
    "Epoch",
    "GradientError",
    "History",
    "Huber",
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
