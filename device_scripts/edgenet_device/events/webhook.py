"""The sink --webhook: posts every event to a URL, signed; events wait on the disk while that is away."""

from __future__ import annotations

import hashlib
import hmac
import http.client
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from edgenet_device.errors import EdgenetError
from edgenet_device.events.disk_queue import DiskQueue
from edgenet_device.events.event import read_event
from edgenet_device.events.stored import StoredSink, network_reason, tls_context
from edgenet_device.foreign_text import one_line, printable
from edgenet_device.source_text import shown_source

SIGNATURE = "X-Edgenet-Signature-256"
"""The header with "sha256=" and the HMAC-SHA256 of the body, in hexadecimal, as GitHub signs its webhooks."""
TIMEOUT_SECONDS = 10.0
_REFUSED = (400, 413, 415, 422)
"""The receiver's answers about the event itself: sending it again would not help."""


@dataclass(frozen=True)
class Webhook:
    """Where to post events.

    Attributes:
        url: the address, https:// or http://.
        secret: what bodies are signed with; None for no signature.
        authority: PEM file of the certificate authority to trust instead of the system's; None for the system's.
    """

    url: str
    secret: bytes | None = None
    authority: Path | None = None


class WebhookSink(StoredSink):
    """Posts events, each as one JSON object.

    Args:
        hook: where to.
        queue: where events wait.

    Raises:
        EdgenetError: the URL is none that can be posted to, or the authority's file cannot be used.
    """

    def __init__(self, hook: Webhook, queue: DiskQueue) -> None:
        super().__init__(queue)
        check_url(hook.url)
        self.name = f"the webhook {urlsplit(hook.url).hostname}"
        self._hook = hook
        context = tls_context("--webhook-ca", hook.authority)
        handlers = [urllib.request.HTTPSHandler(context=context), _NoRedirect()]
        self._opener = urllib.request.build_opener(*handlers)

    def send(self, line: bytes) -> None:
        """Post an event.

        Raises:
            EdgenetError: the receiver cannot be reached or refuses it for now.
        """
        request = urllib.request.Request(self._hook.url, line, self._headers(line), method="POST")
        try:
            with self._opener.open(request, timeout=TIMEOUT_SECONDS) as answer:
                answer.read(1)
        except urllib.error.HTTPError as error:
            error.close()
            if error.code not in _REFUSED:
                raise EdgenetError(f"it answered {error.code}; the events wait and are sent again") from None
            # An event that is never accepted must not keep back all later ones.
        except (OSError, http.client.HTTPException) as error:
            raise EdgenetError(
                f"it cannot be reached: {network_reason(error)}; the events wait on the disk"
            ) from None

    def _headers(self, line: bytes) -> dict[str, str]:
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "edgenet",
            "X-Edgenet-Event-Id": str(read_event(line)["id"]),
            # With this, a receiver can date the events of a device whose clock is not set.
            "X-Edgenet-Monotonic": f"{time.monotonic():.3f}",
        }
        if self._hook.secret is not None:
            headers[SIGNATURE] = f"sha256={hmac.new(self._hook.secret, line, hashlib.sha256).hexdigest()}"
        return headers


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Takes a redirect as an error: the address that was given is the only one that gets events."""

    def redirect_request(self, *args: Any, **kwargs: Any) -> None:
        return None


def check_url(url: str) -> None:
    """Check that events can be posted to a URL.

    Raises:
        EdgenetError: they cannot.
    """
    try:
        parts = urlsplit(url)
        sound = parts.scheme in ("https", "http") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        sound = False
    if not sound or printable(url) != url or " " in url or not url.isascii():
        raise EdgenetError(
            f"--webhook {one_line(shown_source(url))} is not a URL to post to", "give https://HOST/PATH"
        )
    if parts.username is not None:
        raise EdgenetError("the URL of --webhook holds a user", "sign with --webhook-secret FILE instead")
