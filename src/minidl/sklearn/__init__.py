"""Estimators for scikit-learn: change an import, and go on.

    from minidl.sklearn import MLPClassifier  # for: from sklearn.neural_network import …

Needs the extra `sklearn`.
"""

import importlib.util

if importlib.util.find_spec("sklearn") is None:
    raise ModuleNotFoundError(
        "minidl.sklearn: expected scikit-learn, of the extra sklearn, got no such package; "
        "pip install scikit-learn"
    )

from minidl.sklearn.mlp import MLPClassifier, MLPRegressor
from minidl.sklearn.network import NetworkClassifier, NetworkRegressor
from minidl.sklearn.taken_over import from_sklearn

__all__ = [
    "MLPClassifier",
    "MLPRegressor",
    "NetworkClassifier",
    "NetworkRegressor",
    "from_sklearn",
]
