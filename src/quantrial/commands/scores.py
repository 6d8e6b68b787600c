"""Scores that are there already, as arrays or data frames: the candidate's against the reference's.

No run, no folder: `compare_scores` checks what it is given, and compares it as a run's analysis
compares two arms.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from quantrial.errors import DataError, StudyError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from quantrial.documents import ScoreComparison
    from quantrial.tasks import Endpoint

_COLUMN = "score"


def compare_scores(
    reference: Any,
    candidate: Any,
    *,
    endpoint: str | Endpoint = "proportion",
    margin: float | str | None = None,
    clusters: Any = None,
    alpha: float = 0.05,
    seed: int = 0,
    methods: str = "calibrated",
) -> ScoreComparison:
    """Compare two arms' scores of the same items, item by item.

    The numbers are those that `analyze` has of a run with these scores. An answer that is missing
    is no score: leave its item out of both, or give it the score that it is worth to you.

    Args:
        reference: the score of each item: an array, a list, a series, or a data frame (of pandas,
            polars, pyarrow) or mapping with a column `score`, or with the columns of the endpoint.
        candidate: the same of the same items in the same order.
        endpoint: `proportion` for scores of 0 and 1, `mean` for scores from 0 to 1, or an
            `Endpoint`, such as a ratio of sums, or a mean with a unit where less is better.
        margin: the largest loss that counts as the same: `0.02`, `"2pp"`, or in the endpoint's
            unit. None asks about a difference only.
        clusters: which group each item comes from, where items come in groups.
        alpha: the level of each test; intervals have confidence 1 - alpha.
        seed: of what is drawn.
        methods: the set of statistics, `calibrated` or `classic`.

    Returns:
        Estimates of both arms, the contrast with interval, p and verdict, and the question.

    Raises:
        DataError: scores are no numbers of the endpoint's range, or are not paired.
        StudyError: endpoint, margin, level or methods are none.

    Example:
        >>> right = [1] * 90 + [0] * 10
        >>> fewer = [1] * 72 + [0] * 28
        >>> found = quantrial.compare_scores(right, fewer, margin="5pp")
        >>> found.verdict, found.turned.harmful
        ('worse', 18)
    """
    import numpy as np

    from quantrial.analysis import Panel
    from quantrial.analysis.scores import compare_panel

    measured = _endpoint(endpoint)
    if not isinstance(alpha, float) or not 0 < alpha < 0.5:
        raise StudyError(f"should be above 0 and below 0.5; got {alpha!r:.40}", key="alpha")
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        raise StudyError(f"should be a whole number from 0; got {seed!r:.40}", key="seed")
    sides = {"reference": reference, "candidate": candidate}
    _check_labels(reference, candidate)
    needed = (*measured.numerator, *measured.denominator)
    columns = {side: _columns(side, value, needed) for side, value in sides.items()}
    n = {side: len(next(iter(found.values()))) for side, found in columns.items()}
    if n["reference"] != n["candidate"]:
        raise DataError(
            f"reference has {n['reference']:,} scores and candidate {n['candidate']:,}; they are "
            "compared item by item, so both need one of each item, in the same order"
        )
    top = np.stack([_sum(measured.numerator, columns[side]) for side in sides]).T
    bottom = np.ones_like(top)
    if measured.denominator:
        bottom = np.stack([_sum(measured.denominator, columns[side]) for side in sides]).T
    else:
        _check_range(measured, top, tuple(sides))
    groups = None if clusters is None else _groups(clusters, n["reference"])
    panel = Panel(
        arms=tuple(sides),
        endpoints=(measured,),
        # laid out as a run's, so that sums come to the same last digit
        numerators=np.ascontiguousarray(top[:, :, None]),
        denominators=np.ascontiguousarray(bottom[:, :, None]),
        answered=np.ones(top.shape, dtype=np.bool_),
        clusters=groups,
    )
    return compare_panel(
        panel, margin=_margin(margin, measured), alpha=alpha, seed=seed, methods=methods
    )


def _endpoint(endpoint: str | Endpoint) -> Endpoint:
    from quantrial.tasks import Endpoint

    if isinstance(endpoint, Endpoint):
        return endpoint
    if endpoint == "proportion":
        return Endpoint(_COLUMN, "proportion", {_COLUMN: 1.0})
    if endpoint == "mean":
        return Endpoint(_COLUMN, "mean", {_COLUMN: 1.0})
    raise StudyError(
        f"should be `proportion`, `mean` or an Endpoint; got {endpoint!r:.60}", key="endpoint"
    )


def _margin(margin: float | str | None, endpoint: Endpoint) -> float | None:
    from quantrial.study.parts import read_loss
    from quantrial.units import parse_amount

    if margin is None:
        return None
    value: Any = margin
    if endpoint.unit is None:
        value = read_loss(margin)
    elif isinstance(margin, str):
        value = parse_amount(margin, endpoint.unit)
    sound = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not sound or not 0 < value < math.inf:
        needed = "a share, such as 0.02 or '2pp'" if endpoint.unit is None else endpoint.unit
        raise StudyError(f"should be {needed}, above 0; got {margin!r:.40}", key="margin")
    return float(value)


def _check_labels(reference: Any, candidate: Any) -> None:
    """Refuse two series or frames of pandas whose rows are labelled otherwise: of other items."""
    ours: Any = getattr(reference, "index", None)
    theirs: Any = getattr(candidate, "index", None)
    if hasattr(ours, "equals") and hasattr(theirs, "equals") and not ours.equals(theirs):
        raise DataError(
            "the rows of reference and candidate are labelled otherwise; sort both by item, or "
            "reset the index where rows are the same items in the same order"
        )


def _columns(side: str, value: Any, needed: tuple[str, ...]) -> Mapping[str, NDArray[np.float64]]:
    """Return the columns that the endpoint takes, checked."""
    frame = _frame(side, value)
    if frame is None:
        if len(set(needed)) > 1:
            raise DataError(
                f"{side} is one column of scores, and the endpoint takes {', '.join(needed)}: give "
                "a data frame or a mapping with these columns"
            )
        frame = {needed[0]: value}
    there = ", ".join(map(str, frame)) or "none"
    for name in needed:
        if name not in frame:
            raise DataError(f"{side} has no column {name!r}; it has {there:.200}")
    found = {name: _numbers(f"{side}.{name}", frame[name]) for name in needed}
    lengths = {name: len(column) for name, column in found.items()}
    if len(set(lengths.values())) > 1:
        raise DataError(f"the columns of {side} differ in length: {lengths}")
    if not all(lengths.values()):
        raise DataError(f"{side} holds no score")
    return found


def _frame(side: str, value: Any) -> Mapping[str, Any] | None:
    """Return the columns of a data frame or mapping by name; None of what is one column."""
    if isinstance(value, Mapping):
        return value
    if not hasattr(value, "__dataframe__"):
        return None
    import narwhals

    try:
        frame = narwhals.from_native(value, eager_only=True)
    except (TypeError, narwhals.exceptions.NarwhalsError) as exc:  # of a column that is there twice
        kind = type(value).__name__
        raise DataError(
            f"{side} is a data frame that cannot be read ({kind}); give a mapping of its columns"
        ) from exc
    return {name: frame[name].to_native() for name in frame.columns}


def _numbers(place: str, values: Any) -> NDArray[np.float64]:
    """Return a column as numbers.

    Raises:
        DataError: it is no column, or not of finite numbers; says where.
    """
    import numpy as np

    if isinstance(values, (str, bytes)) or not (
        hasattr(values, "__array__") or hasattr(values, "__len__")
    ):
        raise DataError(f"{place} is {values!r:.40}; needed is an array or a list of scores")
    _refuse_masked(place, values)
    try:
        array = np.asarray(values)
    except ValueError as exc:
        raise DataError(f"{place} is no array of numbers: {exc}") from exc
    if array.ndim != 1:
        raise DataError(
            f"{place} has the shape {array.shape}; needed is one score of each item, shape (items,)"
        )
    if array.dtype.kind == "O":  # of lists, and of columns that may hold nothing
        for at, one in enumerate(array):
            if not isinstance(one, (bool, int, float, np.number, np.bool_)):
                raise DataError(f"{place}[{at}] is {one!r:.40}, and no number")
    elif array.dtype.kind not in "biuf" and array.size:
        raise DataError(
            f"{place} holds {array[0]!r:.40} and the like ({array.dtype}); scores are numbers"
        )
    try:
        numbers = array.astype(np.float64)
    except OverflowError as exc:
        raise DataError(f"{place} holds a whole number beyond the largest float") from exc
    if not (sound := np.isfinite(numbers)).all():
        at = int(np.argmin(sound))
        raise DataError(
            f"{place}[{at}] is {numbers[at]:g}; leave the item out of both, or give a missing "
            "answer the score that it is worth"
        )
    return numbers


def _refuse_masked(place: str, values: Any) -> None:
    """Refuse an array of which some values are masked: as a plain one it would hold them again."""
    import numpy as np

    if np.ma.is_masked(values):
        at = int(np.argmax(np.ma.getmaskarray(values)))
        raise DataError(f"{place}[{at}] is masked; leave the item out of both arms")


def _sum(
    weights: Mapping[str, float], columns: Mapping[str, NDArray[np.float64]]
) -> NDArray[np.float64]:
    return sum((weight * columns[name] for name, weight in weights.items()), start=0.0)  # type: ignore[arg-type]


def _check_range(endpoint: Endpoint, values: NDArray[np.float64], sides: tuple[str, ...]) -> None:
    import numpy as np

    low, high = endpoint.low, endpoint.high
    wrong = (values < (-math.inf if low is None else low)) | (
        values > (math.inf if high is None else high)
    )
    needed = f"from {low:g} to {high:g}" if low is not None and high is not None else "in its range"
    if endpoint.type == "proportion":
        wrong, needed = ~np.isin(values, (0.0, 1.0)), "0 or 1"
    if wrong.any():
        at, side = map(int, np.argwhere(wrong)[0])
        hint = "; for shares take endpoint='mean'" if endpoint.type == "proportion" else ""
        raise DataError(
            f"{sides[side]}[{at}] is {values[at, side]:g}; a score of {endpoint.name!r} is "
            f"{needed}{hint}"
        )


def _groups(clusters: Any, n: int) -> NDArray[np.str_]:
    import numpy as np

    _refuse_masked("clusters", clusters)
    array = np.asarray(clusters)
    if array.shape != (n,):
        raise DataError(
            f"clusters has the shape {array.shape}; needed is the group of each of {n:,} items"
        )
    nothing = [one is None or one != one for one in array.tolist()]  # noqa: PLR0124 - NaN
    if any(nothing):
        raise DataError(f"clusters[{nothing.index(True)}] is {array[nothing.index(True)]!r:.40}")
    if len({isinstance(one, str) for one in clusters}) > 1:  # 1 and "1" would become one group
        raise DataError("clusters holds texts beside others; name all groups by texts")
    return array.astype(np.str_)
