"""`mem://`: a Beam filesystem in memory, an object store as far as our code can tell: no folders, no rename."""

from __future__ import annotations

import io
import re
import time
from collections.abc import Iterator
from typing import Any, ClassVar

from apache_beam.io.filesystem import BeamIOError, FileMetadata, FileSystem


class _Sink(io.BytesIO):
    """An object that exists, whole, once it is closed."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self.path = path

    def close(self) -> None:
        if not self.closed:
            MemoryFileSystem.put(self.path, self.getvalue())
        super().close()


class MemoryFileSystem(FileSystem):
    """Objects of this process."""

    objects: ClassVar[dict[str, tuple[bytes, float]]] = {}
    log: ClassVar[list[str]] = []

    @classmethod
    def put(cls, path: str, data: bytes) -> None:
        cls.objects[path] = (data, time.time())
        cls.log.append(f"put {path}")

    @classmethod
    def scheme(cls) -> str:
        return "mem"

    def join(self, basepath: str, *paths: str) -> str:
        return "/".join([basepath.rstrip("/"), *paths])

    def split(self, path: str) -> tuple[str, str]:
        folder, _, name = path.rpartition("/")
        return folder, name

    def mkdirs(self, path: str) -> None:
        raise NotImplementedError

    def has_dirs(self) -> bool:
        return False

    def _list(self, dir_or_prefix: str) -> Iterator[FileMetadata]:
        for path, (data, changed) in sorted(self.objects.items()):
            if path.startswith(dir_or_prefix):
                yield FileMetadata(path, len(data), changed)

    def create(self, path: str, mime_type: str = "", compression_type: str = "") -> _Sink:
        return _Sink(path)

    def open(self, path: str, mime_type: str = "", compression_type: str = "") -> io.BytesIO:
        if path not in self.objects:
            raise BeamIOError(f"no object {path}")
        return io.BytesIO(self.objects[path][0])

    def copy(self, source_file_names: list[str], destination_file_names: list[str]) -> None:
        for source, target in zip(source_file_names, destination_file_names, strict=True):
            self.put(target, self.objects[source][0])

    def rename(self, source_file_names: list[str], destination_file_names: list[str]) -> None:
        self.copy(source_file_names, destination_file_names)
        self.delete(source_file_names)

    def exists(self, path: str) -> bool:
        return path in self.objects

    def size(self, path: str) -> int:
        return len(self.objects[path][0])

    def last_updated(self, path: str) -> float:
        return self.objects[path][1]

    def checksum(self, path: str) -> Any:
        raise NotImplementedError

    def metadata(self, path: str) -> FileMetadata:
        if path not in self.objects:
            raise BeamIOError(f"no object {path}")
        return FileMetadata(path, *((lambda data, changed: (len(data), changed))(*self.objects[path])))

    def delete(self, paths: list[str]) -> None:
        for path in paths:
            self.log.append(f"delete {path}")
            for name in [name for name in self.objects if re.fullmatch(re.escape(path), name)]:
                del self.objects[name]
