"""Losses, section 3.2 of the report: `base` the contract, then the losses by their targets."""

from minidl.nn.losses.base import Loss
from minidl.nn.losses.classification import BCEWithLogits, CrossEntropy
from minidl.nn.losses.regression import L1, MSE, Huber

__all__ = ["L1", "MSE", "BCEWithLogits", "CrossEntropy", "Huber", "Loss"]
