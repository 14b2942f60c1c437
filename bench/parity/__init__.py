"""`python -m bench.parity`: how far minidl is from PyTorch. `cases` what is compared,
`differences` how, `table` what is shown.
"""
