"""Models from and to files, PyTorch and ONNX, and summaries of them.

The packages that this takes (safetensors, torch, onnx) are imported when they are needed.
"""

from minidl.exchange.files import load, save
from minidl.exchange.header import FileFormatError
from minidl.exchange.onnx_export import export_onnx
from minidl.exchange.pytorch import from_torch, to_torch
from minidl.exchange.summary import Summary, summary

__all__ = [
    "FileFormatError",
    "Summary",
    "export_onnx",
    "from_torch",
    "load",
    "save",
    "summary",
    "to_torch",
]
