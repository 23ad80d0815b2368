"""The part of pedseg that a bundle carries along, and the packages which that part needs."""

import ast
import re
import shutil
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pedseg
from pedseg.errors import PedsegError

PACKAGE = "pedseg"
ALSO = ("fire",)  # python -m monai.bundle needs it


def copy_sources(entry: str, destination: Path) -> set[str]:
    """Copy the module `entry` and every module of pedseg that it imports, directly or not, below `destination`.

    Returns:
        Names of the other top-level modules which these import, without the standard library.
    """
    root = Path(pedseg.__file__).parent
    foreign: set[str] = set()
    waiting, done = [entry], set()
    while waiting:
        module = waiting.pop()
        path = _source(root, module)
        if module in done or path is None:
            continue
        done.add(module)
        target = destination / PACKAGE / path.relative_to(root)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
        for name in {module.rpartition(".")[0], *_imports(path)} - {""}:
            if name.split(".")[0] == PACKAGE:
                waiting.append(name)
            else:
                foreign.add(name.split(".")[0])
    return foreign - sys.stdlib_module_names


def _source(root: Path, module: str) -> Path | None:
    """File of a module; None if the name is that of something inside one."""
    base = root.joinpath(*module.split(".")[1:])
    return next((path for path in (base / "__init__.py", base.with_suffix(".py")) if path.is_file()), None)


def _imports(path: Path) -> Iterator[str]:
    """Yield every name that a file imports: ``from a.b import c`` gives a.b and a.b.c, which may be a module too."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def requirements(modules: set[str]) -> dict[str, tuple[str, str]]:
    """Installed version and pedseg's bounds of each distribution that `modules` come from, sorted by name.

    Raises:
        PedsegError: pedseg or one of the distributions is not installed with its metadata.
    """
    try:
        bounds = {
            _canonical(re.split(r"[^\w.-]", requirement)[0]): requirement.partition(";")[0].strip()
            for requirement in metadata.requires(PACKAGE) or []
        }
        providers = metadata.packages_distributions()
        found = {_canonical(name) for module in modules for name in providers.get(module, ())}
        names = (found & bounds.keys()) | set(ALSO)
        return {name: (metadata.version(name), bounds.get(name, name)) for name in sorted(names)}
    except metadata.PackageNotFoundError as error:
        raise PedsegError(f"{error}; pip install 'pedseg[export]'") from error


def _canonical(name: str) -> str:
    """Name of a distribution as PyPI normalises it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def licence() -> str:
    """Text of pedseg's licence.

    Raises:
        PedsegError: pedseg is not installed with its metadata.
    """
    try:
        text = metadata.distribution(PACKAGE).read_text("licenses/LICENSE")
    except metadata.PackageNotFoundError as error:
        raise PedsegError(f"{error}; pip install 'pedseg[export]'") from error
    if text is None:
        raise PedsegError("the installed pedseg lacks its LICENSE; install it again with pip")
    return text
