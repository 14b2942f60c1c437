"""The outcomes as tables, and as a document in Markdown."""

from __future__ import annotations

import math

import torch

from bench import machine
from bench.parity.torch_cases.agreement import LIMIT, Outcome
from bench.report.table import Table, markdown
from minidl import Backend

LEAST = 0.95
"""The share of the cases that should agree."""

METHOD = (
    "PyTorch tests its own modules and losses with cases: arguments of the constructor, and "
    "inputs. Those of the modules and losses that minidl has, in training and in evaluation where "
    "these differ, are computed by minidl too, on {backend} in float64: a module goes through "
    "`from_torch`, a loss is made with the same arguments. A case agrees if the values, the "
    "gradients by the input and by all parameters, and the running statistics after it are those "
    f"of PyTorch's autograd, to {LIMIT:g} of max(1, the largest value).\n\n"
    'A loss with `reduction="none"` is compared element by element: minidl weights the element by '
    "1 and all others by 0. PyTorch's classes are the second axis, minidl's the last, so they are "
    "moved. The mean with weights of elements is Σ w · l / n in PyTorch, and Σ w · l / Σ w here: "
    "such a case is a sum here, with the weights w / n."
)


def kinds_table(outcomes: list[Outcome]) -> Table:
    """Each class with its cases."""
    kinds: dict[str, list[Outcome]] = {}
    for each in outcomes:
        kinds.setdefault(each.kind, []).append(each)
    rows = []
    for kind, of in kinds.items():
        agree = [each.difference for each in of if not each.reason]
        rows.append([kind, str(len(of)), str(len(agree)), f"{max(agree, default=math.nan):.1e}"])
    return [["PyTorch's class", "cases", "agree", "largest difference"], *rows]


def others_table(outcomes: list[Outcome]) -> Table:
    """The cases that do not agree, and why."""
    rows = [[each.name, each.reason] for each in outcomes if each.reason]
    return [["case", "why it does not agree"], *rows]


def verdict(outcomes: list[Outcome]) -> tuple[bool, str]:
    """Whether enough agree, and the sentence that says it."""
    agree, count = sum(not each.reason for each in outcomes), len(outcomes)
    met = count > 0 and agree >= LEAST * count
    word = "at least" if met else "LESS THAN"
    share = agree / max(1, count)
    return met, f"{agree} of {count} cases agree: {share:.1%}, {word} {LEAST:.0%}."


def document(outcomes: list[Outcome], backend: Backend, created: str) -> str:
    """The whole in Markdown."""
    ran_on = machine.describe()
    about = [
        ["system", ran_on["system"]],
        ["Python", ran_on["Python"]],
        ["PyTorch", torch.__version__],
        ["backend", f"{backend.name} {backend.version}"],
        ["commit", ran_on["commit"]],
    ]
    parts = [
        f"# PyTorch's own test cases, {created}",
        METHOD.format(backend=backend.name),
        f"**{verdict(outcomes)[1]}**",
        markdown(kinds_table(outcomes)),
        "## The others",
        markdown(others_table(outcomes)),
        "## Versions",
        markdown([["", ""], *about]),
    ]
    return "\n\n".join(part.strip() for part in parts) + "\n"
