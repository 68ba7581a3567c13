"""The audio-visual mask network: a lip-reader that draws an envelope, and a listener that uses it.

    crops  -> LipReader -> envelope [B, V, 24] --+
    mixture -> |STFT|^0.3 [B, F, K] -------------+-> Listener -> mask [B, K, F] in [0, mask_max]

The envelope is also what an auxiliary loss asks of the lips alone, so it cannot be ignored; and it
is all that the listener sees of the face, so it cannot know a talker by his looks. The STFT window
is 64 ms: two voices of one pitch range are apart by 2 dB more there than in 32 ms (oracle mask).
Shapes: B batch, T samples, F STFT frames (2 per video frame), K bins, V video frames.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from hearken.enhancer.envelope import BANDS
from hearken.enhancer.lipreader import LipReader
from hearken.enhancer.listener import Listener
from hearken.enhancer.shape import EnhancerConfig
from hearken.nouns import SAMPLES_PER_FRAME

__all__ = ["EnhancerConfig", "LipReader", "MaskNet", "Sight"]

_SMALL = 1e-5


@dataclass
class Sight:
    """What is known from the video: `envelope` [B, V, 24] and where it counts, `seen` [B, V]."""

    envelope: Tensor
    seen: Tensor


class MaskNet(nn.Module):
    """Mixture and mouth crops -> a gain for each time-frequency bin."""

    window: Tensor

    def __init__(self, config: EnhancerConfig | None = None) -> None:
        super().__init__()
        self.config = c = config or EnhancerConfig()
        self.lips = LipReader(c.lip_width, c.causal)
        self.blank = nn.Parameter(torch.full((BANDS,), -1.0))
        self.listen = Listener(c)
        self.register_buffer("window", torch.hann_window(c.window), persistent=False)

    def spectrum(self, mix_BT: Tensor) -> Tensor:
        """Sound [B, T] -> complex STFT [B, K, F], F = 1 + T // hop; frame f is centred at f hop."""
        c = self.config
        spec: Tensor = torch.stft(
            mix_BT, c.window, c.hop, window=self.window, pad_mode="constant", return_complex=True
        )
        return spec

    def synthesise(self, mask_BKF: Tensor, spec_BKF: Tensor, length: int) -> Tensor:
        """Masked STFT -> sound [B, length], with the mixture's phase. Gains are cut to be legal."""
        c = self.config
        masked = mask_BKF.clamp(0.0, c.mask_max) * spec_BKF
        sound: Tensor = torch.istft(masked, c.window, c.hop, window=self.window, length=length)
        return sound

    def look(self, crops: Tensor, found: Tensor | None = None) -> Sight:
        """Read crops [B, V, 88, 88]; `found` [B, V] says where there is a face (default: all)."""
        envelope = self.lips(crops)
        seen = torch.ones_like(envelope[..., 0]) if found is None else found.to(envelope.dtype)
        return Sight(envelope, seen)

    def mask(
        self, spec_BKF: Tensor, crops: Tensor | None = None, found: Tensor | None = None
    ) -> Tensor:
        """Gains [B, K, F] in [0, mask_max] for an STFT and its mouth crops (None: no video)."""
        return self.listen_with(spec_BKF, None if crops is None else self.look(crops, found))

    def listen_with(self, spec_BKF: Tensor, sight: Sight | None) -> Tensor:
        """`mask`, for an envelope that is already there."""
        batch, _, frames = spec_BKF.shape
        loud = spec_BKF.abs()
        x = (loud / self._level(loud)).pow(0.3).transpose(1, 2)
        if sight is None:
            told, seen = self.blank.expand(batch, frames, BANDS), x.new_zeros(batch, frames, 1)
        else:
            seen_BV = sight.seen[..., None]
            told_BV = sight.envelope * seen_BV + self.blank * (1 - seen_BV)
            told, seen = self._to_frames(told_BV, frames), self._to_frames(seen_BV, frames)
        logits = self.listen(x, torch.cat([told, seen], 2))
        return self.config.mask_max * torch.sigmoid(logits).transpose(1, 2)

    def forward(
        self, mix_BT: Tensor, crops: Tensor | None = None, found: Tensor | None = None
    ) -> Tensor:
        """Mixture [B, T] and crops [B, V, 88, 88] -> enhanced sound [B, T]."""
        spec = self.spectrum(mix_BT)
        return self.synthesise(self.mask(spec, crops, found), spec, mix_BT.shape[-1])

    def _level(self, loud_BKF: Tensor) -> Tensor:
        """RMS of the bins: of all, or (causal) of those up to each frame. [B, 1, F or 1]."""
        power = loud_BKF.square().mean(1, keepdim=True)
        if self.config.causal:
            heard = torch.arange(1, power.shape[2] + 1, device=power.device)
            return (power.cumsum(2) / heard).sqrt() + _SMALL
        return power.mean(2, keepdim=True).sqrt() + _SMALL

    def _to_frames(self, x_BVD: Tensor, frames: int) -> Tensor:
        """Video clock -> STFT clock [B, frames, D]; beyond the last video frame it is held.

        Video frame v covers samples 640 v to 640 (v + 1), STFT frame f is centred at f hop.
        Interpolated between middles; causal: the newest picture when the window has ended.
        """
        c, last = self.config, x_BVD.shape[1] - 1
        at = torch.arange(frames, device=x_BVD.device) * c.hop
        if c.causal:
            return x_BVD[:, ((at + c.window // 2) // SAMPLES_PER_FRAME).clamp(max=last)]
        place = (at / SAMPLES_PER_FRAME - 0.5).clamp(0, last)
        low = place.floor().long()
        part = (place - low)[None, :, None].to(x_BVD.dtype)
        return x_BVD[:, low] * (1 - part) + x_BVD[:, (low + 1).clamp(max=last)] * part
