"""TLS over the reactor's raw sockets: kernel stamps and TCP_INFO stay, `ssl.MemoryBIO` does the cryptography (R2).

Invariant: a record is decrypted once, in its order. Until a connection is sealed, a read puts plaintext into the
caller's buffer, with the stamp of the last segment of its bytes. Of a sealed connection the reactor captures the bytes
as they are on the wire, and `opened` decrypts them later. Bytes on the wire are counted at the raw socket. Used by the
reactor, the links and the recorder for https and wss.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from rtbench.errors import UserError
from rtbench.subjects.tls import fault

SEALED = 1 << 30
"""Added to a link's index in the capture buffer: the bytes of the read are encrypted."""
SHORT_RECORD_BYTES = 64
"""A record below it may be a control frame alone, with up to 32 bytes of payload (`inner_loop.c` has the number, too).
The pong to a longer ping, or to one in a record with other frames, waits for the next look (`Load.watch`)."""
_DATA = 23
"""The type of a record with application data, and with all that TLS 1.3 sends after the handshake (RFC 8446 §5.1)."""
_HEAD_BYTES = 5
_RECORD_BYTES = 16384 + 2048
"""The longest TLS record (RFC 8446 §5.2 allows 256 more; older versions 2,048)."""
_READ_BYTES = 65536 - _RECORD_BYTES
"""The most bytes of one read: together with a partial record they fit into the reactor's buffer. Plaintext left here
would wait, since no descriptor reports it."""


@dataclass(frozen=True, slots=True)
class Tls:
    """The trusted certificates and the server's name."""

    context: ssl.SSLContext
    server: str

    @classmethod
    def of(cls, server: str, ca: str = "", protocol: str = "") -> Tls:
        """`ca`: a PEM file; empty: the system's. `protocol`: what ALPN offers; empty: nothing.

        Raises UserError for a file that is not PEM.
        """
        try:
            context = ssl.create_default_context(cafile=ca or None)
        except (OSError, ssl.SSLError) as error:
            raise UserError(f"tls_ca {ca!r} cannot be used ({error})", "name a PEM file with certificates") from error
        if protocol:
            context.set_alpn_protocols([protocol])
        return cls(context, server)


class TlsError(ConnectionAbortedError):
    """TLS failed; the text is the reason."""

    def __init__(self, why: str) -> None:
        super().__init__(103, why)
        self.why = why


class TlsSocket:
    """An encrypted socket for the reactor and the links. It calls `done` after the handshake.

    `session`: of an earlier connection to the same server, to be resumed.
    """

    def __init__(self, sock: Any, tls: Tls, done: Callable[[], None], session: ssl.SSLSession | None = None) -> None:
        self.raw = self._socket = sock
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = tls.context.wrap_bio(self._in, self._out, server_hostname=tls.server, session=session)
        self._done: Callable[[], None] | None = done
        self._unsent = b""
        self.fileno = sock.fileno
        self.close = sock.close
        self.getsockopt = sock.getsockopt
        self.getsockname = sock.getsockname

    def begin(self) -> None:
        """The TCP connection is made: start the handshake."""
        self._shake()

    def _shake(self) -> None:
        done = self._done
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError as error:
            self._flush()  # the alert that says why
            raise TlsError(fault(error)) from error
        else:
            self._done = None
        self._flush()
        if self._done is None and done is not None:
            done()

    def recvmsg_into(self, buffers: Sequence[Any], ancillary_bytes: int) -> tuple[int, list[Any], int, Any]:
        """As socket.recvmsg_into, decrypted. Raises BlockingIOError when the bytes hold no plaintext yet."""
        data, ancillary, flags, address = self._socket.recvmsg(_READ_BYTES, ancillary_bytes)
        if not data:
            return 0, ancillary, flags, address
        self._in.write(data)
        if self._done is not None:
            self._shake()
            if self._done is not None:
                raise BlockingIOError
        size = 0
        view = buffers[0]
        try:
            while size < len(view):
                read: Any = self._tls.read(len(view) - size, view[size:])
                if not read:
                    break
                size += int(read)
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:
            return size, ancillary, flags, address
        except ssl.SSLError as error:
            raise TlsError(fault(error)) from error
        self._flush()
        if not size:
            raise BlockingIOError
        return size, ancillary, flags, address

    def opened(self, data: bytes) -> bytes:
        """The plaintext that these bytes of a sealed connection complete. Raises TlsError for a bad record."""
        return b"".join(self.records(data))

    def records(self, data: bytes) -> list[bytes]:
        """The same, for each record. What stands in one record is there at one moment: when its last byte is."""
        self._in.write(data)
        found: list[bytes] = []
        try:
            while self._in.pending:
                found.append(self._tls.read(_RECORD_BYTES))
        except (ssl.SSLWantReadError, ssl.SSLZeroReturnError):
            pass
        except ssl.SSLError as error:
            raise TlsError(fault(error)) from error
        if self._out.pending:  # the answer to a KeyUpdate (RFC 8446 §4.6.3)
            with suppress(OSError):  # it may be closed by now
                self._flush()
        return found

    @property
    def version(self) -> str:
        """`TLSv1.3`; empty before the handshake."""
        return self._tls.version() or ""

    @property
    def cipher(self) -> str:
        """OpenSSL's name of the cipher suite; empty before the handshake."""
        return (self._tls.cipher() or ("",))[0]

    @property
    def protocol(self) -> str:
        """What ALPN agreed on; empty: nothing."""
        return self._tls.selected_alpn_protocol() or ""

    @property
    def resumed(self) -> bool:
        """Whether the handshake resumed a session."""
        return bool(self._tls.session_reused)

    @property
    def session(self) -> ssl.SSLSession | None:
        """What a later connection may resume."""
        return self._tls.session

    def send(self, data: bytes) -> int:
        """Encrypt and send everything; bytes that the socket does not take are kept and go with the next call."""
        self._tls.write(data)
        self._flush()
        return len(data)

    def _flush(self) -> None:
        self._unsent += self._out.read()
        while self._unsent:
            try:
                sent = self._socket.send(self._unsent)
            except BlockingIOError:
                return
            self._unsent = self._unsent[sent:]


def bulk(data: Any, start: int, end: int) -> bool:
    """Whether these bytes of a sealed connection are whole records that are all too long for a control frame alone."""
    while end - start >= _HEAD_BYTES:
        size = _HEAD_BYTES + (data[start + 3] << 8 | data[start + 4])
        if data[start] != _DATA or size < SHORT_RECORD_BYTES or size > end - start:
            return False
        start += size
    return start == end
