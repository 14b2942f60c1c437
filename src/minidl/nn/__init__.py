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
from minidl.nn.losses import MSE, Loss
from minidl.nn.module import Module
from minidl.nn.normalization import BatchNorm1d, LayerNorm
from minidl.nn.parameter import Parameter
from minidl.nn.residual import Residual
from minidl.nn.sequential import Sequential
from minidl.nn.softmax import LogSoftmax, Softmax

__all__ = [
    "ELU",
    "GELU",
    "MSE",
    "BatchNorm1d",
    "Buffer",
    "Constant",
    "Dropout",
    "Embedding",
    "Flatten",
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
    "Tanh",
    "XavierNormal",
    "XavierUniform",
    "check_array",
    "check_floating",
    "saved",
]
