"""Stand-ins for the commands of SLURM that submitit calls, for one node and no other user: what cannot be here.

``python commands.py NAME FOLDER ARGUMENTS`` is the command NAME; FOLDER holds the state: the batch script, a file with
the process of each task, and a note for each task that is to be queued again.
"""

import os
import re
import subprocess
import sys
import time
from pathlib import Path

JOB = "77"


def sbatch(folder: Path, arguments: list[str]) -> None:
    """Note the script and run its array tasks in the background."""
    script = folder / "batch.sh"
    script.write_text(Path(arguments[-1]).read_text(encoding="utf-8"), encoding="utf-8")
    found = re.search(r"--array=0-(\d+)", script.read_text(encoding="utf-8"))
    for task in range(int(found.group(1)) + 1 if found else 1):
        command = [sys.executable, __file__, "slurmd", str(folder), str(task)]
        away = subprocess.DEVNULL
        subprocess.Popen(command, stdin=away, stdout=away, stderr=away, start_new_session=True)
    print(f"Submitted batch job {JOB}")  # noqa: T201


def slurmd(folder: Path, arguments: list[str]) -> None:
    """Run a task, and again as long as it is queued again."""
    (task,) = arguments
    script = folder / "batch.sh"
    cores = re.search(r"--cpus-per-task=(\d+)", script.read_text(encoding="utf-8"))
    given = {
        "JOB_ID": f"{JOB}{task}", "ARRAY_JOB_ID": JOB, "ARRAY_TASK_ID": task, "JOB_NAME": "pedseg", "NTASKS": "1",
        "NTASKS_PER_NODE": "1", "JOB_NUM_NODES": "1", "NNODES": "1", "JOB_NODELIST": "localhost", "PROCID": "0",
        "LOCALID": "0", "NODEID": "0", "CPUS_PER_TASK": cores.group(1) if cores else "1",
    }  # fmt: skip
    environment = os.environ | {f"SLURM_{name}": value for name, value in given.items()}
    note = folder / f"requeue_{JOB}_{task}"
    while True:
        subprocess.run(["bash", str(script)], env=environment, check=False)
        if not note.exists():
            break
        note.unlink()


def srun(folder: Path, arguments: list[str]) -> None:
    """Become the command, with output where it is asked for."""
    task = os.environ["SLURM_ARRAY_TASK_ID"]
    while arguments[0].startswith("-"):
        option, _, value = arguments.pop(0).partition("=")
        if option in ("--output", "--error"):
            path = value or arguments.pop(0)
            for pattern, text in (("%A", JOB), ("%a", task), ("%t", "0"), ("%j", f"{JOB}{task}")):
                path = path.replace(pattern, text)
            while not Path(path).parent.exists():  # a queue is slower than submitit, which makes the folder afterwards
                time.sleep(0.05)
            file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            os.dup2(file, 1 if option == "--output" else 2)
    (folder / f"process_{task}").write_text(str(os.getpid()), encoding="ascii")
    os.execvp(arguments[0], arguments)  # noqa: S606  (as srun does)


def scontrol(folder: Path, arguments: list[str]) -> None:
    """Note that a task is to be queued again."""
    (folder / f"requeue_{arguments[1]}").touch()


def sacct(folder: Path, arguments: list[str]) -> None:
    """Say that everything runs; submitit looks at the results of its jobs besides."""
    del folder, arguments
    print(f"JobID|State|NodeList\n{JOB}_0|RUNNING|localhost\n{JOB}_1|RUNNING|localhost")  # noqa: T201


COMMANDS = {command.__name__: command for command in (sbatch, slurmd, srun, scontrol, sacct)}


def install(folder: Path) -> Path:
    """Write the commands into ``<folder>/bin`` and return it, for the search path."""
    programs = folder / "bin"
    programs.mkdir(parents=True)
    for name in COMMANDS:
        program = programs / name
        program.write_text(
            f'#!/bin/sh\nexec "{sys.executable}" "{__file__}" {name} "{folder}" "$@"\n', encoding="utf-8"
        )
        program.chmod(0o755)
    return programs


if __name__ == "__main__":
    COMMANDS[sys.argv[1]](Path(sys.argv[2]), sys.argv[3:])
