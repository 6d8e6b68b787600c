// Filling the explorer: from the page itself, or from the file beside it when somebody looks.

function startAnswers() {
  const section = document.getElementById("answers");
  if (!section) return;
  const about = JSON.parse(document.getElementById("answers-about").textContent);
  const explorer = new Explorer(section, about);
  const status = section.querySelector("[data-part=status]");
  const body = section.querySelector("[data-part=body]");
  section.querySelector("[data-part=without]").hidden = true;
  section.querySelector("[data-part=with]").hidden = false;
  let loading = null;

  const take = (chunk) => {
    const [task, rows] = JSON.parse(chunk);
    for (const row of rows) explorer.rows[task].push(row);
  };

  /** Read the rows, once; the promise is kept. */
  const load = () => {
    loading ??= new Promise((done, fail) => {
      const inside = document.querySelectorAll(".answers-rows");
      if (!section.dataset.file) {
        for (const one of inside) take(one.textContent);
        done();
        return;
      }
      status.textContent = "Reading the answers…";
      globalThis.quantrialAnswers = (digest, chunk) => {
        if (digest !== about.digest) fail(new Error("belongs to another report"));
        else if (chunk === null) done();
        else for (const row of chunk[1]) explorer.rows[chunk[0]].push(row);
      };
      const script = make("script", { src: section.dataset.file });
      script.addEventListener("error", () => fail(new Error("is not beside this page")));
      document.head.append(script);
    })
      .then(() => {
        body.hidden = false;
        return explorer.search();
      })
      .catch((problem) => {
        status.textContent = `The answers are in ${section.dataset.file}, which ${problem.message}.`;
        throw problem;
      });
    return loading;
  };

  const follow = async () => {
    const match = /^#answer\/([^/]+)\/([^/]+)$/.exec(location.hash);
    if (!match) return;
    let task, id;
    try {
      [task, id] = match.slice(1).map(decodeURIComponent);
    } catch {
      return;
    }
    await load();
    explorer.show(task, id);
    const detail = section.querySelector("[data-part=detail]");
    detail.scrollIntoView({ block: matchMedia("(min-width: 60rem)").matches ? "nearest" : "start" });
    detail.querySelector("h3")?.focus({ preventScroll: true });
  };

  explorer.controls.pair.addEventListener("change", () => {
    const match = /^#answer\//.test(location.hash);
    if (match) setTimeout(follow, 50);
  });
  leadToAnswers(explorer, load);
  // nothing is read before somebody comes near
  new IntersectionObserver(
    (entries, observer) => {
      if (!entries.some((one) => one.isIntersecting)) return;
      observer.disconnect();
      load().catch(() => {});
    },
    { rootMargin: "600px" },
  ).observe(section);
  addEventListener("hashchange", () => follow().catch(() => {}));
  follow().catch(() => {});
}

/** From the row of a finding to the answers it was made from: those that turned, if any. */
function leadToAnswers(explorer, load) {
  const { tasks, arms } = explorer.about;
  const pairs = [...explorer.controls.pair.options].map((option) => {
    const [from, to] = option.value.split(",").map(Number);
    return { value: option.value, text: option.textContent, end: anchorOf(`.${arms[to]}.vs.${arms[from]}`) };
  });
  const starts = tasks.map((task) => anchorOf(`${task.name}.`));
  for (const row of document.querySelectorAll("tr[id]")) {
    const task = starts.findIndex((start) => row.id.startsWith(start));
    const pair = pairs.find(({ end }) => row.id.endsWith(end));
    if (task < 0 || !pair) continue;
    const button = make("button", {
      type: "button",
      className: "see screen-only",
      textContent: "answers",
      ariaLabel: `answers of ${pair.text} on ${visible(tasks[task].name)}`,
    });
    button.addEventListener("click", async () => {
      await load();
      await explorer.choose(task, pair.value);
      explorer.section.scrollIntoView();
      explorer.list.focus({ preventScroll: true });
    });
    row.cells[0].append(" ", button);
  }
}

startAnswers();
