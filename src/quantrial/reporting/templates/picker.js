// "What would you pick?": controls that are settings, and the pick that follows from them at once.

const LEAST_LOSS = 0.001;
const STEPS = 200;

const asCount = (value, one) => `${value.toLocaleString("en")} ${one}${value === 1 ? "" : "s"}`;
/** How large a loss is: `3.1 pp`, `3.2 edits`. */
function asLoss(value, unit) {
  const much = Math.abs(value);
  if (unit) return `${much >= 100 ? Math.round(much).toLocaleString("en") : Number(much.toPrecision(3))} ${unit}`;
  const shown = (100 * much).toFixed(1);
  return shown === "0.0" ? "less than 0.1 pp" : `${shown} pp`;
}
/** A limit with the digits that it was stated with: `3 pp`, `2 edits`. */
const asLimit = (value, unit) => (unit ? `${value.toLocaleString("en")} ${unit}` : `${Number((100 * value).toPrecision(6))} pp`);
const asTimes = (value) => `${value.toFixed(2)} times`;
const asRatio = (value) => `${value.toFixed(2)}×`;
/** Bytes beside a limit that they pass: rounded up, so that the two never read the same. */
function asMemory(value, limit) {
  const [unit, name] = Math.min(value, limit) < 1e6 ? [1, "bytes"] : [1e6, "MB"];
  return `${Math.ceil(value / unit).toLocaleString("en")} ${name}`;
}
const listed = (names) => (names.length < 2 ? names.join("") : `${names.slice(0, -1).join(", ")} and ${names.at(-1)}`);
function asSize(value) {
  for (const [unit, name] of [[1e9, "GB"], [1e6, "MB"], [1e3, "kB"]]) if (value >= unit) return `${(value / unit).toFixed(1)} ${name}`;
  return `${value.toFixed(0)} B`;
}

const asSeconds = (value) => (value >= 999.5 ? `${Math.round(value).toLocaleString("en")} s` : value >= 0.1 ? `${Number(value.toPrecision(3))} s` : `${Number((1000 * value).toPrecision(3))} ms`);
/** A number as it is typed: no exponent. */
const plain = (value) => (String(value).includes("e") ? value.toFixed(12).replace(/\.?0+$/, "") : String(value));

const LOSSES = new Set(["quality", "tolerate", "missing", "choice"]);

/** What arms do to limits, in the words of `LIMIT_WORDS` in words.py. A test holds both together. */
class Says {
  constructor(words, table) {
    this.words = words;
    this.table = table;
    this.reference = visible(table.reference);
  }

  fill(key, values) {
    return this.words[values.again ? `${key}_again` : key].replace(/\{(\w+)\}/g, (_, name) => values[name]);
  }

  /** Name a task as the rest of the page does: by its workload, and by itself where several share it. */
  named(task) {
    const { workload } = this.table.tasks[task];
    const shared = Object.values(this.table.tasks).filter((one) => one.workload === workload).length > 1;
    return visible(shared ? `${workload} (${task})` : workload);
  }

  /** Whether the reference's own answers stand in for right ones on a task. */
  again(task) {
    return this.table.tasks[task].against === "reference";
  }

  /** Say how an arm breaks a limit, to stand after its name. */
  broken(arm, { constraint, task, value, limit }) {
    const own = this.table.arms[arm], { reference } = this;
    const work = task === null ? "" : this.named(task);
    if (constraint === "evidence") return this.inSentence(task === null ? this.missedHarm() : this.fill("at_floor", { work, reference, baseline: this.table.tasks[task].baseline, again: this.again(task) }));
    if (constraint === "identity") return this.fill("identity", { twin: visible(own.twin) });
    if (LOSSES.has(constraint)) return this.loss(arm, { constraint, task, value, limit });
    if (value === null) return `its ${{ max_memory: "memory", min_speedup: "speed", max_latency: "latency" }[constraint]}${work && ` on ${work}`} is not known`;
    if (constraint === "max_memory") return this.fill(this.table.memory_source === "peak" ? "peak" : "file", { value: asMemory(value, limit) });
    if (constraint === "min_speedup") return this.fill("min_speedup", { value: asTimes(value), reference });
    return this.fill("max_latency", { value: asSeconds(value), work });
  }

  loss(arm, { constraint, task, value, limit }) {
    const { arms, unit } = this.table.tasks[task], row = arms[arm], { reference } = this;
    const work = this.named(task), allowed = asLimit(limit, unit), again = this.again(task);
    if (this.table.arms[arm].other_prompts) return this.fill("other_prompts", { reference, why: "" });
    if (row.finding === null) return this.fill("nothing_in_common", { reference, work });
    if (constraint === "missing") return this.fill("missing", { work, answers: `${asCount(row.missing, "answer")} ${row.missing === 1 ? "is" : "are"}` });
    if (constraint === "choice") {
      const alone = this.fill("alone", { p_alone: "", candidates: asCount(candidates(this.table).length, "candidate"), p_chosen: "" });
      return this.fill("loses_less", { limit: allowed, work, alone, again, reference });
    }
    const lost = -(row.estimate ?? 0);
    if (lost >= limit) {
      if (asLoss(lost, unit) !== asLoss(limit, unit)) return this.fill("lost", { value: asLoss(lost, unit), work, again, reference });
      return this.fill("lost_the_limit", { side: lost > limit ? "slightly more than" : "exactly", limit: allowed, work, again, reference });
    }
    if (value === null || value >= -limit || asLoss(value, unit) === asLoss(limit, unit)) return this.fill("could_lose_the_limit", { limit: allowed, work, again, reference });
    return this.fill("could_lose", { value: asLoss(value, unit), work, again, reference });
  }

  missedHarm() {
    const controls = Object.keys(this.table.arms).filter((arm) => this.table.arms[arm].control).map(visible);
    return this.fill("missed_harm", { controls: listed(controls), noun: controls.length === 1 ? "an arm" : "arms" });
  }

  inSentence(text) {
    return text[0].toLowerCase() + text.slice(1);
  }
}

class Picker {
  /** `stated`: the constraints that the decision was made under; the controls start there. */
  constructor(section, table, stated, words) {
    this.table = table;
    this.says = new Says(words, table);
    this.peak = table.memory_source === "peak"; // else memory is the size of the weights
    this.stated = stated;
    const part = (name) => section.querySelector(`[data-part=${name}]`);
    this.controls = part("controls");
    this.more = part("more");
    this.answer = part("answer");
    this.others = part("others");
    this.command = part("command");
    this.sliders = [];
    this.prices = [];
    // an object gives names that are numbers first, whatever their order was
    this.arms = Object.entries(table.arms).filter(([, own]) => !own.control).sort(([, a], [, b]) => a.rank - b.rank).map(([arm]) => arm);
    this.costs();
    this.losses();
    this.workloads = [...new Set(Object.values(table.tasks).map((task) => task.workload))];
    this.boxes = this.workloads.length > 1 ? this.switches() : [];
    this.controls.append(this.more);
    this.latency();
    this.pricing();
    this.more.hidden = this.more.children.length < 2;
    part("reset").addEventListener("click", () => this.reset());
    this.controls.addEventListener("submit", (event) => event.preventDefault());
    this.update();
  }

  costs() {
    const known = (name) => this.arms.map((arm) => this.table.arms[arm][name]).filter((one) => one !== null);
    const sizes = known("memory"), ratios = known("speedup");
    if (sizes.length) {
      // just below the smallest, up to the largest; the last step is no limit
      const low = 0.95 * Math.min(...sizes), high = Math.max(...sizes);
      this.slider("max_memory", this.peak ? "Memory at the peak" : "Memory for the weights", {
        most: STEPS, start: STEPS,
        value: (at) => (at === STEPS ? null : Math.round(low + ((high - low) * at) / (STEPS - 1))),
        words: (value) => (value === null ? "no limit" : `at most ${asSize(value)}`),
      });
    }
    if (ratios.length > 1) {
      const high = Math.max(...ratios);
      this.slider("min_speedup", "Least speed", {
        most: STEPS, start: 0,
        value: (at) => (at === 0 ? null : Math.max(0.01, Math.round((105 * high * at) / STEPS) / 100)),
        words: (value) => (value === null ? "any" : `${asRatio(value)} ${visible(this.table.reference)}'s or more`),
      });
    }
  }

  losses() {
    for (const [name, task] of Object.entries(this.table.tasks)) {
      if (task.unit) continue; // what you accept is a share
      const rows = this.arms.flatMap((arm) => [task.arms[arm], ...(task.arms[arm].among ?? [])]);
      const bounds = rows.map((one) => one.bound).filter((one) => one !== null);
      // in tenths of a point, far enough to accept every arm
      const most = Math.ceil(1000 * Math.min(0.999, Math.max(2 * task.margin, ...bounds.map((one) => -one)) + 0.01));
      const margin = Math.round(1000 * task.margin);
      this.slider(name, `Loss you accept on ${this.says.named(name)}`, {
        least: 1, most, start: margin, loss: true,
        value: (at) => (at === margin ? null : Math.max(LEAST_LOSS, at / 1000)),
        words: (value) => (value === null ? `${asLimit(task.margin)}, the study's margin` : `up to ${asLimit(value)}`),
      });
    }
  }

  latency() {
    const rows = Object.values(this.table.tasks).flatMap((task) => this.arms.map((arm) => task.arms[arm].latency));
    const known = rows.filter((one) => one !== null);
    if (known.length < 2) return;
    // equal steps of the logarithm: milliseconds and minutes may stand side by side
    const low = Math.log(0.9 * Math.min(...known)), high = Math.log(1.02 * Math.max(...known));
    this.slider("max_latency", "Time an answer may take", {
      most: STEPS, start: STEPS, box: this.more,
      value: (at) => (at === STEPS ? null : Number(Math.exp(low + ((high - low) * at) / (STEPS - 1)).toPrecision(3))),
      words: (value) => (value === null ? "no limit" : `at most ${asSeconds(value)} on average`),
    });
  }

  /** Fields for the price of a machine hour: one for all arms, and one for each that differs. */
  pricing() {
    if (this.arms.length < 2) return;
    const box = make("fieldset", { className: "prices" }, make("legend", { textContent: "Price of a machine hour, in any currency: arms are then ordered by what a request costs" }));
    const field = (arm, given) => {
      const input = make("input", { type: "number", min: "0", step: "any", inputMode: "decimal", placeholder: arm === null ? "none" : "the same" });
      input.value = given === undefined || given === null ? "" : plain(given);
      input.addEventListener("input", () => this.update());
      this.prices.push({ arm, input, start: input.value });
      box.append(make("label", {}, make("span", { textContent: arm === null ? "all arms" : visible(arm) }), input));
    };
    const by = this.stated.cost_per_hour_by ?? {};
    field(null, this.stated.cost_per_hour);
    for (const arm of this.arms) field(arm, Object.hasOwn(by, arm) ? by[arm] : null);
    this.more.append(box);
    if (this.stated.max_latency || this.prices.some(({ start }) => start)) this.more.open = true;
  }

  /** What was stated stands where its slider starts, exactly, though steps are coarser. */
  slider(key, text, { least = 0, most, start, value, words, loss = false, box = this.controls }) {
    const given = (loss ? tolerance(this.table, this.stated, key) : this.stated[key]) ?? null;
    const from = given === null ? start : nearestStep(value, given, least, most);
    const shown = make("span", { className: "value", ariaHidden: "true" });
    const input = make("input", { type: "range", min: String(least), max: String(most) });
    input.value = String(from);
    const of = () => (given !== null && Number(input.value) === from ? given : value(Number(input.value)));
    const tell = () => {
      shown.textContent = words(of());
      input.setAttribute("aria-valuetext", words(of()));
    };
    input.addEventListener("input", () => this.update());
    box.append(make("label", { className: "slider" }, make("span", {}, text), shown, input));
    this.sliders.push({ key, input, of, tell, loss, start: from });
  }

  switches() {
    const box = make("fieldset", {}, make("legend", { textContent: "Workloads that matter" }));
    const wanted = this.stated.workloads ?? [];
    const made = this.workloads.map((workload) => {
      const start = !wanted.length || wanted.includes(workload);
      const input = make("input", { type: "checkbox", checked: start, defaultChecked: start, value: workload });
      input.addEventListener("change", () => this.update());
      box.append(make("label", { className: "check" }, input, visible(workload)));
      return input;
    });
    this.controls.append(box);
    return made;
  }

  reset() {
    for (const one of this.sliders) one.input.value = String(one.start);
    for (const one of this.prices) one.input.value = one.start;
    for (const box of this.boxes) box.checked = box.defaultChecked;
    this.update();
  }

  /** The constraints as `decision.json` has them. */
  settings() {
    // names are anything: these objects hold nothing of their own
    const settings = { tolerate_by: Object.create(null), cost_per_hour_by: Object.create(null) };
    for (const one of this.sliders) {
      const value = one.of();
      if (value === null) continue;
      if (one.loss) settings.tolerate_by[one.key] = value;
      else settings[one.key] = value;
    }
    for (const { arm, input } of this.prices) {
      if (input.value === "" || !(Number(input.value) >= 0)) continue;
      if (arm === null) settings.cost_per_hour = Number(input.value);
      else settings.cost_per_hour_by[arm] = Number(input.value);
    }
    const chosen = this.boxes.filter((box) => box.checked).map((box) => box.value);
    settings.workloads = chosen.length === this.boxes.length ? [] : chosen;
    return settings;
  }

  update() {
    const checked = this.boxes.filter((box) => box.checked);
    // the last one stays: with none there is nothing to hold a loss against
    for (const box of this.boxes) box.disabled = checked.length === 1 && box.checked;
    for (const one of this.sliders) one.tell();
    const settings = this.settings();
    const found = choose(this.table, settings);
    this.found = found;
    const head = make("p", { className: "pick" });
    if (found.pick === null) head.append(make("strong", { textContent: this.says.words.none }));
    else head.append("Pick ", make("strong", { textContent: visible(found.pick) }));
    this.answer.replaceChildren(head, make("p", {}, ...this.reason(found, settings)), this.nearest(found, settings), ...this.priced(found, settings));
    this.others.replaceChildren(
      ...found.order
        .filter((arm) => arm !== found.pick && arm !== found.alternative)
        .map((arm) => make("li", {}, make("strong", { textContent: visible(arm) }), ": ", ...this.misses(found.breaks[arm], arm, this.dearer(found, settings, arm)))),
    );
    this.command.textContent = this.asCommand(settings);
  }

  reason(found, settings) {
    const arm = found.pick, { says } = this, { reference } = says;
    if (arm === null) return ["Every arm breaks at least one of them."];
    if (arm === this.table.reference) return ["The reference. ", found.order[0] === arm ? "Nothing costs less." : "Nothing that costs less keeps your constraints."];
    const own = this.table.arms[arm], base = this.table.arms[this.table.reference];
    const parts = [];
    if (own.memory !== null && base.memory) parts.push(says.fill("memory_share", { share: `${((100 * own.memory) / base.memory).toFixed(0)} %`, memory: { peak: "peak memory", stated: "stated memory" }[this.table.memory_source] ?? "memory", reference }));
    if (own.speedup !== null) parts.push(says.fill("speed_share", { value: asTimes(own.speedup) }) + (parts.length ? "" : ` as ${reference}`));
    const kept = matter(this.table, settings).map((task) => {
      const row = this.table.tasks[task].arms[arm];
      return this.finding(row, `${asLimit(tolerance(this.table, settings, task) ?? row.margin, this.table.tasks[task].unit)} on ${says.named(task)}`);
    });
    const costs = parts.length ? [`It ${parts.join(" and ")}. `] : [];
    const missing = matter(this.table, settings).reduce((sum, task) => sum + (this.table.tasks[task].arms[arm].missing ?? 0), 0);
    const held = missing ? `, even if ${asCount(missing, "missing answer")} ${missing === 1 ? "counts" : "count"} against it` : "";
    return [...costs, "It is shown to lose less than ", ...kept.flatMap((one, i) => (i ? [" and ", one] : [one])), `${held}.`];
  }

  /** Say what the machine costs for each arm, where hours have a price. */
  priced(found, settings) {
    if (settings.cost_per_hour === undefined && !Object.keys(settings.cost_per_hour_by).length) return [];
    const prices = found.order.map((arm) => [arm, price(this.table, settings, arm)]);
    const known = prices.every(([, one]) => one !== null);
    const list = prices.map(([arm, one]) => `${visible(arm)} ${Number((1e6 * one).toPrecision(3)).toLocaleString("en")}`).join(", ");
    const words = known
      ? `What the machine costs for a million requests of each workload that matters, one at a time: ${list}.`
      : "Prices do not count, because the price of an arm, or the time its answers take, is not known.";
    return [make("p", { className: "note", textContent: words })];
  }

  /** Say that an arm costs more than the pick, where that is known. */
  dearer(found, settings, arm) {
    return found.pick !== null && costsMore(this.table, settings, arm, found.pick) ? ", and costs more" : "";
  }

  nearest(found, settings) {
    const arm = found.alternative;
    if (arm === null) return make("p", { className: "note", textContent: "There is no other arm to pick." });
    const dearer = this.dearer(found, settings, arm);
    const words = found.breaks[arm].length ? [": ", ...this.misses(found.breaks[arm], arm, dearer)] : [` keeps your constraints too${dearer}.`];
    return make("p", {}, found.pick === null ? "Nearest miss: " : "Nearest alternative: ", make("strong", { textContent: visible(arm) }), ...words);
  }

  /** Say which limits an arm breaks, and by how much. */
  misses(list, arm, dearer) {
    if (!list.length) return [`keeps your constraints${dearer}.`];
    const said = list.map((one) => {
      const text = this.says.broken(arm, one);
      return LOSSES.has(one.constraint) ? this.finding(this.table.tasks[one.task].arms[arm], text) : text;
    });
    return [...said.flatMap((one, i) => (i ? ["; ", one] : [one])), "."];
  }

  /** Link words to the finding they rest on. */
  finding(row, words) {
    if (row?.finding == null) return words;
    return make("a", { href: `#${anchorOf(row.finding)}`, textContent: words });
  }

  asCommand(settings) {
    const parts = ["quantrial decide RUN"];
    if (settings.max_memory !== undefined) parts.push(`--max-memory ${settings.max_memory}B`);
    if (settings.min_speedup !== undefined) parts.push(`--min-speedup ${plain(settings.min_speedup)}`);
    if (settings.max_latency !== undefined) parts.push(`--max-latency ${plain(settings.max_latency)}s`);
    for (const [task, loss] of Object.entries(settings.tolerate_by)) parts.push(`--tolerate ${shellWord(visible(`${task}=${plain(Number((100 * loss).toPrecision(12)))}pp`))}`);
    if (settings.workloads.length) parts.push(`--workloads ${shellWord(visible(settings.workloads.join(",")))}`);
    if (settings.cost_per_hour !== undefined) parts.push(`--cost-per-hour ${plain(settings.cost_per_hour)}`);
    for (const [arm, hour] of Object.entries(settings.cost_per_hour_by)) parts.push(`--cost-per-hour ${shellWord(visible(`${arm}=${plain(hour)}`))}`);
    return parts.join(" ");
  }
}

/** The step of a slider whose value lies nearest to a given one; a step without a value is none. */
function nearestStep(value, given, least, most) {
  let best = least, distance = Infinity;
  for (let at = least; at <= most; at++) {
    const here = value(at);
    if (here === null || Math.abs(here - given) >= distance) continue;
    [best, distance] = [at, Math.abs(here - given)];
  }
  return best;
}

/** The id of the row of a finding: `anchor` in `documents.py`. */
function anchorOf(finding) {
  return visible(finding).replace(/\s/g, " ").replace(/ +/g, " ").replace(/[^\p{L}\p{N}_.=-]/gu, (sign) => `~${sign.codePointAt(0).toString(16)}`);
}

function startPicker() {
  const section = document.getElementById("pick");
  if (!section) return;
  const table = JSON.parse(document.getElementById("picker-table").textContent);
  section.querySelector("[data-part=without]").hidden = true;
  section.querySelector("[data-part=with]").hidden = false;
  const stated = JSON.parse(document.getElementById("picker-stated").textContent);
  const words = JSON.parse(document.getElementById("picker-words").textContent);
  section.picker = new Picker(section, table, stated, words);
}

startPicker();
