"""Schedules as pure functions of training progress, a number in [0, 1].

No state is kept, so a resumed run continues them by construction.
"""

from pedseg.settings.signature import NotNegative


def poly_decay(progress: float, *, exponent: NotNegative = 0.9) -> float:
    """Factor of the learning rate, ``(1 - progress) ** exponent`` (nnU-Net: Isensee et al. 2021, exponent 0.9).

    Args:
        progress: of the training.
        exponent: 1 for a straight line to 0, less for one that falls late.
    """
    return float((1.0 - progress) ** exponent)


def inverse_decay(progress: float, *, slope: NotNegative = 10.0, exponent: NotNegative = 0.75) -> float:
    """Factor of the learning rate, ``(1 + slope * progress) ** -exponent`` (Ganin et al. 2016, section 5.2.2).

    The paper's UDA model uses 10 and 0.75; its released code uses an exponent of 1.0.

    Args:
        progress: of the training.
        slope: how soon it falls.
        exponent: how far.
    """
    return float((1.0 + slope * progress) ** -exponent)


def constant(progress: float) -> float:
    """Factor of a learning rate that does not change."""
    del progress
    return 1.0


def linear_ramp(progress: float, *, start: float, end: float, maximum: float) -> float:
    """0 up to `start`, linear to `maximum` at `end`, then constant.

    The strength alpha of the gradient reversal layer (Fu et al. 2024, section 2.2, after Kamnitsas et al. 2017) with
    ``start = 100/500``, ``end = 350/500`` and ``maximum = 3`` for the paper's 500 epochs.

    Raises:
        ValueError: not ``start < end``.
    """
    if not start < end:
        raise ValueError(f"a ramp from {start} to {end} does not rise; give start < end")
    return maximum * min(max((progress - start) / (end - start), 0.0), 1.0)
