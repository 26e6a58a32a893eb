"""The zip file that ``torch.save`` writes, opened without torch and without trusting it."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from MultiTaskSegLib.runtime.errors import ModelError
from MultiTaskSegLib.runtime.nnunet.zip_directory import WRONG_NUMBERS, zip_directory

# A network of 10 stages has some thousand tensors, and its optimiser one or two more for each.
MAX_MEMBERS = 100_000
# Names and sizes of the tensors and what was logged: a few megabytes after a thousand epochs.
MAX_DESCRIPTION_BYTES = 64 * 2**20
AGAIN = "Get the file again from where it was trained"
LEGACY_START = b"\x80"


class TorchArchive:
    """An opened checkpoint: the description of its objects, and the bytes of its tensors.

    Every part must be stored as it is, as ``torch.save`` does: nothing can then become larger than the file.

    Args:
        archive: the opened zip file.
        name: how errors call the file.
        file_bytes: its length.

    Raises:
        ModelError: it is no checkpoint, or one that claims more than the file holds.
    """

    def __init__(self, archive: zipfile.ZipFile, name: str, file_bytes: int) -> None:
        self._archive, self.name, self.file_bytes = archive, name, file_bytes
        members = archive.infolist()
        if len(members) > MAX_MEMBERS:
            raise self._refusal(f"the checkpoint has {len(members)} parts")
        if any(member.compress_type != zipfile.ZIP_STORED or member.flag_bits & 1 for member in members):
            raise self._refusal("the checkpoint has compressed or encrypted parts, which PyTorch never writes")
        if any(member.compress_size != member.file_size for member in members):
            raise self._refusal("the checkpoint has parts of two sizes")
        if sum(member.file_size for member in members) > file_bytes:
            raise self._refusal("the checkpoint claims to be larger than its file")
        descriptions = [member.filename for member in members if member.filename.split("/")[1:] == ["data.pkl"]]
        if len(descriptions) != 1:
            raise self._refusal("the zip file is no checkpoint of PyTorch (data.pkl is missing)")
        self._prefix = descriptions[0].removesuffix("data.pkl")
        self._sizes = {member.filename: member.file_size for member in members}
        if len(self._sizes) != len(members):
            raise self._refusal("the checkpoint has two parts of one name")
        order = f"{self._prefix}byteorder"
        if order in self._sizes and self._bytes("byteorder", 16).strip() != b"little":
            raise self._refusal("the checkpoint was written on a computer with another order of bytes")

    def description(self) -> bytes:
        """The bytes that describe the objects (``data.pkl``)."""
        return self._bytes("data.pkl", MAX_DESCRIPTION_BYTES)

    def storage(self, key: str, size_bytes: int) -> bytes:
        """The bytes of one storage.

        Args:
            key: its name in the description.
            size_bytes: what the description says that it holds.

        Raises:
            ModelError: it is missing, damaged or of another size.
        """
        found = self._sizes.get(f"{self._prefix}data/{key}")
        if found != size_bytes:
            raise self._refusal(f"a tensor of the checkpoint has {found} bytes where {size_bytes} are told")
        return self._bytes(f"data/{key}", size_bytes)

    def _bytes(self, name: str, at_most: int) -> bytes:
        if self._sizes[self._prefix + name] > at_most:
            raise self._refusal(f"{name!r} of the checkpoint is too large")
        try:
            return self._archive.read(self._prefix + name)
        except (zipfile.BadZipFile, EOFError, OSError, NotImplementedError, *WRONG_NUMBERS) as error:
            raise self._refusal(f"{name!r} of the checkpoint is damaged ({error})") from error

    def _refusal(self, what: str) -> ModelError:
        return ModelError(what, file=self.name, remedy=AGAIN)


@contextmanager
def opened_archive(file: IO[bytes], name: str | Path) -> Iterator[TorchArchive]:
    """Open a checkpoint.

    Args:
        file: readable and seekable.
        name: how errors call it.

    Raises:
        ModelError: it is none.
    """
    file_bytes = file.seek(0, 2)
    file.seek(0)
    is_legacy = file.read(1) == LEGACY_START
    file.seek(0)
    try:
        archive = zip_directory(file)
    except (zipfile.BadZipFile, OSError, NotImplementedError, *WRONG_NUMBERS) as error:
        what = "the checkpoint is in the format of PyTorch before 1.6" if is_legacy else "the checkpoint is damaged"
        remedy = "Load and save it again with a newer PyTorch" if is_legacy else AGAIN
        raise ModelError(what, file=name, remedy=remedy) from error
    with archive:
        yield TorchArchive(archive, str(name), file_bytes)
