"""Train on one process, or on several: the same script, started in another way.

    python examples/parallel.py
    mpiexec -n 2 python examples/parallel.py
    torchrun --nproc-per-node 2 examples/parallel.py

However many there are, they learn the same.
"""

from __future__ import annotations

import minidl
from minidl import AdamW, Linear, Sequential, Standardizer, Tanh, parallel


def main() -> None:
    group = parallel.group()
    points, target = minidl.disk(1000, rng=0)
    test_points, test_target = minidl.disk(1000, rng=1)
    standardize = Standardizer.fit(points)
    model = Sequential(
        Linear(2, 25, rng=2), Tanh(), Linear(25, 25, rng=3), Tanh(), Linear(25, 2, rng=4)
    )
    optimizer = AdamW(model.parameters(), 0.01)
    schedule = minidl.Schedule(optimizer, minidl.schedules.cosine_annealing(epochs=30))
    history = minidl.fit(
        model,
        minidl.MSE("mean"),
        optimizer,
        (standardize(points), target),
        epochs=30,
        batch_size=50,
        validation=(standardize(test_points), test_target),
        metrics={"error": minidl.classification_error},
        rng=5,
        callbacks=[schedule],
        parallel=group,
    )
    if group.rank == 0:
        first, last = history["loss"][0], history["loss"][-1]
        print(f"{group.size} rank(s): loss {first:.4f} to {last:.4f}")
        print(f"test error {history['error'][-1]:.1%}")


if __name__ == "__main__":
    main()
