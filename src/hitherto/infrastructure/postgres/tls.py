"""What is wrong with the certificates and keys that a URL or the environment names."""

import os
import ssl
from urllib.parse import parse_qs, urlsplit


def unusable_files(url: str) -> str | None:
    """Tells of a file that cannot be read or does not hold what it should; None if all do.

    The driver's errors name no file, and look as if the server could not be reached.
    """
    query = parse_qs(urlsplit(url).query)

    def named(option: str) -> str | None:
        values = query.get(option) or [os.environ.get(f"PG{option.upper()}", "")]
        return values[-1] or None

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    for option in ("sslrootcert", "sslcrl"):
        file = named(option)
        try:
            if file is not None:
                context.load_verify_locations(cafile=file)
        except OSError as error:
            return f"{option}={file!r} cannot be used: {error}"
    certificate, key = named("sslcert"), named("sslkey")
    password = query.get("sslpassword", [""])[-1]
    try:
        if certificate is not None:
            context.load_cert_chain(certificate, keyfile=key, password=password)
    except OSError as error:
        return f"sslcert={certificate!r} with sslkey={key!r} cannot be used: {error}"
    return None
