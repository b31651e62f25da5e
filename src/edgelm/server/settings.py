"""What an operator sets, by environment variables that begin with `EDGELM_SERVER_`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

Positive = Annotated[int, Field(gt=0)]


class Settings(BaseSettings):
    """The settings of a server; all but the folder have defaults that start it on this machine."""

    model_config = SettingsConfigDict(env_prefix="EDGELM_SERVER_", frozen=True)

    folder: Path  # holds the database and the packages, if these are not elsewhere
    database: str = ""  # SQLAlchemy's address of one; SQLite in the folder if empty
    title: str = "Edge-device LLM competition"
    rules: str = "neurips-2024"  # rule-set spec
    public_url: str = "http://127.0.0.1:8000"  # as browsers reach it; cookies are for https alone if it says so
    max_package: Positive = 128 * 2**30  # bytes
    part: Positive = 32 * 2**20  # bytes of an upload that are verified and kept together
    login_hours: Positive = 12
    lease_seconds: Positive = 60  # of a worker's silence, after which its job is another's

    @property
    def database_url(self) -> str:
        """The address of the database."""
        return self.database or f"sqlite:///{self.folder.absolute() / 'edgelm.db'}"

    @property
    def blobs(self) -> Path:
        """Where packages' files lie, by digest."""
        return self.folder / "blobs"
