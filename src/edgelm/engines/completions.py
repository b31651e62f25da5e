"""A server that completes texts over HTTP, as OpenAI's API was: what it is, and a question to it, asked patiently.

Spoken by llama.cpp, vLLM, SGLang and MLC. What they differ in is asked for and done without where it is not told.
"""

from __future__ import annotations

import contextlib
import os
import time
from typing import Any

import httpx

from edgelm.errors import BadFile, BadOption, Unsupported

KEY = "OPENAI_API_KEY"  # the environment variable with the key; it is sent and kept nowhere else
PAUSES = (1.0, 2.0, 4.0, 8.0, 16.0)  # seconds before each further try
_IDS = "where it takes no token ids, give prompt=text"
LONGEST_PAUSE = 60.0  # of those that a server may ask for
BUSY = {408, 409, 425, 429, 500, 502, 503, 504}


class Server:
    """One server and the model on it that is asked."""

    def __init__(self, url: str, model: str, seconds: float) -> None:
        key = os.environ.get(KEY)
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        self.url = url.rstrip("/")
        self._client = httpx.Client(headers=headers, timeout=seconds)
        served = {each["id"]: each for each in self._models()}
        self.model = model or (next(iter(served)) if len(served) == 1 else "")
        if self.model not in served:
            known = ", ".join(sorted(served)) or "none"
            wanted = f"has no model '{model}'" if model else "serves not one model but several"
            raise BadOption(f"the server at {self.url} {wanted}", mend=f"give model=… one of: {known}")
        self.facts = served[self.model]

    def _models(self) -> list[dict[str, Any]]:
        models = self._asked("GET", f"{self.url}/models", pauses=()).get("data")
        if not isinstance(models, list) or not all(isinstance(each, dict) and "id" in each for each in models):
            raise BadFile(f"{self.url} answers, but not as a completions server", why="/models lists no models",
                          mend="give url=… up to and with /v1")  # fmt: skip
        return models

    @property
    def software(self) -> str:
        """What the server is and its version, as far as it tells."""
        owner, root = str(self.facts.get("owned_by", "unknown")), self.url.removesuffix("/v1")
        for path, name in (("version", "version"), ("props", "build_info"), ("get_server_info", "version")):
            with contextlib.suppress(httpx.HTTPError, ValueError):
                told = self._client.get(f"{root}/{path}").json()
                if isinstance(told, dict) and isinstance(told.get(name), str):
                    return f"{owner} {told[name]}"
        return owner

    def complete(self, body: dict[str, Any]) -> dict[str, Any]:
        """The server's answer to one question: its first choice, with `usage` added.

        Raises:
            Unsupported: it refuses the question, or is gone for good.
        """
        told = self._asked("POST", f"{self.url}/completions", json={"model": self.model, **body})
        try:
            return {"usage": told.get("usage") or {}, **told["choices"][0]}
        except (LookupError, TypeError):
            raise BadFile(f"{self.url} answers without choices", why=str(told)[:300], mend="give another url") from None

    def close(self) -> None:
        """Let go of the connections."""
        self._client.close()

    def _asked(self, method: str, url: str, pauses: tuple[float, ...] | None = None, **rest: Any) -> dict[str, Any]:
        """What a server says, tried again while it is busy or breaks off."""
        what, why = "no server answers", ""
        for pause in (*(PAUSES if pauses is None else pauses), None):
            try:
                response = self._client.request(method, url, **rest)
            except httpx.ReadTimeout:
                raise Unsupported(f"the server at {self.url} gave no answer in {self._client.timeout.read:g} seconds",
                                  mend="give timeout=…, or a smaller concurrency=…") from None  # fmt: skip
            except httpx.TransportError as error:
                what, why, wish = "no server answers", f"{type(error).__name__}: {error}", 0.0
            except httpx.InvalidURL as error:
                raise BadOption(f"{url} is no address", why=str(error), mend="give url=http://host:port/v1") from None
            else:
                if response.status_code not in BUSY:
                    return self._read(response)
                what, why, wish = (
                    "no answer comes",
                    f"it says {response.status_code}: {_said(response)}",
                    _wish(response),
                )
            if pause is not None:
                time.sleep(max(pause, min(wish, LONGEST_PAUSE)))
        mend = f"start it, or give url=…; {_IDS}"
        raise Unsupported(f"{what} at {self.url}", why=why, mend=mend)

    def _read(self, response: httpx.Response) -> dict[str, Any]:
        if response.status_code in (401, 403):
            raise BadOption(f"the server at {self.url} refuses the key", mend=f"set {KEY}")
        if response.status_code >= 400:
            raise Unsupported(f"the server at {self.url} refuses", why=f"{response.status_code}: {_said(response)}",
                              mend=f"see its log; {_IDS}")  # fmt: skip
        try:
            told = response.json()
        except ValueError:
            told = None
        if not isinstance(told, dict):
            raise BadFile(f"{response.url} answers with something else than JSON", why=_said(response),
                          mend="give url=… up to and with /v1")  # fmt: skip
        return told


def _said(response: httpx.Response) -> str:
    return " ".join(response.text.split())[:300]


def _wish(response: httpx.Response) -> float:
    """The seconds that a busy server asks to wait."""
    try:
        return float(response.headers.get("Retry-After", 0))
    except ValueError:
        return 0.0
