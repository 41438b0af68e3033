"""TLS of a server of ours: the context that asyncio's servers take, of exactly one version.

Session tickets are as OpenSSL ships them: two after each full handshake of TLS 1.3. Made once by `Server`.
"""

from __future__ import annotations

import ssl

from rtbench.subjects.tls import TlsFiles

__all__ = ["context"]

_VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}


def context(tls: TlsFiles | None) -> ssl.SSLContext | None:
    """The context of a server; None: cleartext."""
    if tls is None:
        return None
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(tls.certificate, tls.key)
    if tls.http2:
        made.set_alpn_protocols(["h2", "http/1.1"])
    made.minimum_version = made.maximum_version = _VERSIONS[tls.version]
    return made
