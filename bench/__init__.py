"""The disk training loop, timed on every backend beside NumPy by hand."""
