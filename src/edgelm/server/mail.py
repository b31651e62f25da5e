"""Messages by mail, through one server that takes them all."""

from __future__ import annotations

import contextlib
import smtplib
import ssl
from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import format_datetime
from urllib.parse import urlsplit

from edgelm.errors import BadOption
from edgelm.server.clock import moment
from edgelm.server.outbox import Undelivered
from edgelm.server.settings import Settings
from edgelm.server.tables import Notice

_SILENCE = 30.0  # seconds without an answer


def sender(settings: Settings) -> str:
    """The address that mail comes from; empty if none is sent.

    Raises:
        BadOption: mail is to be sent, and nothing gives the address, or it is none.
    """
    if not settings.smtp_host:
        return ""
    found = settings.smtp_from or settings.smtp_user
    try:
        _address(found)
    except ValueError:
        mend = "set smtp_from to the address that mail comes from"
        raise BadOption(f"'{found}' is no address for mail", why="smtp_host is set", mend=mend) from None
    return found


def letter(notice: Notice, settings: Settings) -> EmailMessage:
    """A message as mail. Its id is the notice's: whoever gets it twice sees that it is one.

    Raises:
        Undelivered: it goes to no address.
    """
    made = EmailMessage()
    try:
        made["To"] = _address(notice.target)
    except ValueError:
        raise Undelivered("this is no address", ever=False) from None
    made["From"] = _address(sender(settings), settings.title)
    made["Subject"] = " ".join(notice.subject.split())
    made["Date"] = format_datetime(moment(notice.created))
    made["Message-ID"] = f"<{notice.id}@{urlsplit(settings.public_url).hostname or 'localhost'}>"
    made["Auto-Submitted"] = "auto-generated"
    parts = (notice.body, notice.link, f"{settings.title}\n{settings.public_url}\n")
    made.set_content("\n\n".join(part for part in parts if part))
    return made


def carry(notice: Notice, settings: Settings) -> None:
    """Hand a message to the server that the settings name.

    Raises:
        Undelivered: it does not answer, or does not take the message.
    """
    message = letter(notice, settings)
    try:
        smtp = _connected(settings)
    except (OSError, smtplib.SMTPException) as error:
        raise Undelivered(f"{settings.smtp_host}: {error}", others=True) from None
    try:
        smtp.send_message(message, to_addrs=[notice.target])
    except smtplib.SMTPRecipientsRefused as error:
        raise _refused(error, [code for code, _ in error.recipients.values()]) from None
    except smtplib.SMTPDataError as error:
        raise _refused(error, [error.smtp_code]) from None
    except smtplib.SMTPNotSupportedError as error:  # an address in letters that the server does not know
        raise Undelivered(str(error), ever=False) from None
    except (OSError, smtplib.SMTPException) as error:
        raise Undelivered(f"{settings.smtp_host}: {error}", others=True) from None
    finally:
        with contextlib.suppress(OSError, smtplib.SMTPException):  # what was taken remains so
            smtp.quit()
        smtp.close()


def _refused(error: Exception, codes: list[int]) -> Undelivered:
    """A message that was refused because of itself: for good, if the server says so."""
    return Undelivered(str(error), ever=not all(500 <= code < 600 for code in codes))


def _address(text: str, name: str = "") -> Address:
    """An address of mail.

    Raises:
        ValueError: it is none.
    """
    try:
        return Address(name, addr_spec=text)
    except (MessageError, IndexError) as error:  # as the library has it for some
        raise ValueError(str(error)) from None


def _connected(settings: Settings) -> smtplib.SMTP:
    """A connection on which messages are taken."""
    context, place = ssl.create_default_context(), (settings.smtp_host, settings.smtp_port)
    smtp = (smtplib.SMTP_SSL(*place, timeout=_SILENCE, context=context) if settings.smtp_tls == "implicit"
            else smtplib.SMTP(*place, timeout=_SILENCE))  # fmt: skip
    try:
        if settings.smtp_tls == "starttls":
            smtp.starttls(context=context)
        if settings.smtp_user:
            smtp.login(settings.smtp_user, settings.smtp_password.get_secret_value())
    except BaseException:
        smtp.close()
        raise
    return smtp
