"""Memory shared with NumPy, the buffer protocol and DLPack, both ways."""

from __future__ import annotations

import gc
from typing import Any

import numpy as np
import pytest

from reference import FLOATING, INTEGRAL, dtype_name, fg, needs_torch, torch

COMPUTED = FLOATING[:2] + INTEGRAL
REQUIRES_GRAD = r"Can't call numpy\(\) on Tensor that requires grad"


class TestNumpyOut:
    @pytest.mark.parametrize("dtype", COMPUTED)
    def test_shares_memory(self, dtype: str) -> None:
        x = fg.ones(2, 3, dtype=getattr(fg, dtype))
        array = x.numpy()
        assert isinstance(array, np.ndarray) and array.dtype == np.dtype(dtype)
        assert array.shape == (2, 3) and array.ctypes.data == x.data_ptr()
        array[0, 0] = 0
        assert x[0, 0].item() == 0
        x[1, 1] = 0
        assert array[1, 1] == 0

    def test_strides_are_kept(self) -> None:
        x = fg.arange(12, dtype=fg.float64).reshape(3, 4)
        array = x.t()[1:, ::2].numpy()
        assert array.tolist() == x.t()[1:, ::2].tolist() and array.base is not None
        array[0, 0] = 100
        assert x[0, 1].item() == 100

    def test_zero_dimensional_and_empty(self) -> None:
        assert fg.tensor(3.0).numpy().shape == () and fg.tensor(3.0).numpy() == 3.0
        assert fg.zeros(0, 3).numpy().shape == (0, 3)

    def test_refused_where_a_gradient_would_be_lost(self) -> None:
        x = fg.ones(2, requires_grad=True)
        for convert in (lambda: x.numpy(), lambda: np.asarray(x), lambda: np.array(x * 2)):
            with pytest.raises(RuntimeError, match=REQUIRES_GRAD):
                convert()
        assert x.detach().numpy().tolist() == [1.0, 1.0]
        with fg.no_grad():
            assert (x * 2).numpy().tolist() == [2.0, 2.0]

    def test_force(self) -> None:
        x = fg.ones(2, requires_grad=True)
        assert x.numpy(force=True).tolist() == [1.0, 1.0]

    def test_array_protocol(self) -> None:
        x = fg.tensor([1.0, 2.0])
        shared = np.asarray(x)
        shared[0] = 5
        assert x.tolist() == [5.0, 2.0]
        assert np.array(x, dtype=np.int64).tolist() == [5, 2]
        copy = np.array(x)
        copy[0] = 7
        assert x.tolist() == [5.0, 2.0]
        assert np.asarray(x, dtype=np.float64).dtype == np.float64

    def test_functions_of_numpy_take_tensors(self) -> None:
        x = fg.tensor([3.0, 1.0, 2.0])
        np.testing.assert_allclose(x, [3.0, 1.0, 2.0])
        assert float(np.median(np.asarray(x))) == 2.0 and list(np.argsort(np.asarray(x))) == [
            1,
            2,
            0,
        ]

    def test_array_outlives_its_tensor(self) -> None:
        array = fg.arange(1000).numpy()
        gc.collect()
        assert array.sum() == 499500


class TestNumpyIn:
    @pytest.mark.parametrize("dtype", COMPUTED)
    def test_shares_memory(self, dtype: str) -> None:
        array = np.ones((2, 3), dtype=dtype)
        x = fg.from_numpy(array)
        assert dtype_name(x.dtype) == dtype and x.data_ptr() == array.ctypes.data
        array[0, 0] = 0
        assert x[0, 0].item() == 0
        x[1, 1] = 0
        assert array[1, 1] == 0

    def test_strided(self) -> None:
        array = np.arange(24.0).reshape(2, 3, 4)
        view = array.transpose(2, 0, 1)[::2]
        x = fg.from_numpy(view)
        assert x.tolist() == view.tolist() and x.stride() == (2, 12, 4)
        x.zero_()
        assert array[:, :, ::2].sum() == 0 and array[:, :, 1::2].sum() != 0

    @pytest.mark.filterwarnings("ignore:The given NumPy array is not writable")
    def test_expanded(self) -> None:
        x = fg.from_numpy(np.broadcast_to(np.array([1.0, 2.0]), (3, 2)))
        assert x.tolist() == [[1.0, 2.0]] * 3 and x.stride() == (0, 1)

    def test_zero_dimensional_and_empty(self) -> None:
        assert fg.from_numpy(np.array(3.0)).item() == 3.0
        assert fg.from_numpy(np.zeros((0, 2))).shape == (0, 2)

    @pytest.mark.filterwarnings("ignore:The given NumPy array is not writable")
    def test_read_only_arrays_are_shared_too(self) -> None:
        """PyTorch warns once per process, so the warning itself cannot be asked for."""
        array = np.ones(3)
        array.flags.writeable = False
        assert fg.from_numpy(array).data_ptr() == array.ctypes.data

    def test_gradients_flow_through_shared_memory(self) -> None:
        x = fg.from_numpy(np.array([1.0, 2.0])).requires_grad_()
        (x * x).sum().backward()
        assert x.grad.numpy().tolist() == [2.0, 4.0]

    @pytest.mark.parametrize("array", [np.array(["a"]), np.array([object()]), np.zeros(2, "M8[s]")])
    def test_foreign_dtypes(self, array: np.ndarray) -> None:
        with pytest.raises(TypeError, match=r"can't convert np.ndarray of type"):
            fg.from_numpy(array)

    def test_byte_swapped(self) -> None:
        with pytest.raises((ValueError, TypeError)):
            fg.from_numpy(np.ones(2, dtype=">f8"))


class TestDlpackWithNumpy:
    @pytest.mark.parametrize("dtype", COMPUTED)
    def test_out(self, dtype: str) -> None:
        x = fg.ones(2, 3, dtype=getattr(fg, dtype))
        array = np.from_dlpack(x)
        assert array.dtype == np.dtype(dtype) and array.ctypes.data == x.data_ptr()
        x.zero_()
        assert not array.any()

    @pytest.mark.parametrize("dtype", COMPUTED)
    def test_in(self, dtype: str) -> None:
        array = np.ones((2, 3), dtype=dtype)
        x = fg.from_dlpack(array)
        assert dtype_name(x.dtype) == dtype and x.data_ptr() == array.ctypes.data
        array[:] = 0
        assert not x.any().item()

    def test_strides(self) -> None:
        array = np.arange(12.0).reshape(3, 4).T[1:]
        assert fg.from_dlpack(array).stride() == (1, 4)
        assert np.from_dlpack(fg.arange(12).reshape(3, 4).t()).strides == (8, 32)

    def test_device(self) -> None:
        assert tuple(fg.zeros(1).__dlpack_device__()) == (1, 0)

    def test_refused_with_a_gradient(self) -> None:
        with pytest.raises(BufferError, match="Can't export tensors that require gradient"):
            fg.ones(2, requires_grad=True).__dlpack__()

    def test_lifetimes(self) -> None:
        array = np.from_dlpack(fg.arange(1000))
        x = fg.from_dlpack(np.arange(1000))
        gc.collect()
        assert array.sum() == 499500 and x.sum().item() == 499500

    def test_a_capsule_that_nobody_takes_frees_itself(self) -> None:
        for _ in range(100):
            fg.ones(10_000).__dlpack__()
        gc.collect()

    def test_not_a_dlpack_object(self) -> None:
        with pytest.raises((AttributeError, TypeError, BufferError, RuntimeError)):
            fg.from_dlpack([1, 2])


@needs_torch
class TestDlpackWithTorch:
    @pytest.mark.parametrize("dtype", ["float64", "float32", "int64", "int32", "uint8", "bool"])
    def test_both_ways(self, dtype: str) -> None:
        x = fg.ones(2, 3, dtype=getattr(fg, dtype))
        theirs = torch.from_dlpack(x)
        assert theirs.data_ptr() == x.data_ptr() and dtype_name(theirs.dtype) == dtype
        back = fg.from_dlpack(theirs)
        assert back.data_ptr() == x.data_ptr() and back.shape == x.shape
        theirs.zero_()
        assert not x.any().item()

    def test_views(self) -> None:
        theirs = torch.arange(12.0).reshape(3, 4).t()[1:]
        ours = fg.from_dlpack(theirs)
        assert ours.tolist() == theirs.tolist() and tuple(ours.stride()) == theirs.stride()


class TestBufferProtocol:
    def test_memoryview_of_the_array(self) -> None:
        x = fg.arange(6, dtype=fg.float64).reshape(2, 3)
        view: Any = memoryview(x.numpy())
        assert view.format == "d" and view.shape == (2, 3) and view[1, 2] == 5.0

    def test_anything_with_a_buffer_becomes_a_tensor(self) -> None:
        import array

        values = array.array("d", [1.0, 2.0, 3.0])
        shared = fg.frombuffer(values, dtype=fg.float64)
        values[0] = 9.0
        assert shared.tolist() == [9.0, 2.0, 3.0]
        assert fg.tensor(values).tolist() == [9.0, 2.0, 3.0]


@pytest.mark.skipif(fg is torch, reason="PyTorch's tensors have no buffer protocol")
class TestBufferOfTensors:
    @pytest.mark.parametrize("dtype", COMPUTED)
    def test_memoryview(self, dtype: str) -> None:
        x = fg.ones(2, 3, dtype=getattr(fg, dtype))
        view = memoryview(x)
        assert view.shape == (2, 3) and view.itemsize == x.element_size()
        x[0, 1] = 0
        assert np.asarray(view)[0, 1] == 0

    def test_strides(self) -> None:
        view = memoryview(fg.arange(6, dtype=fg.float64).reshape(2, 3).t())
        assert view.shape == (3, 2) and view.strides == (8, 24)

    def test_refused_with_a_gradient(self) -> None:
        with pytest.raises((BufferError, RuntimeError)):
            memoryview(fg.ones(2, requires_grad=True))
