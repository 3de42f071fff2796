"""One array as the bytes of a `.npy` file, and back. Never pickle."""

import io
from typing import Any

import numpy as np
import numpy.typing as npt

from flagrank.errors import ArtifactError

# no header of a plain array is longer
HEADER_BYTES = 1 << 16


def to_npy(array: npt.NDArray[Any]) -> bytes:
    """The array as a file holds it."""
    buffer = io.BytesIO()
    np.save(buffer, np.ascontiguousarray(array), allow_pickle=False)
    return buffer.getvalue()


def from_npy(name: str, data: bytes | bytearray) -> npt.NDArray[Any]:
    """The array in a file's bytes, as a view of them; raises ArtifactError naming the file."""
    header = io.BytesIO(memoryview(data)[:HEADER_BYTES])
    try:
        np.lib.format.read_magic(header)
        shape, fortran, dtype = np.lib.format.read_array_header_1_0(header)
        if dtype.hasobject or fortran:
            raise ValueError("not a plain C-ordered array")
        return np.frombuffer(data, dtype, offset=header.tell()).reshape(shape)
    except ValueError as error:
        raise ArtifactError(f"{name}: {error}") from error
