"""The report's data set, its standardisation, and mini-batches."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from minidl.backend import (
    Array,
    Backend,
    backend_of,
    dtype_name,
    get_backend,
    namespace,
    rows_of,
    to_numpy,
)
from minidl.nn.checks import check_floating, check_place
from minidl.nn.numbers import check_count
from minidl.nn.standardize import Standardize
from minidl.nn.trees import Tree, named_leaves

DISK_CENTER = (0.5, 0.5)
DISK_RADIUS = 1 / math.sqrt(2 * math.pi)
"""The disk covers half of the unit square."""


def disk(
    n: int,
    *,
    rng: np.random.Generator | int | None = None,
    backend: str | Backend | None = None,
) -> tuple[Array, Array]:
    """Points of the unit square, and whether each lies in the disk: section 2.1 of the report.

    The points are drawn uniformly from [0, 1]². The label is 1 within 1/√(2π) of (0.5, 0.5) and 0
    outside. The target has a column for each label, with 1 in the column of the point's label
    and 0 in the other.

    Args:
        n: The number of points, at least 1.
        rng: A generator or a seed; by default a fresh seed. A seed gives the same points on
            every backend.
        backend: Where the arrays are made; by default on the default backend.

    Returns:
        The points and the targets, both of shape `(n, 2)`.
    """
    n = check_count("disk", "n", n)
    points = np.random.default_rng(rng).uniform(size=(n, 2))
    inside = np.sum((points - DISK_CENTER) ** 2, axis=1) <= DISK_RADIUS**2
    backend = get_backend(backend)
    return backend.asarray(points), backend.asarray(np.stack([~inside, inside], axis=1) * 1.0)


@dataclass(frozen=True, eq=False)
class Standardizer:
    """Brings the columns of a training set to mean 0 and standard deviation 1.

        standardizer = Standardizer.fit(train_x)
        train_x, test_x = standardizer(train_x), standardizer(test_x)

    Attributes:
        mean: The mean of each column, on the host in float64, of shape `(features,)`.
        std: The standard deviation of each column (divided by n), likewise; 1 for a column that
            does not vary, which is only centred.
    """

    mean: np.ndarray[Any, np.dtype[np.float64]]
    std: np.ndarray[Any, np.dtype[np.float64]]

    @classmethod
    def fit(cls, x: Array) -> Self:
        """Measure the columns of `x`, of shape `(samples, features)`, in float64 on the host.

        Raises:
            ValueError: if `x` has another number of dimensions, no samples, or values that are
                not finite.
        """
        host = to_numpy(x).astype(np.float64)
        if host.ndim != 2 or not len(host):
            raise ValueError(
                "Standardizer.fit: expected x of shape (samples, features) with at least one "
                f"sample, got {host.shape}"
            )
        if bad := int(np.sum(~np.isfinite(host))):
            raise ValueError(f"Standardizer.fit: expected finite values, got {bad} that are not")
        std = host.std(axis=0)
        constant = host.min(axis=0) == host.max(axis=0)
        return cls(host.mean(axis=0), np.where(constant | (std == 0), 1.0, std))

    def __call__(self, x: Array) -> Array:
        """(x - mean) / std, on the backend and in the dtype of `x`, which is a floating one."""
        check_floating("Standardizer", "x", x)
        if x.ndim != 2 or x.shape[1] != len(self.mean):
            raise ValueError(
                f"Standardizer: expected x of shape (samples, {len(self.mean)}), "
                f"got {tuple(x.shape)}"
            )
        backend, dtype = backend_of(x), dtype_name(x)
        # A product and not a quotient, which JAX rounds in another way than the others.
        return (x - backend.asarray(self.mean, dtype)) * backend.asarray(1 / self.std, dtype)

    def layer(self, backend: str | Backend | None = None) -> Standardize:
        """The same as a layer, for the front of a model that is to take data as they come:

            whole = Sequential(standardizer.layer(), *model)

        Args:
            backend: Where its numbers are made; by default on the default backend.
        """
        backend = get_backend(backend)
        layer = Standardize(len(self.mean), backend=backend)
        layer.mean.value = backend.asarray(self.mean)
        layer.scale.value = backend.asarray(1 / self.std)
        return layer


def minibatches(
    x: Array, target: Array, batch_size: int, *, rng: np.random.Generator | int | None = None
) -> Iterator[tuple[Array, Array]]:
    """Go once through the data in a random order, a batch at a time; the last may be smaller.

    Args:
        x: The inputs, of shape `(samples, …)`.
        target: The targets, of shape `(samples, …)`, on the same device.
        batch_size: The number of samples in a batch, at least 1.
        rng: A generator or a seed for the order; by default a fresh seed. A seed gives the same
            batches on every backend.

    Raises:
        TypeError: at once, for arrays of two libraries, or a batch size that is no integer.
        ValueError: at once, for arrays on two devices, no samples, numbers of samples that
            differ, or a batch size below 1.
    """
    check_data("minibatches", x, target)
    batch_size = check_count("minibatches", "batch_size", batch_size)
    order = np.random.default_rng(rng).permutation(x.shape[0])
    return _batches(x, target, batch_size, order)


def check_data(
    owner: object, x: Tree, target: Tree = (), weights: Tree = (), *, of: str = ""
) -> None:
    """Raise unless inputs, targets and weights are arrays of numbers, or trees of them, that go
    together.

    `of` says in errors whose they are, such as `"validation "`.
    """
    parts = zip((f"{of}x", f"{of}target", f"{of}weights"), (x, target, weights), strict=True)
    arrays = [leaf for name, part in parts for leaf in named_leaves(name, part)]
    first_name, first = arrays[0]
    for name, array in arrays:
        try:
            xp = namespace(array)
        except TypeError:
            raise TypeError(
                f"{owner}: expected {name} to be an array, got {type(array).__name__}; "
                "minidl.get_backend().asarray(...) makes one of numbers, lists and what a data "
                "frame's to_numpy() returns"
            ) from None
        check_place(owner, name, array, first)
        if not xp.isdtype(array.dtype, ("numeric", "bool")):
            raise TypeError(
                f"{owner}: expected {name} to hold numbers, got dtype {array.dtype}; "
                "give each category a number, and the array a dtype: .astype('float32')"
            )
    for name, array in arrays:
        if not array.ndim or not array.shape[0]:
            raise ValueError(
                f"{owner}: expected {name} with at least one sample along its first axis, "
                f"got shape {tuple(array.shape)}"
            )
        if array.shape[0] != first.shape[0]:
            raise ValueError(
                f"{owner}: expected as many samples in {name} as in {first_name}, "
                f"got shapes {tuple(array.shape)} and {tuple(first.shape)}"
            )


def _batches(
    x: Array, target: Array, batch_size: int, order: np.ndarray[Any, Any]
) -> Iterator[tuple[Array, Array]]:
    indices = backend_of(x).asarray(order)  # one copy to the device for all batches
    samples = x.shape[0]
    for start in range(0, samples, batch_size):
        batch = indices[start : min(start + batch_size, samples)]
        yield rows_of(x, batch), rows_of(target, batch)
