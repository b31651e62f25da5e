"""A visit: who sends it, what its form holds, and how it is answered with a page or sent on to one."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Annotated, Any, TypeVar

from fastapi import Depends, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from pydantic import BaseModel
from starlette.datastructures import UploadFile

from edgelm import pages
from edgelm.errors import InputError
from edgelm.files import canonical_json, sha256_bytes
from edgelm.score import text
from edgelm.server import passwords
from edgelm.server.access import Viewer, cookie_name, viewer
from edgelm.server.app import server_of
from edgelm.server.idempotency import Call
from edgelm.server.keys import new_key
from edgelm.server.pages.assets import address
from edgelm.server.pages.frame import texts
from edgelm.server.pages.frame.forms import Form, Typed, read
from edgelm.server.refusals import NotLoggedIn, Refused, TooOften
from edgelm.server.state import Server

M = TypeVar("M", bound=BaseModel)
_FOLDER = Path(__file__).parent.parent / "templates"
_SAID = "said"  # ending of the cookie of what is said once
_MINUTE = 60  # seconds
_KEY = re.compile(r"[\w-]{1,200}", re.ASCII)  # by which a form is done once
_WRITERS = (
    text.two, text.exact, text.significant, text.ordinal, text.size, text.count, text.percent, text.milliseconds,
    text.signed, texts.when, texts.until, texts.ago, texts.span, texts.plural, texts.titled,
)  # fmt: skip


@dataclass(frozen=True)
class Visit:
    """A request of a browser, and what its answer is made of."""

    server: Server
    viewer: Viewer
    request: Request
    typed: Typed = field(default_factory=dict)
    files: dict[str, UploadFile] = field(default_factory=dict)
    refusal: InputError | None = None  # of the form that came

    @property
    def now(self) -> int:
        """The server's time, in microseconds."""
        return self.server.clock()

    @property
    def mails(self) -> bool:
        """Whether the server sends mail; nothing may be promised of it otherwise."""
        return bool(self.server.settings.smtp_host)

    @property
    def call(self) -> Call:
        """What a form sends, as the calls that change something take it."""
        told = [self.request.method, self.request.url.path, {name: list(values) for name, values in self.typed.items()}]
        once = (self.typed.get("once") or [""])[0]
        key = once if _KEY.fullmatch(once) and self.viewer.role != "visitor" else None
        return Call(self.server, self.viewer, self.now, key, sha256_bytes(canonical_json(told)))

    def read(self, model: type[M]) -> M:
        """What was typed as the body of a call.

        Raises:
            NotFilledIn: it is none.
        """
        return read(model, self.typed)

    def value(self, name: str) -> str:
        """What was typed in a field, or else stands in the address."""
        return (self.typed.get(name) or [self.request.query_params.get(name, "")])[0]

    def form(self, action: str) -> Form:
        """A form of the page; what was typed and refused, if it is the one that came."""
        csrf = self.viewer.login.csrf if self.viewer.login else ""
        came = self.refusal is not None and self.request.url.path == action
        return Form(action, csrf, new_key(), self.typed if came else {}, self.refusal if came else None)

    def page(self, template: str, **values: Any) -> Response:
        """A page of a template, with the status of the refusal that it shows."""
        refused = self.refusal.status if isinstance(self.refusal, Refused) else 400
        response = HTMLResponse(self.fragment(template, **values), 200 if self.refusal is None else refused)
        if isinstance(self.refusal, TooOften):
            response.headers["Retry-After"] = str(self.refusal.wait)
        if self._said_cookie in self.request.cookies:
            response.delete_cookie(self._said_cookie, path="/", httponly=True, samesite="lax", secure=self._secure)
        return response

    def alike(self, what: Hashable, make: Callable[[], Response]) -> Response:
        """A page that is alike for all visitors, for whom it may be a moment old; `make` makes it."""
        if self.viewer.role != "visitor" or self._said_cookie in self.request.cookies:
            return make()
        return HTMLResponse(self.server.kept.get(what, lambda: bytes(make().body).decode()))

    def fragment(self, template: str, **values: Any) -> str:
        """The text of a template. All of them have `visit`."""
        return str(_environment().get_template(f"{template}.html.jinja").render(visit=self, **values))

    @property
    def _secure(self) -> bool:
        return self.server.settings.public_url.startswith("https:")

    @property
    def _said_cookie(self) -> str:
        return f"{cookie_name(self.server.settings)}-{_SAID}"

    @property
    def said(self) -> str:
        """What is said once, of what was done before."""
        return texts.SAID.get(self.request.cookies.get(self._said_cookie, ""), "")

    def go(self, path: str, said: str = "") -> Response:
        """Send on to a page of ours, which says once what was done: a key of `texts.SAID`."""
        response = RedirectResponse(path, 303)
        if said:
            response.set_cookie(self._said_cookie, said, max_age=_MINUTE, path="/", httponly=True, samesite="lax",
                                secure=self._secure)  # fmt: skip
        return response

    def take(
        self, work: Callable[[Response], object], again: Callable[[Visit], Response], then: str, said: str = ""
    ) -> Response:
        """Do what a form asks for and send on; where it is refused, show its page again.

        Args:
            work: calls the API; it is given the answer, as that may bear a cookie.
            again: answers with the page that the form is on.
            then: path of the page that is shown next.
            said: key of what that page says.
        """
        answer = self.go(then, said)
        try:
            work(answer)
        except InputError as error:
            return again(self.refused(error))
        return answer

    def refused(self, error: InputError) -> Visit:
        """The same visit, whose form is shown again with why it was refused."""
        return dataclasses.replace(self, refusal=error)


def answered(response: Response) -> Any:
    """What is in the answer of a call that is done once."""
    return json.loads(bytes(response.body))


def inner(path: str) -> str:
    """A path that a form asks to be sent on to, if it is one of this server; else the first page."""
    plain = path.startswith("/") and not path.startswith("//") and "\\" not in path and path.isprintable()
    return path if plain else "/"


async def visit(request: Request, who: Annotated[Viewer, Depends(viewer)]) -> Visit:
    """The visit at hand; what pages depend on."""
    typed: dict[str, list[str]] = {}
    files: dict[str, UploadFile] = {}
    if request.method == "POST":
        if who.user is None and request.headers.get("content-type", "").strip().lower().startswith("multipart/"):
            raise NotLoggedIn("files are taken from members of teams", mend="log in")  # before any of it is read
        for name, value in (await request.form()).multi_items():
            if isinstance(value, UploadFile):
                files[name] = value
            else:
                typed.setdefault(name, []).append(value)
    return Visit(server_of(request), who, request, typed, files)


Visiting = Annotated[Visit, Depends(visit)]


@cache
def _environment() -> Any:
    made = pages.environment(str(_FOLDER / "base.html.jinja"), *_WRITERS)
    made.add_extension("jinja2.ext.i18n")  # English for now; `_` marks what a catalogue would translate
    made.install_null_translations(newstyle=True)
    made.policies["ext.i18n.trimmed"] = True
    made.globals |= {"asset": address, "named": texts.named, "LEAST_PASSWORD": passwords.LEAST}
    return made
