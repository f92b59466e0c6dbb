"""`ganvas`: commands, exit codes, and errors as one line.

Nothing heavy is imported before a command needs it, so that help answers at once.
"""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

from ganvas.engine.notices import plain_notices
from ganvas.errors import GanvasError, InterruptedRun

EXIT_OK, EXIT_FAILED, EXIT_REFUSED = 0, 1, 2

HELP = """\
ganvas: config-driven experiments with autoencoders, VAEs and GANs

  ganvas train [key=value …]            train one run, e.g. model=vae loss.beta=4 dataset=mnist
  ganvas train -m key=a,b …             train every combination, each in a process of its own
  ganvas sweep status|resume|add DIR    how a sweep goes; go on with it; add cells to it
  ganvas train check=true …             compose, check and build; train nothing
  ganvas train resume=RUN               go on from RUN's last checkpoint
  ganvas train init_from=RUN …          begin with RUN's weights
  ganvas sample RUN [n=64 seed=0 y=CLASS truncation=T prior=gmm format=grid|png|npz]
  ganvas evaluate RUN [split=test checkpoint=best prior=gmm]
  ganvas latent RUN tool=NAME [images=[0,7,cat.png] seed=0 log=true]
                                        a picture, e.g. of codes between two images
  ganvas reproduce RUN [--steps N] [--checkout] [tolerance=0.01]
                                        run it again from its own record, and compare
  ganvas export RUN [OUT.zip]           RUN in one file: config, record, weights, model card
  ganvas compare PATH… [by=model,loss.beta metric=test/elbo format=csv out=FILE]
                                        a table of runs, mean ± standard error over seeds
  ganvas report PATH… [out=report.html title=TEXT]
                                        runs side by side in one file that needs no network
  ganvas dashboard DIR [port=8765]      the same page while runs go on
  ganvas sync PATH… [dry_run=true project=NAME entity=NAME]
                                        upload offline runs to Weights & Biases
  ganvas classifier [dataset=mnist]     train the classifier that serves as features
  ganvas list models|datasets|losses|penalties|networks|likelihoods|tools|experiments|…
  ganvas version

RUN is a run's folder, or the zip it was exported to. Every key: ganvas train --cfg job.
In Python: ganvas.train(["model=vae"]), ganvas.load_run(RUN).
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; its exit code.

    0 done, 1 failed while running, 2 refused before any work, 130 or 143 interrupted.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    commands: dict[str, Callable[[list[str]], int]] = {
        "train": _train,
        "sweep": _sweep,
        "sample": _sample,
        "evaluate": _evaluate,
        "latent": _latent,
        "export": _export,
        "reproduce": _reproduce,
        "compare": _compare,
        "report": _report,
        "dashboard": _dashboard,
        "sync": _sync,
        "classifier": _classifier,
        "list": _list,
        "version": _version,
    }
    asked = {"-h", "--help"} & set(arguments) and arguments[0] != "train"
    if not arguments or asked or arguments[0] == "help":
        print(HELP, end="")
        return EXIT_OK
    if arguments[0] in ("-sc", "--shell-completion"):  # the shell asks without the command's name
        arguments = ["train", *arguments]
    name = "version" if arguments[0] == "--version" else arguments[0]
    if name not in commands:
        from ganvas.engine.compose import suggest

        return _refuse(f"`{name}`: no such command{suggest(name, list(commands))}")
    return _run(commands[name], arguments)


def _run(command: Callable[[list[str]], int], arguments: list[str]) -> int:
    """The command's exit code, and its errors as one line each."""
    try:
        with plain_notices():
            return command(arguments[1:])
    except SystemExit as end:  # argparse's, on `--help` or a flag without its value
        return end.code if isinstance(end.code, int) else EXIT_OK
    except (KeyboardInterrupt, InterruptedRun) as stop:
        number = stop.signal if isinstance(stop, InterruptedRun) else signal.SIGINT
        return _refuse("interrupted", code=128 + number)
    except Exception as error:
        if wants_traceback(arguments):
            traceback.print_exc()
        if isinstance(error, GanvasError):
            return _refuse(str(error))
        from ganvas.engine.failures import fault_of_machine

        if fault := fault_of_machine(error, command=arguments[0]):
            return _refuse(fault, code=EXIT_FAILED)
        # A user's own code or a bug of ours; training begins only once nothing is left to refuse.
        hint = "full_error=true shows where it was raised"
        return _refuse(
            f"{type(error).__name__}: {' '.join(str(error).split())} ({hint})",
            code=EXIT_REFUSED if arguments[0] == "train" else EXIT_FAILED,
        )


def wants_traceback(arguments: Sequence[str]) -> bool:
    """`full_error=true` or GANVAS_FULL_ERROR=1."""
    typed = any(a.lower() in ("full_error=true", "full_error=1") for a in arguments)
    return typed or os.environ.get("GANVAS_FULL_ERROR", "0") not in ("", "0")


def _refuse(message: str, *, code: int = EXIT_REFUSED) -> int:
    for line in message.splitlines():
        print(f"ganvas: {line}", file=sys.stderr)
    return code


def _train(arguments: list[str]) -> int:
    from ganvas.cli.train import train

    return train(arguments)


def _sweep(arguments: list[str]) -> int:
    from ganvas.cli.sweep import sweep

    return sweep(arguments)


def _run_command(arguments: list[str], *, command: str) -> tuple[str, list[str]]:
    """The RUN of `ganvas sample RUN …`, and the rest."""
    first = arguments[0] if arguments else "-"
    if first.startswith("run="):
        return first.removeprefix("run="), arguments[1:]
    if Path(first).exists() or not ("=" in first or first.startswith("-")):
        return first, arguments[1:]
    raise GanvasError(f"{command} needs a run's folder: ganvas {command} RUN [key=value …]")


def _sample(arguments: list[str]) -> int:
    from ganvas.engine.command import command_settings
    from ganvas.engine.settings import SampleSettings

    run, overrides = _run_command(arguments, command="sample")
    settings = command_settings(SampleSettings, "sample", run, overrides)
    from ganvas.engine.sample import sample

    print(sample(settings))
    return EXIT_OK


def _evaluate(arguments: list[str]) -> int:
    from ganvas.engine.command import command_settings
    from ganvas.engine.settings import EvaluateSettings

    run, overrides = _run_command(arguments, command="evaluate")
    settings = command_settings(EvaluateSettings, "evaluate", run, overrides)
    from ganvas.engine.evaluate import evaluate, names_measures
    from ganvas.engine.ranks import global_rank

    chosen = names_measures(overrides)
    results, unfit = evaluate(settings, chosen=chosen, command=overrides)
    if global_rank() > 0:  # all ranks have the same values; the first one speaks
        return EXIT_OK
    width = max((len(result.name) for result in results), default=0)
    for result in results:
        spread = "" if result.uncertainty is None else f" ± {result.uncertainty:.2g}"
        prior = result.provenance.get("prior", "model")
        drawn = "" if prior == "model" else f"  (prior={prior})"
        print(f"{result.split}/{result.name:<{width}}  {result.value:.6g}{spread}{drawn}")
    for reason in dict.fromkeys(unfit.values()):
        names = ", ".join(name for name, why in unfit.items() if why == reason)
        print(f"(left out: {names}: {reason})")
    return EXIT_OK


def _latent(arguments: list[str]) -> int:
    from ganvas.engine.command import command_settings
    from ganvas.engine.settings import LatentSettings

    run, overrides = _run_command(arguments, command="latent")
    settings = command_settings(LatentSettings, "latent", run, overrides)
    from ganvas.engine.latent import draw

    made = draw(settings, command=overrides)
    width = max(map(len, made.values), default=0)
    for name, value in made.values.items():
        print(f"{name:<{width}}  {f'{value:.6g}' if isinstance(value, float) else value}")
    for file in filter(None, (made.path, made.animation)):
        print(file)
    return EXIT_OK


def _export(arguments: list[str]) -> int:
    from ganvas.cli.export import export

    return export(arguments)


def _reproduce(arguments: list[str]) -> int:
    from ganvas.cli.reproduce import reproduce

    return reproduce(arguments)


def _compare(arguments: list[str]) -> int:
    from ganvas.cli.compare import compare

    return compare(arguments)


def _report(arguments: list[str]) -> int:
    from ganvas.cli.report import report

    return report(arguments)


def _dashboard(arguments: list[str]) -> int:
    from ganvas.cli.report import dashboard

    return dashboard(arguments)


def _classifier(arguments: list[str]) -> int:
    from ganvas.engine.compose import compose, resolve
    from ganvas.engine.settings import ClassifierSettings, validate

    composed = compose(arguments, name="classifier")
    settings = validate(ClassifierSettings, resolve(composed.config))
    from ganvas.engine.classifier import make_classifier

    file, line = make_classifier(settings, overrides=arguments)
    print(f"{line}\n{file}")
    return EXIT_OK


def _sync(arguments: list[str]) -> int:
    from ganvas.cli.sync import sync

    return sync(arguments)


def _list(arguments: list[str]) -> int:
    from ganvas.engine.listing import GROUPS, list_options

    if not arguments:
        raise GanvasError(f"list what? There are: {', '.join(GROUPS)}")
    found = list_options(arguments[0])
    width = max((len(name) for name, _ in found), default=0)
    for name, line in found:
        print(f"{name:<{width}}  {line}".rstrip())
    return EXIT_OK


def _version(arguments: list[str]) -> int:
    del arguments
    from ganvas import __version__

    print(__version__)
    return EXIT_OK
