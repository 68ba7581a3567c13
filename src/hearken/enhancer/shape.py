"""What shapes the network of the enhancer."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["EnhancerConfig"]


@dataclass(frozen=True)
class EnhancerConfig:
    """Everything that shapes the network; saved beside the weights as config.json.

    Attributes:
        window: STFT length in samples.
        hop: STFT step; it divides a video frame's 640 samples.
        fold: neighbouring bins that the listener takes as channels of one place.
        channels: of the listener's levels, the finest first; each has half the places.
        blocks: residual blocks on each side of the waist.
        hidden: LSTM units in each direction.
        layers: of LSTM.
        lip_width: channels of the lip-reader's temporal part.
        mask_max: largest gain of a bin; above 1 because speech and noise cancel in places.
        causal: no look-ahead beyond the STFT window (64 ms): convolutions and LSTM look back
            only, video held from the past, level from what was heard so far.
    """

    window: int = 1024
    hop: int = 320
    fold: int = 4
    channels: tuple[int, ...] = (32, 48, 64, 96)
    blocks: int = 1
    hidden: int = 208
    layers: int = 2
    lip_width: int = 96
    mask_max: float = 1.5
    causal: bool = False

    @property
    def bins(self) -> int:
        """K, frequency bins of the STFT."""
        return self.window // 2 + 1
