"""Keys that sign checkpoints: Ed25519, in PEM files.

Raises:
    ConfigurationError: On import: the extra for it is not installed.
"""

import os
from collections.abc import Generator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

from hitherto.errors import ConfigurationError, InvalidInput

try:
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import (
        Ed25519PrivateKey,
        Ed25519PublicKey,
    )
except ModuleNotFoundError as _error:
    raise ConfigurationError("keys need an extra: pip install 'hitherto[crypto]'") from _error

_PEM = serialization.Encoding.PEM


class PrivateKey:
    """See `Signer`."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key

    @property
    def fingerprint(self) -> str:
        """See `Signer.fingerprint`."""
        return PublicKey(self._key.public_key()).fingerprint

    def sign(self, message: bytes) -> bytes:
        """See `Signer.sign`."""
        return self._key.sign(message)


class PublicKey:
    """See `Verifier`."""

    def __init__(self, key: Ed25519PublicKey) -> None:
        self._key = key

    @property
    def fingerprint(self) -> str:
        """The SHA-256 of the key itself, hexadecimal."""
        return sha256(self._key.public_bytes_raw()).hexdigest()

    def verifies(self, signature: bytes, message: bytes) -> bool:
        """See `Verifier.verifies`."""
        try:
            self._key.verify(signature, message)
        except InvalidSignature:
            return False
        return True


def make_key(path: Path) -> tuple[Path, str]:
    """Make a pair of keys: the private one in a new file that its owner alone may read.

    Returns:
        Where the public key is, beside it with `.pub` at its name's end; and its fingerprint.

    Raises:
        InvalidInput: There is a file of one of these names; neither is changed.
        OSError: A file cannot be written.
    """
    public_path = path.with_name(f"{path.name}.pub")
    for each in (path, public_path):
        if each.exists():
            raise InvalidInput(f"{each} is there already: keys are not written over")
    key = Ed25519PrivateKey.generate()
    public = key.public_key()
    private_pem = key.private_bytes(
        _PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public_pem = public.public_bytes(_PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    with _made(public_path, public_pem, mode=0o644), _made(path, private_pem, mode=0o600):
        pass
    return public_path, PublicKey(public).fingerprint


@contextmanager
def _made(path: Path, content: bytes, *, mode: int) -> Generator[None]:
    """A new file; it is gone again if what follows fails."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        yield
    except BaseException:
        path.unlink()
        raise


def read_key(path: Path) -> PrivateKey:
    """The private key in a file.

    Raises:
        InvalidInput: It holds none, or one under a password.
        OSError: It cannot be read.
    """
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise InvalidInput(
            f"{path} holds no private key that can be read: make one with "
            f"`hitherto seal --make-key FILE` ({error})"
        ) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise InvalidInput(f"{path} holds a key of another kind than Ed25519")
    return PrivateKey(key)


def read_public_key(path: Path) -> PublicKey:
    """The public key in a file.

    Raises:
        InvalidInput: It holds none.
        OSError: It cannot be read.
    """
    try:
        key = serialization.load_pem_public_key(path.read_bytes())
    except (ValueError, UnsupportedAlgorithm) as error:
        raise InvalidInput(
            f"{path} holds no public key: give the file that ends with .pub ({error})"
        ) from error
    if not isinstance(key, Ed25519PublicKey):
        raise InvalidInput(f"{path} holds a key of another kind than Ed25519")
    return PublicKey(key)
