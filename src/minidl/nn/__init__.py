"""The maths: modules, losses and initialisers, written against the array API standard alone."""

from minidl.nn.activations import (
    ELU,
    GELU,
    Identity,
    LeakyReLU,
    ReLU,
    Sigmoid,
    SiLU,
    Softplus,
    Tanh,
)
from minidl.nn.buffer import Buffer
from minidl.nn.checks import check_array, check_floating, saved
from minidl.nn.dropout import Dropout
from minidl.nn.embedding import Embedding
from minidl.nn.flatten import Flatten
from minidl.nn.initializers import (
    Constant,
    Initializer,
    KaimingNormal,
    KaimingUniform,
    Normal,
    Orthogonal,
    XavierNormal,
    XavierUniform,
)
from minidl.nn.linear import Linear
from minidl.nn.losses import L1, MSE, BCEWithLogits, CrossEntropy, Huber, Loss
from minidl.nn.module import Module
from minidl.nn.normalization import BatchNorm1d, LayerNorm
from minidl.nn.parameter import Parameter
from minidl.nn.residual import Residual
from minidl.nn.sequential import Sequential
from minidl.nn.softmax import LogSoftmax, Softmax
from minidl.nn.standardize import Standardize

__all__ = [
    "ELU",
    "GELU",
    "L1",
    "MSE",
    "BCEWithLogits",
    "BatchNorm1d",
    "Buffer",
    "Constant",
    "CrossEntropy",
    "Dropout",
    "Embedding",
    "Flatten",
    "Huber",
    "Identity",
    "Initializer",
    "KaimingNormal",
    "KaimingUniform",
    "LayerNorm",
    "LeakyReLU",
    "Linear",
    "LogSoftmax",
    "Loss",
    "Module",
    "Normal",
    "Orthogonal",
    "Parameter",
    "ReLU",
    "Residual",
    "Sequential",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "Softplus",
    "Standardize",
    "Tanh",
    "XavierNormal",
    "XavierUniform",
    "check_array",
    "check_floating",
    "saved",
]
