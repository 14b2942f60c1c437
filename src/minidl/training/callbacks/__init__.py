"""Callbacks for `fit`: what they are in `minidl.training.hooks`, and these to begin with."""

from minidl.training.callbacks.early_stopping import EarlyStopping
from minidl.training.callbacks.logs import CSVLog, JSONLines, TensorBoard
from minidl.training.callbacks.progress import ProgressBar

__all__ = ["CSVLog", "EarlyStopping", "JSONLines", "ProgressBar", "TensorBoard"]
