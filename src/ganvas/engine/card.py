"""The model card of an exported run: README.md in its zip, written from the record alone."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from ganvas.engine.listing import list_options
from ganvas.errors import ConfigError

_LICENCE = """\
Not stated: neither for these weights nor for the images that they were trained on. ganvas itself
is free software; that says nothing of either."""

_SHORT = 12  # hex digits of a hash in running text


def card(
    record: Mapping[str, Any],
    config: Mapping[str, Any],
    *,
    name: str,
    weights: Mapping[str, Mapping[str, Any]],
    foreign: Sequence[str],
    files: Sequence[str],
) -> str:
    """The text.

    Args:
        record: content of `run.json`, as exported.
        config: of the run, as exported.
        name: of the zip.
        weights: step and hash by file.
        foreign: paths of the exporter's machine that are left in the config.
        files: all names in the zip.
    """
    choices = record.get("choices") or {}
    model, data = (str(choices.get(key) or "own") for key in ("model", "dataset"))
    parts = {
        "": _opening(record, config, model=model, data=data),
        "How to use it": _use(name, bool(weights)),
        "Data": _table(_data(record, config, data)),
        "Training": _table(_training(record, config, weights)),
        "Machine and packages": _table(_machine(record)),
        "Weights": _weights(weights),
        "Metrics": _metrics(record),
        "Evaluations": _evaluations(record),
        "What is in the zip, and what is not": _inside(files, foreign),
        "Limits": _limits(record),
        "Licence": [_LICENCE],
    }
    lines = ["---", "library_name: ganvas", f"tags: {json.dumps([model, data])}", "---", ""]
    for title, text in parts.items():
        if text:
            lines += [*([f"## {title}", ""] if title else []), *text, ""]
    return "\n".join(lines)


def _opening(
    record: Mapping[str, Any], config: Mapping[str, Any], *, model: str, data: str
) -> list[str]:
    what = _first_line("models", model)
    target = (config.get("model") or {}).get("_target_", "a model")
    told = f"`model={model}` ({what.rstrip('.')})" if what else f"`{target}`"
    return [
        f"# {record['name']}",
        "",
        f"{told}, trained on `dataset={data}` with ganvas "
        f"{(record.get('packages') or {}).get('ganvas') or ''}".rstrip()
        + ".",
        "Numbers and settings below are copied from the run's own record; nobody edited them.",
    ]


def _first_line(kind: str, name: str) -> str:
    """Of an option of ganvas itself; nothing of a user's own."""
    try:
        return dict(list_options(kind)).get(name, "")
    except ConfigError:
        return ""


def _use(name: str, sampled: bool) -> list[str]:
    commands = [
        f"ganvas sample {name} n=64           # a model without a prior of its own: prior=gmm",
        f"ganvas evaluate {name}",
        f"ganvas latent {name} tool=interpolate",
    ]
    python = ["run.model.sample(16)  # images in [0, 1], (16, C, H, W)"]
    return [
        "```bash",
        *(commands if sampled else []),
        f"ganvas reproduce {name}             # trains it again and compares",
        "```",
        "",
        "```python",
        "import ganvas",
        f'run = ganvas.load_run("{name}")',
        *(python if sampled else []),
        "run.metrics()  # a pandas table",
        "```",
        "",
        "The folders of your machine take the place of those it was trained with "
        "(`GANVAS_DATA_DIR`, `GANVAS_CACHE_DIR` …).",
    ]


def _data(
    record: Mapping[str, Any], config: Mapping[str, Any], name: str
) -> Iterator[tuple[str, Any]]:
    data = config.get("dataset") or {}
    yield "data set", name
    yield "what it is", _first_line("datasets", name)
    yield "fingerprint of its images", record.get("dataset_fingerprint")
    yield "held out for validation", data.get("val_size")
    yield "seed of the split", data.get("split_seed")
    yield "at most, for training", data.get("max_train")
    yield "image size", data.get("image_size")
    yield "batch size (all devices)", data.get("batch_size")
    yield "augmentation", {k: v for k, v in (data.get("augment") or {}).items() if v} or None
    yield "images that could not be read", record.get("skipped_images")


def _training(
    record: Mapping[str, Any],
    config: Mapping[str, Any],
    weights: Mapping[str, Mapping[str, Any]],
) -> Iterator[tuple[str, Any]]:
    trainer, usage = config.get("trainer") or {}, record.get("usage") or {}
    steps = max((int(note["step"]) for note in _notes(record)), default=None)
    yield "command", f"`{record['command']}`" if record.get("command") else None
    yield "status", record["status"] + (f": {record['reason']}" if record.get("reason") else "")
    yield "budget", {k: trainer.get(k) for k in ("max_steps", "max_epochs") if trainer.get(k)}
    yield "steps (batches)", steps
    yield "images seen", max((w.get("images_seen") or 0 for w in weights.values()), default=None)
    yield "seed", record.get("seed")
    yield "seconds", _number(usage.get("seconds"))
    yield "began with the weights of", record.get("parent")
    yield "resumed at step", [part.get("from_step") for part in record.get("resumed") or []] or None
    yield "precision", trainer.get("precision")
    yield "hash of the config", record.get("config_hash")
    git = record.get("git") or {}
    changed = ", with changes that were not committed" if git.get("dirty") else ""
    yield "commit of the working folder", f"{git['sha']}{changed}" if git.get("sha") else None


def _notes(record: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """What says a step: the values and the weights of the end."""
    yield from (metric["final"] for metric in record["metrics"].values() if metric.get("final"))
    yield from (record.get("weights") or {}).values()


def _machine(record: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    hardware = record.get("hardware") or {}
    devices = [device.get("name") for device in hardware.get("devices") or []]
    yield "devices", ", ".join(map(str, devices)) or "CPU alone"
    yield "CPU", f"{hardware.get('cpu')} ({hardware.get('cpu_capability')})"
    yield "threads of torch", hardware.get("torch_threads")
    yield "system", hardware.get("platform")
    yield from (record.get("packages") or {}).items()


def _weights(weights: Mapping[str, Mapping[str, Any]]) -> list[str]:
    if not weights:
        return ["None: the record alone was exported."]
    rows = [(name, note["step"], f"`{note['sha256']}`") for name, note in weights.items()]
    return [
        *_rows(("file", "step", "hash of the content"), rows),
        "",
        "`best` was selected on the validation split; `last` is of the last step. The files are "
        "safetensors: they hold numbers and run no code.",
    ]


def _metrics(record: Mapping[str, Any]) -> list[str]:
    rows = []
    for name, metric in record["metrics"].items():
        final, best = metric.get("final") or {}, metric.get("best") or {}
        better = {True: "higher", False: "lower"}.get(metric.get("higher_is_better"), "")
        at = best.get("step", "")
        rows.append((name, _number(final.get("value")), _number(best.get("value")), at, better))
    heads = ("metric", "final", "best", "at step", "better is")
    text = _rows(heads, rows) if rows else ["None were recorded."]
    one_seed = "One run under one seed: no ranking follows from it."
    protocol = record.get("protocol")
    taken = ["", f"Protocol: {_plain(protocol)}."] if protocol else []
    return [*text, *taken, "", one_seed]


def _evaluations(record: Mapping[str, Any]) -> list[str]:
    """One table; the protocols, of which many values share one, are numbered beneath."""
    rows, protocols = [], []
    for found in record["evaluations"]:
        if (protocol := _plain(found.get("protocol"))) not in protocols:
            protocols.append(protocol)
        error = _number(found.get("uncertainty"))
        value = _number(found.get("value")) + (f" ± {error}" if error else "")
        name = f"{found.get('split')}/{found.get('name')}"
        prior = (found.get("provenance") or {}).get("prior", "")
        number = protocols.index(protocol) + 1
        rows.append((name, value, found.get("checkpoint"), prior, f"[{number}]"))
    if not rows:
        return ["None were recorded; `ganvas evaluate` takes some."]
    heads = ("value", "± standard error", "checkpoint", "prior", "protocol")
    listed = [f"[{i}] {text}  " for i, text in enumerate(protocols, 1)]
    text = "Only values of one protocol may be compared:"
    return [*_rows(heads, rows), "", text, "", *listed]


def _inside(files: Iterable[str], foreign: Sequence[str]) -> list[str]:
    pictures = [name for name in files if name.startswith("samples/")]
    plain = [name for name in files if not name.startswith("samples/")]
    text = [
        f"{', '.join(f'`{name}`' for name in plain)}"
        + (f" and {len(pictures)} pictures in `samples/`" if pictures else "")
        + "; `MANIFEST.json` has the sha256 of each.",
        "",
        "Left out: `log.txt` and `wandb/` (they may hold anything that was printed), the state of "
        "the optimisers (so the run can't be resumed, but `init_from=` begins with its weights), "
        "periodic checkpoints, fitted priors and drawn pictures. Secrets are replaced by `***`, "
        "folders of `paths` by `<paths.…>`.",
    ]
    if foreign:
        keys = "; ".join(f"`{path}`" for path in foreign)
        text += ["", f"The config names places of the machine it was trained on: {keys}."]
    return text


def _limits(record: Mapping[str, Any]) -> list[str]:
    lines = [
        "- Values hold for these images, this split and this protocol.",
        "- Bit-for-bit equality is to be expected on the same kind of CPU with the same packages "
        "and threads; elsewhere within a tolerance. `ganvas reproduce` says which.",
        "- A model draws what its images show, with their biases; nothing was done against that.",
    ]
    if record["status"] != "finished":
        lines.insert(
            0, f"- The run ended as `{record['status']}`: its weights are those until then."
        )
    for collapse in record.get("collapses") or []:
        lines.append(f"- A collapse was reported: {_plain(collapse)}.")
    return lines


def _table(rows: Iterable[tuple[str, Any]]) -> list[str]:
    return _rows(("", ""), [(k, _plain(v)) for k, v in rows if v not in (None, "", {})])


def _rows(heads: Sequence[str], rows: Iterable[Sequence[Any]]) -> list[str]:
    def line(cells: Iterable[Any]) -> str:
        return f"| {' | '.join(_cell(cell) for cell in cells)} |"

    return [line(heads), "|---" * len(heads) + "|", *map(line, rows)]


def _cell(value: Any) -> str:
    return " ".join(str("" if value is None else value).split()).replace("|", "\\|")


def _plain(value: Any) -> str:
    """Containers as `key=value`, hashes of any length cut."""
    if isinstance(value, Mapping):
        return ", ".join(f"{key}={_inner(item)}" for key, item in value.items())
    if isinstance(value, list):
        return ", ".join(_inner(item) for item in value)
    return str(value)


def _inner(value: Any) -> str:
    if isinstance(value, Mapping | list):
        return f"({_plain(value)})"
    text = str(value).lower() if value is None or isinstance(value, bool) else str(value)
    is_hash = len(text) > 2 * _SHORT and set(text) <= set("0123456789abcdef")
    return f"{text[:_SHORT]}…" if is_hash else text


def _number(value: Any) -> str:
    if isinstance(value, float) and math.isfinite(value):
        return f"{value:.6g}"
    return "" if value is None else str(value)
