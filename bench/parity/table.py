"""The differences as tables, and as a document in Markdown."""

from __future__ import annotations

from bench import machine
from bench.parity.differences import COLUMNS, LIMIT, STEPS, Row, largest
from bench.report.table import Table, markdown
from minidl import Backend

METHOD = (
    "For every module, loss and optimizer: the largest relative difference from PyTorch's own, "
    "computed with autograd on the CPU, in float64, from the same initial values and inputs. It "
    "is max |a - b| / max(1, max |b|) over an array a and PyTorch's b, the largest over all arrays "
    "and over the backends {backends}; beside it is the backend that had it.\n\n"
    "- *forward*: the output, or the loss.\n"
    "- *gradient*: by the input and by all parameters; of a loss by the output.\n"
    f"- *after {STEPS} steps*: the parameters and running statistics after {STEPS} steps, each on "
    "a new batch: for a module or a loss those of a small network that holds it, learnt with SGD "
    "and PyTorch's `torch.optim.SGD`; for an optimizer those of the specified disk network "
    "(2 → 25 → 25 → 25 → 2, batches of 100)."
)


def differences_table(rows: list[Row], kind: str) -> Table:
    """The rows of one kind."""
    return [
        [kind, *COLUMNS],
        *(
            [row.name, *(_cell(row.largest(column)) for column in COLUMNS)]
            for row in rows
            if row.kind == kind
        ),
    ]


def _cell(found: tuple[float, str] | None) -> str:
    if found is None:
        return "–"
    value, backend = found
    return f"{value:.1e} {backend}" if value else "0"


def notes_table(rows: list[Row]) -> Table:
    """What a reader should know, each note once with all its rows."""
    names: dict[str, list[str]] = {}
    for row in rows:
        if row.note:
            names.setdefault(row.note, []).append(row.name)
    return [["row", "note"], *([", ".join(of), note] for note, of in names.items())]


def verdict(rows: list[Row]) -> tuple[bool, str]:
    """Whether all differences are within the limit, and the sentence that says it."""
    value, row, column, backend = largest(rows)
    met = value <= LIMIT
    word = "at most" if met else "MORE THAN"
    where = f"{row.name}, {column}, on {backend}"
    return met, f"The largest of all: {value:.1e} ({where}), {word} {LIMIT:g}."


def document(rows: list[Row], backends: list[Backend], torch_version: str, created: str) -> str:
    """The whole in Markdown."""
    named = ", ".join(backend.name for backend in backends)
    parts = [f"# How far minidl is from PyTorch, {created}", METHOD.format(backends=named)]
    parts.append(f"**{verdict(rows)[1]}**")
    for title, kind in (("Modules", "module"), ("Losses", "loss"), ("Optimizers", "optimizer")):
        parts += [f"## {title}", markdown(differences_table(rows, kind))]
    parts += ["## Notes", markdown(notes_table(rows))]
    versions = [f"{backend.name} {backend.version}" for backend in backends]
    ran_on = machine.describe()
    about = [
        ["CPU", ran_on["CPU"]],
        ["system", ran_on["system"]],
        ["Python", ran_on["Python"]],
        ["PyTorch, the reference", torch_version],
        ["backends", ", ".join(versions)],
        ["commit", ran_on["commit"]],
    ]
    parts += ["## Versions", markdown([["", ""], *about])]
    return "\n\n".join(part.strip() for part in parts) + "\n"
