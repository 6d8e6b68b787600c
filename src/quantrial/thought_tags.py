"""The tags between which models think, and where they stand in a text."""

from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

# Names of XML tags, with a name space or without: <think>, <seed:think>, <Thought>. Known from
# DeepSeek, Qwen, EXAONE, Marco-o1, LongCat, Seed, MiniMax, and from prompts that ask for them.
_NAMES = r"(?:[a-z][\w.-]{0,19}:)?(?:think(?:ing)?|thoughts?|reasoning|longcat_think|antthinking)"
_INNER = r"(?:think(?:ing)?|thought|reasoning)"
# nothing, or a name with its value: "a < think and b > c" holds no tag
_ATTRIBUTES = r"(?:\s{0,3}|\s[^<>]{0,100}=[^<>]{0,100})"
_BAR = r"[|\uff5c]"

# kind -> what opens and what closes it
_PAIRS: dict[str, tuple[str, str]] = {
    "square": (r"\[THINK(?:ING)?\]", r"\[/THINK(?:ING)?\]"),  # Magistral
    "triangle": (r"◁think(?:ing)?▷", r"◁/think(?:ing)?▷"),  # Kimi
    "cohere": (r"<\|START_(?:THINKING|REASONING)\|>", r"<\|END_(?:THINKING|REASONING)\|>"),
    "bar": (
        rf"<{_BAR}{_INNER}(?:_(?:start|begin))?{_BAR}>",
        # Solar ends a thought where its content begins
        rf"<{_BAR}(?:/{_INNER}|{_INNER}_end|content){_BAR}>",
    ),
    # Sky-T1, OpenThinker
    "of": (rf"<{_BAR}(?:begin|start)_of_{_INNER}{_BAR}>", rf"<{_BAR}end_of_{_INNER}{_BAR}>"),
    "inner": (r"<\|inner_prefix\|>", r"<\|inner_suffix\|>"),  # Apertus
    "gemma": (r"<\|channel>thought\b", r"<channel\|>"),
    "medgemma": (r"<unused94>thought\b", r"<unused95>"),
    "kimi": (r"<\|open\|>think<\|sep\|>", r"<\|close\|>think<\|sep\|>"),  # K3
    "role": (r"<\|im_start\|>think\b", r"<\|im_start\|>answer\b"),  # s1
    "pangu": (r"\[unused16\]", r"\[unused17\]"),
}
# Granite writes sentences in place of tags
_GRANITE = re.compile(r"\s{0,9}Here(?:['\u2019]s|\sis)\smy\sthought\sprocess:", re.IGNORECASE)
_GRANITE_ENDS = re.compile(r"Here(?:['\u2019]s|\sis)\smy\sresponse:", re.IGNORECASE)
# these close a thought, and mean something else or nothing where none is open
_ONLY_WHEN_OPEN = re.compile(rf"<{_BAR}content{_BAR}>|<\|im_start", re.IGNORECASE)
# the channels of gpt-oss, each a header and its message
CHANNEL = re.compile(
    r"(?:<\|start\|>[^<]{0,80})?<\|channel\|>\s{0,3}(?P<name>[a-z]+)[^<]{0,200}"
    r"(?:<\|constrain\|>[^<]{0,40})?<\|message\|>"
)
_END_OF_PROMPT = 300  # characters at the end of a prompt that its last tag is looked for in
_MAY_HOLD = re.compile(r"[<\[◁]")
_MAY_HOLD_UNKNOWN = re.compile(r"[<\[◁{`\u3010\uff1c]|&lt;")

# what a tag of a thought may be called, in languages that models think in (the last: Chinese,
# Russian, Korean)
_STEMS = re.compile(
    r"think|thought|reason|reflect|ponder|contempl|deliberat|rumina|cogit|monolog|scratch|rational"
    r"|analy[sz]|chain_?of|brainstorm|mus(?:e|ing)|introspect|consider|inner|(?<![a-z])cot(?![a-z])"
    r"|denk|gedank|(?:\u00fc|ue)berleg|pens[aei\u00e9]|r\u00e9fl|raison|razon|ragion|racioc|my\u015bl"
    r"|t\u00e4nk|\u601d|\u63a8\u7406|\u8003|\u043c\u044b\u0441\u043b|\u0440\u0430\u0441\u0441\u0443\u0436\u0434|\uc0dd\uac01",
    re.IGNORECASE,
)
_ANY_TAG = re.compile(
    rf"<{_BAR}?[/\\]?(?P<angle>[\w:.|-]{{2,40}}){_ATTRIBUTES}{_BAR}?/?>"
    r"|\[/?(?P<square>[A-Z][A-Z_]{2,39})\]|[◁\u3010]/?(?P<other>[\w:.-]{2,20})[▷\u3011]"
    # escaped for HTML, or in wide signs
    r"|&lt;/?(?P<escaped>[\w:.|-]{2,40})&gt;|\uff1c/?(?P<wide>[\w:.-]{2,20})\uff1e"
)
# what is a tag of a thought only where the text begins with it
_AT_BEGIN = re.compile(
    r"\s{0,9}(?P<tag>\[(?P<square>[A-Za-z_]{3,40})\]|\{(?P<curly>[A-Za-z_]{3,40})\}"
    r"|```(?P<fence>[A-Za-z_]{3,20})(?=\n))"
)
# an element that opens the text and is much longer than what follows it is a thought by its form
_FIRST = re.compile(r"\s{0,9}<(?P<name>[A-Za-z_][\w:.-]{1,30})>")
_NO_THOUGHT = re.compile(
    r"(?:final_?)?answer|final|output|response|result|solution|json|xml|html|body|code|pre|em|strong"
    r"|div|span|ul|ol|li|table|details|summary|tool\w*|function\w*|entit\w*|bos|h[1-6]"
)
_LONG = 80
_MOST_LOOKED_AT = 10_000  # things that look like a tag
_JSON = re.compile(r"\s{0,99}(?:\[\s{0,99}[{\"\]]|\{\s{0,99}[\"}])")

_CONTROL = re.compile(
    rf"(?:\s|</?s>|<{_BAR}[^<>|\uff5c]{{1,40}}{_BAR}>|</?(?:eos|bos|pad)>|<(?:end|start)_of_turn>"
    r"|\[/?INST\]|\[EO[ST]\])*+"
)


@dataclass(frozen=True, slots=True)
class Tag:
    """One tag in a text: its kind, whether it opens a thought, and its place."""

    kind: str
    opens: bool
    start: int
    end: int


def is_control(text: str) -> bool:
    """Whether a text holds nothing but white space and control tokens."""
    return _CONTROL.fullmatch(text) is not None


def tags_of(text: str, own: Sequence[tuple[str, str]] = ()) -> Iterator[Tag]:
    """Yield the tags of thoughts in a text, in order; those that are only named are left out.

    `own` are pairs of opening and closing tags beside the known ones.
    """
    if granite := _GRANITE.match(text):
        yield from _of_granite(text, granite)
        return
    if not own and not _MAY_HOLD.search(text):
        return
    mentions = Mentions(text)
    is_open = False
    for match in _pattern(tuple(map(tuple, own))).finditer(text):
        tag = _tag(match)
        if tag is None or mentions.mentioned(tag):
            continue
        if not tag.opens and not is_open and _ONLY_WHEN_OPEN.match(text, tag.start):
            continue
        is_open = is_open or tag.opens
        yield tag


def opening_tag_at_end(prompt: str, own: Sequence[tuple[str, str]] = ()) -> str | None:
    """Return the tag that a prompt ends in, its template applied, and that opens a thought.

    `own` are pairs of tags beside those that are known. None where there is none: an answer begins
    outside of a thought.
    """
    end = prompt[-_END_OF_PROMPT:].rstrip()
    headers = [one for one in CHANNEL.finditer(end) if one.end() == len(end)]
    if headers:
        said = headers[-1].group()
        return None if headers[-1]["name"] == "final" else said[max(0, said.find("<|channel")) :]
    last = [tag for tag in tags_of(end, own) if tag.opens and tag.end == len(end)]
    return end[last[-1].start :] if last else None


def _of_granite(text: str, opening: re.Match[str]) -> Iterator[Tag]:
    yield Tag("granite", True, opening.start(), opening.end())
    if closing := _GRANITE_ENDS.search(text, opening.end()):
        yield Tag("granite", False, closing.start(), closing.end())


@functools.lru_cache(maxsize=32)
def _pattern(own: tuple[tuple[str, str], ...]) -> re.Pattern[str]:
    """Compile all tags to one pattern, whose first sign a search finds fast."""
    known = "|".join(
        f"(?P<{kind}_opens>{_behind(opening)})|(?P<{kind}_closes>{_behind(closing)})"
        for kind, (opening, closing) in _PAIRS.items()
    )
    groups = [
        f"(?P<own{i}_opens>{re.escape(opening)})|(?P<own{i}_closes>{re.escape(closing)})"
        for i, (opening, closing) in enumerate(own)
    ]
    xml = r"(?<=<)\s{0,3}(?P<slash>[/\\])?\s{0,3}(?P<name>NAME)ATTRIBUTES(?P<alone>/)?>"
    xml = xml.replace("NAME", _NAMES).replace("ATTRIBUTES", _ATTRIBUTES)
    # the second sign rules out most places, a megabyte of brackets among them, at once
    signs = rf"(?:<(?=[\s/\\a-z]|{_BAR})|\[(?=[/tu])|◁(?=[/t]))"
    groups.append(f"{signs}(?:{xml}|{known})")
    return re.compile("|".join(groups), re.IGNORECASE)


def _behind(tag: str) -> str:
    """Write a pattern whose first sign was matched already."""
    first = tag[:2] if tag[0] == "\\" else tag[0]
    return f"(?<={first}){tag.removeprefix(first)}"


def _tag(match: re.Match[str]) -> Tag | None:
    if (name := match["name"]) is None:
        kind, _, role = str(match.lastgroup).rpartition("_")
        return Tag(kind, role == "opens", match.start(), match.end())
    if match["alone"]:  # it closes itself, and holds nothing
        return None
    return Tag(name.casefold(), match["slash"] is None, match.start(), match.end())


def unknown_tag(text: str, *, cut: bool = False) -> str | None:
    """Return the first thing in an answer that looks like a tag of a thought; None without one.

    `cut`: a limit ended the text, so that the end of a thought may be missing.
    """
    if not _MAY_HOLD_UNKNOWN.search(text):
        return None
    begin = _AT_BEGIN.match(text)
    if begin and _STEMS.search(_name(begin)):
        return begin["tag"]
    mentions = Mentions(text)
    for match in itertools.islice(_ANY_TAG.finditer(text), _MOST_LOOKED_AT):
        if not _STEMS.search(_name(match)) or _pattern(()).fullmatch(match.group()):
            continue
        opens = not re.match(r"(?:&lt;|\W{1,5}?)[/\\]", match.group())
        if not mentions.mentioned(Tag("", opens, match.start(), match.end())):
            return match.group()
    return _by_form(text, cut=cut)


def _name(match: re.Match[str]) -> str:
    """Return what a tag is called: the one group of its name that matched."""
    return next(name for key, name in match.groupdict().items() if name and key != "tag")


def _by_form(text: str, *, cut: bool) -> str | None:
    opening = _FIRST.match(text)
    if opening is None:
        return None
    name = opening["name"]
    if _NO_THOUGHT.fullmatch(name.casefold()) or name.isupper():
        return None
    closing = text.find(f"</{name}>", opening.end())
    if closing < 0:
        return f"<{name}>" if cut and len(text) - opening.end() >= _LONG else None
    within = closing - opening.end()
    behind = len(text[closing + len(name) + 3 :].strip())
    ends = 0 < behind < within or (cut and not behind)
    return f"<{name}>" if within >= _LONG and ends else None


class Mentions:
    """Tells a tag that is only named, in quotes or in code, from one that is used.

    A tag stands in quotes or in a code span where an odd number of these marks precede it on its
    line and one more follows; outside of JSON a closing tag must touch them, since a thought may
    hold marks that never close. An opening tag within a closed block of code is named as well. To
    be asked in the order of places; then all questions take one pass over the text.
    """

    def __init__(self, text: str):
        self.text = text
        self._json = _JSON.match(text) is not None
        self._seen = 0
        self._marks = dict.fromkeys('`"\u201c', 0)
        self._next: dict[str, int] = {}
        self._fences = [m.start() for m in re.finditer("```", text)] if "```" in text else []
        self._fence = 0

    def mentioned(self, tag: Tag) -> bool:
        """Whether a tag is only named."""
        before, after = (
            self.text[max(tag.start - 1, 0) : tag.start],
            self.text[tag.end : tag.end + 1],
        )
        self._count(tag.start)
        if before == "'" == after:
            return True
        for mark, count in self._marks.items():
            end = "\u201d" if mark == "\u201c" else mark
            if not (count > 0 if end != mark else count % 2):
                continue
            within = tag.opens or self._json
            if (before == mark and after == end) or (within and self._comes(end, tag.end)):
                return True
        return tag.opens and self._fenced(tag.start)

    def _count(self, until: int) -> None:
        """Count the marks before a place on its line."""
        line = self.text.rfind("\n", self._seen, until)
        start = self._seen
        if line >= 0:
            start, self._marks = line, dict.fromkeys(self._marks, 0)
        count = self.text.count
        self._marks["`"] += count("`", start, until)
        self._marks['"'] += count('"', start, until) - count('\\"', start, until)
        self._marks["\u201c"] += count("\u201c", start, until) - count("\u201d", start, until)
        self._seen = until

    def _comes(self, mark: str, start: int) -> bool:
        """Whether a mark follows on the same line."""
        return self._find(mark, start) < self._find("\n", start)

    def _find(self, sign: str, start: int) -> int:
        known = self._next.get(sign, -1)
        if known < start:  # what was found once holds for all the places before it
            found = self.text.find(sign, start)
            known = self._next[sign] = len(self.text) if found < 0 else found
        return known

    def _fenced(self, place: int) -> bool:
        fences = self._fences
        while self._fence + 1 < len(fences) and fences[self._fence + 1] < place:
            self._fence += 2
        return self._fence + 1 < len(fences) and fences[self._fence] < place
