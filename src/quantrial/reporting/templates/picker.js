// "What would you pick?": controls that are settings, and the pick that follows from them at once.

const LEAST_LOSS = 0.001;
const STEPS = 200;

const asPoints = (value) => `${(100 * value).toFixed(1)} pp`;
const asRatio = (value) => `${value.toFixed(2)}×`;
function asSize(value) {
  for (const [unit, name] of [[1e9, "GB"], [1e6, "MB"], [1e3, "kB"]]) if (value >= unit) return `${(value / unit).toFixed(1)} ${name}`;
  return `${value.toFixed(0)} B`;
}

class Picker {
  constructor(section, table) {
    this.table = table;
    const part = (name) => section.querySelector(`[data-part=${name}]`);
    this.controls = part("controls");
    this.answer = part("answer");
    this.others = part("others");
    this.command = part("command");
    this.sliders = {};
    const arms = Object.entries(table.arms).filter(([, own]) => !own.control).map(([arm]) => arm);
    const sizes = arms.map((arm) => table.arms[arm].memory).filter((one) => one !== null);
    const ratios = arms.map((arm) => table.arms[arm].speedup).filter((one) => one !== null);
    if (sizes.length) {
      // just below the smallest, up to the largest; the last step is no limit
      const low = 0.95 * Math.min(...sizes), high = Math.max(...sizes);
      this.slider("max_memory", "Memory for the weights", STEPS, STEPS, (at) =>
        at === STEPS ? null : low + ((high - low) * at) / (STEPS - 1), (value) => (value === null ? "no limit" : `at most ${asSize(value)}`));
    }
    if (ratios.length > 1) {
      const high = Math.max(...ratios);
      this.slider("min_speedup", "Least speed", STEPS, 0, (at) => (at === 0 ? null : (1.05 * high * at) / STEPS),
        (value) => (value === null ? "any" : `${asRatio(value)} ${table.reference}'s or more`));
    }
    for (const [name, task] of Object.entries(table.tasks)) {
      const bounds = arms.map((arm) => task.arms[arm].bound).filter((one) => one !== null);
      // in tenths of a point, far enough to accept every arm
      const most = Math.ceil(1000 * Math.min(0.999, Math.max(2 * task.margin, ...bounds.map((one) => -one)) + 0.01));
      const margin = Math.round(1000 * task.margin);
      this.slider(name, `Loss you accept on ${this.named(name)}`, most, margin, (at) => (at === margin ? null : Math.max(LEAST_LOSS, at / 1000)),
        (value) => (value === null ? `${asPoints(task.margin)}, the study's margin` : `up to ${asPoints(value)}`), true);
    }
    this.workloads = [...new Set(Object.values(table.tasks).map((task) => task.workload))];
    this.boxes = this.workloads.length > 1 ? this.switches() : [];
    part("reset").addEventListener("click", () => this.reset());
    this.update();
  }

  /** Name a task as the rest of the page does: by its workload, and by itself where several share it. */
  named(task) {
    const { workload } = this.table.tasks[task];
    const shared = Object.values(this.table.tasks).filter((one) => one.workload === workload).length > 1;
    return visible(shared ? `${workload} (${task})` : workload);
  }

  slider(key, text, most, start, value, words, loss = false) {
    const shown = make("span", { className: "value", ariaHidden: "true" });
    const input = make("input", { type: "range", min: "0", max: String(most), value: String(start) });
    if (loss) input.min = "1";
    input.value = String(start);
    const of = () => value(Number(input.value));
    const tell = () => {
      shown.textContent = words(of());
      input.setAttribute("aria-valuetext", words(of()));
    };
    input.addEventListener("input", () => this.update());
    this.controls.append(make("label", { className: "slider" }, make("span", {}, text), shown, input));
    this.sliders[key] = { input, of, tell, loss, start };
  }

  switches() {
    const box = make("fieldset", {}, make("legend", { textContent: "Workloads that matter" }));
    const made = this.workloads.map((workload) => {
      const input = make("input", { type: "checkbox", checked: true, value: workload });
      input.addEventListener("change", () => this.update());
      box.append(make("label", { className: "check" }, input, visible(workload)));
      return input;
    });
    this.controls.append(box);
    return made;
  }

  reset() {
    for (const one of Object.values(this.sliders)) one.input.value = String(one.start);
    for (const box of this.boxes) box.checked = true;
    this.update();
  }

  /** The constraints as `decision.json` has them. */
  settings() {
    const settings = { tolerate_by: {} };
    for (const [key, one] of Object.entries(this.sliders)) {
      const value = one.of();
      if (value === null) continue;
      if (one.loss) settings.tolerate_by[key] = value;
      else settings[key] = key === "max_memory" ? Math.round(value) : value;
    }
    const chosen = this.boxes.filter((box) => box.checked).map((box) => box.value);
    settings.workloads = chosen.length === this.boxes.length ? [] : chosen;
    return settings;
  }

  update() {
    const checked = this.boxes.filter((box) => box.checked);
    // the last one stays: with none there is nothing to hold a loss against
    for (const box of this.boxes) box.disabled = checked.length === 1 && box.checked;
    for (const one of Object.values(this.sliders)) one.tell();
    const settings = this.settings();
    const found = choose(this.table, settings);
    this.found = found;
    const head = make("p", { className: "pick" });
    if (found.pick === null) head.append(make("strong", { textContent: "No arm keeps all of this" }));
    else head.append("Pick ", make("strong", { textContent: visible(found.pick) }));
    this.answer.replaceChildren(head, make("p", {}, ...this.reason(found, settings)), this.nearest(found));
    this.others.replaceChildren(
      ...found.order
        .filter((arm) => arm !== found.pick && arm !== found.alternative)
        .map((arm) => make("li", {}, make("strong", { textContent: visible(arm) }), ": ", ...this.misses(found.breaks[arm], arm))),
    );
    this.command.textContent = this.asCommand(settings);
  }

  reason(found, settings) {
    const arm = found.pick;
    if (arm === null) return ["Every arm breaks at least one of your limits."];
    if (arm === this.table.reference) return ["The reference. ", found.order[0] === arm ? "Nothing costs less." : "Nothing that costs less keeps your limits."];
    const own = this.table.arms[arm], base = this.table.arms[this.table.reference];
    const parts = [];
    if (own.memory !== null && base.memory) parts.push(`${((100 * own.memory) / base.memory).toFixed(0)} % of the memory`);
    if (own.speedup !== null) parts.push(`${asRatio(own.speedup)} the decoding speed`);
    const kept = matter(this.table, settings).map((task) => {
      const row = this.table.tasks[task].arms[arm];
      return this.finding(row, `${asPoints(tolerance(this.table, settings, task) ?? row.margin)} on ${this.named(task)}`);
    });
    const costs = parts.length ? [`${parts.join(" and ")} of ${this.table.reference}; `] : [];
    return [...costs, "shown to lose less than ", ...kept.flatMap((one, i) => (i ? [" and ", one] : [one])), "."];
  }

  nearest(found) {
    const arm = found.alternative;
    if (arm === null) return make("p", { className: "note", textContent: "There is no other arm to pick." });
    const words = found.breaks[arm].length ? [": ", ...this.misses(found.breaks[arm], arm)] : [" keeps your limits too, and costs more."];
    return make("p", {}, "Nearest alternative: ", make("strong", { textContent: visible(arm) }), ...words);
  }

  /** Say which limits an arm breaks, and by how much. */
  misses(list, arm) {
    if (!list.length) return ["keeps your limits, and costs more."];
    const words = list.map((one) => {
      const work = one.task === null ? "" : this.named(one.task);
      const row = one.task === null ? null : this.table.tasks[one.task].arms[arm];
      if (one.constraint === "evidence") {
        return one.task === null ? "this trial could not have seen harm" : `on ${work} the reference is at its floor, so no loss could show`;
      }
      if (one.value === null) return one.task === null ? `its ${one.constraint === "max_memory" ? "memory" : "speed"} is not known` : `how much it loses on ${work} is not known`;
      if (one.constraint === "max_memory") return `needs ${asSize(one.value)}`;
      if (one.constraint === "min_speedup") return `decodes at ${asRatio(one.value)} ${this.table.reference}'s speed`;
      if (one.constraint === "max_latency") return `takes ${one.value.toFixed(2)} s an answer on ${work}`;
      const said = one.value < -one.limit ? `may lose up to ${asPoints(-one.value)} on ${work}` : `is not shown to lose less than ${asPoints(one.limit)} on ${work}`;
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
    if (settings.min_speedup !== undefined) parts.push(`--min-speedup ${settings.min_speedup.toFixed(3)}`);
    for (const [task, loss] of Object.entries(settings.tolerate_by)) parts.push(`--tolerate ${shellWord(visible(`${task}=${(100 * loss).toFixed(1)}pp`))}`);
    if (settings.workloads.length) parts.push(`--workloads ${shellWord(visible(settings.workloads.join(",")))}`);
    return parts.join(" ");
  }
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
  section.picker = new Picker(section, table);
}

startPicker();
