"""The listener: a U-net over frequency with a recurrent waist, told what the lips say.

    |STFT|^0.3 [B, F, K]  --fold 4 bins into channels-->  [B, 4 + 2, F, P]   P = 128 places
    envelope, seen        --spread over the places-------^
        conv, conv down, conv down, conv down, block  ->  [B, 96, F, 16]
        waist: all places and the envelope -> LSTM x 2 over time -> back, added
        block, conv up + skip, ... -> 4 gains for each place

Convolutions share their weights over frequency, so a harmonic is learnt once and not for each
pitch: measured, four minutes of it beat an hour of an LSTM over whole spectra of the same size.
Halving and doubling of places is by strides and by folding channels (no transposed convolution,
which leaves combs).
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as tf

from hearken.enhancer.envelope import BANDS, spread
from hearken.enhancer.shape import EnhancerConfig

__all__ = ["Listener"]

_SLOPE = 0.1


class Listener(nn.Module):
    """Loudness of bins and what the lips tell of them -> logits of the gains.

    Args:
        config: of the network; `channels` of each level, the finest first.
    """

    places: Tensor

    def __init__(self, config: EnhancerConfig) -> None:
        super().__init__()
        self.fold = config.fold
        self.count = (config.bins - 1) // config.fold  # P
        widths, causal = config.channels, config.causal
        self.register_buffer("places", torch.from_numpy(spread(self.count)), persistent=False)
        self.enter = _Conv(self.fold + 2, widths[0], (3, 5), causal=causal)
        pairs = list(pairwise(widths))
        self.down = nn.ModuleList(_Conv(a, b, (3, 4), causal=causal, halve=True) for a, b in pairs)
        self.norm_down = nn.ModuleList(nn.BatchNorm2d(c) for c in widths)
        self.up = nn.ModuleList(_Conv(b, 2 * a, (3, 3), causal=causal) for a, b in pairs)
        self.skip = nn.ModuleList(nn.Conv2d(a, a, 1) for a in widths[:-1])
        self.norm_up = nn.ModuleList(nn.BatchNorm2d(c) for c in widths)
        self.leave = _Conv(widths[0], self.fold, (3, 3), causal=causal)
        self.before = nn.Sequential(*(_Block(widths[-1], causal) for _ in range(config.blocks)))
        self.after = nn.Sequential(*(_Block(widths[-1], causal) for _ in range(config.blocks)))
        waist = (self.count >> len(pairs)) * widths[-1]
        ways = 1 if causal else 2
        self.narrow = nn.Linear(waist + BANDS + 1, 2 * config.hidden)
        self.remember = nn.LSTM(
            2 * config.hidden,
            config.hidden,
            config.layers,
            batch_first=True,
            bidirectional=not causal,
        )
        self.widen = nn.Linear(ways * config.hidden, waist)

    def forward(self, loud_BFK: Tensor, told_BFD: Tensor) -> Tensor:
        """Compressed loudness [B, F, K], envelope and seen [B, F, 24 + 1] -> logits [B, F, K]."""
        batch, frames, _ = loud_BFK.shape
        envelope, seen = told_BFD[..., :BANDS] @ self.places, told_BFD[..., BANDS:]
        folded = loud_BFK[..., :-1].reshape(batch, frames, self.count, self.fold)
        shown = [folded, envelope[..., None], seen[..., None].expand(-1, -1, self.count, 1)]
        x = self.enter(torch.cat(shown, 3).permute(0, 3, 1, 2))
        kept = []
        for level, norm in enumerate(self.norm_down):
            if level:
                x = self.down[level - 1](x)
            x = tf.leaky_relu(norm(x), _SLOPE)
            kept.append(x)
        x = self.before(x)
        x = self.after(x + self._waist(x, told_BFD))
        for level in reversed(range(len(self.norm_up))):
            if level < len(self.up):
                x = _unfold(self.up[level](x)) + self.skip[level](kept[level])
            x = tf.leaky_relu(self.norm_up[level](x), _SLOPE)
        logits = self.leave(x).permute(0, 2, 3, 1).reshape(batch, frames, -1)
        return torch.cat([logits, logits[..., -1:]], 2).float()  # the last bin as the one below

    def _waist(self, x_BCFP: Tensor, told_BFD: Tensor) -> Tensor:
        """Memory over time across all places: [B, C, F, P'] -> the same."""
        batch, width, frames, _ = x_BCFP.shape
        flat = x_BCFP.permute(0, 2, 3, 1).reshape(batch, frames, -1)
        seen = torch.cat([flat, told_BFD.to(flat.dtype)], 2)
        narrow = tf.leaky_relu(self.narrow(seen), _SLOPE)
        with torch.autocast(x_BCFP.device.type, enabled=False):  # 16 bits: slower, and no better
            heard, _ = self.remember(narrow.float())
        return self.widen(heard).view(batch, frames, -1, width).permute(0, 3, 1, 2)


class _Conv(nn.Conv2d):
    """Over (time, frequency), as long as it was; `causal`: looks back only; `halve`: places."""

    def __init__(
        self, a: int, b: int, kernel: tuple[int, int], *, causal: bool, halve: bool = False
    ) -> None:
        side = (kernel[1] - 1) // 2
        super().__init__(a, b, kernel, (1, 2 if halve else 1), (0 if causal else 1, side))
        self.causal = causal

    def forward(self, x: Tensor) -> Tensor:
        if self.causal:
            x = tf.pad(x, (0, 0, self.kernel_size[0] - 1, 0))
        return super().forward(x)


class _Block(nn.Module):
    """Two convolutions whose result is added; nothing at first."""

    def __init__(self, width: int, causal: bool) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.BatchNorm2d(width) for _ in range(2))
        self.convs = nn.ModuleList(_Conv(width, width, (3, 3), causal=causal) for _ in range(2))
        for parameter in self.convs[1].parameters():
            nn.init.zeros_(parameter)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, F, P] -> the same."""
        h = x
        for norm, conv in zip(self.norms, self.convs, strict=True):
            h = conv(tf.leaky_relu(norm(h), _SLOPE))
        return x + h


def _unfold(x_BCFP: Tensor) -> Tensor:
    """[B, 2 C, F, P] -> [B, C, F, 2 P]: channels become places in between."""
    batch, width, frames, places = x_BCFP.shape
    last = x_BCFP.permute(0, 2, 3, 1).reshape(batch, frames, 2 * places, width // 2)
    return last.permute(0, 3, 1, 2)
