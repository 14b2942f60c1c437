"""Handwritten digits: class indices, dropout, a schedule, and the model in a file.

Run: pip install scikit-learn safetensors; python examples/digits.py [FILE]

The 1797 images of 8 × 8 pixels come with scikit-learn; nothing is downloaded.
"""

import sys

import numpy as np

import minidl
from minidl import Adam, BatchNorm1d, CrossEntropy, Dropout, Linear, ReLU, Schedule, Sequential

try:
    import safetensors  # noqa: F401  (at the start, and not after the training)
    from sklearn.datasets import load_digits
except ModuleNotFoundError as error:
    name = "scikit-learn" if error.name == "sklearn" else error.name
    sys.exit(f"digits.py: {name} is not installed: pip install scikit-learn safetensors")

EPOCHS = 30


def main(path: str = "digits.safetensors") -> None:
    digits = load_digits()
    order = np.random.default_rng(0).permutation(len(digits.target))
    backend = minidl.get_backend()
    x = backend.asarray(digits.data[order] / 16)  # pixels from 0 to 16
    target = backend.asarray(digits.target[order])  # the classes 0 to 9
    train = x[:1437, ...], target[:1437, ...]
    test = x[1437:, ...], target[1437:, ...]

    model = Sequential(
        Linear(64, 64, rng=1), BatchNorm1d(64), ReLU(), Dropout(0.2, rng=2), Linear(64, 10, rng=3)
    )
    optimizer = Adam(model.parameters(), learning_rate=0.01)
    history = minidl.fit(
        model,
        CrossEntropy("mean", label_smoothing=0.1),
        optimizer,
        train,
        epochs=EPOCHS,
        batch_size=48,
        rng=4,
        callbacks=[Schedule(optimizer, minidl.schedules.cosine_annealing(EPOCHS))],
    )
    model.eval()
    error = minidl.classification_error(model(test[0]), test[1])
    print(f"loss {history['loss'][0]:.3f} to {history['loss'][-1]:.3f} in {EPOCHS} epochs")
    print(f"test error {error:.1%}")

    minidl.save(model, path)
    again = minidl.load(path).eval()
    error = minidl.classification_error(again(test[0]), test[1])
    print(f"{path}: test error {error:.1%}")


if __name__ == "__main__":
    main(*sys.argv[1:])
