"""The report in Markdown, and the words that it shares with the terminal."""

from __future__ import annotations

from bench.parallel import tables
from bench.parallel.measure import BATCH
from bench.parallel.results import Report
from bench.report.table import markdown
from bench.work import CHECKED_EPOCHS, STEPS_PER_EPOCH, TOLERANCE

METHOD = (
    "A step is forward, the squared error summed over the batch, backward and an SGD update of "
    "the network 2 → width → width → width → 2 with ReLU, Tanh and ReLU, in float32, on ranks of "
    "one thread each. Every rank has its slice of each batch, and the gradients are summed over "
    "the ranks: minidl sums one vector a step, PyTorch's `DistributedDataParallel` (with "
    "`static_graph` and `gradient_as_bucket_view`) its buckets while backward is under way. "
    f"Strong scaling has {BATCH} samples in a batch, weak scaling so many for each rank. All take "
    "turns, a round of whole epochs of ten batches each, while the other ranks wait without taking "
    "time; a step takes as long as on its slowest rank. Given is the median of the rounds. “× one "
    "rank” is the samples in a second by those of the same contestant on one rank, taken round by "
    "round. “Sum” is the time of a sum of as many numbers as the network has, by itself, with the "
    "same library; its share is of the step. “In sums” is the part of the step that ranks spend in "
    "the sum, the wait for a slower rank included, which minidl notes. A step with DDP has the "
    "sums of its buckets in place of it, part of which backward hides."
)
CHECKED = (
    f"Before it was timed, every contestant's loss, summed over steps "
    f"{(CHECKED_EPOCHS - 1) * STEPS_PER_EPOCH + 1} to {CHECKED_EPOCHS * STEPS_PER_EPOCH} and over "
    f"its ranks, agreed with a float64 reference to {TOLERANCE:g} of its value."
)
MODEL = (
    "On n ranks a step of a batch B is predicted to take dispatch + k · (operations(B/n) / rate + "
    "bytes(B/n) / bandwidth) + S(n). Operations and bytes are those of the floor of `python -m "
    "bench`. Measured on one core in this run: the rate of a matrix product, {rate:.0f} GFLOP/s; "
    "the bandwidth of a copy, {bandwidth:.0f} GB/s; as dispatch a step of the network of width 2 "
    "on one sample, {dispatch:.0f} µs; and at each width, on one rank, how many times the floor "
    "all beyond the dispatch takes, {above}. The sum of m bytes takes S(n) = 2 ⌈log₂ n⌉ · latency "
    "+ 2 (n − 1)/n · m / throughput, a reduce-scatter and an all-gather; latency and throughput "
    "are those of the straight line through the sums over two ranks below."
)
SHARED = (
    "Where more ranks than the {cores} cores here run, all of the prediction is multiplied by how "
    "many share a core."
)
ASSUMED = (
    "Assumed: each rank has a core as fast as one here, with its memory to itself, and wires to "
    "itself; the sum begins when backward ends, and nothing hides it; all ranks are equally fast; "
    "the wires add numbers no faster than two ranks here. Latency and throughput of the named "
    "networks are stated, not measured; so is k at a width that was not: that of the next one."
)


def text(report: Report) -> str:
    """The report in Markdown."""
    parts = [f"# Training on several ranks, {report.created}", METHOD, CHECKED]
    parts += ["## Targets", markdown(tables.targets_table(report))]
    for width in report.widths():
        parts += [f"## Width {width}", markdown(tables.scaling_table(report, width))]
    if len(missing := tables.missing_table(report)) > 1:
        parts += ["## Without times", markdown(missing)]
    parts += ["## The sum", "The time of a sum of so many float32, in µs."]
    parts += [markdown(tables.sums_table(report))]
    if tables.wires_of(report) is not None:
        parts += ["## A model of the cost", model_text(report)]
        parts += [markdown(tables.check_table(report))]
        parts += ["## Many ranks", ASSUMED, markdown(tables.wires_table(report))]
        parts += [f"Times one rank, {tables.NETWORKS[0][1]} and more samples for all together:"]
        parts += [markdown(tables.predictions_table(report, weak=False))]
        parts += ["The same, so many samples for each rank:"]
        parts += [markdown(tables.predictions_table(report, weak=True))]
    parts += ["## Machine", markdown(tables.machine_table(report))]
    return "\n\n".join(part.strip() for part in parts) + "\n"


def model_text(report: Report) -> str:
    """The model in words, with what was measured for it."""
    model = MODEL.format(
        rate=report.operations_per_second / 1e9,
        bandwidth=report.bytes_per_second / 1e9,
        dispatch=1e6 * report.dispatch,
        above=", ".join(
            f"k = {tables.machine_of(report, width).above:.2f} at {width}"
            for width in report.widths()
        ),
    )
    return f"{model} {SHARED.format(cores=report.cores)}"
