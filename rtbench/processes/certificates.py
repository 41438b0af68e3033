"""The certificates of a trial, a verification or `rtbench serve`: a CA of its own, and one certificate from it.

Invariant: every file has mode 0600 and lies in the caller's scratch folder, which is gone when the processes are. The
CA's own key is never written. Called before the server starts.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from rtbench.errors import UnavailableError
from rtbench.subjects import Subject
from rtbench.subjects.tls import TlsFiles

_FOLDER = "tls"
_NAMES = ("localhost", "127.0.0.1", "::1")


def trusting(subject: Subject, folder: Path, *hosts: str) -> Subject:
    """The subject with the CA that its clients trust; new certificates for `hosts` and this machine lie in `folder`.

    A subject without TLS, and one at a URL, is returned as it is. Raises UnavailableError without trustme.
    """
    if not subject.tls or subject.url:
        return subject
    try:
        import trustme  # only where TLS is asked for: it imports cryptography
    except ImportError as error:
        raise UnavailableError("tls needs the package trustme", "pip install trustme") from error
    place = folder / _FOLDER
    place.mkdir(mode=0o700)
    authority = trustme.CA(organization_name="rtbench")
    issued = authority.issue_cert(*dict.fromkeys((*_NAMES, *filter(None, hosts))))
    key = issued.private_key_pem.bytes()
    chain = b"".join(blob.bytes() for blob in issued.cert_chain_pems)
    for name, data in (("ca", authority.cert_pem.bytes()), ("chain", chain), ("key", key), ("both", key + chain)):
        _private(place / f"{name}.pem", data)
    return replace(subject, tls_ca=str(place / "ca.pem"))


def files(subject: Subject, folder: Path) -> TlsFiles | None:
    """What `trusting` made, for the server or the proxy that speaks TLS; None for a subject without TLS."""
    if not subject.tls or subject.url:
        return None
    place = folder / _FOLDER
    chain, key, both = (str(place / f"{name}.pem") for name in ("chain", "key", "both"))
    return TlsFiles(chain, key, both, subject.tls, subject.http2)


def _private(path: Path, data: bytes) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(data)
