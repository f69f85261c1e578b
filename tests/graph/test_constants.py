"""Constants become torch tensors without a copy, whether their memory may be written to or not."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from edgenet.graph.executor import tensor_of

FILE = np.arange(24, dtype=np.float32).tobytes()


@pytest.mark.parametrize(
    "array",
    [
        np.frombuffer(FILE, np.float32).reshape(2, 3, 4),
        np.frombuffer(FILE, np.float32).reshape(6, 4).T,
        np.frombuffer(FILE, np.int8)[3:19:2],
        np.broadcast_to(np.float32(3), (2, 2)),
        np.arange(5.0),
    ],
    ids=["of a file", "transposed", "part", "spread", "writable"],
)
def test_a_tensor_shares_the_memory_of_its_array(array: np.ndarray) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # torch warns of read-only memory
        tensor = tensor_of(array)
    np.testing.assert_array_equal(tensor.numpy(), array)
    assert tensor.data_ptr() == array.ctypes.data
    assert tensor.shape == array.shape


def test_the_tensor_keeps_the_memory() -> None:
    array = np.frombuffer(bytes(bytearray(FILE)), np.float32)
    tensor = tensor_of(array)
    del array
    np.testing.assert_array_equal(tensor.numpy(), np.arange(24))
