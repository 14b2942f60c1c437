"""A program that several ranks run: it trains with them and alone, and compares.

    mpiexec -n 3 python tests/ranks.py agree numpy float64
    torchrun --nproc-per-node 2 tests/ranks.py agree torch float32

Rank 0 prints a line for each case that agrees; a difference raises, and ends all.
"""

from __future__ import annotations

import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

import minidl
import minidl.parallel
from minidl import (
    MSE,
    SGD,
    AdamW,
    BatchNorm1d,
    CrossEntropy,
    Dropout,
    Epoch,
    History,
    Linear,
    Loss,
    Module,
    Optimizer,
    ReLU,
    Schedule,
    Sequential,
    Tanh,
    fit,
    get_backend,
    schedules,
    to_numpy,
)
from minidl.backend import Array
from minidl.parallel import DisagreementError, Group
from minidl.training.callbacks import EarlyStopping

TOLERANCES = {"float32": 1e-6, "float64": 1e-12}
"""Relative, of all parameters and buffers as one vector after 200 steps."""

Training = tuple[Module, Loss, Optimizer, dict[str, Any]]


def network(*inner: Module) -> Sequential:
    rng = np.random.default_rng(1)
    return Sequential(Linear(2, 25, rng=rng), *(inner or [ReLU()]), Linear(25, 2, rng=rng))


def sgd_of_a_sum() -> Training:
    """The report's loss and network, and a batch that is no multiple of the ranks."""
    rng = np.random.default_rng(1)
    model = Sequential(
        Linear(2, 25, rng=rng), ReLU(), Linear(25, 25, rng=rng), ReLU(), Linear(25, 2, rng=rng)
    )
    return model, MSE(), SGD(model.parameters(), 1e-3), {"batch_size": 100}


def adamw_of_a_mean() -> Training:
    """A mean whose last batch is smaller, of which ranks have different parts."""
    model = network(Tanh())
    return model, MSE("mean"), AdamW(model.parameters(), 1e-3), {"batch_size": 97}


def batch_norm() -> Training:
    model = network(BatchNorm1d(25), Tanh())
    return model, MSE("mean"), SGD(model.parameters(), 0.05), {"batch_size": 100}


def dropout() -> Training:
    model = network(ReLU(), Dropout(0.3, rng=2))
    return model, MSE(), SGD(model.parameters(), 1e-3), {"batch_size": 100}


def clipping() -> Training:
    model = network(Tanh())
    options = {"batch_size": 100, "clip_grad_norm": 5.0}
    return model, MSE(), SGD(model.parameters(), 1e-2), options


def accumulated() -> Training:
    model = network(Tanh())
    options = {"batch_size": 33, "accumulate": 3}
    return model, MSE("mean"), SGD(model.parameters(), 0.05, momentum=0.9), options


def weights_of_samples() -> Training:
    model = network(Tanh())
    options = {"batch_size": 97, "weighted": True}
    return model, MSE("mean"), SGD(model.parameters(), 0.05), options


def weights_of_classes() -> Training:
    """What a mean is divided by depends on the targets."""
    model = network(Tanh())
    loss = CrossEntropy("mean", class_weights=[1.0, 3.0])
    return model, loss, SGD(model.parameters(), 0.05), {"batch_size": 97, "classes": True}


def groups() -> Training:
    """Parameters with two learning rates, which lie in two vectors."""
    model = network(Tanh())
    first, *rest = model.parameters()
    slow = {"parameters": [first], "learning_rate": 1e-4}
    optimizer = SGD([slow, {"parameters": rest}], 1e-3)
    return model, MSE(), optimizer, {"batch_size": 100}


def fewer_samples_than_ranks() -> Training:
    """Batches of three: some rank of four has nothing."""
    model = network(Tanh(), Dropout(0.1, rng=3))
    options = {"batch_size": 3, "samples": 31, "epochs": 5}
    return model, MSE("mean"), SGD(model.parameters(), 1e-3), options


CASES: dict[str, Callable[[], Training]] = {
    one.__name__: one
    for one in (
        sgd_of_a_sum,
        adamw_of_a_mean,
        batch_norm,
        dropout,
        clipping,
        accumulated,
        weights_of_samples,
        weights_of_classes,
        groups,
        fewer_samples_than_ranks,
    )
}


def data_of(samples: int, *, weighted: bool = False, classes: bool = False) -> tuple[Array, ...]:
    x, target = minidl.disk(samples, rng=3)
    backend = get_backend()
    if classes:
        target = backend.asarray(np.argmax(to_numpy(target), axis=1))
    if weighted:
        return x, target, backend.asarray(np.random.default_rng(4).uniform(size=samples))
    return x, target


def values(model: Module) -> np.ndarray[Any, Any]:
    """All parameters and buffers but counters, as one vector."""
    held = model.state_dict().items()
    return np.concatenate([x.ravel() for _, x in held if x.dtype.kind == "f"]).astype(np.float64)


def trained(
    case: Callable[[], Training], group: Group | None, capture: str = "auto"
) -> tuple[np.ndarray[Any, Any], History]:
    model, loss, optimizer, options = case()
    of_data = {name: options.pop(name) for name in ("weighted", "classes") if name in options}
    data = data_of(options.pop("samples", 1010), **of_data)
    options = {"epochs": 18, "rng": 5, "capture": capture, "parallel": group, **options}
    history = fit(model, loss, optimizer, data, **options)
    return values(model), history


def check_near(name: str, found: Any, expected: Any, tolerance: float) -> None:
    error = np.linalg.norm(np.subtract(found, expected)) / np.linalg.norm(expected)
    if not error <= tolerance:
        raise AssertionError(f"{name}: {error:.1e} is more than {tolerance:.0e}")


def check_alike(name: str, group: Group, array: Any) -> None:
    """Raise unless all ranks have the same bits."""
    if len(set(group.gather(np.asarray(array).tobytes()))) > 1:
        raise AssertionError(f"{name}: the ranks differ")


def agree(group: Group, tolerance: float, *names: str) -> Iterator[str]:
    """Several ranks do what one process does."""
    for name in names or CASES:
        expected, history = trained(CASES[name], None)
        found, losses = trained(CASES[name], group)
        check_near(name, found, expected, tolerance)
        check_near(name, losses["loss"], history["loss"], tolerance)
        check_alike(name, group, found)
        yield name


def eager(group: Group, tolerance: float) -> Iterator[str]:
    """So they do where nothing is recorded."""
    for name in ("sgd_of_a_sum", "batch_norm", "weights_of_classes"):
        expected, _ = trained(CASES[name], None)
        found, _ = trained(CASES[name], group, capture="off")
        check_near(name, found, expected, tolerance)
        yield name


def streamed(group: Group, tolerance: float) -> Iterator[str]:
    """All ranks have the same iterable of batches."""
    for loss, weighted in ((MSE(), False), (MSE("mean"), False), (MSE("mean"), True)):
        data = data_of(250, weighted=weighted)

        def batches() -> Iterator[tuple[Array, ...]]:
            for start in range(0, 250, 60):
                yield tuple(array[start : start + 60, ...] for array in data)  # noqa: B023

        results = []
        for parallel in (None, group):
            model = network(Tanh(), Dropout(0.1, rng=1))
            optimizer = SGD(model.parameters(), 1e-3)
            epoch = Epoch(model, loss, optimizer, batches, accumulate=2, parallel=parallel)
            losses = [float(to_numpy(epoch())) for _ in range(5)]
            results.append((values(model), losses))
        (expected, before), (found, after) = results
        check_near("streamed", found, expected, tolerance)
        check_near("streamed losses", after, before, tolerance)
        check_alike("streamed", group, found)
        yield f"{loss} {'weighted' if weighted else ''}"


def own_parts(group: Group, tolerance: float) -> Iterator[str]:
    """Each rank has its part of the data, of another length than the others': the batches are what
    the ranks bring to them, in the order of the ranks."""
    sizes = [20 + 30 * rank for rank in range(group.size)]
    starts = np.cumsum([0, *sizes]).tolist()
    each = 8
    for loss, weighted in ((MSE(), False), (MSE("mean"), False), (MSE("mean"), True)):
        data = data_of(sum(sizes), weighted=weighted)

        def of_rank(rank: int, _: int) -> tuple[Array, ...]:
            rows = slice(starts[rank], starts[rank + 1])
            return tuple(array[rows, ...] for array in data)  # noqa: B023

        def whole() -> Iterator[tuple[Array, ...]]:
            for first in range(0, max(sizes), each):
                rows = [
                    start + row
                    for start, n in zip(starts, sizes, strict=False)
                    for row in range(min(first, n), min(first + each, n))
                ]
                indices = get_backend().asarray(np.asarray(rows))
                yield tuple(minidl.backend.rows_of(array, indices) for array in data)  # noqa: B023

        def train(given: Any, **options: Any) -> tuple[np.ndarray[Any, Any], History]:
            model = network(Tanh(), BatchNorm1d(25), Dropout(0.1, rng=1))
            optimizer = SGD(model.parameters(), 1e-3, momentum=0.5)
            options = {"epochs": 4, "rng": 1, "shuffle": False, **options}
            return values(model), fit(model, loss, optimizer, given, **options)  # noqa: B023

        expected, before = train(whole)
        found, after = train(of_rank, parallel=group, batch_size=each * group.size)
        history = after["loss"]
        check_near("own parts", found, expected, tolerance)
        check_near("own parts, losses", history, before["loss"], tolerance)
        check_alike("own parts", group, found)
        yield f"{loss} {'weighted' if weighted else ''}"


def judged(group: Group, tolerance: float) -> Iterator[str]:
    """Validation, metrics, early stopping and schedules are the same as in one process."""
    test = minidl.disk(333, rng=9)
    results = []
    for parallel in (None, group):
        model = network(BatchNorm1d(25), Tanh())
        optimizer = SGD(model.parameters(), 0.3)
        stopping = EarlyStopping(patience=2, min_delta=1e-2)
        schedule = Schedule(optimizer, schedules.cosine_annealing(200), per="step")
        history = fit(
            model, CrossEntropy("mean"), optimizer, data_of(500, classes=True),
            epochs=30, batch_size=64, rng=1, parallel=parallel, callbacks=[stopping, schedule],
            validation=(test[0], get_backend().asarray(np.argmax(to_numpy(test[1]), axis=1))),
            metrics={"error": minidl.classification_error}, train_metrics=True,
        )  # fmt: skip
        results.append((values(model), history, stopping.stopped_epoch))
    (expected, before, epoch), (found, after, stopped) = results
    assert stopped == epoch is not None, (stopped, epoch)
    check_near("judged", found, expected, 10 * tolerance)
    for name in ("loss", "validation_loss", "error", "train_error"):
        check_near(name, after[name], before[name], 10 * tolerance)
    check_alike("judged", group, found)
    if group.size > 1:
        columns = [after[name] for name in ("slowest_seconds", "fastest_seconds")]
        assert all(slow >= fast > 0 for slow, fast in zip(*columns, strict=True))
        assert set(after["slowest_rank"]) <= set(range(group.size))
    yield "judged"


def stopped(group: Group, tolerance: float) -> Iterator[str]:  # noqa: ARG001
    """One rank's callback ends the training on all; what writes is called on rank 0 alone."""
    calls: list[int] = []

    def last(history: History) -> bool:
        calls.append(history.epochs)
        return group.rank == group.size - 1 and history.epochs == 3

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "log.csv")
        model = network()
        log = minidl.callbacks.CSVLog(path)
        history = fit(
            model, MSE(), SGD(model.parameters(), 1e-3), data_of(100), epochs=9, batch_size=50,
            rng=1, callbacks=[last, log], parallel=group,
        )  # fmt: skip
        assert (history.epochs, calls) == (3, [1, 2, 3])
        assert path.exists() == (group.rank == 0)
    yield "stopped"


def seeds(group: Group, tolerance: float) -> Iterator[str]:  # noqa: ARG001
    """Without a seed all ranks take that of rank 0, and its parameters."""
    model = Sequential(Linear(2, 25), Dropout(0.5), Linear(25, 2))  # others on each rank
    fit(model, MSE(), AdamW(model.parameters(), 1e-3), data_of(100), epochs=3, batch_size=30,
        parallel=group)  # fmt: skip
    check_alike("seeds", group, values(model))
    yield "seeds"


def disagree(group: Group, tolerance: float) -> Iterator[str]:  # noqa: ARG001
    """Ranks that begin with something else say in what."""
    odd = group.rank == group.size - 1

    def attempt(expected: str, **options: Any) -> None:
        model = options.pop("model", None) or network()
        given = {"data": data_of(100), "epochs": 1, "batch_size": 50, "rng": 1, **options}
        loss, optimizer = given.pop("loss", MSE()), given.pop("optimizer", None)
        optimizer = optimizer or SGD(model.parameters(), 1e-3)
        message = "no error"
        try:
            fit(model, loss, optimizer, parallel=group, **given)
        except DisagreementError as error:
            message = str(error)
        if not (expected in message and f"rank {group.size - 1}" in message):
            raise AssertionError(f"{expected}: {message}")

    attempt("batch_size is 50 on rank 0 and 40", batch_size=40 if odd else 50)
    attempt("order (rng)", rng=2 if odd else 1)
    attempt("epochs is 1 on rank 0 and 2", epochs=2 if odd else 1)
    attempt("data", data=minidl.disk(100, rng=7 if odd else 6))
    attempt("loss is", loss=MSE("mean" if odd else "sum"))
    attempt("modules 1 is 'ReLU' on rank 0 and 'Tanh'", model=network(Tanh() if odd else ReLU()))
    other = network()
    attempt("learning rates", model=other, optimizer=SGD(other.parameters(), 0.2 if odd else 0.1))
    other = network()
    with minidl.use_backend(get_backend().name, "float64" if odd else "float32"):
        attempt("dtype is 'float32'", model=network(), data=data_of(100))
    yield "disagree"


def raises(group: Group, tolerance: float) -> Iterator[str]:  # noqa: ARG001
    """One rank raises in the midst of a training."""

    def odd(history: History) -> None:
        if group.rank == 1 and history.epochs == 3:
            raise ValueError("odd")

    model = network()
    fit(model, MSE(), SGD(model.parameters(), 1e-3), data_of(100), epochs=10**6, batch_size=50,
        rng=1, callbacks=odd, parallel=group)  # fmt: skip
    yield "never"


def saved(group: Group, tolerance: float, folder: str, epochs: str, resume: str) -> Iterator[str]:
    """A checkpoint of so many ranks, from which as many or others go on; beside one process that
    has not stopped."""

    def run(parallel: Group | None, **options: Any) -> tuple[np.ndarray[Any, Any], History]:
        model = network(BatchNorm1d(25), Tanh(), Dropout(0.1, rng=2))
        optimizer = SGD(model.parameters(), 0.05, momentum=0.9)
        history = fit(model, MSE("mean"), optimizer, data_of(200), batch_size=30, rng=3,
                      epochs=int(epochs), parallel=parallel, validation=data_of(50),
                      callbacks=EarlyStopping(patience=90), **options)  # fmt: skip
        return values(model), history

    expected, before = run(None)
    found, after = run(group, checkpoint=folder, resume=resume == "resume")
    check_near("saved", found, expected, tolerance)
    check_near("saved losses", after["loss"], before["loss"], tolerance)
    check_alike("saved", group, found)
    assert ("slowest_rank" in after) == (group.size > 1)
    yield f"{after.epochs} epochs"


def estimators(group: Group, tolerance: float) -> Iterator[str]:
    """Classifiers whose batches are shared, with the penalty of their weights."""
    from sklearn.exceptions import ConvergenceWarning

    from minidl.sklearn import MLPClassifier

    warnings.simplefilter("ignore", ConvergenceWarning)
    x, target = minidl.disk(301, rng=0, backend="numpy")
    weights = np.linspace(0, 2, 301)
    all_options: list[dict[str, Any]] = [
        {"alpha": 1.0},
        {"early_stopping": True},
        {"batch_size": 2, "dropout": 0.1},  # fewer samples than ranks
    ]
    for options in all_options:
        both = []
        for parallel in ("auto", None):
            one = MLPClassifier(
                (20,),
                max_iter=3,
                random_state=0,
                backend=get_backend(),
                parallel=parallel,
                **options,
            )
            both += [values(one.fit(x, target[:, 1], each).model_) for each in (None, weights)]
        for found, expected in zip(both[:2], both[2:], strict=True):
            check_near("estimators", found, expected, tolerance)
            check_alike("estimators", group, found)
        yield f"estimators with {options}"


PROGRAMS: dict[str, Callable[..., Iterator[str]]] = {
    one.__name__: one
    for one in (
        agree, eager, streamed, own_parts, judged, stopped, seeds, disagree, raises, saved,
        estimators,
    )
}  # fmt: skip


def main(program: str, backend: str, dtype: str, *arguments: str) -> None:
    group = minidl.parallel.group()
    with minidl.use_backend(group.place(backend), dtype):
        for done in PROGRAMS[program](group, TOLERANCES[dtype], *arguments):
            if group.rank == 0:
                print(f"{group.size} ranks agree: {done}", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
