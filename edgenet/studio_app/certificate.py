"""The certificate with which the studio is served by https to other machines: browsers allow the camera only there.

Nobody vouches for it, so a browser warns once. It is made for the folder and kept there, so that the browser, which was
told to trust it, meets the same one again.
"""

from __future__ import annotations

import socket
from datetime import datetime, timedelta, timezone
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from edgenet.files import write_atomically

_CERTIFICATE, _KEY = ".studio-certificate.pem", ".studio-key.pem"
_DAYS = 365  # browsers refuse certificates for much longer than a year


def self_signed(folder: Path, host: str) -> tuple[str, str]:
    """Return the files of a certificate and of its key; they are made if they are missing, too old or for another host.

    Args:
        folder: where they are kept; only this user may read the key.
        host: the address that the page is served at.

    Raises:
        EdgenetError: they cannot be written.
    """
    certificate, key = folder / _CERTIFICATE, folder / _KEY
    if not (key.is_file() and _fits(certificate, host)):
        secret = ec.generate_private_key(ec.SECP256R1())
        write_atomically(key, _pem(secret), private=True)
        write_atomically(certificate, _certificate(secret, host).public_bytes(serialization.Encoding.PEM))
    return str(certificate), str(key)


def _pem(secret: ec.EllipticCurvePrivateKey) -> bytes:
    return secret.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _certificate(secret: ec.EllipticCurvePrivateKey, host: str) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "edgenet studio")])
    now = datetime.now(timezone.utc)
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(secret.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=_DAYS))
        .add_extension(x509.SubjectAlternativeName(_names(host)), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
    )
    return builder.sign(secret, hashes.SHA256())


def reachable_host(host: str) -> str:
    """Return the address under which other machines reach a page; of one that is served at all addresses, the usual."""
    if host not in ("0.0.0.0", "::"):
        return host
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(
                ("192.0.2.1", 9)
            )  # nothing is sent: the system only says which of its addresses it would use
            return str(probe.getsockname()[0])
        except OSError:  # there is no network
            return socket.gethostname()


def _names(host: str) -> list[x509.GeneralName]:
    return [_name(one) for one in dict.fromkeys((reachable_host(host), socket.gethostname()))]


def _name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _fits(path: Path, host: str) -> bool:
    """Return whether a certificate is for the host, and valid for another week at least."""
    try:
        found = x509.load_pem_x509_certificate(path.read_bytes())
        names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (OSError, ValueError, x509.ExtensionNotFound):
        return False
    return all(name in names for name in _names(host)) and found.not_valid_after_utc > datetime.now(
        timezone.utc
    ) + timedelta(days=7)
