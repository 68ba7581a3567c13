"""The one table that joins severity to physics: planters read it forwards, scores backwards.

A ramp says which value of a physical quantity is barely audible (severity 1) and which one
ruins a clip (severity 5); between them severity is linear in the quantity or in its
logarithm. Values beyond 1 go on along the same line down to severity 0, where nothing is
heard.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

__all__ = ["RAMPS", "Ramp"]


@dataclass(frozen=True)
class Ramp:
    """A straight line from `mild` (severity 1) to `ruinous` (severity 5).

    Attributes:
        mild: the quantity at severity 1, in its own unit.
        ruinous: the quantity at severity 5.
        log: the line is straight in the logarithm of the quantity.
    """

    mild: float
    ruinous: float
    log: bool = False

    def at(self, severity: float) -> float:
        """The quantity for a severity.

        >>> Ramp(26.0, -4.0).at(3.0)
        11.0
        """
        a, b, share = self._axis(self.mild), self._axis(self.ruinous), (severity - 1.0) / 4.0
        value = a + (b - a) * share
        return math.exp(value) if self.log else value

    def severity(self, value: float) -> float:
        """The severity of a value, in [0, 5].

        >>> Ramp(0.02, 0.32, log=True).severity(0.08)
        3.0
        """
        if self.log and value <= 0.0:
            return 5.0 if self.ruinous < self.mild else 0.0
        a, b = self._axis(self.mild), self._axis(self.ruinous)
        raw = 1.0 + 4.0 * (self._axis(value) - a) / (b - a)
        return round(min(5.0, max(0.0, raw)), 9)

    def _axis(self, value: float) -> float:
        return math.log(value) if self.log else value


RAMPS: dict[str, Ramp] = {
    "background_snr_db": Ramp(26.0, -4.0),
    "event_snr_db": Ramp(18.0, -10.0),
    "talker_snr_db": Ramp(24.0, -4.0),
    "hum_snr_db": Ramp(24.0, -10.0),
    "drr_db": Ramp(12.0, -10.0),
    "rt60_s": Ramp(0.2, 1.6, log=True),
    "clip_ratio": Ramp(0.004, 0.4, log=True),
    "bandwidth_hz": Ramp(5_500.0, 1_000.0, log=True),
    "codec_level": Ramp(1.0, 5.0),
    "musical_snr_db": Ramp(22.0, -4.0),
    "suppressed_share": Ramp(0.35, 0.97),
    "robot_share": Ramp(0.05, 0.95, log=True),
    "tempo_octaves": Ramp(0.16, 0.90),
    "lost_ratio": Ramp(0.015, 0.35, log=True),
    "clicks_per_s": Ramp(0.8, 14.0, log=True),
    "jump_db": Ramp(4.0, 26.0),
    "dropout_s": Ramp(0.04, 0.9, log=True),
    "pause_s": Ramp(0.3, 1.7, log=True),
}
"""Physical quantity -> its ramp. `codec_level` is the step on the ladder of codecs."""
