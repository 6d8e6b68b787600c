"""A file whose weights are mostly of another type than its name: said where its type stands."""

from __future__ import annotations

import pytest

from quantrial.documents.summary import ArmSummary
from quantrial.precision import weights_in_words
from quantrial.records import ArmRecord


@pytest.mark.parametrize(
    ("kind", "stored", "said"),
    [
        ("Q4_K_M", {"Q5_0": 0.58, "Q8_0": 0.22, "Q4_K": 0.11}, "Q4_K_M, of which 58 % is Q5_0"),
        ("Q2_K", {"Q4_0": 0.666, "Q2_K": 0.334}, "Q2_K, of which 67 % is Q4_0"),
        ("Q4_K_M", {"Q4_K": 0.8, "Q6_K": 0.2}, "Q4_K_M"),
        ("Q8_0", {"Q8_0": 1.0}, "Q8_0"),
        ("Q8_0", {}, "Q8_0"),
        (None, {"Q5_0": 1.0}, "unknown"),
    ],
)
def test_by_hand_the_type_that_most_weights_are_stored_in(
    kind: str | None, stored: dict[str, float], said: str
) -> None:
    assert weights_in_words(ArmRecord(quantization=kind, stored_as=stored)) == said


def test_the_card_says_it_from_the_summary() -> None:
    arm = ArmSummary(
        memory_bytes=1,
        artifact_sha256=None,
        quantization="Q4_K_M",
        quantized_before=None,
        control=None,
        stored_mostly="58 % Q5_0",
    )
    assert weights_in_words(arm) == "Q4_K_M, of which 58 % is Q5_0"
