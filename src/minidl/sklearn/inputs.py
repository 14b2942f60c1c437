"""From what scikit-learn's users pass to arrays of one backend, and back.

NumPy arrays, lists, data frames and sparse matrices are checked by scikit-learn. Arrays of other
libraries are checked here, where they are.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeAlias

import numpy as np
import scipy.sparse
from sklearn.utils import check_array, check_consistent_length
from sklearn.utils.validation import check_is_fitted, validate_data

from minidl.backend import Array, Backend, backend_of, dtype_name, get_backend, namespace, to_numpy
from minidl.backend.base import library_of

Host: TypeAlias = np.ndarray[Any, Any]

FLOATS = (np.float64, np.float32)


def checked(estimator: Any, X: Any, y: Any, *, reset: bool, **of_y: Any) -> tuple[Any, Host]:
    """Inputs where they are, or a sparse matrix of rows, and targets on the host.

    Args:
        reset: Whether the number and the names of the features are learnt, or must be the same.
        of_y: More of scikit-learn's `validate_data` for the targets.

    Raises:
        ValueError: if they do not go together, or are not finite.
    """
    y = on_host(y)
    if _is_scikit_learns(X):
        X, y = validate_data(
            estimator,
            X,
            y,
            accept_sparse="csr",
            multi_output=True,
            dtype=FLOATS,
            reset=reset,
            allow_nd=estimator._allow_nd,
            **of_y,
        )
        return X, y
    X = _checked_there(estimator, X, reset=reset)
    if y is None:
        raise ValueError(
            f"{type(estimator).__name__}: expected y, which it requires to be passed, got None"
        )
    dtype = "numeric" if of_y.get("y_numeric") else None
    y = check_array(y, ensure_2d=False, dtype=dtype, accept_sparse="csr", input_name="y")
    check_consistent_length(X, y)
    return X, y


def checked_to_predict(estimator: Any, X: Any, method: str) -> Any:
    """Inputs of a fitted estimator, where they are, or a sparse matrix of rows.

    Raises:
        NotFittedError: if it is not fitted.
        ValueError: if they are not like those that it was fitted to, or lie elsewhere.
    """
    check_is_fitted(estimator)
    if _is_scikit_learns(X):
        X = validate_data(
            estimator,
            X,
            accept_sparse="csr",
            dtype=FLOATS,
            reset=False,
            allow_nd=estimator._allow_nd,
        )
    else:
        X = _checked_there(estimator, X, reset=False)
    here, there = home_of(X).name, estimator._backend.name
    if estimator.backend is None and here != there:
        raise ValueError(
            f"Inputs passed to {type(estimator).__name__}.{method}() must use the same namespace "
            f"and the same device as those passed to fit(), which were on {there}, got some on "
            f"{here}: move them, or fit with backend={there!r}, which moves whatever it is given"
        )
    return X


def on_host(y: Any) -> Any:
    """Targets or weights; arrays of any library as NumPy's."""
    return y if library_of(y) is None else to_numpy(y)


def home_of(X: Any) -> Backend:
    """Where inputs are, with their dtype: NumPy for a sparse matrix."""
    return backend_of(X) if library_of(X) is not None else get_backend("numpy", X.dtype.name)


def backend_for(estimator: Any, X: Any) -> Backend:
    """Where an estimator computes."""
    if estimator.backend is not None:
        return get_backend(estimator.backend, estimator.dtype)
    return get_backend(home_of(X), estimator.dtype)


def moved(x: Array, backend: Backend, dtype: str) -> Array:
    """An array on a backend: itself, or a copy."""
    there = backend_of(x).name == backend.name and dtype_name(x) == dtype
    return x if there else backend.asarray(x, dtype)


def dense(X: Any, rows: Any) -> Host:
    """Some rows of a sparse matrix."""
    found: Host = X[rows].toarray()
    return found


def in_parts(X: Any, size: int) -> Iterator[Any]:
    """The rows of arrays or of a sparse matrix, so many at a time."""
    for start in range(0, X.shape[0], size):
        rows = slice(start, min(start + size, X.shape[0]))
        yield dense(X, rows) if scipy.sparse.issparse(X) else X[rows, ...]


def _is_scikit_learns(X: Any) -> bool:
    """Whether scikit-learn checks the inputs as it does by itself."""
    kind = library_of(X)
    return kind is None or isinstance(X, np.ndarray)


def _checked_there(estimator: Any, X: Array, *, reset: bool) -> Array:
    """An array of another library than NumPy; scikit-learn's messages, which its users know."""
    name = type(estimator).__name__
    xp = namespace(X)
    if X.ndim < 2 or (X.ndim > 2 and not estimator._allow_nd):
        raise ValueError(f"Expected 2D array, got {X.ndim}D array instead by {name}")
    if not X.shape[0] or not X.shape[1]:
        raise ValueError(
            f"Found array of shape {tuple(X.shape)} while a minimum of 1 sample and 1 feature is "
            f"required by {name}"
        )
    if not xp.isdtype(X.dtype, ("real floating", "integral", "bool")):
        raise ValueError(f"{name}: expected X of real numbers, got dtype {X.dtype}")
    if reset:
        estimator.n_features_in_ = int(X.shape[1])
        vars(estimator).pop("feature_names_in_", None)
    elif X.shape[1] != estimator.n_features_in_:
        raise ValueError(
            f"X has {X.shape[1]} features, but {name} is expecting {estimator.n_features_in_} "
            "features as input"
        )
    if not xp.isdtype(X.dtype, "real floating"):
        return backend_of(X).asarray(X, backend_of(X).dtype_name)
    if not bool(to_numpy(xp.all(xp.isfinite(X)))):
        raise ValueError(f"Input X contains NaN or infinity, which {name} does not take")
    return X
