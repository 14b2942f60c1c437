"""What a program says that is not `ok`."""


class FaultError(Exception):
    """A fault was found; the message says which."""


class SkipError(Exception):
    """The program cannot be run here; the message says why."""
