"""The array libraries that minidl knows: the one place where they have names."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import array_api_compat
import numpy as np

from minidl.backend.base import Array, Backend, BackendError


class NumPy(Backend):
    library = "numpy"
    install = "pip install numpy"
    listed = ("numpy",)

    def _open(self, place: str) -> None:
        if place:
            raise BackendError(f"expected numpy, which has the CPU alone, got numpy:{place}")
        self.xp = importlib.import_module("array_api_compat.numpy")
        self.device = "cpu"

    def _from_numpy(self, x: np.ndarray[Any, Any]) -> Array:
        return x.copy()

    @staticmethod
    def owns(x: object) -> bool:
        if isinstance(x, np.ndarray) and type(x).__mul__ is not np.ndarray.__mul__:
            return False  # np.matrix, a masked array, and what else has its own arithmetic
        return array_api_compat.is_numpy_array(x)

    def one_thread(self) -> AbstractContextManager[object]:
        blas = _blas()
        return nullcontext() if blas is None else blas.limit(limits=1)


class Torch(Backend):
    library = "torch"
    install = "pip install torch"
    listed = ("torch", "torch:cuda")

    def _open(self, place: str) -> None:
        torch = self._module
        self.xp = importlib.import_module("array_api_compat.torch")
        if not place:
            self.device = torch.device("cpu")
            return
        kind, _, index = place.partition(":")
        if kind != "cuda":
            raise BackendError(f"expected torch, torch:cuda or torch:cuda:N, got torch:{place}")
        if torch.version.cuda is None:
            raise BackendError(f"PyTorch {torch.__version__} is a build without CUDA")
        if not torch.cuda.is_available():
            raise BackendError("PyTorch finds no CUDA device or no driver for it")
        self.device = torch.device("cuda", _index(index, torch.cuda.device_count()))

    def _place(self) -> str:
        return _torch_place(self.device)

    def _from_numpy(self, x: np.ndarray[Any, Any]) -> Array:
        # torch.tensor refuses the strides that NumPy leaves to axes of one element.
        return self._module.from_numpy(x.copy()).to(self.device)

    owns = staticmethod(array_api_compat.is_torch_array)

    @staticmethod
    def to_numpy(x: Array) -> np.ndarray[Any, Any]:
        return x.numpy(force=True)  # type: ignore[no-any-return]

    @staticmethod
    def place_of(x: Array) -> str:
        return _torch_place(x.device)

    def synchronize(self) -> None:
        if self.device.type == "cuda":
            self._module.cuda.synchronize(self.device)

    @contextmanager
    def one_thread(self) -> Iterator[None]:
        if self.device.type != "cpu":
            yield
            return
        before = self._module.get_num_threads()
        self._module.set_num_threads(1)
        try:
            yield
        finally:
            self._module.set_num_threads(before)

    @property
    def device_name(self) -> str:
        if self.device.type == "cuda":
            return str(self._module.cuda.get_device_name(self.device))
        return "cpu"


class CuPy(Backend):
    library = "cupy"
    install = "pip install 'cupy-cuda13x[ctk]' (CUDA 12: 'cupy-cuda12x[ctk]')"
    listed = ("cupy",)

    def _open(self, place: str) -> None:
        cupy = self._module
        self.xp = importlib.import_module("array_api_compat.cupy")
        self.device = cupy.cuda.Device(_index(place, cupy.cuda.runtime.getDeviceCount()))

    def _place(self) -> str:
        return str(self.device.id) if self.device.id else ""

    def _from_numpy(self, x: np.ndarray[Any, Any]) -> Array:
        with self.device:
            return self._module.array(x)

    owns = staticmethod(array_api_compat.is_cupy_array)

    @staticmethod
    def to_numpy(x: Array) -> np.ndarray[Any, Any]:
        with x.device:
            return x.get()  # type: ignore[no-any-return]

    @staticmethod
    def place_of(x: Array) -> str:
        return str(x.device.id) if x.device.id else ""

    def synchronize(self) -> None:
        self.device.synchronize()

    def active(self) -> AbstractContextManager[object]:
        return self.device  # type: ignore[no-any-return]

    @property
    def device_name(self) -> str:
        properties = self._module.cuda.runtime.getDeviceProperties(self.device.id)
        return str(properties["name"].decode())


class JAX(Backend):
    library = "jax"
    install = "pip install jax (for an NVIDIA GPU: 'jax[cuda13]' or 'jax[cuda12]')"
    listed = ("jax",)

    def _open(self, place: str) -> None:
        jax = self._module
        if self.dtype_name == "float64":
            jax.config.update("jax_enable_x64", True)
        self.xp = jax.numpy
        kind, _, index = ("", "", place) if place[:1].isdecimal() else place.partition(":")
        devices = jax.local_devices(backend=kind or None)  # its error lists the kinds there are
        self.device = devices[_index(index, len(devices))]

    def _place(self) -> str:
        return _jax_place(self.device)

    @classmethod
    def default_place(cls) -> str:
        device = _default_jax_device()
        return "" if device is None else _jax_path(device)

    def _from_numpy(self, x: np.ndarray[Any, Any]) -> Array:
        narrow = self._module.dtypes.canonicalize_dtype(x.dtype)
        if x.dtype.kind in "iu" and narrow != x.dtype and not np.array_equal(x.astype(narrow), x):
            raise ValueError(
                f"asarray: expected integers that {narrow} holds, got larger ones; "
                "jax.config.update('jax_enable_x64', True) gives JAX 64 bits"
            )
        # jax.numpy.array takes ten times as long; the copy is since JAX may keep the host's memory.
        return self._module.device_put(x.copy(), self.device)

    owns = staticmethod(array_api_compat.is_jax_array)

    @staticmethod
    def place_of(x: Array) -> str:
        # What JAX traces has no device, and what lies on several has no one place.
        device = getattr(x, "device", None)
        return _jax_place(device) if hasattr(device, "platform") else ""

    def synchronize(self) -> None:
        self._module.block_until_ready(self._module.live_arrays())

    @property
    def device_name(self) -> str:
        return str(self.device.device_kind)


class ArrayAPIStrict(Backend):
    library = "array_api_strict"
    install = "pip install array-api-strict"
    listed = ("array_api_strict",)

    def _open(self, place: str) -> None:
        self.xp = self._module
        devices = {_strict_place(one): one for one in self.xp.__array_namespace_info__().devices()}
        if place not in devices:
            known = ", ".join(filter(None, devices))
            raise BackendError(f"expected no device or one of {known}, got {place!r}")
        self.device = devices[place]

    def _place(self) -> str:
        return _strict_place(self.device)

    def _from_numpy(self, x: np.ndarray[Any, Any]) -> Array:
        return self.xp.asarray(x.copy(), device=self.device)

    @staticmethod
    def owns(x: object) -> bool:
        return type(x).__module__.partition(".")[0] == "array_api_strict"

    @staticmethod
    def to_numpy(x: Array) -> np.ndarray[Any, Any]:
        return np.asarray(x.to_device(type(x.device)("CPU_DEVICE")))

    @staticmethod
    def place_of(x: Array) -> str:
        return _strict_place(x.device)


@functools.cache
def _blas() -> Any:
    """threadpoolctl's hold on the library of NumPy's products; None without threadpoolctl."""
    try:
        threadpoolctl = importlib.import_module("threadpoolctl")
    except ModuleNotFoundError:
        return None
    return threadpoolctl.ThreadpoolController().select(user_api="blas")


def _index(text: str, count: int) -> int:
    """The device number that `text` names among `count` devices; the first if it is empty."""
    if text and not text.isdecimal():
        raise BackendError(f"expected the number of a device, got {text!r}")
    index = int(text or 0)
    if index >= count:
        raise BackendError(f"expected a device below {count}, got {index}: {count} found")
    return index


def _torch_place(device: Any) -> str:
    if device.type == "cpu":
        return ""
    return f"{device.type}:{device.index}" if device.index else str(device.type)


def _default_jax_device() -> Any:
    """The device of `jax_default_device` or of the block of `jax.default_device`; None without."""
    jax = importlib.import_module("jax")
    device = jax.config.jax_default_device
    return jax.local_devices(backend=device)[0] if isinstance(device, str) else device


def _jax_place(device: Any) -> str:
    """Nothing for the device that `jax` stands for now, and else its path."""
    jax = importlib.import_module("jax")
    return "" if device == (_default_jax_device() or jax.local_devices()[0]) else _jax_path(device)


def _jax_path(device: Any) -> str:
    """`1` for the second device of those that JAX prefers, `cpu` or `cpu:1` for others."""
    jax = importlib.import_module("jax")
    devices = jax.local_devices()
    if device in devices:
        return str(devices.index(device))
    index = jax.local_devices(backend=device.platform).index(device)
    return f"{device.platform}:{index}" if index else str(device.platform)


def _strict_place(device: Any) -> str:
    name = str(device).split("'")[1]
    return "" if name == "CPU_DEVICE" else name
