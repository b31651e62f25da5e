"""The files for hosting name commands, options, settings and addresses that the program has."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import typer

from edgelm import cli
from edgelm.server.app import create_app
from edgelm.server.settings import Settings
from edgelm.server.state import Server

HOSTING = Path(__file__).parents[3] / "hosting"
UNITS = sorted(HOSTING.glob("*.service"))
PREFIX = "EDGELM_SERVER_"


@pytest.fixture(scope="module")
def compose() -> Any:
    yaml = pytest.importorskip("yaml")
    return yaml.safe_load((HOSTING / "compose.yaml").read_text())


def understood(words: list[str]) -> dict[str, Any]:
    """What the command line makes of words, without doing it; it ends the test if it makes nothing of them."""
    group: Any = typer.main.get_command(cli.build(words[0]))
    with group.make_context("edgelm", words[:1], resilient_parsing=True) as above:
        context = group.get_command(above, words[0]).make_context(words[0], words[1:], parent=above)
    return dict(context.params)


def filled(text: str) -> str:
    """A text of compose, with its variables as by default, or some value."""
    return re.sub(r"\$\{\w+(?::-([^}]*)|:\?[^}]*)?\}", lambda found: found.group(1) or "x", text)


def settings_in(names: Any) -> set[str]:
    return {name.removeprefix(PREFIX).lower() for name in names if name.startswith(PREFIX)}


def test_commands_of_compose(compose: Any) -> None:
    services = compose["services"]
    server = understood(list(map(filled, services["server"]["command"])))
    assert (str(server["folder"]), server["host"], server["port"]) == ("/var/lib/edgelm", "0.0.0.0", 8000)
    worker = understood(list(map(filled, services["worker"]["command"])))
    assert worker["server"] == f"http://server:{server['port']}" and worker["insecure"]
    assert services["server"]["ports"] == [f"127.0.0.1:{server['port']}:{server['port']}"]
    targets = re.findall(r"^FROM \S+ AS (\w+)", (HOSTING / "Dockerfile").read_text(), flags=re.MULTILINE)
    for name in ("server", "worker"):
        assert services[name]["build"]["target"] == name and name in targets
        assert (HOSTING / services[name]["build"]["context"] / services[name]["build"]["dockerfile"]).is_file()


def test_settings_and_addresses_of_compose(compose: Any, server: Server) -> None:
    service = compose["services"]["server"]
    assert settings_in(service["environment"]) == {"database", "public_url"} <= set(Settings.model_fields)
    path = re.search(r"127\.0\.0\.1:8000(/\w+)", service["healthcheck"]["test"][-1])
    assert path and path[1] in create_app(server).openapi()["paths"]


def test_what_compose_names_it_declares(compose: Any) -> None:
    for service in compose["services"].values():
        assert set(service.get("depends_on", ())) <= set(compose["services"])
        assert set(service.get("secrets", ())) <= set(compose["secrets"])
        volumes = {volume.partition(":")[0] for volume in service.get("volumes", ()) if volume[0].isalpha()}
        assert volumes <= set(compose["volumes"])
        assert all(compose["services"][other].get("healthcheck") for other in service.get("depends_on", ()))


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.name)
def test_commands_of_units(unit: Path) -> None:
    (line,) = re.findall(r"^ExecStart=(.*)$", unit.read_text(), flags=re.MULTILINE)
    program, *words = shlex.split(line)
    found = understood([filled(word).replace("x", "http://x") if word == "${EDGELM_WORKER_SERVER}" else word
                        for word in words])  # fmt: skip
    (state,) = re.findall(r"^StateDirectory=(.*)$", unit.read_text(), flags=re.MULTILINE)
    assert program == "/opt/edgelm/bin/edgelm" and str(found["folder"]) == f"/var/lib/{state}"


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.name)
def test_units_are_what_systemd_takes(unit: Path, tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    if not analyze:
        pytest.skip("systemd is not installed")
    copy = tmp_path / unit.name
    copy.write_text(unit.read_text().replace("/opt/edgelm/bin/edgelm", "/bin/true"))
    said = subprocess.run([analyze, "verify", copy], capture_output=True, text=True, check=False)
    ours = [line for line in said.stderr.splitlines() if unit.name in line]
    assert not ours, "\n".join(ours)
