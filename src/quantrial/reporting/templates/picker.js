// "What would you pick?": controls that are settings, and the pick that follows from them at once.

const LEAST_LOSS = 0.001;
const STEPS = 200;

const asPoints = (value, unit) => (unit ? `${Number(value.toPrecision(3))} ${unit}` : `${(100 * value).toFixed(1)} pp`);
const asRatio = (value) => `${value.toFixed(2)}×`;
function asSize(value) {
  for (const [unit, name] of [[1e9, "GB"], [1e6, "MB"], [1e3, "kB"]]) if (value >= unit) return `${(value / unit).toFixed(1)} ${name}`;
  return `${value.toFixed(0)} B`;
}

const asSeconds = (value) => (value >= 0.1 ? `${Number(value.toPrecision(3))} s` : `${Number((1000 * value).toPrecision(3))} ms`);
/** A number as it is typed: no exponent. */
const plain = (value) => (String(value).includes("e") ? value.toFixed(12).replace(/\.?0+$/, "") : String(value));

class Picker {
  /** `stated`: the constraints that the decision was made under; the controls start there. */
  constructor(section, table, stated) {
    this.table = table;
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
      this.slider(name, `Loss you accept on ${this.named(name)}`, {
        least: 1, most, start: margin, loss: true,
        value: (at) => (at === margin ? null : Math.max(LEAST_LOSS, at / 1000)),
        words: (value) => (value === null ? `${asPoints(task.margin)}, the study's margin` : `up to ${asPoints(value)}`),
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

  /** Name a task as the rest of the page does: by its workload, and by itself where several share it. */
  named(task) {
    const { workload } = this.table.tasks[task];
    const shared = Object.values(this.table.tasks).filter((one) => one.workload === workload).length > 1;
    return visible(shared ? `${workload} (${task})` : workload);
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
    if (found.pick === null) head.append(make("strong", { textContent: "No arm keeps all of this" }));
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
    const arm = found.pick;
    if (arm === null) return ["Every arm breaks at least one of your limits."];
    if (arm === this.table.reference) return ["The reference. ", found.order[0] === arm ? "Nothing costs less." : "Nothing that costs less keeps your limits."];
    const own = this.table.arms[arm], base = this.table.arms[this.table.reference];
    const parts = [];
    if (own.memory !== null && base.memory) parts.push(`${((100 * own.memory) / base.memory).toFixed(0)} % of the ${this.peak ? "peak memory" : "memory"}`);
    if (own.speedup !== null) parts.push(`${asRatio(own.speedup)} the decoding speed`);
    const kept = matter(this.table, settings).map((task) => {
      const row = this.table.tasks[task].arms[arm];
      return this.finding(row, `${asPoints(tolerance(this.table, settings, task) ?? row.margin, this.table.tasks[task].unit)} on ${this.named(task)}`);
    });
    const costs = parts.length ? [`${parts.join(" and ")} of ${this.table.reference}; `] : [];
    const missing = matter(this.table, settings).reduce((sum, task) => sum + (this.table.tasks[task].arms[arm].missing ?? 0), 0);
    const held = missing ? `, with ${missing.toLocaleString("en")} missing ${missing === 1 ? "answer" : "answers"} held against it` : "";
    return [...costs, "shown to lose less than ", ...kept.flatMap((one, i) => (i ? [" and ", one] : [one])), `${held}.`];
  }

  /** Say what the machine costs for each arm, where hours have a price. */
  priced(found, settings) {
    if (settings.cost_per_hour === undefined && !Object.keys(settings.cost_per_hour_by).length) return [];
    const prices = found.order.map((arm) => [arm, price(this.table, settings, arm)]);
    const known = prices.every(([, one]) => one !== null);
    const said = prices.map(([arm, one]) => `${visible(arm)} ${Number((1e6 * one).toPrecision(3)).toLocaleString("en")}`).join(", ");
    const words = known
      ? `The machine, for a million requests of each workload that matters, one at a time: ${said}.`
      : "Prices do not count: for an arm the price, or the time an answer takes, is not known.";
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
    const words = found.breaks[arm].length ? [": ", ...this.misses(found.breaks[arm], arm, dearer)] : [` keeps your limits too${dearer}.`];
    return make("p", {}, found.pick === null ? "Nearest miss: " : "Nearest alternative: ", make("strong", { textContent: visible(arm) }), ...words);
  }

  /** Say which limits an arm breaks, and by how much. */
  misses(list, arm, dearer) {
    if (!list.length) return [`keeps your limits${dearer}.`];
    const words = list.map((one) => {
      const work = one.task === null ? "" : this.named(one.task);
      const { unit } = one.task === null ? {} : this.table.tasks[one.task];
      const row = one.task === null ? null : this.table.tasks[one.task].arms[arm];
      if (one.constraint === "evidence") {
        return one.task === null ? "this study missed harm done on purpose" : `on ${work} even ${visible(this.table.reference)} does no better than guessing, so this test cannot show a loss`;
      }
      if (one.constraint === "identity") return `looks identical to ${visible(this.table.arms[arm].twin)}, so this study says nothing about it`;
      if (this.table.arms[arm].other_prompts && ["quality", "tolerate"].includes(one.constraint)) return `was shown other prompts than ${visible(this.table.reference)}, so this study says nothing about it`;
      if (one.constraint === "missing") return this.finding(row, `undecided: ${row.missing.toLocaleString("en")} ${row.missing === 1 ? "answer" : "answers"} missing on ${work}`);
      if (one.constraint === "choice") {
        const among = candidates(this.table).length;
        return this.finding(row, `loses less than ${asPoints(one.limit, unit)} on ${work} when tested alone, but not as one of ${among} candidates`);
      }
      if (one.constraint === "max_latency") return one.value === null ? `its latency on ${work} is not known` : `takes ${asSeconds(one.value)} an answer on ${work}`;
      if (one.value === null) return one.task === null ? `its ${one.constraint === "max_memory" ? "memory" : "speed"} is not known` : `how much it loses on ${work} is not known`;
      if (one.constraint === "max_memory") return this.peak ? `holds ${asSize(one.value)} at its peak` : `needs ${asSize(one.value)} for its weights`;
      if (one.constraint === "min_speedup") return `decodes at ${asRatio(one.value)} ${this.table.reference}'s speed`;
      const said = one.value < -one.limit ? `could lose as much as ${asPoints(-one.value, unit)} on ${work}` : `could lose ${asPoints(one.limit, unit)} or more on ${work}`;
      return this.finding(row, said);
    });
    return [...words.flatMap((one, i) => (i ? ["; ", one] : [one])), "."];
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
  section.picker = new Picker(section, table, stated);
}

startPicker();
