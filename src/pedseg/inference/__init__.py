"""From a checkpoint and a case to a label map on the case's own grid.

Names are loaded when they are first asked for, so that rules of post-processing, which need no network, load no torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pedseg.inference.cases import predict_cases
    from pedseg.inference.checkpoint import LoadedNetwork, load_network
    from pedseg.inference.predictor import Predictor
    from pedseg.inference.settings import Settings, best_device, settings_of_run
    from pedseg.inference.sliding_window import gaussian_importance, sliding_window_logits, window_starts

_MODULES = {
    "LoadedNetwork": "checkpoint",
    "Predictor": "predictor",
    "Settings": "settings",
    "best_device": "settings",
    "gaussian_importance": "sliding_window",
    "load_network": "checkpoint",
    "predict_cases": "cases",
    "settings_of_run": "settings",
    "sliding_window_logits": "sliding_window",
    "window_starts": "sliding_window",
}

__all__ = [
    "LoadedNetwork",
    "Predictor",
    "Settings",
    "best_device",
    "gaussian_importance",
    "load_network",
    "predict_cases",
    "settings_of_run",
    "sliding_window_logits",
    "window_starts",
]


def __getattr__(name: str) -> Any:  # noqa: ANN401  (PEP 562)
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
