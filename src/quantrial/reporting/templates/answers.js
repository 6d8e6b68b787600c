// The explorer of answers: what is shown, found and counted. Rows are arrays, as `answers.py` writes them.

const ID = 0, ASKED = 1, GOLD = 2, VALUES = 3, ANSWERS = 4;
const OUTPUT = 0, WHOLE = 1, RIGHT = 2, SCORE = 3, SIGNS = 4, ERRORS = 5, SECONDS = 6, TOKENS = 7;
const PAGE = 25;
// a search waits so long for the next key, and works so long at a stretch; milliseconds
const WAIT = 40, SLICE = 16;
const TURNS = {
  harmful: "right to wrong",
  beneficial: "wrong to right",
  churn: "same score, other words",
  right: "both right",
  wrong: "both wrong",
};

/** A fault is [status, message]; nothing recorded is null. */
const answered = (answer) => answer !== null && answer.length > 2;

/** How the answer turned between two arms: turns that hold, the way `analysis` counts flips. */
function turnsOf(row, reference, candidate) {
  const before = row[ANSWERS][reference], after = row[ANSWERS][candidate];
  if (!answered(before) || !answered(after)) return [];
  const turns = [];
  if (before[RIGHT] && !after[RIGHT]) turns.push("harmful");
  else if (!before[RIGHT] && after[RIGHT]) turns.push("beneficial");
  else turns.push(before[RIGHT] ? "right" : "wrong");
  if (before[SCORE] === after[SCORE] && (before[OUTPUT] !== after[OUTPUT] || before[WHOLE]?.[1] !== after[WHOLE]?.[1])) turns.push("churn");
  return turns;
}

/** Make a test of one row from what the controls say. */
function matcher(about, chosen) {
  const task = about.tasks[chosen.task];
  const tests = [];
  if (chosen.value !== null) tests.push((row) => row[VALUES][chosen.key] === chosen.value);
  if (chosen.turn) tests.push((row) => turnsOf(row, chosen.reference, chosen.candidate).includes(chosen.turn));
  if (chosen.sign) {
    const sign = task.signs.indexOf(chosen.sign);
    tests.push((row) => {
      const answer = row[ANSWERS][chosen.candidate];
      return answered(answer) && answer[SIGNS].includes(sign);
    });
  }
  if (chosen.fault) {
    tests.push((row) => !answered(row[ANSWERS][chosen.reference]) || !answered(row[ANSWERS][chosen.candidate]));
  }
  if (chosen.text) {
    const pattern = new RegExp(chosen.text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"), "iu");
    tests.push(
      (row) =>
        pattern.test(row[ASKED]) ||
        pattern.test(row[GOLD]) ||
        row[ID] === chosen.text ||
        row[ANSWERS].some((answer) => answered(answer) && pattern.test(answer[OUTPUT])),
    );
  }
  return (row) => tests.every((test) => test(row));
}

class Explorer {
  constructor(section, about) {
    this.about = about;
    this.section = section;
    this.rows = about.tasks.map(() => []);
    this.found = [];
    this.page = 0;
    this.open = null;
    this.run = 0;
    const part = (name) => section.querySelector(`[data-part=${name}]`);
    this.controls = Object.fromEntries(
      ["task", "value", "pair", "turn", "sign", "fault", "text"].map((name) => [name, part(name)]),
    );
    this.list = part("list");
    this.detail = part("detail");
    this.status = part("status");
    this.pager = part("pager");
    this.fill();
    for (const control of Object.values(this.controls)) {
      control.addEventListener(control.type === "search" ? "input" : "change", () => {
        if (control === this.controls.task) this.fillTask();
        clearTimeout(this.timer);
        this.timer = setTimeout(() => this.search(), control.type === "search" ? WAIT : 0);
      });
    }
    part("reset").addEventListener("click", () => this.reset());
    part("csv").addEventListener("click", () => this.save("answers.csv", "text/csv", asCsv));
    part("jsonl").addEventListener("click", () => this.save("answers.jsonl", "application/jsonl", asJsonl));
    part("before").addEventListener("click", () => this.turnPage(-1));
    part("after").addEventListener("click", () => this.turnPage(1));
    this.before = part("before");
    this.after = part("after");
  }

  fill() {
    const { tasks, arms, reference } = this.about;
    options(this.controls.task, tasks.map((task, i) => [String(i), task.name]));
    const pairs = [];
    const first = arms.indexOf(reference);
    for (const from of [first, ...arms.keys()].filter((arm, i, all) => all.indexOf(arm) === i)) {
      for (const to of arms.keys()) {
        if (to !== from && (from === first || (to !== first && to > from))) pairs.push([`${from},${to}`, `${arms[to]} vs ${arms[from]}`]);
      }
    }
    options(this.controls.pair, pairs);
    options(this.controls.turn, [["", "any"], ...Object.entries(TURNS)]);
    this.fillTask();
  }

  fillTask() {
    const task = this.about.tasks[Number(this.controls.task.value)];
    options(this.controls.value, [["", "all"]]);
    task.keys.forEach((key, i) => {
      const group = make("optgroup", { label: key });
      // a key that is different in every item is no stratum
      if (task.values[i].length > 500) return;
      for (const value of task.values[i]) {
        group.append(make("option", { value: JSON.stringify([i, value]), textContent: excerpt(value, 60) }));
      }
      this.controls.value.append(group);
    });
    options(this.controls.sign, [["", "any"], ...task.signs.map((sign) => [sign, sign])]);
  }

  chosen() {
    const { task, value, pair, turn, sign, fault, text } = this.controls;
    const [reference, candidate] = (pair.value || "0,0").split(",").map(Number);
    const [key, wanted] = value.value ? JSON.parse(value.value) : [null, null];
    return {
      task: Number(task.value), key, value: wanted, reference, candidate,
      turn: turn.value, sign: sign.value, fault: fault.checked, text: text.value.trim(),
    };
  }

  reset() {
    const { value, turn, sign, fault, text } = this.controls;
    for (const control of [value, turn, sign, text]) control.value = "";
    fault.checked = false;
    return this.search();
  }

  /** Show what turned for the worse between two arms on a task; all answers where nothing did. */
  async choose(task, pair) {
    const { value, turn, sign, fault, text } = this.controls;
    this.controls.task.value = String(task);
    this.fillTask();
    this.controls.pair.value = pair;
    for (const control of [value, sign, text]) control.value = "";
    fault.checked = false;
    turn.value = "harmful";
    await this.search();
    if (this.found.length) return;
    turn.value = "";
    await this.search();
  }

  /** Find what fits, in slices of time, so that typing never waits for a search. */
  async search() {
    const run = ++this.run;
    const chosen = this.chosen();
    const rows = this.rows[chosen.task];
    const fits = matcher(this.about, chosen);
    const found = [];
    let until = performance.now() + SLICE;
    for (let i = 0; i < rows.length; i++) {
      if (fits(rows[i])) found.push(i);
      if (performance.now() > until) {
        await new Promise((go) => setTimeout(go));
        if (run !== this.run) return;
        until = performance.now() + SLICE;
      }
    }
    this.found = found;
    this.page = 0;
    this.searched = chosen;
    this.draw();
  }

  turnPage(by) {
    this.page += by;
    this.draw();
    this.list.focus();
  }

  draw() {
    const { task, reference, candidate } = this.searched;
    const { tasks, arms } = this.about;
    const pages = Math.max(1, Math.ceil(this.found.length / PAGE));
    const cut = this.about.cut === null ? "" : `; of each answer the first ${this.about.cut.toLocaleString("en")} characters are here and searched`;
    this.status.textContent = `${this.found.length.toLocaleString("en")} of ${tasks[task].items.toLocaleString("en")} items${cut}`;
    this.pager.textContent = `Page ${this.page + 1} of ${pages}`;
    this.before.disabled = this.page === 0;
    this.after.disabled = this.page + 1 >= pages;
    const lines = this.found.slice(this.page * PAGE, (this.page + 1) * PAGE).map((i) => {
      const row = this.rows[task][i];
      const turn = turnsOf(row, reference, candidate).map((name) => TURNS[name]).join(", ");
      const link = make(
        "a",
        { href: address(tasks[task].name, row[ID]) },
        make("span", { className: "asked", textContent: excerpt(row[ASKED], 110) }),
        make("span", { className: "how" }, turn || "not answered by both", " · ", marks(row, arms)),
      );
      if (this.open === row[ID]) link.setAttribute("aria-current", "true");
      return make("li", {}, link);
    });
    this.list.replaceChildren(...lines);
    if (!lines.length) this.list.append(make("li", { className: "nothing", textContent: "No item fits these filters." }));
  }

  /** Show one item, wherever it stands in the list. */
  show(name, id) {
    const task = this.about.tasks.findIndex((one) => one.name === name);
    const row = task < 0 ? undefined : this.rows[task].find((one) => one[ID] === id);
    if (!row) {
      this.detail.replaceChildren(make("p", { className: "nothing", textContent: "This run holds no such item." }));
      return false;
    }
    this.open = id;
    this.opened = [task, row];
    if (this.searched.task !== task) {
      this.controls.task.value = String(task);
      this.fillTask();
      this.search();
    } else this.draw();
    this.detail.replaceChildren(...itemParts(this.about, task, row, this.searched));
    return true;
  }

  *exported() {
    const { task } = this.searched;
    for (const i of this.found) yield* records(this.about, task, this.rows[task][i]);
  }

  async save(name, type, form) {
    const said = this.status.textContent;
    await save(name, type, form(this.exported()), (lines) => {
      this.status.textContent = `Saving ${lines.toLocaleString("en")} records…`;
    });
    this.status.textContent = said;
  }
}

function options(select, list) {
  select.replaceChildren(...list.map(([value, text]) => make("option", { value, textContent: visible(text) })));
}

function address(task, id) {
  return `#answer/${encodeURIComponent(task)}/${encodeURIComponent(id)}`;
}

/** Each arm with its sign: right, wrong, no answer; in words for who cannot see it. */
function marks(row, arms) {
  const box = make("span", { className: "marks" });
  row[ANSWERS].forEach((answer, i) => {
    const word = !answered(answer) ? "no answer" : answer[RIGHT] ? "right" : "wrong";
    const sign = { right: "✓", wrong: "✗", "no answer": "–" }[word];
    box.append(
      make(
        "span",
        { className: word.replace(" ", "-") },
        `${visible(arms[i])} `,
        make("b", { ariaHidden: "true", textContent: sign }),
        make("span", { className: "unseen", textContent: `${word} ` }),
      ),
    );
  });
  return box;
}

/** What is shown of one item: the question, the gold, and each arm's answer beside the others. */
function itemParts(about, number, row, { reference }) {
  const task = about.tasks[number];
  const asked = make("p", { className: "question", tabIndex: 0, role: "group", ariaLabel: "question" });
  showText(asked, row[ASKED], null, null);
  const facts = make("dl", { className: "facts" });
  const fact = (name, value) => facts.append(make("dt", { textContent: visible(name) }), make("dd", { textContent: visible(value) }));
  fact("gold", row[GOLD]);
  task.keys.forEach((key, i) => fact(key, row[VALUES][i]));
  const base = row[ANSWERS][reference];
  const sides = make("div", { className: "sides" });
  // the arm that others are held against comes first
  const order = [reference, ...about.arms.keys()].filter((arm, i, all) => all.indexOf(arm) === i);
  for (const arm of order) {
    const other = arm !== reference && answered(base) ? base[OUTPUT] : null;
    sides.append(side(about, task, arm, row, other, arm === reference));
  }
  return [
    make("h3", { tabIndex: -1, textContent: `Item ${row[ID]} of ${visible(task.name)}` }),
    asked,
    facts,
    sides,
    make("p", { className: "note", textContent: `Marked: what differs from ${about.arms[reference]}.` }),
    make("p", { className: "note" }, make("a", { href: address(task.name, row[ID]), textContent: "Link to this item" })),
  ];
}

function side(about, task, arm, row, other, first) {
  const answer = row[ANSWERS][arm];
  const box = make("article", { className: "side" });
  const head = make("h4", { textContent: visible(about.arms[arm]) });
  box.append(head);
  if (!answered(answer)) {
    const why = answer === null ? "not asked" : `no answer: ${answer[0].replaceAll("_", " ")}`;
    box.append(make("p", { className: "no-answer", textContent: why }));
    if (answer?.[1]) box.append(make("p", { className: "note", textContent: visible(answer[1]) }));
    return box;
  }
  head.append(make("span", { className: answer[RIGHT] ? "right" : "wrong", textContent: answer[RIGHT] ? " ✓ right" : " ✗ wrong" }));
  if (first) head.append(make("span", { className: "badge", textContent: "compared with" }));
  const said = make("pre", { className: "said", tabIndex: 0, ariaLabel: `answer of ${visible(about.arms[arm])}`, role: "group" });
  showText(said, answer[OUTPUT], answer[WHOLE], other, recordOf(task.name, about.arms[arm], row[ID]));
  box.append(said);
  const lines = answer[ERRORS].map(([kind, found, gold]) =>
    make("li", { textContent: visible(`${kind}: ${[found && `said ${found}`, gold && `gold ${gold}`].filter(Boolean).join(", ")}`) }),
  );
  if (lines.length) box.append(make("ul", { className: "errors" }, ...lines));
  const facts = [];
  const signs = answer[SIGNS].map((sign) => task.signs[sign]).filter((sign) => !answer[ERRORS].some(([kind]) => kind === sign));
  if (signs.length) facts.push(signs.join(", "));
  if (task.kind !== "choice") facts.push(task.scores[answer[SCORE]]);
  if (answer[SECONDS] !== null) facts.push(`${answer[SECONDS].toFixed(2)} s`);
  if (answer[TOKENS] !== null) facts.push(`${answer[TOKENS]} tokens`);
  box.append(make("p", { className: "note", textContent: facts.join(" · ") }));
  return box;
}
