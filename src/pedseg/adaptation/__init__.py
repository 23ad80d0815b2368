"""Methods of unsupervised domain adaptation: terms of the training loss that never see a target label."""

from pedseg.adaptation.adversary import DomainAdversary
from pedseg.adaptation.chosen import methods_of, takes_from_target
from pedseg.adaptation.entropy import EntropyMinimisation
from pedseg.adaptation.mean_teacher import MeanTeacher
from pedseg.adaptation.method import Draw, Images, Method, Stage, Step, Takes
from pedseg.adaptation.norm import DomainNorm
from pedseg.adaptation.prior import SizePrior
from pedseg.adaptation.strong import StrongAugmentation
from pedseg.adaptation.style import FourierStyle, HistogramStyle

__all__ = [
    "DomainAdversary",
    "DomainNorm",
    "Draw",
    "EntropyMinimisation",
    "FourierStyle",
    "HistogramStyle",
    "Images",
    "MeanTeacher",
    "Method",
    "SizePrior",
    "Stage",
    "Step",
    "StrongAugmentation",
    "Takes",
    "methods_of",
    "takes_from_target",
]
