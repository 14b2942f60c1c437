"""The version of minidl, which files name that it writes. It stands on no other floor."""

__version__ = "0.1.0"
