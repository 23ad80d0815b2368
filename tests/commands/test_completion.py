"""Completion as a shell does it: keys are typed into a terminal, and the words that the command gets are looked at."""

import os
import pty
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pedseg.commands.completion import SHELLS, settings_words
from pedseg.commands.dispatcher import VERBS

TAB, ENTER = "\t", "\n"


@pytest.fixture(scope="module")
def printed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the scripts that ``pedseg completion`` prints."""
    folder = tmp_path_factory.mktemp("some scripts")
    for shell in SHELLS:
        command = [sys.executable, "-m", "pedseg", "completion", shell]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        (folder / shell).write_text(done.stdout)
    return folder


def typed(script: Path, keys: str, *, cwd: Path) -> list[str]:
    """Type a line into bash, in which pedseg prints its words; the words."""
    start = "PS1=; bind 'set enable-bracketed-paste off' 'set bell-style none'"
    rc = cwd / "rc"
    rc.write_text(f"{start}\nsource '{script}'\npedseg() {{ printf '<%s>' \"$@\" > words; exit; }}\n")
    terminal, end = pty.openpty()
    environment = {**os.environ, "TERM": "dumb", "INPUTRC": "/dev/null"}
    command = ["bash", "--noprofile", "--rcfile", str(rc), "-i"]
    with subprocess.Popen(command, stdin=end, stdout=end, stderr=end, cwd=cwd, env=environment) as shell:
        os.close(end)
        os.write(terminal, f"{keys}{ENTER}".encode())
        shell.wait(timeout=20)
    os.close(terminal)
    return (cwd / "words").read_text().strip("<>").split("><")


@pytest.mark.skipif(not shutil.which("bash"), reason="there is no bash")
@pytest.mark.parametrize(
    ("keys", "words"),
    [
        (f"pedseg prep{TAB}", ["prepare"]),
        (f"pedseg phan{TAB}--adul{TAB}3", ["phantom", "--adults", "3"]),
        (f"pedseg predict --dev{TAB}cu{TAB}", ["predict", "--device", "cuda"]),
        (f"pedseg predict --var{TAB}tent_ca{TAB}", ["predict", "--variant", "tent_calibrated"]),
        (f"pedseg predict --ru{TAB}a\\ r{TAB}", ["predict", "--run", "a run/"]),
        (f"pedseg convert to-o{TAB}a\\ r{TAB} --outp{TAB}x", ["convert", "to-onnx", "a run/", "--output", "x"]),
        (f"pedseg train experiment=uda_al{TAB}_b{TAB}", ["train", "experiment=uda_alpha0_batchnorm"]),
        (f"pedseg train fold={TAB}3 --dry{TAB}", ["train", "fold=3", "--dry-run"]),
        (f"pedseg train fold=al{TAB}ex{TAB}m3{TAB}_n{TAB}", ["train", "fold=all", "experiment=m3_mixed_nods"]),
        (f"pedseg train -m trainer=dd{TAB}sca{TAB}to{TAB}", ["train", "-m", "trainer=ddp", "scale=toy"]),
        (f"pedseg prepare --ch{TAB}data=ph{TAB}", ["prepare", "--check", "data=phantom"]),
        (f"pedseg prepare ski{TAB}t{TAB}exp{TAB}", ["prepare", "skip_bad=true", "exp"]),
        (
            f"pedseg train trainer.prec{TAB}b{TAB}data.aug{TAB}n{TAB}",
            [
                "train",
                "trainer.precision=bf16-mixed",
                "data.augmentation=nnunet",
            ],
        ),
    ],
)
def test_bash_completes(keys: str, words: list[str], printed: Path, tmp_path: Path) -> None:
    (tmp_path / "a run").mkdir()
    assert typed(printed / "bash", keys, cwd=tmp_path) == words


@pytest.mark.parametrize("shell", SHELLS)
def test_scripts_are_whole_and_name_everything(shell: str, printed: Path) -> None:
    text = (printed / shell).read_text()
    assert all(name in text for name in (*VERBS, *settings_words("train"), "window-batch", "to-bundle"))
    if not shutil.which(shell):
        pytest.skip(f"there is no {shell} to read the script with")
    subprocess.run([shell, "-n", printed / shell], check=True)
