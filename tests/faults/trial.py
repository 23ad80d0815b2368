"""What is tried, and what became of it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal

from tests.faults.stage import Ended, Stage


class Verdict(StrEnum):
    """From the best to the worst."""

    HARMLESS = "harmless"  # the output is the right one
    CLEAR = "clear"  # refused, with the file and a remedy, and a documented exit code
    NAMED = "named"  # other output without a word, and nothing could have told the damage
    POOR = "poor"  # refused, but neither file nor remedy is named, or leftovers stay
    SILENT = "silent"  # exit code 0 and other output, without a word
    HANG = "hang"
    TRACEBACK = "traceback"
    LOST = "lost"  # what was there before is gone or changed
    BREACH = "breach"  # written elsewhere, code run, network, a label of the target read, control characters


ALLOWED = (Verdict.HARMLESS, Verdict.CLEAR, Verdict.NAMED)
Right = Literal["same", "refused", "any"]


@dataclass(frozen=True)
class Scene:
    """A command on a small world.

    Attributes:
        name: of the scene.
        parts: files and folders of the world that it needs.
        command: words of the command line; paths are relative to the scene's folder, where the command runs.
        writes: patterns of what the command may add.
        changes: patterns of what it may change; nothing may go.
        outputs: patterns of what is compared with the undisturbed output.
        forbidden: pattern of names of files that may not be read.
    """

    name: str
    parts: tuple[str, ...]
    command: tuple[str, ...]
    writes: tuple[str, ...]
    outputs: tuple[str, ...]
    changes: tuple[str, ...] = ()
    forbidden: str = ""

    def run(self, stage: Stage, **how: Any) -> Ended:
        """Run the command, alone."""
        (ended,) = stage.run([stage.prepared(self.command, forbidden=self.forbidden, **how)])
        return ended


def alone(stage: Stage, trial: "Trial") -> Ended:
    """Run the command of a trial once."""
    return trial.scene.run(stage, **trial.how)


@dataclass(frozen=True)
class Trial:
    """One damaged input.

    Attributes:
        family: that it belongs to.
        name: of its own in the family.
        scene: the command.
        damage: what is done to the world before, in its folder.
        blame: texts of which a message has to hold one; empty for any message.
        right: ``same``: the undisturbed output or a refusal; ``refused``: a refusal; ``any``: nothing can tell the
            damage, for the reason `why`.
        why: see there.
        how: process that runs the command, as `Stage.prepared` takes it.
        play: runs the command, or several.
    """

    family: str
    name: str
    scene: Scene
    damage: Callable[[Path], object]
    blame: Sequence[str] = ()
    right: Right = "same"
    why: str = ""
    how: Mapping[str, Any] = field(default_factory=dict)
    play: Callable[[Stage, "Trial"], Ended] = alone

    @property
    def key(self) -> str:
        """Name of the trial among all."""
        return f"{self.family}: {self.name} ({self.scene.name})"


@dataclass(frozen=True)
class Outcome:
    """A trial and its verdict, at a state of the code."""

    family: str
    key: str
    verdict: Verdict
    detail: str
    code: int
    seconds: float
    memory_mb: int
    said: str
    state: str = ""
