"""minidl's estimators beside scikit-learn's: how long `fit` takes, and how good they become."""
