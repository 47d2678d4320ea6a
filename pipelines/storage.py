"""Where bytes lie: local files, paths that a Beam filesystem knows (`gs://`, `s3://`, `hdfs://`), packed files.

    corpus/train/seq.in          a local file; `file:///corpus/train/seq.in` is the same
    gs://bucket/corpus/a.jsonl   whatever Beam has a filesystem for
    corpus/a.jsonl.gz            its text, unpacked as it is read
    corpus.zip/train/seq.in      a member of an archive, as if the archive were a folder

Beam is loaded only for paths with `://`: it takes a second, and most corpora are local.
"""

from __future__ import annotations

import glob as globbing
import gzip
import os
import re
import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

_MEMBER = re.compile(r"(.*?\.zip)/(.+)", re.DOTALL | re.IGNORECASE)
_PACKED = ".gz"


def is_remote(path: str) -> bool:
    """Whether a path is not on this machine's own filesystem."""
    return "://" in path


def local(path: str) -> str:
    """A path without `file://`."""
    return path.removeprefix("file://")


def plain(name: str) -> str:
    """A name without the ending of its packing.

    >>> plain("train.tsv.gz")
    'train.tsv'
    """
    return name.removesuffix(_PACKED)


def join(folder: str, *parts: str) -> str:
    """A path below a folder."""
    return "/".join([folder.rstrip("/"), *parts]) if is_remote(folder) else os.path.join(folder, *parts)


def beside(path: str, name: str) -> str:
    """The path of another file in the same folder; packed if this one is."""
    packed = _PACKED if path.endswith(_PACKED) and not name.endswith(_PACKED) else ""
    return f"{path.rpartition('/')[0]}/{name}{packed}" if "/" in path else name + packed


def is_packed(path: str) -> bool:
    """Whether a file can only be read from its start: gzip, or a member of an archive."""
    return path.endswith(_PACKED) or _archive(path) is not None


@contextmanager
def reading(path: str) -> Iterator[IO[bytes]]:
    """A file open for reading, unpacked.

    Raises:
        OSError: it cannot be read, or is damaged.
    """
    with as_stored(path) as raw:
        if not path.endswith(_PACKED):
            yield raw
            return
        with gzip.GzipFile(fileobj=raw) as file:
            try:
                yield file  # type: ignore[misc]
            except EOFError as error:
                raise OSError(f"{path}: the packed file is cut short") from error
            except (gzip.BadGzipFile, zlib.error) as error:
                raise OSError(f"{path}: it cannot be unpacked, and is damaged or no gzip file: {error}") from error


def read(path: str) -> bytes:
    """All bytes of a file, unpacked."""
    with reading(path) as file:
        return file.read()


def text(path: str, option: str) -> str:
    """The text of a TOML file that an option names.

    Raises:
        ValueError: it cannot be read; the message says how to mend that.
    """
    try:
        return read(path).decode()
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or error
        raise ValueError(f"cannot read {path}: {why}; `{option}` takes a TOML file") from error


@contextmanager
def naming(path: str) -> Iterator[None]:
    """Work on an input: what goes wrong names it. Raises OSError and ValueError anew, and nothing else."""
    try:
        yield
    except (OSError, ValueError) as error:
        if path in str(error):
            raise
        kind = OSError if isinstance(error, OSError) else ValueError
        raise kind(f"{error}; the input was {path}") from error


def fetch(path: str, target: str) -> None:
    """Copy a file to this machine as it is stored, packed or not."""
    with as_stored(path) as source, open(target, "wb") as file:
        shutil.copyfileobj(source, file, 8 << 20)


def size(path: str) -> int:
    """Bytes of a file as it is stored.

    Raises:
        OSError: there is no such file.
    """
    return stamp(path)[0]


def stamp(path: str) -> tuple[int, float]:
    """(bytes, time of the last change): what tells one state of a file from another.

    Raises:
        OSError: there is no such file.
    """
    member = _archive(path)
    if member:
        archive, name = member
        with as_stored(archive) as raw, zipfile.ZipFile(raw) as opened:
            info = opened.getinfo(name)
        return info.file_size, float(info.CRC)
    if is_remote(path):
        found = _beam().match([path])[0].metadata_list
        if not found:
            raise FileNotFoundError(f"no such file: {path}")
        return found[0].size_in_bytes, found[0].last_updated_in_seconds or 0.0
    status = os.stat(path)
    return status.st_size, status.st_mtime


def exists(path: str) -> bool:
    """Whether there is a file (or on this machine also a folder) of this name."""
    member = _archive(path)
    if member:
        return exists(member[0]) and member[1] in members(member[0])
    if is_remote(path):
        return bool(_beam().exists(path))
    return os.path.exists(path)


def members(archive: str) -> list[str]:
    """The files in a zip archive, in the order of their names.

    Raises:
        OSError: it is none.
    """
    try:
        with as_stored(archive) as raw, zipfile.ZipFile(raw) as opened:
            return sorted(info.filename for info in opened.infolist() if not info.is_dir())
    except zipfile.BadZipFile as error:
        raise OSError(f"{archive}: {error}") from error


def match(pattern: str) -> list[str]:
    """The paths that a glob pattern matches, sorted. `**` is any number of folders."""
    if is_remote(pattern):
        return sorted(found.path for found in _beam().match([pattern])[0].metadata_list)
    return sorted(globbing.glob(pattern, recursive=True))


def below(folder: str) -> list[str]:
    """All files under a folder, at any depth, sorted."""
    if is_remote(folder):
        return match(folder.rstrip("/") + "/**")
    return sorted(path.as_posix() for path in Path(folder).rglob("*") if path.is_file())


def write(path: str, data: bytes) -> None:
    """A file, whole or not at all: renamed into place here, put by one request elsewhere."""
    if is_remote(path):
        _make_folder(path)
        with _beam().create(path, compression_type=_uncompressed()) as file:
            file.write(data)
        return
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    temporary.write_bytes(data)
    os.replace(temporary, target)


@contextmanager
def writing(path: str) -> Iterator[str]:
    """The name of a local file to write; when the block ends well it becomes `path`, whole, else it goes."""
    if is_remote(path):
        handle, temporary = tempfile.mkstemp(prefix="treewright-")
        os.close(handle)
    else:
        os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
        temporary = os.path.join(os.path.dirname(path), f".{os.path.basename(path)}.{os.getpid()}.tmp")
    try:
        yield temporary
        if is_remote(path):
            _make_folder(path)
            with open(temporary, "rb") as file, _beam().create(path, compression_type=_uncompressed()) as out:
                shutil.copyfileobj(file, out, 8 << 20)
        else:
            os.replace(temporary, path)
    finally:
        if os.path.exists(temporary):
            os.remove(temporary)


def move(source: str, path: str) -> None:
    """Rename a file; on an object store this is a copy, and then the old name goes."""
    if is_remote(path):
        _make_folder(path)
        _beam().rename([source], [path])
    else:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        os.replace(source, path)


def remove(path: str) -> None:
    """Delete a file or a folder with all it holds; what is not there is gone already."""
    if is_remote(path):
        if found := {*match(path), *below(path)}:
            _beam().delete(sorted(found))
    elif os.path.isdir(path):
        shutil.rmtree(path, ignore_errors=True)
    elif os.path.exists(path):
        os.remove(path)


def _archive(path: str) -> tuple[str, str] | None:
    """(archive, member) of a path that goes into an archive; a folder that is called `x.zip` is a folder."""
    found = _MEMBER.fullmatch(path)
    return (found[1], found[2]) if found and not os.path.isdir(found[1]) else None


@contextmanager
def as_stored(path: str) -> Iterator[IO[bytes]]:
    """A file open for reading, as it is stored: a `.gz` is not unpacked, a member of an archive is taken out of it."""
    member = _archive(path)
    if member:
        try:
            with as_stored(member[0]) as raw, zipfile.ZipFile(raw) as opened, opened.open(member[1]) as file:
                yield file
        except (zipfile.BadZipFile, KeyError) as error:
            raise OSError(f"{path}: {error}") from error
    elif is_remote(path):
        with _beam().open(path, compression_type=_uncompressed()) as file:
            yield file
    else:
        with open(path, "rb") as file:
            yield file


def _make_folder(path: str) -> None:
    """Folders of stores that have them; object stores have none."""
    folder = path.rpartition("/")[0]
    try:
        if not _beam().exists(folder):
            _beam().mkdirs(folder)
    except (OSError, NotImplementedError):
        pass


def _beam() -> Any:
    from apache_beam.io.filesystems import FileSystems

    return FileSystems


def _uncompressed() -> str:
    from apache_beam.io.filesystem import CompressionTypes

    return CompressionTypes.UNCOMPRESSED
