"""The maths: modules, losses and initialisers, written against the array API standard alone."""

from minidl.nn.activations import ReLU, Tanh
from minidl.nn.buffer import Buffer
from minidl.nn.checks import check_array, check_floating, saved
from minidl.nn.initializers import (
    Initializer,
    KaimingNormal,
    KaimingUniform,
    Normal,
    XavierNormal,
    XavierUniform,
)
from minidl.nn.linear import Linear
from minidl.nn.losses import L1, MSE, BCEWithLogits, CrossEntropy, Huber, Loss
from minidl.nn.module import Module
from minidl.nn.parameter import Parameter
from minidl.nn.sequential import Sequential

__all__ = [
    "L1",
    "MSE",
    "BCEWithLogits",
    "Buffer",
    "CrossEntropy",
    "Huber",
    "Initializer",
    "KaimingNormal",
    "KaimingUniform",
    "Linear",
    "Loss",
    "Module",
    "Normal",
    "Parameter",
    "ReLU",
    "Sequential",
    "Tanh",
    "XavierNormal",
    "XavierUniform",
    "check_array",
    "check_floating",
    "saved",
]
