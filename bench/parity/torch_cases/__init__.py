"""`python -m bench.parity.torch_cases`: the cases with which PyTorch tests its own modules and
losses, computed by minidl. `cases` what they are, `agreement` how they are compared, `pages` what
is shown.
"""
