"""The outside tools that make an APK: where they are, which Debian packages bring them, and how they are run.

Commands are logged (`edgelm.deploy.apk.tools`, level INFO) as they would be typed, secrets masked.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import shlex
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from edgelm.errors import EdgelmError, MissingInput, NoSpace

Progress = Callable[[str, int, int], object]  # what is being done, how much of it is, of how much

_FILES = {
    "framework": "/usr/share/android-framework-res/framework-res.apk",
    "smali": "/usr/share/java/smali.jar",
}
_PACKAGES = {
    "aapt": "aapt", "zipalign": "zipalign", "apksigner": "apksigner", "java": "default-jre-headless",
    "keytool": "default-jre-headless", "framework": "android-framework-res", "smali": "libsmali-java",
}  # fmt: skip
_QUICK = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xshare:auto")  # Java for a second of work

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Tools:
    """Path of each tool. Of Android's API the resources alone are needed, and any edition that knows our words does."""

    aapt: str
    zipalign: str
    apksigner: str
    java: str
    keytool: str
    framework: str  # resources to link against
    smali: str  # the assembler's jar

    def assemble(self, sources: Path, dex: Path) -> list[str]:
        """The command that makes bytecode of smali sources."""
        return [self.java, *_QUICK, "-jar", self.smali, "assemble", "--api", "26", "--jobs", "1",
                "--output", str(dex), str(sources)]  # fmt: skip

    def versions(self) -> dict[str, str]:
        """Version of each tool that shapes the APK, as far as it says one without being started."""
        said = run([self.aapt, "version"], seconds=30).strip()
        jars = {name: Path(path).resolve().stem for name, path in (("smali", self.smali), ("apksigner", _SIGNER_JAR))}
        return {"aapt": said.rpartition(" ")[2], **{name: jar.partition("-")[2] for name, jar in jars.items()}}


_SIGNER_JAR = "/usr/share/java/apksigner.jar"


def find_tools() -> Tools:
    """All tools.

    Raises:
        MissingInput: some are not installed; it names every one, and the Debian packages that bring them.
    """
    found = {field.name: _place(field.name) for field in fields(Tools)}
    missing = [name for name, path in found.items() if path is None]
    if missing:
        packages = sorted({_PACKAGES[name] for name in missing})
        raise MissingInput(
            "the tools that make an APK are not installed",
            why=f"missing: {', '.join(_said(name) for name in missing)}",
            mend=f"scripts/android-tools, or on Debian: sudo apt-get install {' '.join(packages)}",
        )
    return Tools(**{name: path for name, path in found.items() if path is not None})


def _place(name: str) -> str | None:
    if name in _FILES:
        return _FILES[name] if Path(_FILES[name]).is_file() else None
    return shutil.which(name)


def _said(name: str) -> str:
    return _FILES.get(name, name)


@contextlib.contextmanager
def stage(label: str, progress: Progress) -> Iterator[None]:
    """Show a command as a bar of one step while it runs."""
    progress(label, 0, 1)
    yield
    progress(label, 1, 1)


def run(
    command: Sequence[str], *, seconds: float, environment: Mapping[str, str] | None = None, secret: str = ""
) -> str:
    """What a command printed.

    Args:
        command: words; the first is the program.
        seconds: after which it is ended.
        environment: variables beside those that are there.
        secret: a word that neither an error nor the log may show.

    Raises:
        EdgelmError: it failed, took too long, or could not be started; with its last words.
        NoSpace: the disk is full.
    """
    program = Path(command[0]).name
    shown = shlex.join(word.replace(secret, "…") if secret else word for word in command)
    _log.info("$ %s", shown)
    try:
        result = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=seconds, check=False,
                                stdin=subprocess.DEVNULL, env={**os.environ, **(environment or {})})  # fmt: skip
    except subprocess.TimeoutExpired:
        raise EdgelmError(f"{program} took more than {seconds:.0f} s and was ended", why=shown,
                          mend="run it again when the machine has less to do") from None  # fmt: skip
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise NoSpace(f"no space left for {program}", mend="free some space, then run it again") from None
        raise EdgelmError(f"{program} could not be started", why=error.strerror or str(error),
                          mend="install it anew: scripts/android-tools") from None  # fmt: skip
    if result.returncode == 0:
        return result.stdout
    words = "\n".join((result.stderr.strip() or result.stdout.strip()).splitlines()[-5:])
    words = words.replace(secret, "…") if secret else words
    if "No space left" in words:
        raise NoSpace(f"no space left for {program}", mend="free some space, then run it again")
    raise EdgelmError(f"{program} failed with code {result.returncode}", why=words or "it said nothing",
                      mend=f"try it by hand: {shown}")  # fmt: skip
