// Taking answers along: one record an answer, as CSV for a sheet and as JSON lines for a program.

const FIELDS = ["task", "item", "arm", "status", "right", "signs", "seconds", "tokens", "output", "output_length", "output_cut", "record", "gold", "asked"];

function* records(about, number, row) {
  const task = about.tasks[number];
  const given = Object.fromEntries(task.keys.map((key, i) => [`item.${key}`, row[VALUES][i]]));
  for (const [arm, answer] of row[ANSWERS].entries()) {
    const common = { task: task.name, item: row[ID], arm: about.arms[arm], gold: row[GOLD], asked: row[ASKED], ...given };
    if (!answered(answer)) yield { ...common, status: answer === null ? "not_asked" : answer[0], error: answer?.[1] ?? null };
    else {
      yield {
        ...common,
        status: "ok",
        right: Boolean(answer[RIGHT]),
        score: task.scores[answer[SCORE]],
        signs: answer[SIGNS].map((sign) => task.signs[sign]),
        seconds: answer[SECONDS],
        tokens: answer[TOKENS],
        output: answer[OUTPUT],
        output_length: answer[WHOLE]?.[0] ?? answer[OUTPUT].length,
        output_cut: answer[WHOLE] !== null,
        record: recordOf(task.name, about.arms[arm], row[ID]),
      };
    }
  }
}

/** A field that a spreadsheet would run as a formula is taken for text by the apostrophe before it. */
function csvField(value) {
  let text = value === null || value === undefined ? "" : Array.isArray(value) ? value.join("; ") : String(value);
  if (typeof value !== "number" && /^[\s\p{Cf}]*[=+\-@＝＋－＠|%\t\r]/u.test(text)) text = `'${text}`;
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

function* asCsv(found) {
  let names = null;
  for (const record of found) {
    if (names === null) {
      names = [...FIELDS, "score", "error", ...Object.keys(record).filter((name) => name.startsWith("item."))];
      yield `${names.map(csvField).join(",")}\r\n`;
    }
    yield `${names.map((name) => csvField(record[name])).join(",")}\r\n`;
  }
}

function* asJsonl(found) {
  for (const record of found) yield `${JSON.stringify(record)}\n`;
}

/** Write a file a piece at a time, so that the page never stands still; `told` hears how far it is. */
async function save(name, type, lines, told) {
  const parts = [];
  let until = performance.now() + SLICE;
  for (const line of lines) {
    parts.push(line);
    if (performance.now() <= until) continue;
    told(parts.length);
    await new Promise((go) => setTimeout(go));
    until = performance.now() + SLICE;
  }
  const link = make("a", { href: URL.createObjectURL(new Blob(parts, { type })), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}
