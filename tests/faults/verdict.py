"""The verdict on a trial: folders before and after are compared, outputs with the undisturbed ones, messages read."""

import gzip
import hashlib
import os
import re
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import safetensors.torch
import torch

from pedseg.runs import ENDED
from tests.faults.stage import Ended
from tests.faults.trial import Scene, Trial, Verdict

REMEDY = re.compile(
    r"→|; |, so |understood are|\b(give|mend|restore|remove|download|copy it|export|use|run|prepare|make|rename|train|"
    r"move|write|add|choose|check|set|free|continues?)\b",
    re.IGNORECASE,
)
CODES = (1, 2, 3, 130, 138, 141, 143)  # documented ones, and 128 + SIGINT, SIGUSR1, SIGPIPE, SIGTERM
CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\x80-\x9f\u202a-\u202e\u2066-\u2069]")
FORMULA = re.compile(r"(^|,)\"?[=+@\t][^,\n]*", re.MULTILINE)
TEMPORARY = re.compile(r"(^|/)\.[0-9a-f]{8}-|\.tmp$|\.part$")
MOST_MEMORY_MB = 3000  # a command on these worlds takes a fifth
MARKER = "pwned"  # what hostile texts would make if they were run
Files = dict[str, str]
MOST_HASHED = 1 << 28
UNHURT = ("home/*",)


@dataclass(frozen=True)
class Reference:
    """What a scene gives when nothing is wrong."""

    outputs: Mapping[str, str]
    ended: Ended


def snapshot(at: Path) -> Files:
    """Kind and content of everything below a folder, but for the word of why a run was left, which a next one takes."""
    found: Files = {}
    for folder, inner, names in os.walk(at):
        paths = [Path(folder) / name for name in (*inner, *names)]
        found |= {str(path.relative_to(at)): _kind(path) for path in paths if path.is_symlink() or not path.is_dir()}
    return {name: content for name, content in found.items() if content and Path(name).name != ENDED}


def _kind(path: Path) -> str:
    """What lies there; nothing for a link that leads nowhere, which nobody misses."""
    mode = path.lstat().st_mode
    if stat.S_ISREG(mode):
        large = path.stat().st_size > MOST_HASHED
        return f"{path.stat().st_size} bytes" if large else hashlib.sha256(path.read_bytes()).hexdigest()
    if stat.S_ISLNK(mode):
        return f"link to {path.readlink()}" if path.exists() else ""
    return f"kind {stat.S_IFMT(mode)}"


def outputs_of(at: Path, patterns: Iterable[str]) -> dict[str, str]:
    """Content of what a scene writes, without what differs from time to time."""
    paths = sorted({path for pattern in patterns for path in at.glob(pattern) if path.is_file()})
    return {str(path.relative_to(at)): _content(path) for path in paths}


def _content(path: Path) -> str:
    if path.stat().st_size > MOST_HASHED:
        return f"{path.stat().st_size} bytes"
    raw = path.read_bytes()
    try:
        if path.suffix == ".gz":
            image = nib.Nifti1Image.from_bytes(gzip.decompress(raw))
            raw = np.asarray(image.dataobj).astype(np.int64).tobytes() + image.affine.tobytes()
        elif path.suffix in {".ckpt", ".pt", ".safetensors"}:
            raw = _weights(path)
    except Exception as error:
        return f"unreadable: {type(error).__name__}"
    return hashlib.sha256(raw).hexdigest()


def _weights(path: Path) -> bytes:
    if path.suffix == ".safetensors":
        content: dict[str, Any] = safetensors.torch.load_file(path)
    else:
        content = torch.load(path, weights_only=True, map_location="cpu")
    state = content.get("state_dict", content)
    return b"".join(
        name.encode() + (value.contiguous().view(-1).view(torch.uint8).numpy().tobytes() if value.numel() else b"")
        for name, value in state.items()
        if isinstance(value, torch.Tensor)
    )


def judge(trial: Trial, ended: Ended, before: Files, at: Path, reference: Reference) -> tuple[Verdict, str]:
    """Verdict on a trial that has ended, and what it rests on."""
    after = snapshot(at)
    hard = _hard(trial, ended, before, after, at)
    if hard:
        return hard
    outputs = outputs_of(at, trial.scene.outputs)
    said = f"{ended.err}\n{ended.out}"
    if ended.code == 0:
        return _of_success(trial, outputs, reference, said)
    wrong = {name for name in outputs.keys() & reference.outputs if outputs[name] != reference.outputs[name]}
    wrong = {name for name in wrong if not name.endswith(".csv")}  # a table without what is wrong has fewer rows
    if wrong and not _names(trial, said):
        return Verdict.SILENT, f"exit code {ended.code}, and other output in {', '.join(sorted(wrong))}"
    return _of_message(trial, ended, said, before, after)


def _hard(trial: Trial, ended: Ended, before: Files, after: Files, at: Path) -> tuple[Verdict, str] | None:
    """What is wrong whatever the output is."""
    elsewhere = sorted(name for name in after.keys() - before.keys() if not _fits(name, (*trial.scene.writes, *UNHURT)))
    gone = sorted(name for name in before.keys() - after.keys() if not TEMPORARY.search(name))
    altered = sorted(
        name
        for name, content in before.items()
        if after.get(name, content) != content and not _fits(name, (*trial.scene.changes, *UNHURT))
    )
    control = CONTROL.search(f"{ended.out}{ended.err}") or _in_tables(trial.scene, at, before)
    found = (
        (Verdict.BREACH, "has done", ended.deeds.strip()[:300]),
        (
            Verdict.BREACH,
            "code was run:",
            next((name for name in after if Path(name).name == MARKER and name not in before), ""),
        ),
        (Verdict.BREACH, "wrote", ", ".join(elsewhere[:5])),
        (Verdict.BREACH, "control characters or a formula", repr(control) if control else ""),
        (Verdict.LOST, "gone:", ", ".join(gone[:5])),
        (Verdict.LOST, "changed:", ", ".join(altered[:5])),
        (Verdict.HANG, "limit of time", "reached" if ended.late else ""),
        (Verdict.HANG, "memory in MB:", str(ended.memory_mb) if ended.memory_mb > MOST_MEMORY_MB else ""),
        (Verdict.TRACEBACK, "", _traceback(ended)),
        *((Verdict(kind), "", text) for kind, text in (note.split(": ", 1) for note in ended.notes)),
    )
    return next(((verdict, f"{what} {text}".strip()) for verdict, what, text in found if text), None)


def _traceback(ended: Ended) -> str:
    if "Traceback (most recent call last)" in ended.err or "Exception ignored" in ended.err:
        return ended.err.strip().splitlines()[-1][:300]
    if ended.code < 0 or ended.code not in (0, *CODES):
        return f"exit code {ended.code}"
    return ""


def _in_tables(scene: Scene, at: Path, before: Files) -> str:
    """A cell that spreadsheets would compute, or a control character, in a text that was written."""
    for pattern in scene.writes:
        for path in at.glob(pattern):
            written = path.is_file() and str(path.relative_to(at)) not in before
            if path.suffix not in {".csv", ".md", ".html", ".tex"} or not written:
                continue
            text = path.read_text(errors="replace")
            if found := CONTROL.search(text) or (FORMULA.search(text) if path.suffix == ".csv" else None):
                return f"{path.name}: {found[0][:60]}"
    return ""


def _of_success(trial: Trial, outputs: Mapping[str, str], reference: Reference, said: str) -> tuple[Verdict, str]:
    if trial.right != "refused" and outputs == reference.outputs:
        return Verdict.HARMLESS, ""
    if trial.right == "any":
        return Verdict.NAMED, trial.why
    differs = sorted(n for n in outputs.keys() | reference.outputs if outputs.get(n) != reference.outputs.get(n))
    if trial.blame and _names(trial, said) and differs:
        return Verdict.CLEAR, "said beside other output"
    return Verdict.SILENT, f"exit code 0; differs: {', '.join(differs[:4]) or 'nothing, but it had to be refused'}"


def _of_message(trial: Trial, ended: Ended, said: str, before: Files, after: Files) -> tuple[Verdict, str]:
    left = [name for name in after.keys() - before.keys() if TEMPORARY.search(name)]
    if left:
        return Verdict.POOR, f"left behind: {left[0]}"
    if trial.how.get("closed"):
        return Verdict.CLEAR, "nobody hears"
    if not said.strip():
        return Verdict.POOR, f"exit code {ended.code} without a word"
    if not _names(trial, said):
        return Verdict.POOR, f"none of {', '.join(trial.blame)} is named"
    if not REMEDY.search(said):
        return Verdict.POOR, "no remedy"
    return Verdict.CLEAR, ""


def _names(trial: Trial, said: str) -> bool:
    flat = " ".join(said.split())
    return not trial.blame or any(text in flat for text in trial.blame)


def _fits(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatch(name, pattern.replace("**/*", "*").replace("**", "*")) for pattern in patterns)
