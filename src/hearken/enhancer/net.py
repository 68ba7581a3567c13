"""The audio-visual mask network: a lip-reader that draws an envelope, and a listener that uses it.

    crops  -> LipReader -> envelope [B, V, 24] --+
    mixture -> |STFT|^0.3 [B, F, K] -------------+-> LSTM x 2 -> mask [B, K, F] in [0, mask_max]
                                                     (one step hears `stack` = 2 frames, 20 ms)

The envelope is also what an auxiliary loss asks of the lips alone, so it cannot be ignored; and it
is all that the listener sees of the face, so it cannot know a talker by his looks.
Shapes: B batch, T samples, F STFT frames (4 per video frame), K bins, V video frames.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as tf

from hearken.enhancer.envelope import BANDS
from hearken.nouns import SAMPLES_PER_FRAME

__all__ = ["EnhancerConfig", "LipReader", "MaskNet", "Sight"]

_SMALL = 1e-5
_REST_FRAMES = 49


@dataclass(frozen=True)
class EnhancerConfig:
    """Everything that shapes the network; saved beside the weights as config.json.

    Attributes:
        window: STFT length in samples.
        hop: STFT step; it divides a video frame's 640 samples.
        hidden: LSTM units in each direction.
        layers: of LSTM.
        stack: STFT frames that one LSTM step hears, and gives gains for.
        lip_width: channels of the lip-reader's temporal part.
        mask_max: largest gain of a bin; above 1 because speech and noise cancel in places.
        causal: no look-ahead beyond half an STFT window and the rest of a stack (26 ms):
            one-directional LSTM, video held from the past, level from what was heard so far.
    """

    window: int = 512
    hop: int = 160
    hidden: int = 208
    layers: int = 2
    stack: int = 2
    lip_width: int = 96
    mask_max: float = 1.5
    causal: bool = False

    @property
    def bins(self) -> int:
        """K, frequency bins of the STFT."""
        return self.window // 2 + 1


@dataclass
class Sight:
    """What is known from the video: `envelope` [B, V, 24] and where it counts, `seen` [B, V]."""

    envelope: Tensor
    seen: Tensor


class LipReader(nn.Module):
    """Mouth crops -> envelope of the voice, by sight alone."""

    def __init__(self, width: int, causal: bool) -> None:
        super().__init__()
        self.causal = causal
        planes = (2 if causal else 3, 16, 32, 48, 64)
        kernels = (5, 3, 3, 3)
        self.see = nn.Sequential(
            *(
                nn.Sequential(nn.Conv2d(a, b, k, 2, k // 2), nn.LeakyReLU(0.1))
                for a, b, k in zip(planes, planes[1:], kernels, strict=False)
            )
        )
        for layer in self.see.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, a=0.1)
                nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
        self.embed = nn.Sequential(nn.Flatten(), nn.Linear(64 * 9, width), nn.LayerNorm(width))
        self.drop = nn.Dropout(0.2)
        self.follow = nn.ModuleList(nn.Conv1d(width, width, 5, dilation=d) for d in (1, 2, 4))
        self.draw = nn.Linear(width, BANDS)
        nn.init.constant_(self.draw.bias, -1.0)  # the mean of an envelope

    def forward(self, crops: Tensor) -> Tensor:
        """Crops [B, V, 88, 88] (uint8 or 0-255) -> envelope [B, V, 24], tens of dB."""
        batch, video = crops.shape[:2]
        x = tf.avg_pool2d(crops.flatten(0, 1)[:, None].float(), 2) / 255
        x = (x - x.mean((2, 3), keepdim=True)) / (x.std((2, 3), keepdim=True) + 0.02)
        x = x.view(batch, video, *x.shape[2:])
        before = x - torch.cat([x[:, :1], x[:, :-1]], 1)
        views = [2 * (x - self._face(x)), before]
        if not self.causal:
            views.append(torch.cat([x[:, 1:], x[:, -1:]], 1) - x)
        h = self.embed(self.see(torch.stack(views, 2).flatten(0, 1)))
        h = self.drop(h).view(batch, video, -1).transpose(1, 2)
        for layer in self.follow:
            assert isinstance(layer, nn.Conv1d)
            reach = 4 * layer.dilation[0]
            pad = (reach, 0) if self.causal else (reach // 2, reach // 2)
            h = h + tf.leaky_relu(layer(tf.pad(h, pad)), 0.1)
        drawn: Tensor = self.draw(h.transpose(1, 2))
        return drawn

    def _face(self, x_BVHW: Tensor) -> Tensor:
        """The face at rest: its mean over two seconds around each frame (causal: before it).

        Without it, what is left is movement, which is alike in all faces: measured, the
        error on unseen faces falls by a quarter.
        """
        flat = x_BVHW.flatten(2).transpose(1, 2)
        reach = _REST_FRAMES // 2
        if not self.causal:
            rest = tf.avg_pool1d(flat, _REST_FRAMES, 1, reach, count_include_pad=False)
        else:
            past = tf.pad(flat, (_REST_FRAMES - 1, 0))
            count = torch.arange(1, flat.shape[2] + 1, device=flat.device).clamp(max=_REST_FRAMES)
            rest = tf.avg_pool1d(past, _REST_FRAMES, 1) * _REST_FRAMES / count
        return rest.transpose(1, 2).view_as(x_BVHW)


class MaskNet(nn.Module):
    """Mixture and mouth crops -> a gain for each time-frequency bin."""

    window: Tensor

    def __init__(self, config: EnhancerConfig | None = None) -> None:
        super().__init__()
        self.config = c = config or EnhancerConfig()
        self.lips = LipReader(c.lip_width, c.causal)
        self.blank = nn.Parameter(torch.full((BANDS,), -1.0))
        self.listen = nn.LSTM(
            c.stack * c.bins + BANDS + 1,
            c.hidden,
            c.layers,
            batch_first=True,
            bidirectional=not c.causal,
        )
        self.decide = nn.Linear(c.hidden * (1 if c.causal else 2), c.stack * c.bins)
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
        c = self.config
        batch, _, frames = spec_BKF.shape
        loud = spec_BKF.abs()
        x = (loud / self._level(loud)).pow(0.3).transpose(1, 2)
        steps = -(-frames // c.stack)
        x = tf.pad(x, (0, 0, 0, steps * c.stack - frames)).reshape(batch, steps, -1)
        if sight is None:
            told, seen = self.blank.expand(batch, steps, BANDS), x.new_zeros(batch, steps, 1)
        else:
            seen_BV = sight.seen[..., None]
            told_BV = sight.envelope * seen_BV + self.blank * (1 - seen_BV)
            told, seen = self._to_steps(told_BV, steps), self._to_steps(seen_BV, steps)
        h, _ = self.listen(torch.cat([x, told, seen], 2))
        gains = c.mask_max * torch.sigmoid(self.decide(h)).reshape(batch, -1, c.bins)
        return gains[:, :frames].transpose(1, 2)

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

    def _to_steps(self, x_BVD: Tensor, steps: int) -> Tensor:
        """Video clock -> LSTM steps [B, steps, D]; beyond the last video frame it is held.

        Video frame v covers samples 640 v to 640 (v + 1): its middle is STFT frame 4 v + 2.
        A step's middle is frame stack (s + 1/2) - 1/2. Interpolated between middles; causal:
        the video frame that had begun when the step's first STFT frame was centred.
        """
        c = self.config
        per = SAMPLES_PER_FRAME // c.hop
        at = torch.arange(steps, device=x_BVD.device) * c.stack
        last = x_BVD.shape[1] - 1
        if c.causal:
            return x_BVD[:, (at // per).clamp(max=last)]
        place = ((at + (c.stack - 1) / 2 - per / 2) / per).clamp(0, last)
        low = place.floor().long()
        part = (place - low)[None, :, None].to(x_BVD.dtype)
        return x_BVD[:, low] * (1 - part) + x_BVD[:, (low + 1).clamp(max=last)] * part
