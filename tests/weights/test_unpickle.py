"""The checkpoint reader: equal to torch.load on honest files, harmless on the others."""

from __future__ import annotations

import collections
import io
import os
import pickle
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from posecli.errors import InputError
from posecli.weights.unpickle import Inert, StoredTensor, load_tensor, read_checkpoint

ZIP_AND_LEGACY = pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])


def honest() -> dict:
    base = torch.arange(24, dtype=torch.float32).reshape(4, 6)
    return {
        "epoch": 3,
        "state": collections.OrderedDict(
            plain=base,
            turned=base.t(),
            part=base[1:3, 2:5],  # a view with an offset
            again=base,  # a shared storage
            scalar=torch.tensor(2.5, dtype=torch.float64),
            nothing=torch.zeros(0, 3),
            half=torch.ones(3, dtype=torch.bfloat16),
            whole=torch.arange(5),
            flag=torch.tensor([True, False]),
            parameter=torch.nn.Parameter(torch.ones(2)),
        ),
        "list": [1, 2.5, "text", None, (True, {"a"})],
    }


@ZIP_AND_LEGACY
def test_reads_what_torch_reads(tmp_path: Path, zipped: bool) -> None:
    path = tmp_path / "honest.pt"
    torch.save(honest(), path, _use_new_zipfile_serialization=zipped)
    read = read_checkpoint(path)
    assert read["epoch"] == 3 and read["list"] == honest()["list"]
    for key, value in honest()["state"].items():
        loaded = load_tensor(read["state"][key], path)
        assert loaded.dtype == value.dtype and torch.equal(loaded, value.detach())


@ZIP_AND_LEGACY
def test_numpy_objects_become_inert_data(tmp_path: Path, zipped: bool) -> None:
    path = tmp_path / "numpy.pt"
    content = {"random_state": np.random.RandomState(0), "array": np.arange(3), "number": np.float64(1)}
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    read = read_checkpoint(path)
    assert all(isinstance(value, Inert) for value in read.values())
    assert read["random_state"].origin.startswith("numpy.random")


class Hostile:
    def __init__(self, function, *arguments) -> None:
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@ZIP_AND_LEGACY
@pytest.mark.parametrize("name", [r"(posix|nt)\.system", r"(builtins|__builtin__)\.(eval|getattr)"])
def test_code_in_a_pickle_is_refused_and_named(tmp_path: Path, zipped: bool, name: str) -> None:
    path, trace = tmp_path / "hostile.pt", tmp_path / "trace"
    contents = (
        [Hostile(os.system, f"touch {trace}")]
        if "system" in name
        else [Hostile(eval, f"open({str(trace)!r}, 'w')"), Hostile(getattr, "text", "upper")]
    )
    for content in contents:
        torch.save({"model_pos": content}, path, _use_new_zipfile_serialization=zipped)
        with pytest.raises(InputError, match=f"object of {name}.*does not load") as caught:
            read_checkpoint(path)
        assert "\n" not in str(caught.value) and not trace.exists()


def test_a_numpy_function_is_not_called(tmp_path: Path) -> None:
    path, target = tmp_path / "numpy.pt", tmp_path / "written"
    torch.save({"x": Hostile(np.savetxt, str(target), [1.0])}, path)
    assert isinstance(read_checkpoint(path)["x"], Inert)
    assert not target.exists()


def test_damaged_files(tmp_path: Path) -> None:
    for zipped in (True, False):
        path = tmp_path / "cut.pt"
        torch.save(honest(), path, _use_new_zipfile_serialization=zipped)
        whole = path.read_bytes()
        for length in (0, 10, len(whole) // 3, len(whole) - 5):
            path.write_bytes(whole[:length])
            with pytest.raises(InputError) as caught:
                read_checkpoint(path)
            assert "\n" not in str(caught.value)


def test_a_changed_tensor_is_noticed(tmp_path: Path) -> None:
    path, weights = tmp_path / "changed.pt", torch.arange(100, dtype=torch.float32)
    torch.save(weights, path)
    whole = path.read_bytes()
    at = whole.index(weights.numpy().tobytes())
    path.write_bytes(whole[: at + 7] + b"\x55" + whole[at + 8 :])
    with pytest.raises(InputError, match="is damaged: a stored tensor is not what was written"):
        load_tensor(read_checkpoint(path), path)


def test_foreign_objects_are_kept_as_data_where_that_is_asked_for(tmp_path: Path) -> None:
    path, model = tmp_path / "foreign.pt", collections.Counter("aab")
    torch.save({"count": model, "name": Hostile(getattr, "text", "upper")}, path)
    with pytest.raises(InputError, match=r"object of collections\.Counter"):
        read_checkpoint(path)
    read = read_checkpoint(path, inert=("collections.Counter", "builtins.getattr", "__builtin__.getattr"))
    assert read["count"].origin == "collections.Counter" and read["count"].arguments == ({"a": 2, "b": 1},)
    assert read["name"].origin.endswith("getattr") and read["name"].arguments == ("text", "upper")


def test_other_files(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with pytest.raises(InputError, match="cannot read"):
        read_checkpoint(path)
    path.write_bytes(pickle.dumps({"a": 1}))
    with pytest.raises(InputError, match="not a PyTorch checkpoint"):
        read_checkpoint(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("hello.txt", "hello")
    with pytest.raises(InputError, match=r"without a single data\.pkl"):
        read_checkpoint(path)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/data.pkl", pickle.dumps({}))
    with pytest.raises(InputError, match="compressed"):
        read_checkpoint(path)


def test_tensors_cannot_reach_beyond_their_storage(tmp_path: Path) -> None:
    """A stride of zero or a long shape would make a small file ask for any amount of memory."""
    source = io.BytesIO()
    torch.save(torch.zeros(2).expand(10**6, 2), source)
    path = tmp_path / "expanded.pt"
    path.write_bytes(source.getvalue())
    with pytest.raises(InputError, match="larger than its storage"):
        read_checkpoint(path)


def test_every_golden_checkpoint_reads_as_torch_reads_it(shared_data: Path) -> None:
    files = sorted((shared_data / "golden").glob("*/checkpoint*"))
    assert len(files) >= 20
    for file in files:
        ours = read_checkpoint(file)
        # trusted here, because we made them; unpickling runs numpy code
        theirs = torch.load(file, map_location="cpu", weights_only=False)
        compare(ours, theirs, file)


def compare(ours, theirs, file: Path) -> None:
    if isinstance(theirs, torch.Tensor):
        assert isinstance(ours, StoredTensor) and torch.equal(load_tensor(ours, file), theirs)
    elif isinstance(theirs, dict):
        assert list(ours) == list(theirs)
        for key, value in theirs.items():
            compare(ours[key], value, file)
    elif isinstance(theirs, (list, tuple)):
        assert len(ours) == len(theirs)
        for a, b in zip(ours, theirs, strict=True):
            compare(a, b, file)
    elif isinstance(ours, Inert):
        assert type(theirs).__module__.startswith("numpy")
    else:
        assert ours == theirs


def test_nothing_was_imported_for_numpy(tmp_path: Path) -> None:
    path = tmp_path / "import.pt"
    torch.save({"x": 1}, path)
    archive = {info.filename: zipfile.ZipFile(path).read(info) for info in zipfile.ZipFile(path).infolist()}
    with zipfile.ZipFile(path, "w") as file:
        for name, data in archive.items():
            # GLOBAL numpy.f2py.crackfortran main, then STOP
            file.writestr(
                name, b"\x80\x02cnumpy.f2py.crackfortran\nmain\n." if name.endswith("data.pkl") else data
            )
    sys.modules.pop("numpy.f2py.crackfortran", None)
    read_checkpoint(path)
    assert "numpy.f2py.crackfortran" not in sys.modules
