"""Messages by webhook: a POST over https to an address that a stranger chose, signed with the secret that both have.

The host is resolved once, refused where it is not of the public network, and connected to at that very address. No
redirect is followed, and of the answer nothing but its status is read.

    POST … HTTP/1.1
    Content-Type: application/json
    Edgelm-Event: ID                    the same however often it is sent
    Edgelm-Timestamp: SECONDS           since 1970
    Edgelm-Signature: sha256=HEX        HMAC-SHA256 of TIMESTAMP, a full stop and the body, under the secret

    {"event": ID, "subject": …, "body": …, "created": microseconds}
"""

from __future__ import annotations

import hashlib
import hmac
import http.client
import time
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

from edgelm.check import fetch
from edgelm.files import canonical_json
from edgelm.server.clock import SECOND
from edgelm.server.outbox import Undelivered
from edgelm.server.state import Server
from edgelm.server.tables import Notice, Webhook

_SECONDS = 20.0  # for one message


def signature(secret: str, timestamp: str, body: bytes) -> str:
    """What `Edgelm-Signature` holds."""
    return f"sha256={hmac.new(secret.encode(), timestamp.encode() + b'.' + body, hashlib.sha256).hexdigest()}"


@dataclass(frozen=True)
class Post:
    """Posts messages to webhooks; `resolve` and `connect` are how a host is reached."""

    server: Server
    resolve: Callable[[str], str] = fetch.resolve
    connect: Callable[[str, str], http.client.HTTPConnection] = fetch.connect
    seconds: float = _SECONDS

    def __call__(self, notice: Notice) -> None:
        """Post a message.

        Raises:
            Undelivered: it was not taken, or its webhook is no more.
        """
        with self.server.database.read() as session:
            webhook = session.get(Webhook, notice.target)
        if webhook is None:
            raise Undelivered("the webhook was removed", ever=False)
        if problem := fetch.address_problem(webhook.url, hosts=None):
            raise Undelivered(problem, ever=False)
        status = self._posted(webhook, notice)
        if not 200 <= status < 300:
            raise Undelivered(f"status {status}", others=status not in (400, 413, 422))

    def _posted(self, webhook: Webhook, notice: Notice) -> int:
        parts = urlsplit(webhook.url)
        host = parts.hostname or ""
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        body = canonical_json({"event": notice.event, "subject": notice.subject, "body": notice.body,
                               "created": notice.created})  # fmt: skip
        timestamp = str(self.server.clock() // SECOND)
        headers = {
            "Content-Type": "application/json", "User-Agent": "edgelm", "Edgelm-Event": notice.event,
            "Edgelm-Timestamp": timestamp, "Edgelm-Signature": signature(webhook.secret, timestamp, body),
        }  # fmt: skip
        try:
            connection = self.connect(host, self.resolve(host))
            try:
                with fetch.broken_off(connection, time.monotonic() + self.seconds):
                    connection.request("POST", path, body, headers)
                    return connection.getresponse().status
            finally:
                connection.close()
        except (fetch.Refused, OSError, http.client.HTTPException, ValueError) as error:
            raise Undelivered(f"{host}: {error}", others=True) from None
