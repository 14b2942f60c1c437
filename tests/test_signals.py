"""How signals are answered; tests/test_odd_environments.py sends them."""

from __future__ import annotations

import signal

import pytest

from minidl import signals


@pytest.fixture(autouse=True)
def _new(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signals, "_state", signals._State())


def raised_in_a_block(*numbers: int) -> bool:
    """Whether a block is interrupted in which these signals come."""
    try:
        with signals.interruptible():
            for number in numbers:
                signals._answer(number, None)
    except KeyboardInterrupt:
        return True
    return False


def test_a_block_is_interrupted() -> None:
    signals.hold()
    assert not raised_in_a_block()
    assert not signals.came()
    assert raised_in_a_block(signal.SIGTERM)
    assert signals.came()
    assert signals.exit_code() == 143
    assert not raised_in_a_block()  # it has been answered


def test_between_blocks_a_signal_waits() -> None:
    """And interrupts the next one at its beginning."""
    signals.hold()
    signals._answer(signal.SIGINT, None)
    assert signals.exit_code() == 130
    assert raised_in_a_block()
    assert not raised_in_a_block()


def test_the_answer_to_one_is_not_interrupted_by_another() -> None:
    signals.hold()

    def interrupted_twice() -> None:
        with signals.interruptible():
            try:
                signals._answer(signal.SIGINT, None)
            finally:
                signals._answer(signal.SIGTERM, None)  # while the first is on its way out

    with pytest.raises(KeyboardInterrupt):
        interrupted_twice()
    assert signals.exit_code() == 143
    assert raised_in_a_block()


def test_without_anything_to_lose_the_process_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    codes: list[int] = []
    monkeypatch.setattr("os._exit", codes.append)
    monkeypatch.setattr("os.write", lambda *_: None)
    signals._answer(signal.SIGINT, None)
    assert codes == [130]


def test_an_interrupt_without_a_signal_is_one_of_the_keyboard() -> None:
    assert signals.exit_code() == 130
