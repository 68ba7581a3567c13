"""Coverage, reliability and precision-recall, by hand."""

from __future__ import annotations

import pytest

from hearken.errors import MetricError
from hearken.metrics.calibration import Claim, Claims, coverage, span_claims, type_claims
from hearken.nouns import Fault


def test_coverage_by_hand():
    found = coverage([(1, 2), (3, 5), (2, 3)], [2.0, 5.0, 3.5], ["a", "a", "b"], resamples=50)
    assert found.share.value == pytest.approx(2 / 3)  # both ends belong to the interval
    assert found.share.clusters == 2
    assert found.width == pytest.approx(4 / 3)


def test_coverage_needs_pairs():
    with pytest.raises(MetricError, match="0 intervals"):
        coverage([], [])
    with pytest.raises(MetricError, match="1 intervals for 2"):
        coverage([(1, 2)], [1.0, 2.0])


# By confidence: .9 true, .8 false, .8 true, .3 false, .05 true; six things could be said.
CLAIMS = Claims(
    (
        Claim(0.8, False),
        Claim(0.9, True),
        Claim(0.05, True),
        Claim(0.8, True),
        Claim(0.3, False),
    ),
    wanted=6,
)


def test_curve_and_average_precision_by_hand():
    points = [(p.threshold, p.precision, p.recall) for p in CLAIMS.curve()]
    assert points == [
        (0.9, 1.0, pytest.approx(1 / 6)),
        (0.8, pytest.approx(2 / 3), pytest.approx(2 / 6)),
        (0.3, 0.5, pytest.approx(2 / 6)),
        (0.05, 0.6, pytest.approx(3 / 6)),
    ]
    assert CLAIMS.average_precision == pytest.approx((1 + 2 / 3 + 0.6) / 6)


def test_bins_and_calibration_error_by_hand():
    bins = [(b.count, b.confidence, b.precision) for b in CLAIMS.bins(2)]
    assert bins[0] == (2, pytest.approx(0.175), 0.5)
    assert bins[1] == (3, pytest.approx(2.5 / 3), pytest.approx(2 / 3))
    # Bins of a tenth: |.05 - 1|, |.3 - 0|, 2 |.8 - .5|, |.9 - 1| over 5 claims.
    assert CLAIMS.calibration_error == pytest.approx((0.95 + 0.3 + 0.6 + 0.1) / 5)
    assert Claims((Claim(1.0, True),), 1).bins()[0].precision == 1.0  # 1.0 is in the last bin


def test_nothing_said_and_nothing_to_say():
    assert Claims((), 3).average_precision == 0.0
    assert Claims((), 3).calibration_error is None
    assert Claims((Claim(0.5, False),), 0).average_precision is None
    assert Claims((Claim(0.5, False),), 0).curve()[0].recall == 0.0


def fault(kind: str, start: float, end: float, confidence: float | None = None) -> Fault:
    return Fault(kind, start, end, 3, confidence=confidence)


def test_a_type_is_claimed_once_a_clip():
    said = [fault("hum", 0, 3, 0.4), fault("clicks", 0, 1, 0.2), fault("clicks", 2, 3, 0.7)]
    claims = type_claims([*said, fault("codec", 0, 3)], [fault("clicks", 1, 2)])
    assert claims == [Claim(0.4, False), Claim(0.7, True)]


def test_spans_take_the_surest_first():
    truth = [fault("clicks", 0, 1), fault("hum", 0, 9)]
    said = [
        fault("clicks", 0, 1, 0.3),  # exact, but the surer one below took the only true span
        fault("clicks", 0.2, 1.1, 0.6),  # IoU 0.8 / 1.1
        fault("clicks", 5, 6, 0.5),
        fault("hum", 0, 9, 0.9),  # always the whole clip: not a matter of times
        fault("dropout", 0, 1),  # states no confidence
    ]
    assert span_claims(said, truth) == [Claim(0.6, True), Claim(0.5, False), Claim(0.3, False)]
    assert [c.true for c in span_claims(said, truth, threshold=0.9)] == [False, False, True]
