"""What a process needs that has a part of each batch, tried in one."""

from __future__ import annotations

import math

import numpy as np
import pytest
from helpers import assert_close

import minidl
from minidl import MSE, SGD, Backend, BatchNorm1d, CrossEntropy, Dropout, Linear, capture, to_numpy
from minidl.backend import Array
from minidl.capture.outside import outside
from minidl.nn.batch_part import BatchPart


def test_dropout_masks_a_part_as_it_masks_the_whole(backend: Backend) -> None:
    x = backend.asarray(np.random.default_rng(0).normal(size=(7, 3, 2)))
    whole = Dropout(0.5, rng=1)(x)
    for first, end in ((0, 2), (2, 7), (7, 7)):
        layer = Dropout(0.5, rng=1)
        layer.batch_part = BatchPart(lambda x: x, first, end - first, 7)
        assert_close(layer(x[first:end, ...]), to_numpy(whole)[first:end], backend)


def test_batch_norm_asks_for_the_sums_of_all(backend: Backend) -> None:
    """Another process has the same part, so that the sums are twice its own."""
    rng = np.random.default_rng(0)
    half, gradient = (backend.asarray(rng.normal(size=(5, 3))) for _ in range(2))
    twice = [backend.xp.concat([one, one]) for one in (half, gradient)]
    alone, shared = BatchNorm1d(3), BatchNorm1d(3)
    expected = alone(twice[0]), alone.backward(twice[1])
    shared.batch_part = BatchPart(lambda x: x * 2, 0, 5, 10)
    found = shared(half), shared.backward(gradient)
    for one, both in zip(found, expected, strict=True):
        assert_close(one, to_numpy(both)[:5], backend)
    assert_close(shared.running_var.value, to_numpy(alone.running_var.value), backend)


@pytest.mark.parametrize("rates", [[0.1], [0.1, 0.2]])
def test_an_optimizer_changes_its_gradient_as_one_array(
    backend: Backend, rates: list[float]
) -> None:
    model = Linear(2, 3, rng=0)
    each = [[*model.parameters()]] if len(rates) == 1 else [[one] for one in model.parameters()]
    groups = zip(each, rates, strict=True)
    optimizer = SGD([{"parameters": p, "learning_rate": rate} for p, rate in groups], 0.1)
    loss, data = MSE(), minidl.disk(5, rng=0)
    loss(model(data[0]), backend.asarray(np.zeros((5, 3))))
    model.accumulate(loss.backward())
    before = [np.array(to_numpy(grad)) for _, grad in model.parameters()]
    sizes: list[int] = []

    def tripled(x: Array) -> Array:
        sizes.append(math.prod(x.shape))
        x *= 3
        return x

    optimizer.change_gradient(tripled)
    assert sum(sizes) == 9
    for (_, grad), old in zip(model.parameters(), before, strict=True):
        assert_close(grad, 3 * old, backend)


def test_a_recorded_step_calls_what_lies_outside_again(backend: Backend) -> None:
    if backend.name.startswith(("torch:cuda", "cupy")):
        pytest.skip(f"{backend.name}: what is queued on a GPU is recorded, and not called again")
    calls: list[int] = []

    def with_count(x: Array) -> Array:
        """x + the number of the call: in place where that can be."""
        calls.append(len(calls) + 1)
        x += calls[-1]
        return x

    model = Linear(1, 1, rng=0)

    def step(x: Array) -> Array:
        return 2 * outside(with_count, x * 1.0)

    run = capture(step, [model])
    x = backend.asarray([1.0, 2.0])
    for number in (1, 2, 3):
        assert_close(run(x), 2 * (np.asarray([1.0, 2.0]) + number), backend)
    assert calls == [1, 2, 3]


@pytest.mark.parametrize("class_weights", [None, [1.0, 2.0, 4.0]])
def test_a_mean_is_divided_by_what_the_loss_counts(
    backend: Backend, class_weights: list[float] | None
) -> None:
    """Parts of a batch, each with its share of the count, have the mean of the whole."""
    rng = np.random.default_rng(0)
    output = backend.asarray(rng.normal(size=(6, 3)))
    target = backend.asarray(np.asarray([0, 1, -100, 2, 2, 0]))
    weights = backend.asarray(rng.uniform(size=6))
    loss = CrossEntropy("mean", class_weights=class_weights)
    for given in ((target,), (target, weights)):
        total = float(to_numpy(loss.count(output, *given)))
        mean = sum(
            float(to_numpy(loss(output[part, :], *own))) * float(to_numpy(loss.count(output, *own)))
            for part in (slice(0, 2), slice(2, 6))
            for own in [tuple(one[part] for one in given)]
        )
        assert mean / total == pytest.approx(float(to_numpy(loss(output, *given))), rel=1e-5)
