"""The default backend: of the process by a call, of a thread or a task by a block."""

from __future__ import annotations

import asyncio
import contextvars
import itertools
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar

import pytest

from minidl import Backend, Linear, backend_of, get_backend, use_backend
from minidl.backend import BackendError, selection

NUMPY, NUMPY64 = ("numpy", "float32"), ("numpy", "float64")


@pytest.fixture(autouse=True)
def default_restored(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test begins outside all blocks, and its calls end with it."""
    monkeypatch.setattr(selection, "_default_name", "numpy")
    monkeypatch.setattr(selection, "_calls", ())
    monkeypatch.setattr(selection, "_blocks", ContextVar("blocks", default=()))


@pytest.fixture
def chosen(backend_name: str) -> Backend:
    """A backend that is not the default one."""
    return get_backend(backend_name, "float64")


def names(backend: Backend) -> tuple[str, str]:
    return backend.name, backend.dtype_name


def here() -> tuple[str, str]:
    """The backend on which a new layer lies."""
    backend = backend_of(Linear(1, 1).weights.value)
    assert backend == get_backend()
    return names(backend)


def in_a_thread() -> tuple[str, str]:
    """The same in a new thread."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(here).result(timeout=60)


def test_a_call_holds_in_all_threads(chosen: Backend) -> None:
    assert here() == in_a_thread() == NUMPY
    use_backend(chosen)
    assert here() == in_a_thread() == names(chosen)


def test_a_block_holds_in_no_other_thread(chosen: Backend) -> None:
    with use_backend(chosen) as inside:
        assert inside is chosen
        assert here() == names(chosen)
        assert in_a_thread() == NUMPY
        handed_on = contextvars.copy_context().run(here)
        assert handed_on == names(chosen)
    assert here() == NUMPY


def test_blocks_of_two_threads(chosen: Backend) -> None:
    """Both are inside at once, and the first to enter leaves first."""
    meet = threading.Barrier(2)
    left = threading.Event()

    def first() -> list[tuple[str, str]]:
        with use_backend(chosen):
            meet.wait(60)
            seen = [here()]
            meet.wait(60)
        left.set()
        return [*seen, here()]

    def second() -> list[tuple[str, str]]:
        with use_backend("numpy", dtype="float64"):
            meet.wait(60)
            seen = [here()]
            meet.wait(60)
            left.wait(60)
            seen.append(here())
        return [*seen, here()]

    with ThreadPoolExecutor(2) as pool:
        results = [pool.submit(first), pool.submit(second)]
        assert results[0].result(60) == [names(chosen), NUMPY]
        assert results[1].result(60) == [NUMPY64, NUMPY64, NUMPY]
    assert here() == NUMPY


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_blocks_that_begin_at_once(order: tuple[int, ...]) -> None:
    """Threads may stand between their call and their block. Whoever goes first, nothing is left
    behind, and a call that was meant for the process stays."""
    for last in (None, "float64"):
        blocks = [use_backend("numpy", "float64") for _ in range(3)]
        if last:
            use_backend("numpy", last)
        for i in order:
            blocks[i].__enter__()
        for i in sorted(order, key=lambda i: (i + 1) % 3):
            blocks[i].__exit__(None, None, None)
        assert here() == (NUMPY64 if last else NUMPY)


@pytest.mark.parametrize("ends", list(itertools.permutations(range(3))))
def test_blocks_that_end_in_another_order(ends: tuple[int, ...]) -> None:
    """Of generators that were left half-way: what is left of the blocks holds, in their order."""
    dtypes = ["float64", "float32", "float64"]

    def inside(dtype: str) -> Iterator[None]:
        with use_backend("numpy", dtype=dtype):
            yield

    generators = [inside(dtype) for dtype in dtypes]
    for generator in generators:
        next(generator)
    remaining = [0, 1, 2]
    for i in ends:
        assert here() == ("numpy", dtypes[remaining[-1]])
        assert list(generators[i]) == []
        remaining.remove(i)
    assert here() == NUMPY


def test_a_block_that_ends_in_another_thread() -> None:
    """A generator may be finished, or collected, anywhere: without an error, and without harm."""

    def inside() -> Iterator[tuple[str, str]]:
        with use_backend("numpy", dtype="float64"):
            yield here()

    generator = inside()
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(next, generator).result(60) == NUMPY64
    assert here() == NUMPY
    assert list(generator) == []
    assert here() == NUMPY


def test_tasks() -> None:
    """A task goes on with the block in which it was made, also when the block is over."""
    dtypes = ["float32", "float64"] * 3

    async def look() -> tuple[str, str]:
        await asyncio.sleep(0)
        return here()

    async def task(number: int, dtype: str) -> list[tuple[str, str]]:
        with use_backend("numpy", dtype=dtype):
            seen = []
            for _ in range(number + 1):
                await asyncio.sleep(0)
                seen.append(here())
            inner = asyncio.create_task(look())
        return [*seen, await inner]

    async def main() -> list[list[tuple[str, str]]]:
        return await asyncio.gather(*(task(i, dtype) for i, dtype in enumerate(dtypes)))

    for seen, dtype in zip(asyncio.run(main()), dtypes, strict=True):
        assert set(seen) == {("numpy", dtype)}
    assert here() == NUMPY


def test_nested_blocks_and_one_of_them_twice() -> None:
    outer, inner = use_backend("numpy", "float64"), use_backend("numpy", "float32")
    with outer:
        with inner:
            with outer:
                assert here() == NUMPY64
            assert here() == NUMPY
        assert here() == NUMPY64
        with pytest.raises(RuntimeError), inner:
            raise RuntimeError
        assert here() == NUMPY64
    assert here() == in_a_thread() == NUMPY


def test_a_call_inside_a_block_is_for_the_process() -> None:
    with use_backend("numpy", "float32"):
        use_backend("numpy", dtype="float64")
        assert here() == NUMPY
        assert in_a_thread() == NUMPY64
    assert here() == NUMPY64


def test_a_call_that_fails_changes_nothing() -> None:
    use_backend("numpy", dtype="float64")
    with pytest.raises(BackendError):
        use_backend("nonsense")
    with pytest.raises(TypeError, match="expected the name of a backend, such as 'numpy', got int"):
        use_backend(3)  # type: ignore[arg-type]
    assert here() == NUMPY64


def test_many_calls_do_not_pile_up() -> None:
    for _ in range(2 * selection._MOST_CALLS):
        use_backend("numpy")
    assert len(selection._calls) == selection._MOST_CALLS
    with use_backend("numpy", dtype="float64"):
        assert here() == NUMPY64
    assert here() == in_a_thread() == NUMPY
