"""How answers to multiple choice are stated in the languages that are read.

English; German, French, Spanish, Italian, Portuguese, Dutch, Polish and Swedish, which share their
patterns and differ in their words; Chinese.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

# letters and digits of the Latin script, with their accents
WORD = "A-Za-z0-9\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u024f"
QUOTES = "\"'"
OPEN, CLOSE = rf"[\s(\[{QUOTES}]", rf"[)\]{QUOTES}]"
_STOP = ".;:\n\u3002"  # what ends a clause

_MAY = "kann|darf|peut|puede|può|pode|kan|może|kunde|mag"  # can be, in any of them
_B, _E = rf"(?<![{WORD}])", rf"(?![{WORD}])"


@dataclass(frozen=True, slots=True)
class Language:
    """Patterns of one language; of what stands before a letter, or after it.

    Before: a `final` answer, an `explicit` one ("answer: B"), a `stated` one ("the answer is B"),
    one that is `chosen` ("I choose B"), one that is `negated` ("not B"); `negation` anywhere in
    such words turns them. After: one that is `confirmed` ("is correct") or `refuted` ("is wrong").
    `before` and `after` are words beside which a letter alone is meant as one; `inverted` are
    patterns before and after a letter that its verb precedes ("ist B richtig").
    """

    final: re.Pattern[str]
    explicit: re.Pattern[str]
    stated: re.Pattern[str]
    chosen: re.Pattern[str]
    confirmed: re.Pattern[str]
    negated: re.Pattern[str]
    refuted: re.Pattern[str]
    negation: re.Pattern[str]
    before: re.Pattern[str]
    after: re.Pattern[str]
    inverted: tuple[re.Pattern[str], re.Pattern[str]] | None = None


def languages_of(text: str) -> tuple[Language, ...]:
    """Return the languages that a text may be written in, English first."""
    return (english(), *(_language(name) for name in _marked(text)))


@functools.cache
def english() -> Language:
    """Return the patterns of English."""
    adverb = (
        r"(?:(?:indeed|clearly|therefore|thus|most\s+likely|likely|probably|definitely|simply|then"
        r"|also)\s+)?"
    )
    kind = r"(?:the\s+)?(?:(?:correct|right|best)\s+)?(?:(?:option|choice|letter|answer|one)\s*)?"
    link = rf"(?:\b(?:is|be|was)\b|[:=\->]){CLOSE}{{0,2}}:?\s*{adverb}{kind}[:\-]?{OPEN}{{0,4}}$"
    # between a letter and its verb may stand its text ("B) Paris is correct"), no other clause
    own = _own_text("because|since|as|while|whereas|and|but|or|so|when|which|that|if")
    return Language(
        final=re.compile(
            rf"(?i)(?:\bfinal\s+answer\b[^.;\n]{{0,30}}?{link}|\\boxed{OPEN}{{0,4}}$)"
        ),
        explicit=re.compile(
            rf"(?i)\b(?:answer|ans)\b{CLOSE}{{0,2}}\s{{0,3}}[:=]{CLOSE}{{0,2}}\s*{kind}[:\-]?{OPEN}{{0,4}}$"
        ),
        stated=re.compile(
            rf"(?i)(?:\b(?:answer|ans|solution)\b[^.;:\n]{{0,60}}?{link}"
            rf"|\banswer\s+(?:(?:option|choice|letter)\s+)?[(\[{QUOTES}]{{0,3}}$"
            rf"|\b(?:correct|right|best)\b[^.;:\n]{{0,40}}?{link}"
            rf"|\b(?:option|choice|letter)\s+{link})"
        ),
        chosen=re.compile(
            r"(?i)\b(?:(?:choose|pick|select|chose|picked|say|go\s+with|going\s+with|went\s+with"
            r"|opt\s+for|vote\s+for)"
            r"|(?:therefore|thus|hence|so),?(?:\s+(?:it\s+is|it's|it\s+must\s+be))?)\s+"
            rf"{adverb}{kind}:?{OPEN}{{0,4}}$"
        ),
        confirmed=re.compile(
            rf"(?i){CLOSE}{{0,3}}{own}\b(?:is|are|seems|looks|would\s+be|must\s+be)\s+{adverb}"
            r"(?:(?:(?:the|our|my)\s+)?(?:only\s+|most\s+|more\s+)?"
            r"(?:correct|right|best|accurate|appropriate)\b|(?:the|our|my)\s+(?:answer|one)\b)"
        ),
        negated=re.compile(
            r"(?i)\b(?:not|(?:anything|everything|all)\s+but|isn't|cannot\s+be|can't\s+be|never|except|rather\s+than|instead\s+of"
            r"|unlike|rule\s+out|eliminate|neither|exclude)\s+(?:the\s+)?"
            rf"(?:(?:options?|choices?)\s+)?{OPEN}{{0,3}}$"
        ),
        refuted=re.compile(
            rf"(?i){CLOSE}{{0,3}}{own}(?:\b(?:is|are|was|were|seems?|looks?|would\s+be)\s+"
            r"(?:\w+\s+)?(?:\w+\s+but\s+(?:\w+\s+)?)?(?:not|wrong|incorrect|false|ruled|eliminated|out|impossible|unlikely)\b"
            r"|\b(?:is|are|was|were|does|do|would|could)n't\b|\bcan(?:not|'t)\b"
            r"|\b(?:does|do)\s+not\b|\bwould\s+be\s+\w+\s+(?:if|had|only)\b)"
        ),
        negation=re.compile(r"(?i)\b(?:not|never|cannot|neither)\b|n't\b"),
        before=re.compile(
            r"(?i)definitely|certainly|surely|clearly|obviously|options?|choices?|letter|answer|is|be|with|choose|pick|select|say|think|believe"
            r"|guess|also|or|and|so|therefore|thus|hence|it's|for|to|either|between|both|but|then|maybe"
            r"|perhaps|probably|likely|meant?|prefer|than"
        ),
        after=re.compile(
            r"(?i)is|are|or|and|because|since|as|would|seems|looks|was|but|should|must|due|too|for"
            r"|which"
        ),
    )


def _own_text(conjunctions: str) -> str:
    return rf"(?:(?!{_B}(?:{conjunctions}){_E}|(?-i:\b[A-J]\b))[^{_STOP},]){{0,40}}?"


@dataclass(frozen=True, slots=True)
class _Words:
    """The words of one language, as alternatives of a pattern.

    `noun`: answer; `right`, `wrong`: adjectives; `kind`: option, letter; `link`: is, would be;
    `between`: words that may stand between the link and the letter; `final`; `choose`: verbs and
    conclusions; `no`: negations; `but_not`: except, instead of; `conj`: conjunctions, which end
    what belongs to a letter; `joins`: or, and; `because`.
    """

    noun: str
    right: str
    wrong: str
    kind: str
    link: str
    between: str
    final: str
    choose: str
    no: str
    but_not: str
    conj: str
    because: str


_WORDS: Mapping[str, _Words] = {
    "German": _Words(
        noun=r"(?:antwort(?:m\u00f6glichkeit|option)?|l\u00f6sung)(?:en)?",
        right=r"richtig(?:e[rsn]?)?|korrekt(?:e[rsn]?)?|zutreffend(?:e[rsn]?)?|beste[rsn]?",
        wrong=r"falsch\w*|inkorrekt\w*|unzutreffend\w*|ausgeschlossen|unm\u00f6glich|verkehrt\w*",
        kind=r"option|m\u00f6glichkeit|auswahl|buchstaben?|alternative|variante|antwort",
        link=r"ist|sind|lautet|wäre|heißt|bleibt|muss|sein|trifft",
        between=r"ich|es|die|der|das|den|also|somit|daher|demnach|wohl|wahrscheinlich|eindeutig|vermutlich"
        r"|nur|hier|sein",
        final=r"endgültige[rsn]?|finale[rsn]?|abschließende[rsn]?",
        choose=r"(?:am\s+ehesten|mit\s+Sicherheit|fällt\s+auf|wähle|nehme|tippe\s+auf|entscheide\s+mich\s+für|stimme\s+für"
        r"|würde\s+sagen|sage|also|daher|somit|folglich|sondern)",
        no=r"nicht|kein\w*|niemals|weder|noch",
        but_not=r"außer|statt|anstatt|anstelle\s+von|schließe",
        conj=r"weil|da|denn|und|aber|oder|sondern|während|dass|wenn|die|welche",
        because=r"weil|denn",
    ),
    "French": _Words(
        noun=r"réponses?|reponses?|solution",
        right=r"correctes?|corrects?|exactes?|exacts?|bonnes?|bons?|justes?|meilleure?s?",
        wrong=r"fauss?es?|faux|incorrecte?s?|inexacte?s?|erronée?s?|mauvaise?s?|exclue?s?"
        r"|impossibles?",
        kind=r"option|lettre|choix|proposition|alternative|réponse",
        link=r"est|sont|serait|sera|semble|reste|doit|être|soit",
        between=r"la|le|donc|bien|ainsi|probablement|clairement|celle|seule",
        final=r"finale|définitive",
        choose=r"(?:répondrais|réponds|choisis|choisir|choisirais|sélectionne|opte\s+pour|dirais|préfère|retiens|vote\s+pour"
        r"|donc|ainsi|c'est|mais)",
        no=r"pas|ne|n'\w+|jamais|aucune?|ni|non",
        but_not=r"sauf|plutôt\s+que|au\s+lieu\s+de|hormis|excepte|élimine|exclus",
        conj=r"parce|car|puisque|et|mais|ou|donc|tandis|qui|que|si|comme",
        because=r"parce|puisque|car",
    ),
    "Spanish": _Words(
        noun=r"respuestas?|solución|contestación",
        right=r"correct[ao]s?|acertad[ao]s?|adecuad[ao]s?|mejor|verdader[ao]s?",
        wrong=r"incorrect[ao]s?|fals[ao]s?|erróne[ao]s?|equivocad[ao]s?|descartad[ao]s?|imposible",
        kind=r"opción|alternativa|letra|inciso|literal|respuesta",
        link=r"es|son|está|están|sería|será|sea|parece|debe|ser",
        between=r"la|el|entonces|claramente|probablemente|por\s+tanto|sin\s+duda|única",
        final=r"final|definitiva",
        choose=r"(?:marca|marco|marcaría|elijo|elegir|elegiría|escoger|escojo|selecciono|opto\s+por|digo|diría|me\s+quedo\s+con|voto\s+por"
        r"|entonces|por\s+(?:lo\s+)?tanto|así\s+que|sino)",
        no=r"no|nunca|jamás|ning\w+|ni|tampoco",
        but_not=r"excepto|salvo|en\s+lugar\s+de|en\s+vez\s+de|descarto|menos",
        conj=r"porque|ya|pues|y|e|pero|o|u|sino|mientras|que|si|cuando|como",
        because=r"porque|pues|ya",
    ),
    "Italian": _Words(
        noun=r"rispost[ae]|soluzione",
        right=r"corrett[aeio]|giust[aeio]|esatt[aeio]|migliore",
        wrong=r"sbagliat[aeio]|errat[aeio]|scorrett[aeio]|fals[aeio]|esclus[aeio]|impossibile",
        kind=r"opzione|alternativa|lettera|scelta|risposta",
        link=r"è|e'|sono|sarebbe|sarà|sembra|dev'essere|deve|sia|essere",
        between=r"la|il|quindi|dunque|chiaramente|probabilmente|certamente|sicuramente",
        final=r"finale|definitiva",
        choose=r"(?:scelgo|scegliere|sceglierei|seleziono|opto\s+per|direi|dico|preferisco|voto\s+per|quindi|dunque"
        r"|perciò|ma|bensì)",
        no=r"non|mai|nessun\w*|né",
        but_not=r"tranne|eccetto|invece\s+di|anziché|salvo|escludo",
        conj=r"perché|poiché|e|ed|ma|o|oppure|mentre|che|se|quando|siccome",
        because=r"perché|poiché|siccome",
    ),
    "Portuguese": _Words(
        noun=r"respostas?|solução|gabarito",
        right=r"corret[ao]s?|cert[ao]s?|adequad[ao]s?|melhor|verdadeir[ao]s?|correct[ao]s?",
        wrong=r"incorret[ao]s?|errad[ao]s?|fals[ao]s?|equivocad[ao]s?|descartad[ao]s?|impossível",
        kind=r"opção|alternativa|letra|item|resposta",
        link=r"é|são|está|estão|seria|será|seja|parece|deve|ser",
        between=r"a|o|as|os|então|portanto|claramente|provavelmente|certamente",
        final=r"final|definitiva",
        choose=r"(?:marco|marcaria|escolho|escolher|escolheria|seleciono|opto\s+por|opto\s+pela|digo|diria|fico\s+com|voto\s+em|então"
        r"|portanto|logo|mas\s+sim|mas)",
        no=r"não|nunca|jamais|nenhum\w*|nem",
        but_not=r"exceto|salvo|em\s+vez\s+de|ao\s+invés\s+de|descarto|menos",
        conj=r"porque|pois|já|e|mas|ou|enquanto|que|se|quando|como",
        because=r"porque|pois",
    ),
    "Dutch": _Words(
        noun=r"antwoord(?:en)?|oplossing",
        right=r"juiste?|correcte?|goede?|beste",
        wrong=r"foute?|onjuiste?|incorrecte?|verkeerde?|onmogelijk|uitgesloten",
        kind=r"optie|keuze|letter|mogelijkheid|alternatief|antwoord",
        link=r"is|zijn|luidt|zou|wordt|blijft|moet",
        between=r"ik|de|het|dus|daarom|waarschijnlijk|duidelijk|hier|namelijk",
        final=r"definitieve?|uiteindelijke?|finale",
        choose=r"(?:denk|kies|kiezen|neem|selecteer|ga\s+voor|stem\s+voor|zou\s+zeggen|zeg|dus|daarom|derhalve|maar)",
        no=r"niet|geen|nooit|noch",
        but_not=r"behalve|in\s+plaats\s+van|tenzij",
        conj=r"omdat|want|en|maar|of|terwijl|dat|die|als|aangezien",
        because=r"omdat|want|aangezien",
    ),
    "Polish": _Words(
        noun=r"odpowied(?:ź|z|zią|zi)|rozwiązanie",
        right=r"poprawn(?:a|e|y|ą|ym)|prawidłow(?:a|e|y|ą|ym)|właściw(?:a|e|y|ą|ym)|dobr(?:a|e|y|ą)"
        r"|słuszn(?:a|e|y|ą)|najlepsz(?:a|y|ą)",
        wrong=r"błędn\w+|niepoprawn\w+|nieprawidłow\w+|fałszyw\w+|zł[aey]|wykluczon\w+|niemożliw\w+",
        kind=r"opcj(?:a|ę|ą|i)|wariant\w*|liter(?:a|ę|ą)|odpowiedź|odpowiedzią",
        link=r"to|jest|są|brzmi|byłoby|byłaby|będzie|pozostaje|być",
        between=r"to|więc|zatem|oczywiście|prawdopodobnie|zapewne|chyba|tylko|że",
        final=r"ostateczn(?:a|ą|ej)|końcow(?:a|ą)",
        choose=r"(?:wybieram|wybrać|wybrałbym|wybrałabym|zaznaczam|stawiam\s+na|powiedziałbym|więc|zatem|dlatego"
        r"|lecz|ale|tylko)",
        no=r"nie|nigdy|żadn\w+|ani",
        but_not=r"oprócz|zamiast|poza|wykluczam|z\s+wyjątkiem",
        conj=r"ponieważ|bo|gdyż|i|oraz|ale|lub|albo|podczas|że|któr\w+|jeśli|a",
        because=r"ponieważ|gdyż|bo",
    ),
    "Swedish": _Words(
        noun=r"svar(?:et)?|svarsalternativ(?:et)?|l\u00f6sning(?:en)?",
        right=r"rätta?|riktig[ta]?|korrekta?|bästa?",
        wrong=r"fel|felaktig[ta]?|inkorrekta?|falskt?|uteslut\w*|om\u00f6jligt?",
        kind=r"alternativ(?:et)?|val(?:et)?|bokstav(?:en)?|svar",
        link=r"är|blir|vore|lyder|måste|vara",
        between=r"alltså|därf\u00f6r|då|det|den|jag|troligen|tydligt|nog|bara",
        final=r"slutgiltig[ta]?|slutlig[ta]?",
        choose=r"(?:väljer|välja|tar|tror(?:\s+på)?|r\u00f6star\s+på|skulle\s+säga|säger|alltså|därf\u00f6r|utan)",
        no=r"inte|ej|aldrig|ing(?:en|et|a)|varken",
        but_not=r"utom|i\s+stället\s+f\u00f6r|istället\s+f\u00f6r|f\u00f6rutom",
        conj=r"eftersom|därf\u00f6r|f\u00f6r|och|men|eller|medan|att|som|om",
        because=r"eftersom|därf\u00f6r",
    ),
}

# words that English has too, in whatever sense: they do not tell a language
_SHARED = re.compile(
    r"is|to|sea|final|option|alternative|solution|item|letter|literal|no|ma|also|son|e|o|a|as|die"
    r"|den|fel|tar|logo|val|dico|bons?|mas|la|le|el|il|de|non|ni|ne|correct|hier"
)


def _marked(text: str) -> Iterator[str]:
    """Name the languages some of whose words stand in a text."""
    if not text.isascii() and _CHINESE_MARKS.search(text):
        yield "Chinese"
    for name, pattern in _marks().items():
        if any(not _SHARED.fullmatch(found[0].lower()) for found in pattern.finditer(text)):
            yield name


_ELIDED = rf"|{_B}(?:[cdlns]|qu)'(?=[aeiouhéèê])"  # l'option, c'est


@functools.cache
def _marks() -> Mapping[str, re.Pattern[str]]:
    return {
        name: re.compile(
            rf"(?i){_B}(?:{one.noun}|{one.right}|{one.wrong}|{one.kind}|{one.link}|{one.choose}"
            rf"|{one.no}|{one.between}){_E}{_ELIDED if name in ('French', 'Italian') else ''}"
        )
        for name, one in _WORDS.items()
    }


@functools.cache
def _language(name: str) -> Language:
    return _chinese() if name == "Chinese" else _western(_WORDS[name])


def _western(words: _Words) -> Language:
    open_ = rf"{OPEN}{{0,4}}$"
    # "la", "die richtige Option", "probablement la lettre"
    filler = (
        rf"(?:(?:l'|(?:{words.between}|{words.right}){_E})\s*){{0,4}}(?:(?:{words.kind}){_E}\s*)?"
        rf"(?:(?:{words.right}){_E}\s*)?"
    )
    link = rf"(?:{_B}(?:{words.link}){_E}|[:=\->]){CLOSE}{{0,2}}\s?:?\s*{filler}[:\-]?{open_}"
    noun = rf"{_B}(?:{words.noun}){_E}"
    own = _own_text(words.conj)
    qualified = rf"(?:\s+(?:{words.right}|{words.final}){_E}){{0,2}}"
    return Language(
        final=re.compile(
            rf"(?i)(?:{_B}(?:{words.final}){_E}\s+(?:{words.noun}){_E}"
            rf"|{noun}\s+(?:{words.final}){_E})[^.;\n]{{0,30}}?{link}"
        ),
        explicit=re.compile(
            rf"(?i){noun}{qualified}{CLOSE}{{0,2}}\s{{0,3}}[:=]{CLOSE}{{0,2}}\s*{filler}[:\-]?{open_}"
        ),
        stated=re.compile(
            rf"(?i)(?:{noun}[^{_STOP}]{{0,60}}?{link}|{noun}\s+(?:(?:{words.kind}){_E}\s+)?"
            rf"[(\[{QUOTES}]{{0,3}}$|{_B}(?:{words.right}){_E}[^{_STOP}]{{0,40}}?{link}"
            rf"|{_B}(?:{words.kind}){_E}\s+{link})"
        ),
        chosen=re.compile(rf"(?i){_B}{words.choose}{_E},?\s+{filler}:?{open_}"),
        # "ist B richtig"
        inverted=(
            re.compile(
                rf"(?i){_B}(?:{words.link}){_E}\s+(?:(?:{words.kind}){_E}\s+)?{OPEN}{{0,3}}$"
            ),
            re.compile(rf"(?i){CLOSE}{{0,3}}\s+(?:{words.right}|zu){_E}"),
        ),
        confirmed=re.compile(
            rf"(?i){CLOSE}{{0,3}}{own}{_B}(?:{words.link}){_E}\s+"
            rf"(?:(?:{words.between}){_E}\s*){{0,3}}(?:{words.right}|{words.noun}|zu){_E}"
        ),
        negated=re.compile(
            rf"(?i){_B}(?:{words.no}|{words.but_not}){_E}\s+(?:(?:{words.link}|{_MAY}){_E}\s+){{0,2}}"
            rf"(?:(?:{words.between}){_E}\s*)?(?:(?:{words.kind}|{words.noun}){_E}\s+)?{OPEN}{{0,3}}$"
        ),
        refuted=re.compile(
            rf"(?i){CLOSE}{{0,3}}{own}{_B}(?:(?:{words.no}){_E}(?!\s+(?-i:[A-J])\b)"
            rf"|(?:{words.link}){_E}\s+(?:[^\W\d_]+\s+){{0,2}}?(?:{words.wrong}){_E})"
        ),
        negation=re.compile(rf"(?i){_B}(?:{words.no}){_E}"),
        before=re.compile(
            rf"(?i)(?:l')?(?:{words.kind}|{words.noun}|{words.link}|{words.between}|{words.choose})"
        ),
        after=re.compile(rf"(?i)(?:{words.link}|{words.because}|{words.no})"),
    )


_CHINESE_MARKS = re.compile("[\u4e00-\u9fff]")


def _chinese() -> Language:
    open_ = rf"{OPEN}{{0,4}}$"
    noun = r"(?:答案|回答|选项|選項|选择|選擇)"
    link = r"(?:应该是|應該是|应为|應為|应选|應選|是|为|為|选|選|:|=)"
    kind = r"(?:选项|選項|字母|答案)?"
    right = r"(?:正确|正確|对|對|最佳|最合适|最合適)"
    wrong = r"(?:错|錯|不对|不對|不正|不是|不符|不能|不可|排除|假)"
    item = r"(?:项|項|选项|選項)?"
    own = rf"(?:(?!(?-i:[A-J])|因为|因為|但)[^{_STOP},\uff0c]){{0,12}}?"
    return Language(
        final=re.compile(
            rf"最终{noun}\s*{link}?\s*:?\s*{kind}\s*{open_}|最終{noun}\s*{link}?\s*:?\s*{kind}\s*{open_}"
        ),
        explicit=re.compile(rf"{noun}\s*[:=]\s*{kind}\s*{open_}"),
        stated=re.compile(
            rf"{noun}[^{_STOP}]{{0,20}}?{link}\s*:?\s*{kind}\s*{open_}|{right}的?{noun}?\s*{link}\s*:?\s*{kind}\s*{open_}"
            rf"|答案\s*{open_}"
        ),
        chosen=re.compile(
            rf"(?:故|应|應|应该|本题|本題|所以|因此|我|只能)?(?:选择|選擇|选|選|而是)\s*:?\s*{kind}\s*{open_}"
        ),
        confirmed=re.compile(rf"{CLOSE}{{0,3}}\s*{item}{own}(?:是|为|為|才是)?\s*(?:最)?{right}"),
        negated=re.compile(
            rf"(?:不是|不选|不選|不能选|不應選|不应选|而不是|排除|除了|非|并非|並非)\s*{kind}\s*{OPEN}{{0,3}}$"
        ),
        refuted=re.compile(rf"{CLOSE}{{0,3}}\s*{item}{own}{wrong}"),
        negation=re.compile("[不非没沒]"),
        before=re.compile("(?!)"),
        after=re.compile("(?!)"),
    )


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
