from __future__ import annotations

import dataclasses

import pytest
import torch

from hearken.enhancer.net import EnhancerConfig, LipReader, MaskNet, Sight

SMALL = EnhancerConfig(channels=(4, 4, 4, 4), hidden=12, lip_width=16)
SMALL_CAUSAL = dataclasses.replace(SMALL, causal=True)


def _crops(batch: int, frames: int, seed: int = 0) -> torch.Tensor:
    g = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (batch, frames, 88, 88), dtype=torch.uint8, generator=g)


@pytest.fixture(params=[SMALL, SMALL_CAUSAL], ids=["both ways", "causal"])
def net(request: pytest.FixtureRequest) -> MaskNet:
    torch.manual_seed(0)
    return MaskNet(request.param).eval()


def test_default_network_is_small_enough() -> None:
    size = sum(p.numel() for p in MaskNet().parameters())
    assert 1_000_000 <= size <= 5_000_000  # 16 bits each: 10 MB at most


@pytest.mark.parametrize("samples", [1, 159, 640, 6_401])
def test_shapes_and_legal_gains(net: MaskNet, samples: int) -> None:
    mix = torch.randn(2, samples)
    spec = net.spectrum(mix)
    assert spec.shape == (2, 513, 1 + samples // 320)
    gains = net.mask(spec, _crops(2, max(1, samples // 640))).detach()
    assert gains.shape == spec.shape
    assert float(gains.min()) >= 0
    assert float(gains.max()) <= net.config.mask_max
    assert net(mix).shape == mix.shape


def test_all_ones_gives_the_input_back(net: MaskNet) -> None:
    mix = torch.randn(1, 5_003)
    spec = net.spectrum(mix)
    torch.testing.assert_close(
        net.synthesise(torch.ones(spec.shape), spec, 5_003), mix, atol=1e-5, rtol=1e-4
    )


def test_gain_of_the_input_does_not_change_the_mask(net: MaskNet) -> None:
    mix = torch.randn(1, 6_400)
    loud = net.mask(net.spectrum(mix), _crops(1, 10))
    quiet = net.mask(net.spectrum(0.01 * mix), _crops(1, 10))
    torch.testing.assert_close(loud, quiet, atol=2e-3, rtol=0)


def test_the_face_matters_and_an_unseen_one_does_not(net: MaskNet) -> None:
    spec = net.spectrum(torch.randn(1, 6_400))
    one, two = (net.mask(spec, _crops(1, 10, seed)) for seed in (1, 2))
    assert float((one - two).detach().abs().max()) > 1e-5
    nothing = torch.zeros(1, 10, dtype=torch.bool)
    hidden = [net.mask(spec, _crops(1, 10, seed), nothing) for seed in (1, 2)]
    torch.testing.assert_close(hidden[0], hidden[1])
    torch.testing.assert_close(hidden[0], net.mask(spec))


def test_causal_network_never_looks_ahead() -> None:
    torch.manual_seed(0)
    net = MaskNet(SMALL_CAUSAL).eval()
    mix, crops = torch.randn(1, 12_800), _crops(1, 20)
    later_mix, later_crops = mix.clone(), crops.clone()
    later_mix[:, 8_000:] = 0
    later_crops[:, 13:] = 0  # frame 13 begins at sample 8320
    before = net(mix, crops)[:, : 8_000 - 1024]
    torch.testing.assert_close(before, net(later_mix, later_crops)[:, : 8_000 - 1024])


def test_ordinary_network_does_look_ahead() -> None:
    torch.manual_seed(0)
    net = MaskNet(SMALL).eval()
    mix = torch.randn(1, 12_800)
    later = mix.clone()
    later[:, 8_000:] = 0
    assert float((net(mix) - net(later)).detach()[:, :7_000].abs().max()) > 1e-5


def test_sight_reaches_the_step_of_its_own_frame() -> None:
    """A blip in video frame 7 is strongest in the STFT frame around sample 640 * 7.5 = 4800."""
    net = MaskNet(SMALL)
    blip = torch.zeros(1, 20, 1)
    blip[0, 7] = 1
    steps = net._to_frames(blip, 40)[0, :, 0]
    centre = float((steps * torch.arange(40) * 320).sum() / steps.sum())
    assert centre == pytest.approx(4_800)


def test_the_causal_network_is_told_only_what_was_filmed_before_the_window_ended() -> None:
    """STFT frame f ends at sample 320 f + 512; the picture v was taken at sample 640 v."""
    told = MaskNet(SMALL_CAUSAL)._to_frames(torch.arange(20.0)[None, :, None], 30)[0, :, 0]
    assert told[:4].tolist() == [0, 1, 1, 2]
    assert bool((told * 640 <= torch.arange(30) * 320 + 512).all())


def test_batch_rows_do_not_mix(net: MaskNet) -> None:
    mix, crops = torch.randn(3, 6_400), _crops(3, 10)
    torch.testing.assert_close(net(mix, crops)[1:2], net(mix[1:2], crops[1:2]), atol=1e-5, rtol=0)


def test_lips_learn_what_the_picture_shows() -> None:
    """How far a drawn mouth is open tells the loudness: a few steps of training find it."""
    torch.manual_seed(0)
    reader = LipReader(16, causal=False).eval()  # no dropout: this asks for learning alone
    open_V = torch.rand(2, 12, generator=torch.Generator().manual_seed(1))
    rows = torch.arange(88)
    crops = torch.full((2, 12, 88, 88), 160.0)
    mouth_V = (rows - 48).abs() < 4 + 16 * open_V[..., None]
    crops[:, :, :, 30:58] -= 120 * mouth_V[..., None]
    optimizer = torch.optim.Adam(reader.parameters(), 4e-3)
    losses = []
    for _ in range(50):
        loss = (reader(crops).mean(2) - open_V).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.3 * float(open_V.var())


def test_told_envelope_takes_the_place_of_lips() -> None:
    torch.manual_seed(0)
    net = MaskNet(SMALL).eval()
    spec, crops = net.spectrum(torch.randn(1, 6_400)), _crops(1, 10)
    read = net.look(crops)
    torch.testing.assert_close(
        net.listen_with(spec, Sight(read.envelope, read.seen)), net.mask(spec, crops)
    )
