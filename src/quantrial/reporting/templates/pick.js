// The pick under constraints: `decision/pick.py`, line by line. A test holds the two against each other.

/** Pick the cheapest arm that breaks no constraint; `docs/decision.md` tells table and settings. */
function choose(table, settings) {
  const tasks = matter(table, settings);
  const order = ordered(table, settings);
  const among = chosenAmong(table, settings, tasks);
  const breaks = Object.fromEntries(order.map((arm) => [arm, broken(table, settings, tasks, arm, among.get(arm) ?? 1)]));
  const pick = order.find((arm) => !breaks[arm].length) ?? null;
  return { pick, order, breaks, alternative: alternative(order, breaks, pick) };
}

function matter(table, settings) {
  const wanted = settings.workloads ?? [];
  return Object.keys(table.tasks).filter((task) => !wanted.length || wanted.includes(table.tasks[task].workload));
}

function ordered(table, settings) {
  const arms = Object.keys(table.arms)
    .filter((arm) => !table.arms[arm].control)
    .sort((a, b) => table.arms[a].rank - table.arms[b].rank);
  const prices = new Map(arms.map((arm) => [arm, price(table, settings, arm)]));
  if ([...prices.values()].includes(null)) return arms;
  return arms.sort((a, b) => prices.get(a) - prices.get(b));
}

/** What the machine costs for a request to each task that matters; null: not known. */
function price(table, settings, arm) {
  const byArm = settings.cost_per_hour_by ?? {};
  const hour = Object.hasOwn(byArm, arm) ? byArm[arm] : settings.cost_per_hour ?? null;
  if (hour === null) return null;
  let total = 0;
  for (const task of matter(table, settings)) {
    const seconds = table.tasks[task].arms[arm].latency;
    if (seconds === null) return null;
    total += (hour * seconds) / 3600;
  }
  return total;
}

/** Whether an arm is known to cost more than another: by price where all have one, else by tier. */
function costsMore(table, settings, arm, than) {
  const prices = new Map(ordered(table, settings).map((one) => [one, price(table, settings, one)]));
  if (prices.has(arm) && prices.has(than) && ![...prices.values()].includes(null)) return prices.get(arm) > prices.get(than);
  const own = table.arms[arm].tier ?? null, other = table.arms[than].tier ?? null;
  return own !== null && other !== null && own > other;
}

/** The loss tolerated on a task: its own, its workload's, the common one; else null. A share. */
function tolerance(table, settings, task) {
  if (table.tasks[task].unit) return null;
  const by = settings.tolerate_by ?? {};
  const { workload } = table.tasks[task];
  if (Object.hasOwn(by, task)) return by[task];
  if (Object.hasOwn(by, workload)) return by[workload];
  return settings.tolerate ?? null;
}

function lossRuledOut(row, tolerated, among = 1) {
  const held = atLevel(row, among);
  if (tolerated === null || tolerated === row.margin) return held.holds;
  const within = held.bound !== null && held.bound > -tolerated;
  return tolerated > row.margin ? held.holds || within : held.holds && within;
}

/** What is ruled out at the level of a choice among so many candidates. */
function atLevel(row, among) {
  const levels = row.among ?? [];
  return among > 1 && levels.length ? levels[Math.min(among - 2, levels.length - 1)] : row;
}

/** The arms that one is chosen among: all that were compared and that could be picked. */
function candidates(table) {
  return Object.keys(table.arms).filter(
    (arm) =>
      !table.arms[arm].control &&
      arm !== table.reference &&
      (table.arms[arm].twin ?? null) === null &&
      !table.arms[arm].other_prompts &&
      Object.values(table.tasks).some((task) => task.arms[arm].finding !== null),
  );
}

/** At the level of how many each candidate is held against a loss: Holm's method. */
function chosenAmong(table, settings, tasks) {
  const found = new Map();
  let left = candidates(table);
  while (left.length) {
    const among = left.length;
    for (const arm of left) found.set(arm, among);
    left = left.filter((arm) => !kept(table, settings, tasks, arm, among));
    if (left.length === among) break;
  }
  return found;
}

function kept(table, settings, tasks, arm, among) {
  return tasks.every((task) => lossRuledOut(table.tasks[task].arms[arm], tolerance(table, settings, task), among));
}

function broken(table, settings, tasks, arm, among) {
  const own = table.arms[arm];
  const found = [];
  const add = (constraint, task, value, limit, excess) => found.push({ constraint, task, value, limit, excess });
  const over = (constraint, task, value, limit) => add(constraint, task, value, limit, value === null ? 1 : value / limit - 1);
  const memory = settings.max_memory ?? null;
  const least = settings.min_speedup ?? null;
  const slowest = settings.max_latency ?? null;
  if (memory !== null && !(own.memory !== null && own.memory <= memory)) over("max_memory", null, own.memory, memory);
  if (least !== null && !(own.speedup !== null && own.speedup >= least)) {
    add("min_speedup", null, own.speedup, least, own.speedup === null ? 1 : least / own.speedup - 1);
  }
  for (const task of tasks) {
    const seconds = table.tasks[task].arms[arm].latency;
    if (slowest !== null && !(seconds !== null && seconds <= slowest)) over("max_latency", task, seconds, slowest);
  }
  if (arm === table.reference) return found;
  if (table.insensitive) add("evidence", null, null, null, 1);
  if ((own.twin ?? null) !== null) add("identity", null, null, null, 1);
  const loss = (constraint, task, bound, limit) => add(constraint, task, bound, limit, bound === null ? 1 : Math.max(-bound / limit - 1, 0));
  let lost = false;
  for (const task of tasks) {
    if (table.tasks[task].at_floor) add("evidence", task, null, null, 1);
    const row = table.tasks[task].arms[arm];
    const tolerated = tolerance(table, settings, task);
    if (lossRuledOut(row, tolerated)) continue;
    lost = true;
    let name = tolerated === null ? "quality" : "tolerate";
    const answered = row.answered ?? null;
    if (answered !== null && lossRuledOut({ ...row, ...answered }, tolerated)) name = "missing";
    loss(name, task, row.bound, tolerated ?? row.margin);
  }
  for (const task of lost ? [] : tasks) {
    const row = table.tasks[task].arms[arm];
    const tolerated = tolerance(table, settings, task);
    if (!lossRuledOut(row, tolerated, among)) loss("choice", task, atLevel(row, among).bound, tolerated ?? row.margin);
  }
  return found;
}

/** The nearest other answer: without a pick, or cheaper than it, what misses by least; else the next that fits. */
function alternative(order, breaks, pick) {
  const cheaper = pick === null ? order : order.slice(0, order.indexOf(pick));
  let best = null;
  for (const arm of cheaper) if (best === null || missedBy(breaks[arm]) < missedBy(breaks[best])) best = arm;
  if (best !== null) return best;
  return order.find((arm) => arm !== pick && !breaks[arm].length) ?? null;
}

function missedBy(list) {
  let total = 0;
  for (const one of list) total += one.excess;
  return total;
}
