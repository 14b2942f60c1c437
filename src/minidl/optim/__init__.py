"""Optimizers, schedules of the learning rate, and the clipping of gradients.

An optimizer sees a model as one vector θ of values and one vector of gradients, so that an update
takes a few array operations whatever the number of layers. JAX, whose arrays have no views, is the
exception: there slices and joins cost more than they save.
"""

from minidl.optim import schedules
from minidl.optim.adagrad import Adagrad
from minidl.optim.adam import Adam, AdamW
from minidl.optim.base import Optimizer
from minidl.optim.clipping import clip_grad_norm, clip_grad_value
from minidl.optim.groups import Group
from minidl.optim.rmsprop import RMSprop
from minidl.optim.schedules import ReduceOnPlateau, Schedule
from minidl.optim.sgd import SGD

__all__ = [
    "SGD",
    "Adagrad",
    "Adam",
    "AdamW",
    "Group",
    "Optimizer",
    "RMSprop",
    "ReduceOnPlateau",
    "Schedule",
    "clip_grad_norm",
    "clip_grad_value",
    "schedules",
]
