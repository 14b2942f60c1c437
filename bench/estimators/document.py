"""The measurements as tables, and as a document in Markdown."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

from bench import machine
from bench.estimators.quality import BEST_CLASSIFIER, BEST_REGRESSOR, Scores
from bench.estimators.speed import BATCH_SIZE, SCIKIT_LEARN, TARGETS, WIDTH, Timing
from bench.report.table import Table, markdown, microseconds

SPEED = (
    f"`fit` of a classifier with one hidden layer of {WIDTH}, ReLU, Adam and batches of "
    f"{BATCH_SIZE}, for the same number of epochs: scikit-learn's `MLPClassifier` and "
    "`minidl.sklearn.MLPClassifier`, in one process with one thread on one core, in turn. After a "
    "first fit, which warms up, {rounds} are timed; given is their median, and the ratio is of "
    "medians. The seconds are the processor's, which other processes hardly change; on a quiet "
    "machine they are those of a clock.\n\n"
    "- *first fit*: the one that warms up.\n"
    "- *start*: what a fit takes beyond as many median epochs: checks, and the recording, which on "
    "JAX compiles; *ratio without* leaves it out.\n"
    "- *step*: from the median epoch; of scikit-learn from the whole fit.\n"
    "- *products*: the matrix products of a step alone, of the same shapes and dtype, by the same "
    "library. Nothing can leave them out, so the step is no shorter: *least ratio* is what they "
    "take of scikit-learn's step.\n"
    "- *loss*: the last one, and *accuracy* that on what was trained on."
)
QUALITY = (
    "Accuracy, or R² for friedman1 and linear, on a third that is held out; inputs, and targets "
    "that are numbers, are standardised by the training part. Mean ± deviation over {seeds} seeds, "
    "of the parts and of the estimator: the same for all. scikit-learn, minidl and "
    "`HistGradientBoosting` have their defaults (with the same seed minidl's draws are "
    "scikit-learn's). minidl at its best has `{classifier}` for classes and `{regressor}` for "
    "numbers, which were chosen among 17 sets of options on other seeds. friedman1 is "
    "`make_friedman1(1000, noise=1)`, linear `make_regression(1000, 20, n_informative=10, "
    "noise=30)`."
)


@dataclass
class Results:
    """All that was measured."""

    created: str
    rounds: int
    timings: list[Timing]
    scores: list[Scores]
    machine: dict[str, str]


def speed_table(timings: list[Timing]) -> Table:
    """The contestants of one task and dtype."""
    theirs = _baseline(timings)
    rows = []
    for one in timings:
        products = statistics.median(one.products)
        start = one.start
        rows.append(
            [
                one.contestant,
                f"{one.seconds:.3f}",
                f"{one.seconds / theirs.seconds:.2f}",
                f"{one.first:.2f}",
                "–" if start is None else f"{start:.3f}",
                "–" if start is None else f"{_ratio(one, theirs):.2f}",
                microseconds(one.step),
                microseconds(products),
                f"{products / theirs.step:.2f}",
                f"{one.loss:.6f}",
                f"{one.accuracy:.4f}",
            ]
        )
    header = ["contestant", "fit, s", "ratio", "first fit, s", "start, s", "ratio without"]
    header += ["step, µs", "products, µs", "least ratio", "loss", "accuracy"]
    return [header, *rows]


def targets_table(timings: list[Timing]) -> Table:
    """What was to be reached, what was, and where it was not, what a step is spent on."""
    rows = []
    for group in groups(timings):
        theirs = _baseline(group)
        for one in group:
            if one.contestant not in TARGETS:
                continue
            limit, ratio = TARGETS[one.contestant], judged_ratio(one, theirs)
            products, rest = statistics.median(one.products), theirs.step * limit
            why = (
                ""
                if ratio <= limit
                else (
                    f"{microseconds(one.step)} µs a step, of which the products are "
                    f"{microseconds(products)}; {microseconds(rest)} would meet it"
                )
            )
            rows.append(
                [
                    one.contestant,
                    f"{one.task}, {one.dtype}",
                    f"{limit:.2f}",
                    f"{ratio:.2f}",
                    "met" if ratio <= limit else "NOT met",
                    why,
                ]
            )
    return [["contestant", "at", "at most", "measured", "verdict", "why"], *rows]


def judged_ratio(one: Timing, theirs: Timing) -> float:
    """What a target is about: the fit, on JAX without what is compiled."""
    return _ratio(one, theirs) if one.contestant == "minidl jax" else one.seconds / theirs.seconds


def _ratio(one: Timing, theirs: Timing) -> float:
    return (one.seconds - (one.start or 0.0)) / theirs.seconds


def groups(timings: list[Timing]) -> list[list[Timing]]:
    """The timings by task and dtype."""
    found: dict[tuple[str, str], list[Timing]] = {}
    for one in timings:
        found.setdefault((one.task, one.dtype), []).append(one)
    return list(found.values())


def _baseline(timings: list[Timing]) -> Timing:
    return next(one for one in timings if one.contestant == SCIKIT_LEARN)


def quality_table(scores: list[Scores]) -> Table:
    """A row for each set of data."""
    contestants = list(dict.fromkeys(one.contestant for one in scores))
    cells: dict[str, dict[str, str]] = {}
    for one in scores:
        name = f"{one.data} ({one.measure})"
        cells.setdefault(name, {})[one.contestant] = f"{one.mean:.4f} ± {one.deviation:.4f}"
    rows = [[name, *(of.get(one, "–") for one in contestants)] for name, of in cells.items()]
    return [["data", *contestants], *rows]


def cost_table(scores: list[Scores]) -> Table:
    """How long those fits took."""
    contestants = list(dict.fromkeys(one.contestant for one in scores))
    cells: dict[str, dict[str, str]] = {}
    for one in scores:
        cells.setdefault(one.data, {})[one.contestant] = f"{statistics.median(one.seconds):.2f}"
    rows = [[name, *(of.get(one, "–") for one in contestants)] for name, of in cells.items()]
    return [["median seconds of a fit", *contestants], *rows]


def document(results: Results) -> str:
    """The whole in Markdown."""
    classifier, regressor = (
        ", ".join(f"{name}={value!r}" for name, value in options.items())
        for options in (BEST_CLASSIFIER, BEST_REGRESSOR)
    )
    seeds = max((len(one.scores) for one in results.scores), default=0)
    parts = [f"# minidl's estimators beside scikit-learn's, {results.created}", "## Speed"]
    parts += [SPEED.format(rounds=results.rounds), markdown(targets_table(results.timings))]
    for group in groups(results.timings):
        epochs = len(group[1].epochs[0]) if len(group) > 1 else 0
        parts += [f"### {group[0].task}, {group[0].dtype}, {epochs} epochs"]
        parts += [markdown(speed_table(group))]
    parts += ["## Quality", QUALITY.format(seeds=seeds, classifier=classifier, regressor=regressor)]
    parts += [markdown(quality_table(results.scores)), markdown(cost_table(results.scores))]
    parts += ["## Machine", markdown([["", ""], *map(list, results.machine.items())])]
    return "\n\n".join(part.strip() for part in parts) + "\n"


def ran_on() -> dict[str, str]:
    """The machine, the versions and the thread pools of this process."""
    from threadpoolctl import threadpool_info

    versions = []
    for name in ("minidl", "numpy", "scipy", "scikit-learn", "jax", "torch"):
        try:
            versions.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            continue
    pools = [
        f"{pool['internal_api']} {pool['version']}, {pool.get('architecture', 'other')} kernels, "
        f"{pool['num_threads']} thread(s)"
        for pool in threadpool_info()
    ]
    about = machine.describe() | {"libraries": ", ".join(versions)}
    return about | {"thread pools": "; ".join(dict.fromkeys(pools))}
