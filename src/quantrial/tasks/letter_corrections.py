"""Words with which an answer takes itself back, in the languages that are read."""

from __future__ import annotations

import re
from collections.abc import Iterator

from quantrial.tasks.letter_languages import WORD

# Words that only correct where a sign follows: "No, B", not "No other option fits".
_EXCLAMATIONS = (
    r"no|nope|wait|hmm+|hm|actually|sorry|apologies|oops|correction|scratch\s+that|hold\s+on"
    r"|nein|moment(?:\s+mal)?|halt|doch|entschuldigung|verzeihung|korrektur|quatsch|tut\s+mir\s+leid"
    r"|non|attends|attendez|pardon|désolée?|en\s+fait|erreur"
    r"|espera|espere|perdón|disculpa|disculpe|corrección|en\s+realidad|mejor\s+dicho"
    r"|aspetta|aspetti|scusa|scusi|scusate|correzione|in\s+realtà|anzi"
    r"|não|desculpa|desculpe|correção|na\s+verdade|aliás"
    r"|nee|wacht|correctie|eigenlijk"
    r"|nie|czekaj|zaraz|chwila|chwileczkę|przepraszam|korekta|poprawka|właściwie"
    r"|nej|vänta|f\u00f6rlåt|ursäkta|rättelse|egentligen"
)
# Words that correct whatever follows.
_REMARKS = (
    r"wait|hmm+|actually|on\s+(?:second\s+thoughts?|reflection)|after\s+(?:re\w+|checking)"
    r"|let\s+me\s+re\w+|eigentlich|en\s+fait|en\s+realidad|in\s+realtà|na\s+verdade|eigenlijk"
    r"|egentligen"
)
# What admits a mistake, to the end of its sentence.
_ADMISSIONS = (
    r"(?:(?:i|that)\s+(?:was|is|am)\s+(?:wrong|mistaken|incorrect|not\s+right)"
    r"|that's\s+(?:wrong|incorrect|not\s+(?:right|it|correct))"
    r"|i\s+(?:made\s+(?:a|an)|misread|miscounted|take\s+that\s+back)"
    r"|ich\s+habe\s+mich|das\s+(?:ist|war)\s+(?:falsch|nicht\s+richtig)|das\s+stimmt\s+nicht"
    r"|je\s+me\s+(?:suis\s+)?tromp|me\s+(?:he\s+)?equivo|mi\s+sono\s+sbagliat"
    r"|(?:eu\s+)?me\s+enganei|ik\s+(?:vergis|heb\s+me)|pomyli|jag\s+(?:hade|har)\s+fel)"
    r"[^.!?:;,\n\u3002]{0,40}"
)
_CHINESE = "等等|等一下|等下|不对|不對|更正|抱歉|重新|其实|其實|我错了|我錯了"

# at the begin of a sentence, or after a comma or "but"
_BEGIN = r"(?:^|(?<=[.!?;:\n\u3002\u2026\-])|\bbut\b"
_CORRECTION = re.compile(
    rf"(?i){_BEGIN}|(?<=,)(?=\s{{0,3}}(?:no|nope|wait|sorry)\b))\s{{0,9}}"
    r"(?:(?:oh|ah|but|aber|mais|pero|ma|mas|maar|ale|men|no|nein|non|não|nee|nie|nej|hmm+|wait),?\s{1,9}){0,2}"
    rf"(?:(?:{_EXCLAMATIONS})(?=\s{{0,3}}(?:[,.:;!?\-\n\u2026]|$))|(?:{_REMARKS})(?![{WORD}']))"
    rf"|{_BEGIN}|(?<=,))\s{{0,9}}{_ADMISSIONS}|(?:{_CHINESE})"
)


def corrections(text: str, start: int) -> Iterator[int]:
    """Yield where each correction in a text ends, from a place on."""
    for match in _CORRECTION.finditer(text, start):
        yield match.end()
