// Outside text on the page: only ever as text, with whatever acts instead of being seen written out.

const HIDDEN = /[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Cn}\u2028\u2029]/u;
const LONG = 4000;

/** Write a text with its control and formatting characters spelled: `\u202e`. Lines stay lines. */
function visible(text) {
  let shown = "";
  for (const sign of text) {
    if (sign === "\n" || sign === "\t" || !HIDDEN.test(sign)) shown += sign;
    else {
      const code = sign.codePointAt(0);
      shown += code > 0xffff ? `\\U${code.toString(16).padStart(8, "0")}` : `\\u${code.toString(16).padStart(4, "0")}`;
    }
  }
  return shown;
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
  const a = words(text), b = words(other);
  let start = 0, end = 0;
  while (start < a.length && start < b.length && a[start] === b[start]) start++;
  while (end < a.length - start && end < b.length - start && a.at(-1 - end) === b.at(-1 - end)) end++;
  const rest = a.slice(start, a.length - end), against = b.slice(start, b.length - end);
  const same = rest.length * against.length > 250000 ? new Set() : common(rest, against);
  const pieces = [];
  const add = (piece, differs) => {
    if (!piece) return;
    if (pieces.length && pieces.at(-1)[1] === differs) pieces.at(-1)[0] += piece;
    else pieces.push([piece, differs]);
  };
  add(a.slice(0, start).join(""), false);
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

/** Show a text in `box`, its differing pieces marked; a long one at first in part. */
function showText(box, text, whole, other) {
  const cut = text.length > LONG;
  const draw = (part) => {
    const pieces = other === null ? [[visible(part), false]] : differences(visible(part), visible(other));
    box.replaceChildren(
      ...pieces.map(([piece, differs]) => (differs ? make("mark", { textContent: piece }) : piece)),
    );
    if (!part) box.append(make("span", { className: "nothing", textContent: "nothing" }));
  };
  draw(cut ? text.slice(0, LONG) : text);
  if (cut) {
    const more = make("button", { type: "button", textContent: `Show all ${text.length.toLocaleString("en")} characters` });
    more.addEventListener("click", () => {
      draw(text);
      if (whole > text.length) box.append(note(text.length, whole));
    });
    box.append("… ", more);
  } else if (whole > text.length) box.append(note(text.length, whole));
}

function note(shown, whole) {
  return make("span", {
    className: "nothing",
    textContent: ` … ${shown.toLocaleString("en")} of ${whole.toLocaleString("en")} characters; the responses hold all of it`,
  });
}
