"""What can go wrong with a download, for everything that is fetched: one list of errors, and a sentence for each."""

from __future__ import annotations

import os
from urllib.parse import urlsplit

from huggingface_hub.errors import HTTPError  # type: ignore[attr-defined] # the base of all that a connection raises

__all__ = ["FAILURES", "reason_of", "remedy_of"]

# Beside connections that fail: a proxy of an unknown kind is a ValueError, one that needs a package an ImportError,
# and what is no answer of a hub ends as any of the rest.
FAILURES = (HTTPError, OSError, RuntimeError, ValueError, LookupError, TypeError, AttributeError, ImportError)
NO_ANSWER = (LookupError, TypeError, AttributeError, ValueError)  # what the library raises on bytes of any origin
PROXIES = ("ALL_PROXY", "HTTPS_PROXY", "HTTP_PROXY")


def reason_of(error: BaseException) -> str:
    """Why the download failed, in a few words."""
    mirror = os.environ.get("HF_ENDPOINT")
    if mirror and not _is_address(mirror):
        return f"HF_ENDPOINT={mirror!r} is no address"
    if _is_offline():
        return "HF_HUB_OFFLINE is set"
    if isinstance(error, ImportError) and "socks" in str(error).lower():
        return "the proxy is a SOCKS proxy, for which the package socksio is missing"
    if "proxy" in str(error).lower():
        return f"the proxy {_proxy()} cannot be used"
    if isinstance(error, NO_ANSWER) and not isinstance(error, (HTTPError, OSError)):
        return "the address gave no usable answer for it, as if it were no hub"
    return (str(error).splitlines() or [type(error).__name__])[0][:200] or type(error).__name__


def remedy_of(error: BaseException) -> str:
    """Return what to do about it."""
    mirror = os.environ.get("HF_ENDPOINT")
    if mirror and not _is_address(mirror):
        return "write https://HOST, or unset it"
    if _is_offline():
        return "unset it"
    if "proxy" in reason_of(error):
        variables = [name for name in PROXIES for name in (name, name.lower()) if os.environ.get(name)]
        return f"unset {', '.join(variables) or 'it'}" + (
            ", or: pip install socksio" if isinstance(error, ImportError) else ", or write http://HOST:PORT"
        )
    return "call again to go on, or name a mirror in the environment variable HF_ENDPOINT"


def _is_address(text: str) -> bool:
    try:
        address = urlsplit(text)
        return address.scheme in ("http", "https") and bool(address.hostname) and address.port != 0
    except ValueError:
        return False


def _is_offline() -> bool:
    """Return whether downloads are off, as the library reads it."""
    return any(
        os.environ.get(name, "").upper() in ("1", "ON", "YES", "TRUE")
        for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
    )


def _proxy() -> str:
    return next((os.environ[name] for name in (*PROXIES, *map(str.lower, PROXIES)) if os.environ.get(name)), "")
