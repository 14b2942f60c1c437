"""`python -m minidl` is the command `minidl`."""

from minidl.app import main

main()
