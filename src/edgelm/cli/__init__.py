"""The command line: one file a verb, imported only when the verb is called, so that `edgelm --help` is instant."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from edgelm import __version__
from edgelm.cli.console import complain
from edgelm.errors import EXIT_FAULT, EXIT_INPUT, EdgelmError, MissingPackage
from edgelm.plugins import available

# The order of the work, left to right; verbs of other packages come after.
ORDER = ("init", "train", "compress", "evaluate", "compare", "measure", "deploy", "opencompass", "lm-eval", "results",
         "pack", "check", "submit", "rescore", "verify", "score", "replay", "holdout", "show", "ls",
         "data")  # fmt: skip
INTERRUPTED, TERMINATED = 130, 143
WHOLE = 1000  # characters, more than any sentence has


class Group(TyperGroup):
    """Verbs, listed with their whole first sentences, which typer cuts to a line."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the list of verbs."""
        verbs = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        with formatter.section("Commands"):
            formatter.write_dl(
                [(name, verb.get_short_help_str(WHOLE)) for name, verb in verbs if verb and not verb.hidden]
            )


def build(called: str | None) -> typer.Typer:
    """The application; only the verb that is called is imported, the others are listed by their files' first line."""
    app = typer.Typer(
        name="edgelm", cls=Group, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False,
        rich_markup_mode=None,  # rich's help takes longer to load than all the rest together
        context_settings={"max_content_width": 120},
    )  # fmt: skip
    app.callback()(_top)
    verbs = available("cli")
    for name in sorted(verbs, key=lambda verb: (ORDER.index(verb) if verb in ORDER else len(ORDER), verb)):
        target = verbs[name].load() if name == called else _listed_only
        if isinstance(target, typer.Typer):
            app.add_typer(target, name=name, help=verbs[name].summary, cls=Group)
        else:
            app.command(name, help=verbs[name].summary)(target)
    return app


def _listed_only() -> None:
    """Stand for a verb in the list of verbs."""


def _version(wanted: bool) -> None:
    if wanted:
        print(f"edgelm {__version__}")
        raise typer.Exit


def _top(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Language models on edge devices, unquantised: from weights to leaderboard.

    Every verb reads folders and writes one folder. Exit codes: 0 good, 1 findings, 2 your input, 3 our fault.
    """


def main() -> None:
    """Run the command line and end the process with its exit code."""
    # The libraries below print progress and advice of their own; ours goes to stderr in one form.
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    # OpenMP threads that spin while they wait make small models tenfold slower as soon as another program runs.
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(TERMINATED))  # unfinished folders are removed on the way out
    called = next((word for word in sys.argv[1:] if not word.startswith("-")), None)
    try:
        build(called)()
    except EdgelmError as error:
        complain(error)
        sys.exit(error.exit_code)
    except SystemExit as end:
        if end.code in (INTERRUPTED, TERMINATED):  # the first is what typer makes of a KeyboardInterrupt
            print("interrupted; nothing half-made is left", file=sys.stderr)
        raise
    except Exception as error:
        package = (error.name or "").partition(".")[0] if isinstance(error, ModuleNotFoundError) else ""
        if package not in ("", "edgelm"):
            complain(MissingPackage(package, "all"))
            sys.exit(EXIT_INPUT)
        traceback.print_exc()
        print(f"\nThis is a fault of edgelm {__version__}, not yours. Please report the lines above.", file=sys.stderr)
        sys.exit(EXIT_FAULT)
