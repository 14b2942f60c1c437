"""Programs that look for faults which only a GPU can show, each in a process of its own.

    python -m bench.gpu_day.faults NAME BACKEND

Each ends with a line of its verdict: `ok: …`, `fault: …` (exit code 1), or `skipped: …`.
"""
