"""TLS as a server or a proxy serves it: a version, and the files of the certificate and its key.

Invariant: the files lie in a private folder of the processes that read them (`rtbench.processes.certificates`), and no
result names their content. In the options of our servers, in `Launch` and in `Before`.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass

__all__ = ["TlsFiles", "fault", "version_of"]


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """PEM files: `certificate` (the chain), `key`, `both` (the key, then the chain). `version`: "1.2" or "1.3".

    `http2`: whether the handshake agrees on HTTP/2 with a client that offers it (ALPN); HTTP/1.1 is agreed on anyway.
    """

    certificate: str
    key: str
    both: str
    version: str
    http2: bool = False


def version_of(tls: bool | str) -> str:
    """The version that the scenario's key `tls` asks for: "1.3" for true, a version as it is, "" for false."""
    return tls if isinstance(tls, str) else "1.3" if tls else ""


def fault(error: ssl.SSLError) -> str:
    """Why TLS failed: OpenSSL's words for a certificate that is refused, else the name of its reason."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"TLS: the certificate is refused: {error.verify_message.rstrip('.')}"
    return f"TLS: {error.reason or error}"
