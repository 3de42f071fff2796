"""One array as the bytes of a `.npy` file, and back. Never pickle."""

import io
import math
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from flagrank.errors import ArtifactError

# as numpy writes the header of a plain array, format version 1.0, and no more than that: numpy's own reader evaluates
# what it finds, and fails on hostile text in a dozen ways
# https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html
_HEADER = re.compile(
    rb"\x93NUMPY\x01\x00(?P<length>..)"
    rb"\{'descr': '(?P<descr>[<|][fiu][1248]|<U[1-9][0-9]{0,3})', 'fortran_order': False, "
    rb"'shape': \((?P<shape>[0-9]{1,15},|[0-9]{1,15}(?:, [0-9]{1,15}){1,3})\), \} *\n",
    re.DOTALL,
)
_MAGIC_BYTES = 10


def write_npy(array: npt.NDArray[Any]) -> Iterator[bytes | memoryview]:
    """The array as a file holds it, piece by piece and without a copy."""
    array = np.ascontiguousarray(array)
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, np.lib.format.header_data_from_array_1_0(array))
    yield header.getvalue()
    if array.size:
        yield memoryview(array.reshape(-1).view(np.uint8))


def from_npy(name: str, data: bytes | bytearray) -> npt.NDArray[Any]:
    """The array in a file's bytes, as a view of them; raises ArtifactError naming the file."""
    header = _HEADER.match(data)
    if header is None or header.end() != _MAGIC_BYTES + int.from_bytes(header["length"], "little"):
        raise ArtifactError(f"{name}: not a plain C-ordered array in numpy's format 1.0")
    shape = tuple(map(int, header["shape"].rstrip(b",").split(b", ")))
    try:
        dtype = np.dtype(header["descr"].decode())
        size = math.prod(shape) * dtype.itemsize
        if header.end() + size != len(data):
            raise ValueError(f"{len(data) - header.end()} bytes for {shape} {dtype}, expected {size}")
        array: npt.NDArray[Any] = np.ndarray(shape, dtype, data, header.end())
    except (TypeError, ValueError) as error:
        raise ArtifactError(f"{name}: {error}") from error
    if dtype.kind == "U" and not _is_text(array):
        raise ArtifactError(f"{name}: holds what is no character")
    return array


def _is_text(array: npt.NDArray[Any]) -> bool:
    code_points = array.reshape(-1).view(np.uint32)
    return bool(((code_points < 0xD800) | ((code_points > 0xDFFF) & (code_points <= 0x10FFFF))).all())
