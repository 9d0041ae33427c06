"""Saving and loading: tensors, and the nested dictionaries and lists that hold them.

Note [The file format]
A file whose name ends in `.safetensors` is written by the library of that name (the extra
`fastgrad[safetensors]`); it takes one flat dictionary of tensors, and other frameworks read it.

Any other file is a ZIP archive of uncompressed members, an `.npz` file as NumPy reads it:

    structure.json    {"format": "fastgrad", "version": 1, "content": <value>}
    0.npy, 1.npy ...  the arrays, in NumPy's format

where a value is a JSON string, boolean, null, number or list, or an object with one of the keys

    "$tensor"  number of the array; with "dtype" and, if set, "requires_grad" and "class"
    "$array"   number of the array: a NumPy array
    "$dict", "$ordered"   list of [key, value] pairs; keys are values, too. An ordered dictionary
               may have "metadata", as state dictionaries do
    "$tuple", "$set", "$size"   list of values
    "$complex", "$bytes", "$dtype", "$device", "$float"   what JSON has no form for

bfloat16 is stored as the uint16 of its bits. A tensor that occurs several times is stored once.

Nothing in a file is executed: there is no pickle, and classes are chosen from the list above. A
member may not be compressed and its size must be what its header says, so that loading takes no
more memory than the file has bytes. Checksums find damage.

A save writes a new file, which takes the place of the old one in one step: whoever is killed in
between leaves the old file as it was, and on Linux nothing else.
"""

from __future__ import annotations

import base64
import io
import json
import math
import os
import struct
import zipfile
import zlib
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np

from fastgrad import _core
from fastgrad._core import Tensor

__all__ = ["LoadError", "load", "save"]

_VERSION = 1
_STRUCTURE = "structure.json"
_MAX_HEADER = 10_000  # bytes of the header of an array
_PIECE = 1 << 18  # bytes that are moved and summed up at a time: they stay in the cache
_SMALL = 1 << 21  # bytes of the arrays of an archive that is put together in memory


class LoadError(RuntimeError):
    """Raised when a file is damaged, cut off, or of another format.

    Example:
        >>> issubclass(fg.serialization.LoadError, RuntimeError)
        True
    """


def _dtype_name(dtype: Any) -> str:
    return str(dtype).rpartition(".")[2]


class _Writer:
    """Turns a value into JSON, and collects the arrays on the way."""

    def __init__(self) -> None:
        self.arrays: list[Any] = []
        self.numbers: dict[int, int] = {}
        self.kept: list[Any] = []  # so that no id is given twice

    def array(self, owner: Any, values: Any) -> int:
        if id(owner) not in self.numbers:
            self.numbers[id(owner)] = len(self.arrays)
            self.arrays.append(values)
            self.kept.append(owner)
        return self.numbers[id(owner)]

    def tensor(self, tensor: Tensor) -> dict[str, Any]:
        from fastgrad.nn.parameter import Buffer, Parameter

        values = tensor.detach()
        if values.dtype == _core.bfloat16:
            values = values.contiguous().view(_core.int16)
        entry = {
            "$tensor": self.array(tensor, values.numpy()),
            "dtype": _dtype_name(tensor.dtype),
        }
        if tensor.requires_grad:
            entry["requires_grad"] = True
        if isinstance(tensor, (Parameter, Buffer)):
            entry["class"] = type(tensor).__name__
        return entry

    def value(self, value: Any) -> Any:
        if value is None or isinstance(value, (bool, str)):
            return value
        if isinstance(value, Tensor):
            return self.tensor(value)
        if isinstance(value, np.generic):
            value = value.item()
        if isinstance(value, int):
            return int(value)
        if isinstance(value, float):
            return float(value) if math.isfinite(value) else {"$float": repr(float(value))}
        if isinstance(value, np.ndarray) and not value.dtype.hasobject:
            return {"$array": self.array(value, value)}
        if isinstance(value, complex):
            return {"$complex": [self.value(value.real), self.value(value.imag)]}
        if isinstance(value, bytes):
            return {"$bytes": base64.b64encode(value).decode()}
        if isinstance(value, _core.dtype):
            return {"$dtype": _dtype_name(value)}
        if isinstance(value, _core.device):
            return {"$device": str(value)}
        return self.collection(value)

    def collection(self, value: Any) -> Any:
        if isinstance(value, Mapping):
            pairs = [[self.value(k), self.value(v)] for k, v in value.items()]
            if not isinstance(value, OrderedDict):
                return {"$dict": pairs}
            entry: dict[str, Any] = {"$ordered": pairs}
            if hasattr(value, "_metadata"):
                entry["metadata"] = self.value(value._metadata)
            return entry
        items = [self.value(item) for item in value] if _is_sequence(value) else []
        if isinstance(value, list):
            return items
        if isinstance(value, _core.Size):
            return {"$size": items}
        if isinstance(value, tuple):
            return {"$tuple": items}
        if isinstance(value, (set, frozenset)):
            return {"$set": items}
        hint = ""
        if hasattr(value, "state_dict"):
            hint = "; save its state_dict() instead"
        raise TypeError(
            f"save: cannot store a {type(value).__module__}.{type(value).__qualname__}, only "
            f"tensors, arrays, numbers, strings and lists, tuples, sets and dictionaries{hint}"
        )


def _is_sequence(value: Any) -> bool:
    return isinstance(value, (list, tuple, set, frozenset))


def _read_into(file: IO[bytes], piece: memoryview) -> int:
    if hasattr(file, "readinto"):
        return int(file.readinto(piece))
    data = file.read(len(piece))
    piece[: len(data)] = data
    return len(data)


class _Reader:
    """Turns JSON back into values."""

    def __init__(self, archive: zipfile.ZipFile, file: IO[bytes], size: int) -> None:
        self.archive, self.file = archive, file
        self.infos = {info.filename: info for info in archive.infolist()}
        for info in self.infos.values():
            if info.compress_type != zipfile.ZIP_STORED or info.file_size > size:
                raise LoadError(f"member {info.filename} is compressed, which save never does")
        self.arrays: dict[int, Any] = {}
        self.tensors: dict[int, Tensor] = {}

    def member(self, name: str) -> zipfile.ZipInfo:
        if name not in self.infos:
            raise LoadError(f"member {name} is missing")
        return self.infos[name]

    def array(self, number: Any) -> Any:
        if not isinstance(number, int) or isinstance(number, bool):
            raise LoadError(f"{number!r} is no number of an array")
        if number not in self.arrays:
            info = self.member(f"{number}.npy")
            with self.archive.open(info) as stream:
                version = np.lib.format.read_magic(stream)
                if version not in ((1, 0), (2, 0)):
                    raise LoadError(f"{info.filename} has the unknown version {version}")
                one = version == (1, 0)
                read = (
                    np.lib.format.read_array_header_1_0
                    if one
                    else np.lib.format.read_array_header_2_0
                )
                shape, fortran, dtype = read(stream, max_header_size=_MAX_HEADER)
                count = math.prod(shape)
                if dtype.hasobject or count * dtype.itemsize != info.file_size - stream.tell():
                    raise LoadError(f"{info.filename} has not the size that its header says")
                header = stream.tell()
            values = self.data(info, header).view(dtype)
            shaped = values.reshape(shape[::-1]).T if fortran else values.reshape(shape)
            self.arrays[number] = shaped
        return self.arrays[number]

    def data(self, info: zipfile.ZipInfo, header: int) -> Any:
        """Returns the bytes behind an array's header, read to where they stay."""
        self.file.seek(info.header_offset)
        lengths = struct.unpack("<26xHH", self.file.read(30))  # of the name, and of what follows it
        self.file.seek(info.header_offset + 30 + sum(lengths))
        crc = zlib.crc32(self.file.read(header))
        values = _core.empty(info.file_size - header, dtype=_core.uint8).numpy()
        left = values.data
        while left:
            piece = left[:_PIECE]
            count = _read_into(self.file, piece)
            if not count:
                raise LoadError(f"{info.filename} is cut off")
            crc = zlib.crc32(piece[:count], crc)
            left = left[count:]
        if crc != info.CRC:
            raise LoadError(f"the checksum of {info.filename} is wrong")
        return values

    def tensor(self, entry: dict[str, Any]) -> Tensor:
        from fastgrad.nn.parameter import Buffer, Parameter

        number = entry["$tensor"]
        if number in self.tensors:
            return self.tensors[number]
        made = _core.from_numpy(self.array(number))
        if entry.get("dtype") == "bfloat16":
            made = made.view(_core.bfloat16)
        if _dtype_name(made.dtype) != entry.get("dtype"):
            raise LoadError(f"array {number} is of {made.dtype}, not of {entry.get('dtype')}")
        needs_grad = entry.get("requires_grad") is True
        kind = entry.get("class")
        if kind == "Parameter":
            made = Parameter(made, needs_grad)
        elif kind == "Buffer":
            made = Buffer(made)
        elif needs_grad:
            made.requires_grad_()
        self.tensors[number] = made
        return made

    def value(self, value: Any) -> Any:
        if isinstance(value, list):
            return [self.value(item) for item in value]
        if not isinstance(value, dict):
            return value
        tag = next((key for key in value if key.startswith("$")), None)
        found = value.get(tag)
        if tag == "$tensor":
            return self.tensor(value)
        if tag == "$array":
            return self.array(found)
        if tag in ("$dict", "$ordered"):
            return self.mapping(tag, found, value.get("metadata"))
        if tag in ("$tuple", "$set", "$size", "$complex"):
            if not isinstance(found, list):
                raise LoadError(f"{tag} holds no list")
            items = [self.value(item) for item in found]
            if tag == "$complex":
                return complex(*items)
            return {"$tuple": tuple, "$set": set, "$size": _core.Size}[tag](items)
        if isinstance(found, str):
            if tag == "$float" and found in ("inf", "-inf", "nan"):
                return float(found)
            if tag == "$bytes":
                return base64.b64decode(found)
            if tag == "$device":
                return _core.device(found)
            if tag == "$dtype" and isinstance(getattr(_core, found, None), _core.dtype):
                return getattr(_core, found)
        raise LoadError(f"there is an unknown entry {str(value)[:80]}")

    def mapping(self, tag: str, pairs: Any, metadata: Any) -> Any:
        if not isinstance(pairs, list) or any(
            not isinstance(pair, list) or len(pair) != 2 for pair in pairs
        ):
            raise LoadError(f"{tag} holds no list of pairs")
        made = ((self.value(key), self.value(item)) for key, item in pairs)
        if tag == "$dict":
            return dict(made)
        from fastgrad.nn.modules.state import _StateDict

        if metadata is None:
            return OrderedDict(made)
        state = _StateDict(made)
        state._metadata = self.value(metadata)
        return state


def _write_array(member: IO[bytes], values: Any) -> None:
    """Writes what NumPy's function of this name does; that one copies the numbers first."""
    if values.dtype.isbuiltin != 1 or values.nbytes == 0:
        np.lib.format.write_array(member, values, allow_pickle=False)
        return
    header = np.lib.format.header_data_from_array_1_0(values)
    np.lib.format.write_array_header_1_0(member, header)
    lines = np.ascontiguousarray(values.T if header["fortran_order"] else values)
    data = lines.reshape(-1).view(np.uint8).data
    for at in range(0, len(data), _PIECE):
        member.write(data[at : at + _PIECE])


def _write_archive(obj: Any, file: IO[bytes]) -> None:
    writer = _Writer()
    content = writer.value(obj)
    text = json.dumps(
        {"format": "fastgrad", "version": _VERSION, "content": content}, allow_nan=False
    )
    # In a file each member goes back to its header when it ends.
    small = sum(values.nbytes for values in writer.arrays) <= _SMALL
    memory = io.BytesIO()
    with zipfile.ZipFile(memory if small else file, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(_STRUCTURE, text)
        for number, values in enumerate(writer.arrays):
            with archive.open(f"{number}.npy", "w", force_zip64=True) as member:
                _write_array(member, values)
    if small:
        file.write(memory.getbuffer())


def _read_archive(file: IO[bytes]) -> Any:
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    with zipfile.ZipFile(file) as archive:
        names = archive.namelist()
        if any(name.endswith("data.pkl") for name in names):
            raise LoadError(
                "this is a file of torch.save, which is a pickle and may run code; write the state "
                "dictionary with safetensors.torch.save_file instead"
            )
        reader = _Reader(archive, file, size)
        structure = json.loads(archive.read(reader.member(_STRUCTURE)))
        if not isinstance(structure, dict) or structure.get("format") != "fastgrad":
            raise LoadError("this is no file of fastgrad.save")
        if structure.get("version") != _VERSION:
            raise LoadError(f"this is version {structure.get('version')} of the format; know 1")
        return reader.value(structure.get("content"))


def _safetensors() -> Any:
    try:
        import safetensors
    except ImportError as error:
        raise ImportError(
            "files that end in .safetensors need the library of that name: "
            "pip install fastgrad[safetensors]"
        ) from error
    return safetensors


_SAFE_NAMES = {
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "BF16": "bfloat16",
    "I64": "int64",
    "I32": "int32",
    "I16": "int16",
    "I8": "int8",
    "U8": "uint8",
    "BOOL": "bool",
    "C64": "complex64",
}


def _to_safetensors(obj: Any) -> bytes:
    library = _safetensors()
    flat = isinstance(obj, Mapping) and all(
        isinstance(k, str) and isinstance(v, Tensor) for k, v in obj.items()
    )
    if not flat:
        raise TypeError(
            "save: a .safetensors file holds one dictionary of named tensors; give the file "
            "another ending to save anything else"
        )
    # Releases from 0.8 on take addresses; `kept` holds the memory until they are done.
    by_address = getattr(library, "TensorSpec", None)
    entries, kept = {}, []
    for name, tensor in obj.items():
        values = tensor.detach().contiguous()
        if values.dtype == _core.bfloat16:
            values = values.view(_core.int16)
        array = np.ascontiguousarray(values.numpy())
        kept.append(array)
        entry = {"dtype": _dtype_name(tensor.dtype), "shape": list(tensor.shape)}
        if by_address is None:
            entries[name] = {**entry, "data": array.tobytes()}
        else:
            entries[name] = by_address(**entry, data_ptr=array.ctypes.data, data_len=array.nbytes)
    return bytes(library.serialize(entries))


def _from_safetensors(data: bytes) -> dict[str, Tensor]:
    library = _safetensors()
    try:
        entries = library.deserialize(data)
    except library.SafetensorError as error:
        raise LoadError(f"it is damaged or of another format: {error}") from error
    found = {}
    for name, entry in entries:
        kind = _SAFE_NAMES.get(entry["dtype"])
        if kind is None:
            raise LoadError(f"tensor {name} is of the type {entry['dtype']}, which is not known")
        stored = np.dtype("int16" if kind == "bfloat16" else kind)
        values = np.frombuffer(bytearray(entry["data"]), dtype=stored).reshape(entry["shape"])
        tensor = _core.from_numpy(values)
        found[name] = tensor.view(_core.bfloat16) if kind == "bfloat16" else tensor
    return found


def save(obj: Any, f: str | os.PathLike[str] | IO[bytes]) -> None:
    """Saves tensors, and nested dictionaries and lists of tensors and plain values.

    Args:
        obj: What to save: a module's or an optimiser's `state_dict()`, for example.
        f: A path, or a file open for writing. A path that ends in `.safetensors` gives a file of
            that format, which holds one flat dictionary of tensors; any other path gives a ZIP
            archive of `.npy` files with their structure in JSON.

    Raises:
        TypeError: If something cannot be stored.
        ImportError: If the path ends in `.safetensors` and that library is missing.

    Example:
        >>> import io
        >>> file = io.BytesIO()
        >>> fg.save({"step": 3, "weights": [fg.ones(2)]}, file)
        >>> fg.load(file)
        {'step': 3, 'weights': [tensor([1., 1.])]}
    """
    if not isinstance(f, (str, os.PathLike)):
        _write_archive(obj, f)
        return
    path = Path(os.path.realpath(f))
    if path.suffix == ".safetensors":
        data = _to_safetensors(obj)
        _replace(path, lambda file: file.write(data))
    else:
        _replace(path, lambda file: _write_archive(obj, file))


def _replace(path: Path, write: Callable[[IO[bytes]], Any]) -> None:
    """Writes a new file, which takes the place of the old one in one step when it is complete."""
    if path.exists() and not path.is_file():  # such as /dev/null
        with open(path, "wb") as file:
            write(file)
        return
    name = path.parent / f".{path.name}.{os.urandom(8).hex()}"
    # Without a name until it is complete, where that is possible: a kill leaves nothing behind.
    nameless = hasattr(os, "O_TMPFILE") and os.path.isdir("/proc/self/fd")
    try:
        handle = os.open(path.parent, os.O_RDWR | os.O_TMPFILE, 0o666) if nameless else -1
    except OSError:  # the file system cannot
        handle = -1
    nameless = handle >= 0
    if not nameless:
        new = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
        handle = os.open(name, new, 0o666)
    try:
        with os.fdopen(handle, "wb") as file:
            write(file)
            file.flush()
            os.fsync(handle)
            if nameless:  # the descriptor that goes with it makes os.link follow the link of /proc
                os.link(f"/proc/self/fd/{handle}", name, src_dir_fd=handle)
        if path.exists():
            os.chmod(name, path.stat().st_mode)
        os.replace(name, path)
    except BaseException:
        name.unlink(missing_ok=True)
        raise


def load(
    f: str | os.PathLike[str] | IO[bytes],
    map_location: Any = None,
    *,
    weights_only: bool = True,
    mmap: bool | None = None,
) -> Any:
    """Loads what `save` saved, or a `.safetensors` file of another framework.

    Loading runs no code of the file, and takes no more memory than the file has bytes.

    Args:
        f: A path, or a file open for reading.
        map_location: The device of the tensors: the CPU. PyTorch's functions and dictionaries are
            accepted; a dictionary may name no other device as target.
        weights_only: As in PyTorch; nothing else is ever loaded.
        mmap: As in PyTorch; has no effect.

    Returns:
        The value; a dictionary of tensors for a `.safetensors` file.

    Raises:
        LoadError: If the file is damaged, cut off or of another format.

    Example:
        >>> import io
        >>> try:
        ...     fg.load(io.BytesIO(b"no such format"))
        ... except fg.serialization.LoadError:
        ...     print("damaged")
        damaged
    """
    targets = map_location.values() if isinstance(map_location, dict) else [map_location]
    for target in targets:
        if target is not None and not callable(target):
            _core.device(target)  # there is one device, or an error
    if isinstance(f, (str, os.PathLike)):
        with open(f, "rb") as file:
            return _read(file, os.fspath(f))
    f.seek(0)
    return _read(f, getattr(f, "name", "the file"))


def _read(file: IO[bytes], name: str) -> Any:
    start = file.read(9)
    file.seek(0)
    try:
        if start[:2] == b"PK":
            return _read_archive(file)
        if start[8:] == b"{":
            return _from_safetensors(file.read())
    except LoadError as error:
        raise LoadError(f"cannot load {name}: {error}") from error
    except (
        zipfile.BadZipFile,
        ValueError,
        TypeError,
        KeyError,
        EOFError,
        RecursionError,
        NotImplementedError,
        OSError,
    ) as error:
        raise LoadError(f"cannot load {name}: it is damaged or cut off ({error})") from error
    raise LoadError(f"cannot load {name}: it is damaged, cut off or of another format")
