"""Who does the work: minidl, the same array libraries by hand, and what people use instead."""

from bench.contestants.base import Contestant, UnavailableError
from bench.contestants.registry import BY_NAME, CONTESTANTS, NUMPY_BY_HAND, TORCH_NN_CUDA, Entry

__all__ = [
    "BY_NAME",
    "CONTESTANTS",
    "NUMPY_BY_HAND",
    "TORCH_NN_CUDA",
    "Contestant",
    "Entry",
    "UnavailableError",
]
