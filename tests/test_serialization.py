"""fg.save and fg.load: what comes back, what is refused, what a crash leaves."""

import io
import json
import os
import subprocess
import sys
import threading
import zipfile
from collections import OrderedDict

import numpy as np
import pytest

import fastgrad as fg
from fastgrad.serialization import LoadError
from reference import needs_torch, only_fastgrad, torch

pytestmark = only_fastgrad
DTYPES = ("float64", "float32", "float16", "bfloat16", "int64", "int8", "uint8", "bool")


def test_archives_of_every_size(tmp_path):
    for counts in [(), (0,), (3,), (70_000, 5), (300_000, 2), (600_000, 0, 1)]:
        arrays = {str(n): np.arange(n, dtype="float64") for n in counts}
        fg.save({k: fg.tensor(v) for k, v in arrays.items()}, tmp_path / "state")
        found = fg.load(tmp_path / "state")
        assert list(found) == list(arrays)
        for name, values in arrays.items():
            np.testing.assert_array_equal(found[name].numpy(), values)


def round_trip(value):
    file = io.BytesIO()
    fg.save(value, file)
    return fg.load(file)


def test_plain_values():
    value = {
        "a": [1, 2.5, None, True, "text", b"bytes", 1 + 2j],
        3: (1, (2,)),
        ("k", 1): {1, 2},
        "numbers": [float("inf"), -0.0, 1e-320, 2**80],
        "size": fg.Size([1, 2]),
        "dtype": fg.float64,
        "$tensor": {"$dict": 1},
        "device": fg.device("cpu"),
        "empty": [[], {}, ()],
    }
    found = round_trip(value)
    assert found == value and list(found) == list(value)
    assert isinstance(found["size"], fg.Size) and isinstance(found["a"][3], bool)
    assert np.isnan(round_trip(float("nan")))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 3)])
def test_tensors(dtype, shape):
    x = (fg.rand(shape) * 3).to(getattr(fg, dtype))
    y = round_trip(x)
    assert y.dtype == x.dtype and y.shape == x.shape and fg.equal(x, y)
    assert fg.equal(round_trip(x.t() if x.dim() < 3 else x), x.t())
    y.fill_(1)


def test_kinds_of_tensors():
    p = fg.nn.Parameter(fg.ones(2))
    found = round_trip([p, p, fg.ones(1, requires_grad=True), fg.ones(1), np.ones(2)])
    assert isinstance(found[0], fg.nn.Parameter) and found[0] is found[1]
    assert found[2].requires_grad and not found[3].requires_grad
    assert isinstance(found[4], np.ndarray)


@pytest.mark.parametrize("name", ["SGD", "Adam", "RMSprop", "LBFGS"])
def test_training_goes_on_from_a_file(name, tmp_path):
    def build():
        fg.manual_seed(0)
        net = fg.nn.Sequential(fg.nn.Linear(2, 3), fg.nn.Tanh(), fg.nn.Linear(3, 1))
        options = {"lr": 0.05, **({"momentum": 0.9} if name == "SGD" else {})}
        return net, getattr(fg.optim, name)(net.parameters(), **options)

    x, y = fg.ones(4, 2), fg.zeros(4, 1)

    def steps(net, opt, count):
        def closure():
            opt.zero_grad()
            loss = fg.nn.functional.mse_loss(net(x), y)
            loss.backward()
            return loss

        for _ in range(count):
            opt.step(closure)

    net, opt = build()
    steps(net, opt, 3)
    path = tmp_path / "checkpoint.fg"
    fg.save({"model": net.state_dict(), "opt": opt.state_dict(), "step": 3}, path)
    steps(net, opt, 3)

    other, other_opt = build()
    found = fg.load(path)
    assert isinstance(found["model"], OrderedDict) and found["model"]._metadata
    other.load_state_dict(found["model"])
    other_opt.load_state_dict(found["opt"])
    steps(other, other_opt, 3)
    for p, q in zip(net.parameters(), other.parameters()):
        assert fg.equal(p, q)


def test_numpy_reads_the_arrays(tmp_path):
    fg.save({"w": fg.arange(3)}, tmp_path / "x.npz")
    assert np.load(tmp_path / "x.npz")["0"].tolist() == [0, 1, 2]


class OnlyReads:
    """A file that can be read in small pieces and sought in, and no more."""

    def __init__(self, data):
        self.file = io.BytesIO(data)
        self.seek, self.tell, self.seekable = self.file.seek, self.file.tell, self.file.seekable

    def read(self, n=-1):
        return self.file.read(n if n < 0 else min(n, 50_000))


@pytest.mark.parametrize("size", [65_472, 65_536, 100_003])  # in pieces of 2**18 bytes
def test_long_arrays_in_any_order(size):
    x = np.arange(size * 2, dtype="float32").reshape(2, size)
    arrays = {
        "C": x,
        "days": x.astype("int64").astype("M8[D]"),
        "T": x.T,
        "steps": x[:, ::2],
        "pairs": np.zeros(3, [("a", "i4"), ("b", "f8")]),
    }
    file = io.BytesIO()
    fg.save(arrays, file)
    for source in (file, OnlyReads(file.getvalue())):
        found = fg.load(source)
        for name, array in arrays.items():
            np.testing.assert_array_equal(found[name], array)
            assert found[name].dtype == array.dtype
            assert found[name].flags.f_contiguous == array.flags.f_contiguous
            found[name][:1] = found[name][1:2]  # it may be written to
    file.seek(0)
    np.testing.assert_array_equal(np.load(file)["1"], arrays["days"])


def test_the_last_byte_of_a_long_array_is_summed_up():
    file = io.BytesIO()
    fg.save(np.ones(100_000), file)
    data = bytearray(file.getvalue())
    place = data.rfind(np.ones(1).tobytes())
    data[place] ^= 1
    with pytest.raises(LoadError, match=r"checksum of 0\.npy"):
        fg.load(io.BytesIO(bytes(data)))


def test_what_cannot_be_saved(tmp_path):
    path = tmp_path / "x"
    fg.save(1, path)
    with pytest.raises(TypeError, match=r"save its state_dict\(\) instead"):
        fg.save([fg.nn.Linear(1, 1)], path)
    with pytest.raises(TypeError, match="cannot store a builtins"):
        fg.save(lambda: 0, path)
    assert fg.load(path) == 1 and os.listdir(tmp_path) == ["x"]


class TestSafetensors:
    @pytest.fixture(autouse=True)
    def library(self):
        pytest.importorskip("safetensors")

    @pytest.mark.parametrize("dtype", DTYPES)
    def test_round_trip(self, dtype, tmp_path):
        x = (fg.rand(2, 3) * 3).to(getattr(fg, dtype))
        fg.save({"x": x, "t": x.t(), "s": x[0, 0]}, tmp_path / "x.safetensors")
        found = fg.load(tmp_path / "x.safetensors")
        assert fg.equal(found["x"], x) and fg.equal(found["t"], x.t()) and found["s"].dim() == 0
        assert found["x"].dtype == x.dtype

    @needs_torch
    def test_pytorch_reads_and_writes_it(self, tmp_path):
        library = pytest.importorskip("safetensors.torch")
        net = fg.nn.Linear(2, 3)
        fg.save(net.state_dict(), tmp_path / "x.safetensors")
        theirs = torch.nn.Linear(2, 3)
        theirs.load_state_dict(library.load_file(tmp_path / "x.safetensors"))
        assert theirs.weight.tolist() == net.weight.tolist()
        library.save_file(torch.nn.Linear(2, 3).state_dict(), tmp_path / "y.safetensors")
        net.load_state_dict(fg.load(tmp_path / "y.safetensors"))

    def test_it_holds_one_dictionary_of_tensors(self, tmp_path):
        with pytest.raises(TypeError, match="one dictionary of named tensors"):
            fg.save({"step": 3}, tmp_path / "x.safetensors")
        assert not os.listdir(tmp_path)

    def test_damage(self, tmp_path):
        path = tmp_path / "x.safetensors"
        fg.save({"x": fg.ones(50)}, path)
        whole = path.read_bytes()
        for damaged in (whole[:100], whole[:-1], b"\xff" * 8 + whole[8:], whole + b"1"):
            path.write_bytes(damaged)
            with pytest.raises(LoadError, match=r"x\.safetensors"):
                fg.load(path)


def saved(value):
    file = io.BytesIO()
    fg.save(value, file)
    return file.getvalue()


def test_every_cut_and_every_flipped_byte_is_found_or_harmless():
    value = {"w": fg.arange(5), "n": [1, "two"]}
    data = saved(value)
    for end in range(len(data)):
        with pytest.raises(LoadError):
            fg.load(io.BytesIO(data[:end]))
    for place in range(len(data)):
        damaged = bytearray(data)
        damaged[place] ^= 0x55
        try:
            found = fg.load(io.BytesIO(bytes(damaged)))
        except LoadError:
            continue
        assert fg.equal(found["w"], value["w"]) and found["n"] == value["n"]


def archive(structure, members=(), compression=zipfile.ZIP_STORED):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as made:
        made.writestr("structure.json", structure)
        for name, data in members:
            made.writestr(name, data)
    return file


def content(value):
    return json.dumps({"format": "fastgrad", "version": 1, "content": value})


def huge_array():
    file = io.BytesIO()
    header = {"descr": "<f8", "fortran_order": False, "shape": (1 << 40,)}
    np.lib.format.write_array_header_1_0(file, header)
    return file.getvalue() + b"12345678"


def object_array():
    file = io.BytesIO()
    np.save(file, np.array([{}], dtype=object), allow_pickle=True)
    return file.getvalue()


TENSOR = {"$tensor": 0, "dtype": "float64"}


@pytest.mark.parametrize(
    "file",
    [
        lambda: archive("[" * 100_000),
        lambda: archive(content([]), compression=zipfile.ZIP_DEFLATED),
        lambda: archive("{}"),
        lambda: archive(json.dumps({"format": "fastgrad", "version": 2, "content": 1})),
        lambda: archive(content(TENSOR)),
        lambda: archive(content(TENSOR), [("0.npy", huge_array())]),
        lambda: archive(content(TENSOR), [("0.npy", object_array())]),
        lambda: archive(content(TENSOR), [("0.npy", b"")]),
        lambda: archive(content({"$tensor": "../../etc/passwd"})),
        lambda: archive(content({"$dtype": "__builtins__"})),
        lambda: archive(content({"$dtype": "Tensor"})),
        lambda: archive(content({"$dict": [[{"$dict": []}, 1]]})),
        lambda: archive(content({"$dict": 3})),
        lambda: archive(content({"$complex": ["1", "2"]})),
        lambda: archive(content({"$new": 1})),
        lambda: archive(content({})),
        lambda: io.BytesIO(b""),
        lambda: io.BytesIO(b"PK\x03\x04"),
        lambda: io.BytesIO(b"\x80\x04N."),
    ],
)
def test_hostile_files(file):
    with pytest.raises(LoadError):
        fg.load(file())


@needs_torch
def test_a_pickle_of_pytorch_is_named(tmp_path):
    torch.save({"w": torch.ones(2)}, tmp_path / "x.pt")
    with pytest.raises(LoadError, match=r"torch\.save"):
        fg.load(tmp_path / "x.pt")


def test_a_kill_leaves_the_old_file(tmp_path):
    path = tmp_path / "x.fg"
    fg.save({"v": 1}, path)
    script = (
        "import os, sys, fastgrad as fg\n"
        "os.fsync = lambda fd: os._exit(9)\n"
        f"fg.save({{'v': 2}}, {str(path)!r})\n"
    )
    done = subprocess.run([sys.executable, "-c", script])
    assert done.returncode == 9 and fg.load(path) == {"v": 1}
    if sys.platform == "linux":
        assert os.listdir(tmp_path) == ["x.fg"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs links and pipes")
def test_links_and_pipes_stay_what_they_are(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "x.fg")
    for value in (1, 2):
        fg.save(value, tmp_path / "link")
        assert fg.load(tmp_path / "x.fg") == value and (tmp_path / "link").is_symlink()
    os.mkfifo(tmp_path / "pipe")
    read = []
    reader = threading.Thread(target=lambda: read.append((tmp_path / "pipe").read_bytes()))
    reader.start()
    fg.save(3, tmp_path / "pipe")
    reader.join()
    assert (tmp_path / "pipe").is_fifo() and fg.load(io.BytesIO(read[0])) == 3


@pytest.mark.skipif(sys.platform != "linux", reason="concerns files without a name")
def test_where_files_need_a_name(tmp_path, monkeypatch):
    monkeypatch.delattr(os, "O_TMPFILE")
    path = tmp_path / "x.fg"
    for value in (1, 2):
        fg.save(value, path)
        assert fg.load(path) == value
    with pytest.raises(TypeError):
        fg.save(object(), path)
    assert fg.load(path) == 2 and os.listdir(tmp_path) == ["x.fg"]


def test_the_mode_of_a_file_is_kept(tmp_path):
    path = tmp_path / "x.fg"
    fg.save(1, path)
    mask = os.umask(0)
    os.umask(mask)
    assert path.stat().st_mode & 0o777 == 0o666 & ~mask
    path.chmod(0o640)
    fg.save(2, path)
    assert path.stat().st_mode & 0o777 == 0o640


def test_missing_files(tmp_path):
    with pytest.raises(FileNotFoundError):
        fg.load(tmp_path / "nope")
