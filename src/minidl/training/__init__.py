"""The training loop and what it remembers."""

from minidl.training import callbacks
from minidl.training.divergence import NonFiniteLossError
from minidl.training.epoch import Epoch
from minidl.training.evaluation import evaluate, predict
from minidl.training.history import History
from minidl.training.loop import fit

__all__ = [
    "Epoch",
    "History",
    "NonFiniteLossError",
    "callbacks",
    "evaluate",
    "fit",
    "predict",
]
