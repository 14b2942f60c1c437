"""Metrics of a difference d = output - target.

Output and target are arrays of the same shape and dtype, with at least one element; nothing is
broadcast. NaN in one of them makes the metric NaN.
"""

from __future__ import annotations

import numpy as np

from minidl.backend import Array, namespace, to_numpy
from minidl.nn.checks import check_array, check_floating


def mean_squared_error(output: Array, target: Array) -> float:
    """The mean of d² over all elements.

    Raises:
        TypeError, ValueError: for other shapes or dtypes.
    """
    _check("mean_squared_error", output, target)
    difference = output - target
    return float(namespace(output).mean(difference * difference))


def mean_absolute_error(output: Array, target: Array) -> float:
    """The mean of |d| over all elements.

    Raises:
        TypeError, ValueError: for other shapes or dtypes.
    """
    _check("mean_absolute_error", output, target)
    xp = namespace(output)
    return float(xp.mean(xp.abs(output - target)))


def r2_score(output: Array, target: Array) -> float:
    """R² = 1 - Σ d² / Σ (target - mean)², the share of the target's variance that is explained.

    1 is perfect, 0 no better than the mean of the target, and below that it is worse. Of several
    columns it is the mean of theirs, as of scikit-learn's function of this name.

    Args:
        output: Of shape `(samples, …)`.
        target: Of the same shape and dtype. In each column it varies: what does not has no
            variance to explain, and no R². (scikit-learn says 1 there if all of the output is
            exactly right, and else 0, which reads as an answer.)

    Raises:
        TypeError, ValueError: for other shapes or dtypes, or a column of the target that is
            constant.
    """
    _check("r2_score", output, target)
    # In float64 on the host: added up row by row in float32, a million squares lose three digits.
    y, t = (np.atleast_1d(to_numpy(x)).astype(np.float64) for x in (output, target))
    unexplained = np.sum((y - t) ** 2, axis=0)
    t = t - t[:1]  # of what is constant exactly 0, which the mean of equal numbers may not leave
    total = np.sum((t - np.mean(t, axis=0)) ** 2, axis=0)
    if (total == 0).any():
        column = np.argwhere(total == 0)[0].tolist()
        raise ValueError(
            "r2_score: expected a target that varies, got one that is constant"
            + (f" in column {column}" if column else "")
            + "; mean_squared_error judges it"
        )
    return float(np.mean(1 - unexplained / total))


def _check(owner: str, output: Array, target: Array) -> None:
    check_floating(owner, "output", output)
    check_array(owner, "target", target, output, output.shape)
    if 0 in output.shape:
        raise ValueError(f"{owner}: expected at least one element, got shape {tuple(output.shape)}")
