"""Scores answers: `score: [{python: "my_scorer.py:score"}]` in a study names it."""


def score(item, answer):
    """Say whether an answer is right: it names the order, in at most 60 words.

    `item` has `content`, `gold`, `id` and `metadata`, `answer` is a text. Return True or False, or
    a number where the study says `range: [0, 1]`.
    """
    return item["content"]["order"] in answer and len(answer.split()) <= 60
