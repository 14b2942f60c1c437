"""The disk network's training loop, timed on minidl, on its libraries by hand, and on what people
use instead."""
