"""What an operator sets: environment variables that begin with `EDGELM_SERVER_`, then `server.toml` in the folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    TomlConfigSettingsSource,
)

from edgelm.check.fetch import HOSTS
from edgelm.errors import BadOption, UnknownName

FILE = "server.toml"
JOURNALS = "journals"  # in the folder

Positive = Annotated[int, Field(gt=0)]


class Settings(BaseSettings):
    """The settings of a server; all but the folder have defaults that start it on this machine."""

    model_config = SettingsConfigDict(env_prefix="EDGELM_SERVER_", frozen=True)

    folder: Path  # holds the database and the packages, if these are not elsewhere
    database: str = ""  # SQLAlchemy's address of one; SQLite in the folder if empty
    title: str = "Edge-device LLM competition"
    install: str = ""  # how teams install the toolkit: a command, or the address of a page
    rules: str = "neurips-2024"  # rule-set spec; where it is not set, rules that are in force stay
    rules_reason: str = ""  # told to all teams; without it, rules that are in force do not give way to others
    public_url: str = "http://127.0.0.1:8000"  # as browsers reach it; cookies are for https alone if it says so
    max_package: Positive = 128 * 2**30  # bytes
    team_bytes: Positive = 512 * 2**30  # that a team has on the server, each file once
    reserve: int = Field(default=2**30, ge=0)  # bytes of the disk that uploads leave free for results and the database
    upload_days: Positive = 14  # that a begun upload is kept
    part: Positive = 32 * 2**20  # bytes of an upload that are verified and kept together
    login_hours: Positive = 12
    password_memory: Annotated[int, Field(ge=8)] = 19 * 1024  # KiB that the digest of one takes
    second_factor: bool = True  # whether reviewers and organisers need one-time passwords to be more than participants
    login_tries: Positive = 30  # from one address in a quarter of an hour
    changes: Positive = 600  # in a minute, by one account, token or address
    first_admin: SecretStr = SecretStr("")  # by which the first administrator is made; nobody is if empty
    signing_key: Path | None = None  # of `ssh-keygen -t ed25519`; signs final boards, which are unsigned without it
    reference: dict[str, Path] = Field(default_factory=dict)  # reports of uncompressed bases by slot, shown unranked
    smtp_host: str = ""  # that takes mail; none is sent if empty
    smtp_port: Positive = 587
    smtp_tls: Literal["starttls", "implicit", "none"] = "starttls"
    smtp_user: str = ""  # no login if empty
    smtp_password: SecretStr = SecretStr("")
    smtp_from: str = ""  # the sender's address; `smtp_user` if empty
    log_format: Literal["json", "plain"] = "json"  # of the log on stderr
    smoke_runs: Positive = 5  # of a team in a day
    link_hosts: tuple[str, ...] = HOSTS  # where the files may lie that packages only link
    lease_seconds: Positive = 60  # of a worker's silence, after which its job is another's
    page_seconds: Annotated[float, Field(ge=0)] = 1.0  # that a board is shown as it was made for another visitor

    @property
    def database_url(self) -> str:
        """The address of the database."""
        return self.database or f"sqlite:///{self.folder.absolute() / 'edgelm.db'}"

    @property
    def blobs(self) -> Path:
        """Where packages' files lie, by digest."""
        return self.folder / "blobs"

    @property
    def journals(self) -> Path:
        """Where jobs' answers lie while they are made."""
        return self.folder / JOURNALS

    @classmethod
    def settings_customise_sources(
        cls, settings_cls: type[BaseSettings], init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource, dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:  # fmt: skip
        """What is given in code, then the environment, then the folder's file."""
        folder = {**env_settings(), **init_settings()}.get("folder", ".")
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls, Path(folder) / FILE)


def read_settings(folder: Path) -> Settings:
    """The settings of the server in a folder.

    Raises:
        UnknownName: a setting is unknown.
        BadOption: a setting is of the wrong kind; its value is not repeated.
    """
    try:
        return Settings(folder=folder)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(map(str, first["loc"]))
        if first["type"] == "extra_forbidden":
            raise UnknownName(f"setting of {folder / FILE}", name, Settings.model_fields) from None
        mend = f"see EDGELM_SERVER_{name.upper()} and {name} in {folder / FILE}"
        raise BadOption(f"the setting {name} cannot be used", why=first["msg"], mend=mend) from None
    except (SettingsError, ValueError) as error:  # the file is not TOML
        raise BadOption(f"{folder / FILE} cannot be read", why=str(error), mend="mend it") from None
