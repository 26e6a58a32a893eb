"""Under which name a patient is kept together in a dataset, without telling anybody who it is."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from pathlib import Path

from MultiTaskSegLib.runtime.errors import ResourceError

KEY_FILE = "patients.key"
KEY_BYTES = 32
SHOWN_DIGITS = 16
CHECK_TEXT, CHECK_DIGITS = b"check of a key for names of patients", 8


def group_of(patient: str, key: bytes) -> str:
    """The group of a patient: always the same with the same key, and not to be guessed without it.

    Model files keep hashes of group names, which who guesses a name can test (docs/add_a_dataset.md); a name made with
    a secret key cannot be guessed.

    >>> group_of("P1", b"key") == group_of("P1", b"key") != group_of("P1", b"other")
    True
    """
    return f"patient-{hmac.new(key, patient.strip().encode(), hashlib.sha256).hexdigest()[:SHOWN_DIGITS]}"


def key_check(key: bytes) -> str:
    """By which a dataset knows the key that its names of patients were made with; it tells nothing of the key.

    >>> key_check(b"key") == key_check(b"key") != key_check(b"other")
    True
    """
    return hmac.new(key, CHECK_TEXT, hashlib.sha256).hexdigest()[:CHECK_DIGITS]


def own_key(folder: Path) -> bytes:
    """The user's secret key, made when it is first wanted; who has other machines copies the file.

    Args:
        folder: where it lies, `model_folder`.

    Raises:
        ResourceError: it can be neither read nor made.
    """
    path = folder / KEY_FILE
    try:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            with path.open("x", encoding="ascii") as stream:
                path.chmod(0o600)
                stream.write(secrets.token_hex(KEY_BYTES))
        except FileExistsError:
            pass  # made before
        key = bytes.fromhex(path.read_text(encoding="ascii").strip())
    except (OSError, ValueError) as error:
        raise ResourceError(f"the key for names of patients cannot be used ({error})", file=path) from error
    if len(key) < KEY_BYTES:
        raise ResourceError("the key for names of patients is cut off", file=path, remedy="Restore or remove it")
    return key
