"""One model trained on two backends in one process: it begins on one and goes on, on the other.

Run: python examples/two_backends.py [FIRST SECOND], by default numpy and another that works here.
"""

import sys

import numpy as np

import minidl


def main() -> None:
    usable = [status.name for status in minidl.available_backends() if status.available]
    first, second = sys.argv[1:] or (usable * 2)[:2]

    model = minidl.Sequential(
        minidl.Linear(2, 25, rng=1, backend=first),
        minidl.Tanh(),
        minidl.Linear(25, 2, rng=2, backend=first),
    )
    optimizer = minidl.SGD(model.parameters(), learning_rate=0.002)
    rng = np.random.default_rng(3)

    for backend in (first, second):
        model.to(backend)  # the optimizer goes with it
        x, target = minidl.disk(1000, rng=0, backend=backend)  # the same points on both
        x = minidl.Standardizer.fit(x)(x)
        history = minidl.fit(
            model, minidl.MSE(), optimizer, (x, target), epochs=25, batch_size=100, rng=rng
        )
        print(f"{backend}: loss {history['loss'][0]:.2f} to {history['loss'][-1]:.2f}")


if __name__ == "__main__":
    main()
