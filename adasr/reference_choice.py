"""Which frames of a clip become its references, and which of them a frame is rebuilt from.

Choosing N of C candidates so that every frame has a good one is the facility location problem: maximise, over the
sampled targets, the sum of the best score that any chosen candidate reaches. Greedy choice is within 63 % of the
optimum (Nemhauser et al. 1978); exchanging one candidate at a time afterwards mends most of the rest.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt


def spread_numbers(numbers: Sequence[int], limit: int) -> list[int]:
    """At most `limit` of the numbers, evenly spread; the first is always among them.

    Raises:
        ValueError: there is no number or the limit is below 1.
    """
    if not numbers or limit < 1:
        raise ValueError(f"need at least one frame number and a limit of 1 or more, got {len(numbers)} and {limit}")
    positions = np.linspace(0, len(numbers) - 1, min(limit, len(numbers))).round().astype(int)
    return [numbers[position] for position in positions]


def choose_references(scores: npt.NDArray[np.float64], count: int) -> list[int]:
    """Choose candidates by greedy facility location and single exchanges; candidate 0 is always kept.

    Args:
        scores: [C, T], score (dB) of target t rebuilt from candidate c; candidate 0 is the clip's first.
        count: how many to choose at most; fewer where a further one would improve no target.

    Returns:
        Indices of candidates, 0 first, the others in the order of time.

    Raises:
        ValueError: the scores are not a finite [C, T] matrix or the count is below 1.
    """
    if scores.ndim != 2 or not scores.size or not np.isfinite(scores).all():
        raise ValueError(f"scores must be a finite [candidates, targets] matrix, got shape {scores.shape}")
    if count < 1:
        raise ValueError(f"at least one reference is needed, got {count}")
    chosen = [0]
    while len(chosen) < count:
        totals = np.maximum(scores, scores[chosen].max(axis=0)).sum(axis=1)
        best = int(totals.argmax())
        if best in chosen or totals[best] <= scores[chosen].max(axis=0).sum():
            break
        chosen.append(best)
    _exchange(scores, chosen)
    return [0, *sorted(chosen[1:])]


def _exchange(scores: npt.NDArray[np.float64], chosen: list[int]) -> None:
    """Swap single members of `chosen` (never the first) for better candidates until none helps; in place."""
    total = scores[chosen].max(axis=0).sum()
    improved = True
    while improved:
        improved = False
        for place in range(1, len(chosen)):
            others = chosen[:place] + chosen[place + 1 :]
            totals = np.maximum(scores, scores[others].max(axis=0)).sum(axis=1)
            best = int(totals.argmax())
            if totals[best] > total + 1e-9:
                chosen[place] = best
                total = totals[best]
                improved = True


def likeliest_references(losses_db: npt.NDArray[np.float64], limit: int) -> list[int]:
    """Indices of the references that a frame is guessed to lose least with, least first, at most `limit`.

    `losses_db`: [R], guessed loss with each reference, see `sender.look`. Ties go to the lower index.
    """
    return [int(index) for index in np.argsort(losses_db, kind="stable")[:limit]]
