// Outside text on the page: only ever as text, with whatever acts instead of being seen written out.

// control, formatting and unassigned characters; lines stay lines
const HIDDEN = /(?![\n\t])[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Cn}\u2028\u2029]/gu;
// of a longer text, so much is shown at first
const LONG = 3000;
// a browser lays out a line of a million characters in seconds, blocks of this size as they are looked at
const BLOCK = 4000;
const ALL_WORDS = 200000, ALL_PAIRS = 2000000;

/** Write a text with its control and formatting characters spelled: `\u202e`. Lines stay lines. */
function visible(text) {
  return text.replace(HIDDEN, (sign) => {
    const code = sign.codePointAt(0);
    return code > 0xffff ? `\\U${code.toString(16).padStart(8, "0")}` : `\\u${code.toString(16).padStart(4, "0")}`;
  });
}

/** The beginning of a text, no sign of it halved. */
function start(text, most) {
  const half = text.charCodeAt(most - 1);
  return text.slice(0, half >= 0xd800 && half < 0xdc00 ? most - 1 : most);
}

/** Shorten a text to one line of a list. */
function excerpt(text, most) {
  const line = visible(text.slice(0, 4 * most)).replace(/\s+/g, " ").trim();
  return line.length > most ? `${line.slice(0, most - 1)}…` : line;
}

function words(text) {
  return text.match(/\s+|[\p{L}\p{N}_]+|[^\s\p{L}\p{N}_]/gu) ?? [];
}

/**
 * Cut a text into pieces [piece, differs] against another: the longest common run of words is kept,
 * or, where texts are too long for that, what both begin and end with.
 */
function differences(text, other) {
  const whole = text.length + other.length > ALL_WORDS;
  const a = whole ? text : words(text), b = whole ? other : words(other);
  let begin = 0, end = 0;
  while (begin < a.length && begin < b.length && a[begin] === b[begin]) begin++;
  while (end < a.length - begin && end < b.length - begin && a[a.length - 1 - end] === b[b.length - 1 - end]) end++;
  const rest = a.slice(begin, a.length - end), against = b.slice(begin, b.length - end);
  if (whole) return [[text.slice(0, begin), false], [rest, true], [text.slice(text.length - end), false]].filter(([piece]) => piece);
  const same = rest.length * against.length > ALL_PAIRS ? new Set() : common(rest, against);
  const pieces = [];
  const add = (piece, differs) => {
    if (!piece) return;
    if (pieces.length && pieces.at(-1)[1] === differs) pieces.at(-1)[0] += piece;
    else pieces.push([piece, differs]);
  };
  add(a.slice(0, begin).join(""), false);
  rest.forEach((word, i) => add(word, !same.has(i)));
  add(a.slice(a.length - end).join(""), false);
  return pieces;
}

/** The places in `a` of a longest common subsequence with `b`. */
function common(a, b) {
  const width = b.length + 1;
  const best = new Uint16Array((a.length + 1) * width);
  for (let i = a.length - 1; i >= 0; i--) {
    for (let j = b.length - 1; j >= 0; j--) {
      best[i * width + j] =
        a[i] === b[j]
          ? best[(i + 1) * width + j + 1] + 1
          : Math.max(best[(i + 1) * width + j], best[i * width + j + 1]);
    }
  }
  const kept = new Set();
  for (let i = 0, j = 0; i < a.length && j < b.length; ) {
    if (a[i] === b[j]) {
      kept.add(i);
      i++;
      j++;
    } else if (best[(i + 1) * width + j] >= best[i * width + j + 1]) i++;
    else j++;
  }
  return kept;
}

/** Share pieces out among blocks, each ended by a line of the text where one ends in time. */
function* blocks(pieces) {
  let block = [], room = BLOCK;
  for (let [piece, differs] of pieces) {
    while (piece.length > room) {
      const line = piece.lastIndexOf("\n", room);
      const part = line > room / 2 ? piece.slice(0, line) : start(piece, Math.max(room, 2));
      yield { pieces: [...block, [part, differs]], broken: line <= room / 2 };
      piece = piece.slice(part.length + (line > room / 2 ? 1 : 0));
      [block, room] = [[], BLOCK];
    }
    if (piece) block.push([piece, differs]);
    room -= piece.length;
  }
  yield { pieces: block, broken: false };
}

function fill(box, pieces) {
  const nodes = (list) => list.map(([piece, differs]) => (differs ? make("mark", { textContent: piece }) : piece));
  const length = pieces.reduce((sum, [piece]) => sum + piece.length, 0);
  if (length <= 2 * BLOCK) box.replaceChildren(...nodes(pieces));
  else box.replaceChildren(...[...blocks(pieces)].map((one) => make("span", { className: one.broken ? "block broken" : "block" }, ...nodes(one.pieces))));
}

/**
 * Show a text in `box`, its differing pieces marked; a long one at first in part. `whole` is null, or
 * [characters, hash] of a text that this page holds in part, and `record` the command that prints all.
 */
function showText(box, text, whole, other, record) {
  const draw = (part, against) => {
    const shown = visible(part);
    fill(box, against === null ? [[shown, false]] : differences(shown, visible(against)));
    if (!part) box.append(make("span", { className: "nothing", textContent: "nothing" }));
  };
  const all = () => {
    draw(text, other);
    if (whole) box.append(note(text.length, whole[0], record));
  };
  if (text.length <= LONG) return all();
  // of the other a little more, so that words that moved are found again
  draw(start(text, LONG), other === null ? null : start(other, LONG * 1.2));
  const number = (value) => value.toLocaleString("en");
  const more = make("button", {
    type: "button",
    textContent: whole ? `Show ${number(text.length)} of ${number(whole[0])} characters` : `Show all ${number(text.length)} characters`,
  });
  more.addEventListener("click", () => {
    all();
    if (box.tabIndex < 0) box.tabIndex = -1;
    box.focus({ preventScroll: true });
  });
  box.append("… ", more);
}

function note(shown, whole, record) {
  const words = ` … the first ${shown.toLocaleString("en")} of ${whole.toLocaleString("en")} characters. This prints the record, which holds all of it: `;
  return make("span", { className: "nothing" }, words, make("code", { textContent: record }));
}

/** A word as a shell takes it. */
function shellWord(text) {
  return /^[\w.=,/-]+$/.test(text) ? text : `'${text.replaceAll("'", `'"'"'`)}'`;
}

/** The command that prints the record of an answer, with the number of its line. */
function recordOf(task, arm, item) {
  return visible(`grep -nF -e ${shellWord(`"item":${JSON.stringify(item)}`)} ${shellWord(`responses/${task}.${arm}.jsonl`)}`);
}
