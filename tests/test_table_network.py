"""The network of a table: numbers beside categories, each a vector of zeros and a 1."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import assert_close, train_step

import minidl
from minidl import Backend, FileFormatError, Linear, to_numpy
from minidl.backend import Array
from minidl.tables import TableNetwork

NUMBERS = [[0.5, -1.0], [2.0, 0.0], [1.0, 1.0]]
CODES = [[0, 1], [2, -1], [1, 0]]
JOINED = [
    [0.5, -1, 1, 0, 0, 0, 1],
    [2, 0, 0, 0, 1, 0, 0],
    [1, 1, 0, 1, 0, 1, 0],
]


def inputs(backend: Backend) -> tuple[Array, Array]:
    return backend.asarray(NUMBERS), backend.asarray(np.asarray(CODES, np.int16))


def test_output_by_hand(backend: Backend) -> None:
    layer = Linear(7, 2, rng=0)
    network = TableNetwork(2, [3, 2], layer)
    expected = np.asarray(JOINED) @ to_numpy(layer.weights.value) + to_numpy(layer.bias.value)
    assert_close(network(inputs(backend)), expected, backend)


def test_gradients(backend: Backend) -> None:
    layer = Linear(7, 2, rng=0)
    network = TableNetwork(2, [3, 2], layer)
    network(inputs(backend))
    grad = np.arange(6.0).reshape(3, 2)
    by_numbers, by_codes = network.backward(backend.asarray(grad))
    assert by_codes is None
    assert_close(by_numbers, grad @ to_numpy(layer.weights.value)[:2].T, backend)
    assert_close(layer.weights.grad, np.asarray(JOINED).T @ grad, backend)
    network.zero_grad()
    network(inputs(backend))
    network.accumulate(backend.asarray(grad))
    assert_close(layer.weights.grad, np.asarray(JOINED).T @ grad, backend)
    with pytest.raises(RuntimeError, match="expected a call of forward before"):
        network.accumulate(backend.asarray(grad))


@pytest.mark.parametrize(("numbers", "sizes"), [(2, []), (0, [3, 2])])
def test_numbers_or_categories_alone(backend: Backend, numbers: int, sizes: list[int]) -> None:
    x, codes = inputs(backend)
    x, codes = x[:, :numbers], codes[:, : len(sizes)]
    network = TableNetwork(numbers, sizes, Linear(numbers + sum(sizes), 2, rng=0))
    optimizer = minidl.SGD(network.parameters(), 0.1)
    target = backend.asarray(np.ones((3, 2)))
    loss = minidl.MSE("mean")
    minidl.fit(network, loss, optimizer, ((x, codes), target), epochs=200, batch_size=2, rng=0)
    assert minidl.evaluate(network, loss, ((x, codes), target), batch_size=3)["loss"] < 1e-2


def test_recorded_as_eager(backend: Backend) -> None:
    def trained(capture: str) -> list[np.ndarray[Any, Any]]:
        layers = minidl.Sequential(Linear(7, 5, rng=0), minidl.ReLU(), Linear(5, 2, rng=1))
        network = TableNetwork(2, [3, 2], layers)
        optimizer = minidl.AdamW(network.parameters(), 0.01)
        data = inputs(backend), backend.asarray(np.asarray([0, 1, 1]))
        minidl.fit(
            network,
            minidl.CrossEntropy("mean"),
            optimizer,
            data,
            epochs=5,
            batch_size=2,
            rng=0,
            capture=capture,
        )
        return list(network.state_dict().values())

    for one, other in zip(trained("auto"), trained("off"), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


def test_saved_and_moved(backend: Backend, tmp_path: Path) -> None:
    pytest.importorskip("safetensors", reason="the file needs it")
    network = TableNetwork(2, [3, 2], Linear(7, 2, rng=0))
    minidl.save(network, tmp_path / "m", metadata={"note": "of mine"})
    again = minidl.load(tmp_path / "m", backend, modules=[TableNetwork])
    assert_close(again(inputs(backend)), to_numpy(network(inputs(backend))), backend)
    with pytest.raises(FileFormatError, match="modules of minidl"):
        minidl.load(tmp_path / "m")


def test_metadata_is_kept_and_own_names_are_refused(tmp_path: Path) -> None:
    safetensors = pytest.importorskip("safetensors", reason="the file needs it")
    minidl.save(Linear(2, 2), tmp_path / "m", metadata={"note": "of mine"})
    with safetensors.safe_open(tmp_path / "m", framework="numpy") as file:
        assert file.metadata()["note"] == "of mine"
    with pytest.raises(
        ValueError, match=r"^save: expected metadata of names other than .*, got fo"
    ):
        minidl.save(Linear(2, 2), tmp_path / "m", metadata={"format": "mine"})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, []), "expected 1 to 1000000 numbers and categories, got 0"),
        ((1, [10**6]), "expected 1 to 1000000 numbers and categories, got 1000001"),
        ((-1, []), "expected numbers to be at least 0, got -1"),
        ((1, [0]), "expected a size to be at least 1, got 0"),
    ],
)
def test_bad_arguments(arguments: tuple[int, list[int]], message: str) -> None:
    with pytest.raises(ValueError, match=f"^TableNetwork: {message}$"):
        TableNetwork(*arguments, Linear(1, 1))


def test_bad_inputs(backend: Backend) -> None:
    network = TableNetwork(2, [3, 2], Linear(7, 2))
    x, codes = inputs(backend)
    with pytest.raises(TypeError, match="expected codes of dtype int16, got int32"):
        network((x, backend.asarray(np.asarray(CODES, np.int32))))
    with pytest.raises(ValueError, match=r"expected numbers of shape \(3, 2\), got \(3, 1\)"):
        network((x[:, :1], codes))


def test_step_by_hand(backend: Backend) -> None:
    network = TableNetwork(2, [3, 2], Linear(7, 1, rng=0))
    optimizer = minidl.SGD(network.parameters(), 0.1)
    target = backend.asarray(np.ones((3, 1)))
    losses = [
        float(to_numpy(train_step(network, minidl.MSE(), optimizer, inputs(backend), target)))
        for _ in range(5)
    ]
    assert losses == sorted(losses, reverse=True)
