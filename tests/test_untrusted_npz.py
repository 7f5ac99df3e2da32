"""Archives with Python objects: equal to numpy's own reading on honest files, harmless on the others."""

from __future__ import annotations

import io
import os
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest

from posecli import untrusted_npz
from posecli.errors import InputError
from posecli.untrusted_npz import read_npz


def honest() -> dict:
    return {
        "S1": {
            "Walking 1": np.arange(24, dtype=np.float32).reshape(2, 4, 3),
            "Fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
            "swapped": np.arange(3, dtype=">f8"),
            "flags": np.array([True, False]),
            "words": np.array(["a", "bcd"]),
        },
        "list": [np.zeros((0, 3)), (1, 2.5, None, "text")],
        "objects": np.array([np.arange(2), {"deep": np.float64(1.5)}], dtype=object),
    }


def same(a: object, b: object) -> bool:
    if isinstance(b, dict):
        return isinstance(a, dict) and a.keys() == b.keys() and all(same(a[k], b[k]) for k in b)
    if isinstance(b, list | tuple) or (isinstance(b, np.ndarray) and b.dtype == object):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    return bool(np.array_equal(a, b)) and np.shape(a) == np.shape(b)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_reads_what_numpy_reads(tmp_path: Path, save) -> None:
    path = tmp_path / "a.npz"
    save(path, data=np.array(honest(), dtype=object), plain=np.arange(12.0).reshape(3, 4).T)
    found = read_npz(path, "data", "plain")
    assert same(found["data"], honest())
    with np.load(path, allow_pickle=True) as loaded:
        assert np.array_equal(found["plain"], loaded["plain"])


def pickled(path: Path, content: bytes, shape: str = "()") -> Path:
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "|O", "fortran_order": False, "shape": () if shape == "()" else (1,)}
    )
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("data.npy", header.getvalue() + content)
    return path


class Attack:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self):
        return os.system, (f"touch {self.target}",)


def test_a_hostile_archive_is_named_and_nothing_runs(tmp_path: Path) -> None:
    target = tmp_path / "ran"
    path = pickled(tmp_path / "a.npz", pickle.dumps({"S9": Attack(target)}))
    with pytest.raises(InputError, match=r"a\.npz.*object of (posix|nt)\.system"):
        read_npz(path, "data")
    assert not target.exists()


@pytest.mark.parametrize(
    "content",
    [
        b"\x80\x04]\x94h\x00a.",  # a list that holds itself
        b"cnumpy.testing._private.utils\nrunstring\n(S'1'\nS'2'\ntR.",
        b"cnumpy\nndarray\n.",
        b"\x80\x04}",
        b"",
        pickle.dumps(np.arange(5), protocol=4).replace(b"\x05\x85", b"\x7f\x85"),
    ],
    ids=["itself", "numpy function", "class", "cut", "empty", "false shape"],
)
def test_damaged_and_odd_archives_end_in_one_line(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(InputError) as caught:
        read_npz(pickled(tmp_path / "a.npz", content), "data")
    assert "a.npz" in str(caught.value) and "\n" not in str(caught.value)


def test_other_files_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "text.npz").write_text("no zip")
    with pytest.raises(InputError, match="no readable archive"):
        read_npz(tmp_path / "text.npz", "data")
    with pytest.raises(InputError, match="there is no file"):
        read_npz(tmp_path / "absent.npz", "data")
    np.savez(tmp_path / "a.npz", other=np.zeros(4))
    with pytest.raises(InputError, match="holds no data"):
        read_npz(tmp_path / "a.npz", "data")
    monkeypatch.setattr(untrusted_npz, "LARGEST", 100)
    with pytest.raises(InputError, match="unpacks to more than"):
        read_npz(tmp_path / "a.npz", "other")


def protocol_2(value: object) -> bytes:
    return pickle.dumps(value, protocol=2)


def test_older_pickles_and_arrays_of_arrays(tmp_path: Path) -> None:
    """Python 2 and protocol 2 hold an array's bytes as text."""
    grid = np.empty((2, 2), object)
    for k in range(4):
        grid[k // 2, k % 2] = np.full(k, k)
    old = {"a": np.arange(300, dtype="<f8") * 1e6, np.str_("named by numpy"): grid}
    found = read_npz(pickled(tmp_path / "a.npz", protocol_2(old)), "data")["data"]
    assert np.array_equal(found["a"], old["a"])
    assert [[len(x) for x in row] for row in found["named by numpy"]] == [[0, 1], [2, 3]]


@pytest.mark.parametrize("protocol", [2, 4])
def test_one_thing_in_many_places_is_counted_in_each(tmp_path: Path, protocol: int) -> None:
    bottomless: object = [0.0] * 10
    for _ in range(20):
        bottomless = [bottomless] * 10
    path = pickled(tmp_path / "a.npz", pickle.dumps(bottomless, protocol))
    with pytest.raises(InputError, match="holds more than 2000000 things"):
        read_npz(path, "data")
    deep: object = 0.0
    for _ in range(300):
        deep = [deep]
    path = pickled(tmp_path / "b.npz", pickle.dumps(deep, protocol))
    with pytest.raises(InputError, match="too deep"):
        read_npz(path, "data")
    shared = np.arange(1000.0)
    found = read_npz(pickled(tmp_path / "c.npz", pickle.dumps([shared] * 50, protocol)), "data")["data"]
    assert len(found) == 50 and all(x is found[0] for x in found)


def test_one_text_is_not_copied_without_end(tmp_path: Path) -> None:
    """A short program that has the same megabyte encoded a thousand times."""
    text = b"X" + (1 << 20).to_bytes(4, "little") + b"a" * (1 << 20)  # BINUNICODE
    again = b"h\x00h\x01X\x06\x00\x00\x00latin1\x86R"  # encode(text, "latin1")
    program = b"\x80\x02c_codecs\nencode\nq\x00" + text + b"q\x01]" + b"(" + again * 1000 + b"e."
    with pytest.raises(InputError, match="larger than itself"):
        read_npz(pickled(tmp_path / "a.npz", program), "data")


def test_names(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", one=np.zeros(1), two=np.zeros(2))
    assert untrusted_npz.npz_names(tmp_path / "a.npz") == ("one", "two")
    with pytest.raises(InputError, match="holds no three"):
        read_npz(tmp_path / "a.npz", "one", "three")


def test_whatever_byte_is_wrong_it_ends_in_one_line_or_in_data(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for protocol in (2, 4):
        whole = pickle.dumps({k: v for k, v in honest().items() if k != "objects"}, protocol)
        for _ in range(150):
            content = bytearray(whole)
            for place in rng.integers(0, len(content), rng.integers(1, 4)):
                content[place] = rng.integers(0, 256)
            try:
                read_npz(pickled(tmp_path / "a.npz", bytes(content)), "data")
            except InputError as error:
                assert "a.npz" in str(error)


def test_cut_archives(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "a.npz", data=np.array(honest(), dtype=object))
    whole = (tmp_path / "a.npz").read_bytes()
    for length in range(0, len(whole), max(1, len(whole) // 25)):
        (tmp_path / "a.npz").write_bytes(whole[:length])
        with pytest.raises(InputError, match=r"a\.npz"):
            read_npz(tmp_path / "a.npz", "data")
