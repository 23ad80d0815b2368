"""To and from other software: ``pedseg convert from-nnunet RESULTS --output runs/nnunet``.

Trained networks become pedseg runs that predict, evaluate, report and ``init=from_run`` accept; pedseg runs become a
MONAI bundle, an ONNX model or safetensors; folds and label maps change their names and their labels.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from pedseg.commands.options import add_output, add_overwrite, add_variant, command, run
from pedseg.errors import PedsegError
from pedseg.locks import writing, writing_file
from pedseg.runs import RunFolder, checkpoints_of, how_it_predicts

NAMINGS = ("nnunet", "brats2023", "brats2021")  # keys of pedseg.interop.label_maps.NAMINGS, which is slow to import


def parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    p = command("convert", "To and from other software.")
    commands = p.add_subparsers(title="conversions", required=True, metavar="CONVERSION")
    _add_from_nnunet(commands)
    _add_exports(commands)
    _add_splits(commands)
    _add_predictions(commands)
    return p


def _add_from_nnunet(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    p = commands.add_parser("from-nnunet", help="trained nnU-Net (v2) or DA-nnUNet → runs")
    p.add_argument(
        "sources", nargs="+", type=Path, metavar="RESULTS", help="result folder (plans.json, fold_*), or .pth files"
    )
    add_output(p, "DIR", "experiment folder, such as runs/nnunet")
    p.add_argument("--plans", type=Path, metavar="JSON", help="plans.json, where it does not lie beside the checkpoint")
    p.add_argument("--checkpoint", default="checkpoint_final.pth", help="name in each fold (default: %(default)s)")
    p.add_argument("--trust", action="store_true", help="open checkpoints that run code when opened; only your own")
    add_overwrite(p, "replace runs that were imported before")
    p.set_defaults(task=from_nnunet)


def _add_exports(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    for name, task, what, output in (
        ("to-bundle", to_bundle, "runs → MONAI bundle (several make an ensemble)", "DIR"),
        ("to-onnx", to_onnx, "a run's segmentation network → ONNX", "FILE.onnx"),
        ("to-safetensors", to_safetensors, "a run's segmentation network → safetensors", "FILE.safetensors"),
    ):
        p = commands.add_parser(name, help=what)
        p.add_argument("run", nargs="+" if name == "to-bundle" else 1, type=Path, metavar="RUN", help="run folder")
        add_output(p, output, "to write")
        add_variant(p, "as which it is used, with that one's thresholds: plain, or a calibrated one")
        add_overwrite(p, "replace an existing output")
        p.set_defaults(task=task)


def _add_splits(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    p = commands.add_parser("splits", help="folds of cohorts → nnU-Net's splits_final.json (read with folds=FILE)")
    p.add_argument(
        "cohorts", nargs="+", type=Path, metavar="DIR", help="cases in any layout; each cohort is split apart"
    )
    add_output(p, "JSON", "file to write")
    p.add_argument("--folds", choices=("patient", "published"), default="patient", help="default: %(default)s")
    p.add_argument(
        "--patients", metavar="TABLE|REGEX", help="whose the cases are: columns case and patient, or a regular "
        "expression whose group is the patient (default: ids tell); as folds.patients=",
    )  # fmt: skip
    add_overwrite(p, "replace an existing file")
    p.set_defaults(task=splits)


def _add_predictions(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    p = commands.add_parser("predictions", help="label maps → names and labels of nnU-Net or of BraTS")
    p.add_argument("input", type=Path, metavar="DIR", help="folder of label maps in any of these namings")
    add_output(p, "DIR", "folder to write")
    p.add_argument("--naming", choices=NAMINGS, required=True, help="nnunet: ID; brats2023: ID-seg; brats2021: ID_seg")
    p.add_argument(
        "--from", dest="source", help="voxel labels that they have (default: as recorded beside them, or brats2023)"
    )
    p.add_argument(
        "--to",
        dest="target",
        help="voxel labels to write, a name or as in '{et: 3, nc: 1, ed: 2, ignore: 4}' (default: those of the naming)",
    )
    add_overwrite(p, "replace existing label maps")
    p.set_defaults(task=predictions)


def from_nnunet(arguments: argparse.Namespace) -> None:
    """Import networks and name the run folders."""
    from pedseg.interop.nnunet.importer import import_networks

    for folder in import_networks(
        arguments.sources,
        arguments.output,
        plans=arguments.plans,
        checkpoint=arguments.checkpoint,
        trust=arguments.trust,
        overwrite=arguments.overwrite,
    ):
        print(folder)


def to_bundle(arguments: argparse.Namespace) -> None:
    """Export a MONAI bundle and say how it is run."""
    from pedseg.interop.bundle.export import export_bundle

    checkpoints = [path for run in arguments.run for path in checkpoints_of(run)]
    thresholds = [_thresholds(checkpoint, arguments.variant) for checkpoint in checkpoints]
    with writing_file(arguments.output):
        command = export_bundle(checkpoints, arguments.output, thresholds=thresholds, overwrite=arguments.overwrite)
    print(f"{arguments.output}; run it with\n  {command}")


def to_onnx(arguments: argparse.Namespace) -> None:
    """Export an ONNX model and say how close to the network it computes."""
    from pedseg.interop.onnx_model import export_onnx

    checkpoint = _checkpoint(arguments.run[0])
    thresholds = _thresholds(checkpoint, arguments.variant)
    with writing_file(arguments.output):
        difference = export_onnx(checkpoint, arguments.output, thresholds=thresholds, overwrite=arguments.overwrite)
    checked = "not run, onnxruntime is not installed"
    if difference is not None:
        checked = f"in onnxruntime {difference:.1e} of the largest logit from the network, at most"
    print(f"{arguments.output}: {checked}")


def to_safetensors(arguments: argparse.Namespace) -> None:
    """Export weights and how to build their network."""
    from pedseg.interop.safetensors_file import export_safetensors

    checkpoint = _checkpoint(arguments.run[0])
    thresholds = _thresholds(checkpoint, arguments.variant)
    with writing_file(arguments.output):
        print(export_safetensors(checkpoint, arguments.output, thresholds=thresholds, overwrite=arguments.overwrite))


def splits(arguments: argparse.Namespace) -> None:
    """Write the folds of cohorts."""
    from pedseg.interop.splits import export_splits

    with writing_file(arguments.output):
        export_splits(
            arguments.cohorts,
            arguments.output,
            grouping=arguments.folds,
            patients=arguments.patients,
            overwrite=arguments.overwrite,
        )
    print(arguments.output)


def predictions(arguments: argparse.Namespace) -> None:
    """Rename and relabel label maps."""
    from pedseg.interop.label_maps import convert_label_maps

    with writing(arguments.output):
        done = convert_label_maps(
            arguments.input,
            arguments.output,
            naming=arguments.naming,
            source=arguments.source,
            target=arguments.target,
            overwrite=arguments.overwrite,
        )
    print(f"label maps were in {done.source}")
    print(f"{done.count} label maps in {arguments.output}, in {done.target}")


def _checkpoint(run: Path) -> Path:
    found = checkpoints_of(run)
    if len(found) > 1:
        raise PedsegError(f"{run} holds {len(found)} runs; give one of them, such as {found[0].parents[1]}")
    return found[0]


def _thresholds(checkpoint: Path, variant: str) -> list[float] | None:
    """Thresholds of a variant of the run that a checkpoint is of.

    Raises:
        PedsegError: the run has no such variant, or it is no matter of thresholds alone.
    """
    from pedseg.calibration.per_case import PerCase
    from pedseg.inference.variants import thresholds_of

    place = RunFolder(checkpoint.parents[1]).variant(variant)
    if how_it_predicts(place).adapt_steps:
        raise PedsegError(
            f"{place.run}: variant {variant} adapts to each case (adapt_steps), which no export does; predict with "
            "pedseg, or export another variant"
        )
    thresholds = thresholds_of(place)
    if isinstance(thresholds, PerCase):
        raise PedsegError(
            f"{place.run}: variant {variant} has thresholds that depend on the case (calibration=per_case), which no "
            "export does; predict with pedseg, or export another variant"
        )
    return None if thresholds is None else list(thresholds)


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code: 0, or 2 if nothing could be converted."""
    return run(parser, lambda arguments: arguments.task(arguments), argv)
