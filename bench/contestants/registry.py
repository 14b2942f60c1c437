"""All contestants by name. Their libraries are imported only when one is made."""

from __future__ import annotations

import importlib
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Literal

from bench.contestants.base import Contestant
from bench.work import Work

Device = Literal["cpu", "gpu"]


@dataclass(frozen=True)
class Entry:
    """A contestant that has not been made yet.

    Attributes:
        name: Its name in tables.
        library: The backend that it computes with, or the peer's own name.
        kind: What it stands for: minidl, the same library without a framework, or what people
            would use instead.
        made_by: Module and class, in this folder.
        options: What the class takes beside the work.
    """

    name: str
    library: str
    kind: Literal["minidl", "by hand", "peer"]
    made_by: str
    options: dict[str, Any] = field(default_factory=dict)
    device: Device = "cpu"

    def load(self) -> Any:
        """Import the library, and the module that makes the contestant, which is returned."""
        module = importlib.import_module(f"bench.contestants.{self.made_by.partition(':')[0]}")
        with suppress(ModuleNotFoundError):  # not all have one of that name
            importlib.import_module(self.library.partition(":")[0])
        return module

    def make(self, work: Work) -> Contestant:
        """Import the library, and make the contestant ready to train."""
        kind = getattr(self.load(), self.made_by.partition(":")[2])
        contestant: Contestant = kind(work, **self.options)
        return contestant


def _minidl(backend: str, device: Device = "cpu", capture: str | None = None) -> Entry:
    label = "jax (GPU)" if (backend, device) == ("jax", "gpu") else backend
    name, made_by = f"minidl {label}", "minidl_modules:Eager"
    options = {"backend": backend, "device": device}
    if capture is not None:
        name += " compiled" if capture == "compile" else " captured"
        made_by = "minidl_modules:Captured"
        options["capture"] = capture
    return Entry(name, backend, "minidl", made_by, options, device)


def _torch(name: str, made_by: str, device: Device, **options: Any) -> Entry:
    kind: Literal["by hand", "peer"] = "by hand" if "by hand" in name else "peer"
    place = "cpu" if device == "cpu" else "cuda"
    library = "torch" if device == "cpu" else "torch:cuda"
    return Entry(name, library, kind, made_by, {"device": place, **options}, device)


def _jax(name: str, device: Device, scan: bool) -> Entry:
    options = {"scan": scan, "device": device}
    return Entry(name, "jax", "by hand", "jax_by_hand:JaxByHand", options, device)


NUMPY_BY_HAND = "NumPy by hand"
TORCH_NN_CUDA = "torch.nn cuda"

CONTESTANTS = (
    _minidl("numpy"),
    _minidl("numpy", capture="auto"),
    _minidl("torch"),
    _minidl("torch", capture="auto"),
    _minidl("torch", capture="compile"),
    _minidl("jax"),
    _minidl("jax", capture="auto"),
    _minidl("array_api_strict"),
    _torch("torch.nn", "torch_nn:TorchNN", "cpu"),
    _torch("torch.nn compiled", "torch_nn:TorchNN", "cpu", mode="default"),
    Entry("torch.func compiled", "torch", "peer", "torch_func:TorchFunc"),
    Entry("torch.func AOTInductor", "torch", "peer", "torch_func:AheadOfTime"),
    Entry("scikit-learn", "scikit-learn", "peer", "scikit_learn:ScikitLearn"),
    Entry("tinygrad", "tinygrad", "peer", "tinygrad_jit:Tinygrad"),
    Entry("numba", "numba", "peer", "numba_compiled:Numba"),
    Entry("autograd", "autograd", "peer", "autograd_hips:Autograd"),
    Entry("Keras", "keras", "peer", "keras_fit:Keras"),
    Entry(NUMPY_BY_HAND, "numpy", "by hand", "numpy_by_hand:Plain"),
    Entry("NumPy by hand, preallocated", "numpy", "by hand", "numpy_by_hand:Preallocated"),
    _torch("torch by hand", "torch_by_hand:TorchByHand", "cpu"),
    _jax("JAX by hand, jit", "cpu", scan=False),
    _jax("JAX by hand, scan", "cpu", scan=True),
    Entry("C by hand", "c", "by hand", "c_by_hand:CByHand"),
    _minidl("torch:cuda", "gpu"),
    _minidl("torch:cuda", "gpu", "auto"),
    _minidl("torch:cuda", "gpu", "compile"),
    _minidl("cupy", "gpu"),
    _minidl("cupy", "gpu", "auto"),
    _minidl("jax", "gpu"),
    _minidl("jax", "gpu", "auto"),
    _torch(TORCH_NN_CUDA, "torch_nn:TorchNN", "gpu"),
    _torch("torch.nn cuda compiled", "torch_nn:TorchNN", "gpu", mode="default"),
    _torch("torch.nn cuda CUDA graphs", "torch_nn:TorchNN", "gpu", mode="reduce-overhead"),
    _torch("torch by hand cuda", "torch_by_hand:TorchByHand", "gpu"),
    Entry("CuPy by hand", "cupy", "by hand", "numpy_by_hand:Plain", {"library": "cupy"}, "gpu"),
    _jax("JAX by hand (GPU), jit", "gpu", scan=False),
    _jax("JAX by hand (GPU), scan", "gpu", scan=True),
)

BY_NAME = {entry.name: entry for entry in CONTESTANTS}
