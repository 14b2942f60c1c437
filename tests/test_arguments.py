"""Arguments that make no sense are refused where a module is made and where a file is read."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minidl
from minidl import (
    ELU,
    GELU,
    Backend,
    BatchNorm1d,
    Constant,
    Dropout,
    Embedding,
    FileFormatError,
    KaimingNormal,
    KaimingUniform,
    LayerNorm,
    LeakyReLU,
    Linear,
    LogSoftmax,
    Module,
    Normal,
    Orthogonal,
    Softmax,
    Softplus,
    Standardize,
    XavierNormal,
    XavierUniform,
    load,
)

NAN, INF = math.nan, math.inf
NO_SIZES = [0, -1, 2.0, 2.5, True, "2", None]
NO_NUMBERS = [NAN, INF, -INF, "0.1", True, None, [1]]
NO_FLAGS = [0, 1, "no", None]

GOOD: dict[type[Module], dict[str, Any]] = {
    Linear: {"in_features": 2, "out_features": 3, "bias": True},
    LayerNorm: {"features": 2, "eps": 0.0, "elementwise_affine": True, "bias": True},
    BatchNorm1d: {
        "features": 2,
        "eps": 0.0,
        "momentum": 1.0,
        "affine": True,
        "track_running_stats": True,
        "bias": True,
    },
    Embedding: {"num_embeddings": 2, "features": 3},
    Standardize: {"features": 2},
    Dropout: {"p": 0.0},
    Softmax: {"axis": -1},
    LogSoftmax: {"axis": 1},
    LeakyReLU: {"negative_slope": -0.5},
    ELU: {"alpha": -1.0},
    Softplus: {"beta": -1.0, "threshold": -5.0},
    GELU: {"approximate": "none"},
}
"""Every argument, with a value that is barely right."""

BAD: dict[str, list[Any]] = {
    "in_features": NO_SIZES,
    "out_features": NO_SIZES,
    "num_embeddings": NO_SIZES,
    "features": NO_SIZES,
    "bias": NO_FLAGS,
    "elementwise_affine": NO_FLAGS,
    "affine": NO_FLAGS,
    "track_running_stats": NO_FLAGS,
    "eps": [-1e-9, *NO_NUMBERS],
    "momentum": [-0.1, 1.1, *(value for value in NO_NUMBERS if value is not None)],
    "p": [-0.1, 1, *NO_NUMBERS],
    "axis": [1.0, 0.5, NAN, "1", True, None, -65, 64, 10**9],
    "negative_slope": NO_NUMBERS,
    "alpha": NO_NUMBERS,
    "beta": [0, *NO_NUMBERS],
    "threshold": NO_NUMBERS,
    "approximate": ["erf", "", None, 1, ["none"]],
}


BAD_CONFIGS = [
    pytest.param(kind, argument, value, id=f"{kind.__name__}-{argument}-{value}")
    for kind, good in GOOD.items()
    for argument in good
    for value in BAD[argument]
]


def test_every_argument_is_here() -> None:
    for name in minidl.__all__:
        kind = getattr(minidl, name)
        plain = ("Module", "Sequential", "Residual")  # which have modules as arguments
        if isinstance(kind, type) and issubclass(kind, Module) and name not in plain:
            made = kind(**GOOD.get(kind, {}))
            assert made.config() == GOOD.get(kind, {})


@pytest.mark.parametrize(("kind", "argument", "value"), BAD_CONFIGS)
def test_what_makes_no_sense(kind: Any, argument: str, value: Any) -> None:
    with pytest.raises(
        (TypeError, ValueError), match=rf"^{kind.__name__}: expected {argument} "
    ) as caught:
        kind(**{**GOOD[kind], argument: value})
    assert len(str(caught.value)) < 160


@pytest.mark.parametrize(("kind", "argument", "value"), BAD_CONFIGS)
def test_a_file_with_the_same(kind: Any, argument: str, value: Any, tmp_path: Path) -> None:
    """Infinite numbers and NaN are none of JSON: these files are refused as they are read."""
    safetensors: Any = pytest.importorskip("safetensors.numpy", reason="safetensors is missing")
    good = {"type": kind.__name__, **GOOD[kind]}
    for name, config in (("good", good), ("bad", {**good, argument: value})):
        metadata = {"format": "minidl", "version": "1", "architecture": json.dumps(config)}
        state = kind(**GOOD[kind], **placed(kind)).state_dict()
        safetensors.save_file(state, tmp_path / name, metadata)
    assert load(tmp_path / "good").config() == GOOD[kind]
    with pytest.raises(FileFormatError) as caught:
        load(tmp_path / "bad")
    assert len(str(caught.value)) < 300 + len(str(tmp_path))


def placed(kind: Any) -> dict[str, Any]:
    """Where a module with arrays makes them."""
    arrays = (Linear, LayerNorm, BatchNorm1d, Standardize, Embedding, Dropout)
    return {"backend": "numpy"} if kind in arrays else {}


@pytest.mark.parametrize("features", [[], [2, 0], [2, 2.0], (2, True), "23", [[2]]])
def test_bad_sizes_of_several_dimensions(features: Any) -> None:
    with pytest.raises((TypeError, ValueError), match=r"^LayerNorm: expected features to be "):
        LayerNorm(features)


def test_numbers_of_numpy_are_numbers() -> None:
    """And a config has those of Python, which a file can hold."""
    two: Any = np.int64(2)
    half: Any = np.float32(0.5)
    config = Linear(two, two).config()
    assert json.dumps(config) == '{"in_features": 2, "out_features": 2, "bias": true}'
    assert json.dumps(Dropout(half).config()) == '{"p": 0.5}'
    assert json.dumps(Softmax(two).config()) == '{"axis": 2}'
    assert json.dumps(LayerNorm((two, 3)).config()["features"]) == "[2, 3]"


@pytest.mark.parametrize("value", NO_NUMBERS, ids=str)
def test_bad_initializers(value: Any) -> None:
    makers: list[tuple[Any, str]] = [
        (Normal, "std"),
        (Constant, "value"),
        *(
            (kind, "gain")
            for kind in (XavierUniform, XavierNormal, KaimingUniform, KaimingNormal, Orthogonal)
        ),
    ]
    for kind, argument in makers:
        message = f"^{kind.__name__}: expected {argument} to be "
        with pytest.raises((TypeError, ValueError), match=message):
            kind(value)
    with pytest.raises(ValueError, match=r"Normal: expected std to be in \[0, inf\), got -1"):
        Normal(-1)


def test_arrays_of_two_dtypes_in_one_layer(backend: Backend, tmp_path: Path) -> None:
    """A file may hold such, and its layer would compute in a dtype of neither."""
    safetensors: Any = pytest.importorskip("safetensors.numpy", reason="safetensors is missing")
    architecture = {"type": "Linear", "in_features": 2, "out_features": 3}
    state = {"weights": np.ones((2, 3), "float32"), "bias": np.ones(3, "float64")}
    metadata = {"format": "minidl", "version": "1", "architecture": json.dumps(architecture)}
    safetensors.save_file(state, tmp_path / "m", metadata)
    with pytest.raises(FileFormatError, match="Linear has arrays of float32 and float64"):
        load(tmp_path / "m", backend)
