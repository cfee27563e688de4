"""Signatures of an artifact or a verdict, by OpenSSF's model-signing: who has the key says that it is this one.

A signature is a Sigstore bundle over the sha256 of every file (https://github.com/sigstore/model-transparency), and can
be checked by that project's own command as well. It lies beside the artifact, as `compiled.sig` beside `compiled`: an
artifact holds nothing that its manifest does not list, and signing again gives other bytes.
"""

from __future__ import annotations

import base64
import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from modelkiln import artifact, env
from modelkiln.errors import ModelkilnError, one_line
from modelkiln.files import write_text

CURVES = "an EC key in PEM, of the curve secp256r1, secp384r1 or secp521r1"


def signature_of(folder: Path) -> Path:
    """Where the signature of an artifact lies, also among what a registered version holds."""
    return folder.with_name(f"{folder.name}.sig")


def sign(folder: Path, key: Path, signature: Path) -> None:
    """Signs an artifact, every byte of which is as it was sealed, and writes the signature.

    Args:
        folder: The artifact.
        key: The private key: an EC key in PEM. Its password, if it has one, is in the environment.
        signature: The file to write; outside of the artifact.

    Raises:
        ModelkilnError: the artifact was altered, or this is no key to sign with.
    """
    artifact.verify(folder)
    if signature.resolve().is_relative_to(folder.resolve()):
        raise ModelkilnError(f"{signature}: lies in the artifact, which holds nothing but what its manifest lists")
    _sign(folder, key, signature)


def new_signature(folder: Path, key: Path) -> str:
    """The text of a new signature; see sign."""
    with tempfile.TemporaryDirectory(prefix="modelkiln-") as scratch:
        path = Path(scratch) / "signature"
        sign(folder, key, path)
        return path.read_text(encoding="utf-8")


def sign_text(name: str, text: str, key: Path) -> str:
    """The text of a new signature of a file of that name and text, as of a folder that holds nothing else.

    Raises:
        ModelkilnError: this is no key to sign with.
    """
    with _alone(name, text) as folder:
        signature = folder.with_name("signature")
        _sign(folder, key, signature)
        return signature.read_text(encoding="utf-8")


def verify_text(name: str, text: str, key: Path, signature: str) -> None:
    """Checks that the key's owner has signed a file of that name and text; see sign_text.

    Raises:
        ModelkilnError: there is no signature, it is another key's, or of another text.
    """
    if not signature:
        raise ModelkilnError(f"{name}: is not signed, and has to be by the owner of {key} ({env.VERDICT_KEY})")
    with _alone(name, text) as folder:
        path = folder.with_name(f"{name}.sig")
        path.write_text(signature, encoding="utf-8")
        _require_file(key, "the public key")
        try:
            _verify(folder, key, path, name)
        except ModelkilnError as error:
            said = f"{name}: its signature is not by the owner of {key}, or it was changed since"
            raise ModelkilnError(said) from error


def require_key(key: Path) -> None:
    """Raises a ModelkilnError where there is nothing to sign with: before the work whose result is to be signed."""
    _library()
    _require_file(key, "the private key")


def verify(folder: Path, key: Path, signature: Path) -> None:
    """Checks that an artifact is what the key's owner has signed. artifact.verify has to have passed before.

    Args:
        folder: The artifact.
        key: The public key, in PEM.
        signature: What `sign` wrote.

    Raises:
        ModelkilnError: there is no signature, it is another key's, or of other files.
    """
    _require_file(signature, "the signature; if there is one elsewhere, name it by --signature")
    _verify(folder, key, signature, artifact.MANIFEST)


def _sign(folder: Path, key: Path, signature: Path) -> None:
    library = _library()
    _require_file(key, "the private key")
    password = env.signing_password()
    with _explained(f"{key}: can't sign with it (expected {CURVES}; its password in {env.SIGNING_PASSWORD})"):
        signer = library.signing.Config().use_elliptic_key_signer(private_key=key, password=password)
        signer.set_hashing_config(_every_file(library)).sign(folder, signature)


def _verify(folder: Path, key: Path, signature: Path, covered: str) -> None:
    """See verify; `covered` is the file that the signature must not leave out."""
    library = _library()
    _require_file(key, "the public key")
    with _explained(f"{key}: no public key to verify with (expected {CURVES})"):
        verifier = library.verifying.Config().use_elliptic_key_verifier(public_key=key)
    with _explained(f"{folder}: refused, {signature} is no signature of it by {key}"):
        verifier.set_hashing_config(_every_file(library)).verify(folder, signature)
        if covered not in _signed_files(signature):
            raise ValueError(f"it does not cover {covered}")


@contextmanager
def _alone(name: str, text: str) -> Iterator[Path]:
    """A folder that holds nothing but a file of that name and text."""
    with tempfile.TemporaryDirectory(prefix="modelkiln-") as scratch:
        folder = Path(scratch) / "signed"
        write_text(folder / name, text)
        yield folder


def _every_file(library: Any) -> Any:
    everything = library.hashing.Config().set_ignored_paths(paths=[], ignore_git_paths=False)
    return everything.set_allow_symlinks(True)  # DVC may link an artifact's files to its cache


def _signed_files(signature: Path) -> set[str]:
    """What a bundle that has been verified covers; who signs by other means than ours may leave files out."""
    bundle = json.loads(signature.read_text(encoding="utf-8"))
    payload = json.loads(base64.b64decode(bundle["dsseEnvelope"]["payload"]))
    return {str(resource["name"]) for resource in payload["predicate"]["resources"]}


def _library() -> Any:
    try:
        import model_signing
    except ImportError as error:
        raise ModelkilnError(
            f"signatures need OpenSSF's model-signing: pip install 'modelkiln[signing]' ({error})"
        ) from error
    return model_signing


def _require_file(path: Path, what: str) -> None:
    if not path.is_file():
        raise ModelkilnError(f"{path}: not there: {what}")


@contextmanager
def _explained(what: str) -> Iterator[None]:
    """What the library raises about what it was given, which may be anything, as one line."""
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm

    try:
        yield
    except InvalidSignature as error:
        raise ModelkilnError(f"{what}: the signature is another key's, or what it signs was altered") from error
    except (AttributeError, LookupError, OSError, TypeError, UnsupportedAlgorithm, ValueError) as error:
        raise ModelkilnError(f"{what}: {one_line(error)}") from error
