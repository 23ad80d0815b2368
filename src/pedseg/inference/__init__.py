"""From a checkpoint and a case to a label map on the case's own grid."""

from pedseg.inference.cases import predict_cases
from pedseg.inference.checkpoint import LoadedNetwork, load_network
from pedseg.inference.predictor import Predictor
from pedseg.inference.settings import Settings, best_device, settings_of_run
from pedseg.inference.sliding_window import gaussian_importance, sliding_window_logits, window_starts

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
