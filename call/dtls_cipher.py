"""DTLS with the cipher whose records are shortest: 29 instead of 37 bytes around every packet.

AES-GCM, which aiortc offers first, sends eight bytes of nonce in every DTLS 1.2 record (RFC 5288, section 3);
ChaCha20-Poly1305 derives the nonce from the record's number (RFC 7905, section 2). Both are offered, in the other
order; the client's order decides, so a peer that knows AES-GCM alone is served as before.
"""

from __future__ import annotations

import logging

from aiortc.rtcdtlstransport import RTCCertificate, RTCDtlsTransport, SRTPProtectionProfile
from OpenSSL import SSL

_CIPHERS = b"ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-ECDSA-AES128-GCM-SHA256"
_CERTIFICATE = "_RTCDtlsTransport__local_certificate"

_logger = logging.getLogger(__name__)


class ShortRecordCertificate(RTCCertificate):
    """aiortc's certificate, which also makes the TLS context, with another order of ciphers."""

    def _create_ssl_context(self, srtp_profiles: list[SRTPProtectionProfile]) -> SSL.Context:
        context = super()._create_ssl_context(srtp_profiles)
        context.set_cipher_list(_CIPHERS)
        return context


def prefer_short_records(dtls: RTCDtlsTransport) -> bool:
    """Reorder the ciphers of a DTLS transport that has not started yet.

    Returns:
        Whether it was done: not, with a warning, when the installed aiortc keeps its certificate elsewhere.
    """
    certificate = getattr(dtls, _CERTIFICATE, None)
    if not isinstance(certificate, RTCCertificate) or not hasattr(certificate, "_create_ssl_context"):
        _logger.warning("DTLS records stay 8 bytes longer: this aiortc keeps its certificate elsewhere")
        return False
    certificate.__class__ = ShortRecordCertificate
    return True
