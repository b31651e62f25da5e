"use strict";
// The answers of the page, fifty at a time. Texts go into the page as text, never as markup.
(() => {
  const PAGE = 50;
  const [SAMPLE, PART, MARK, TOKENS, CAPPED, ANSWER, QUESTION, REFERENCE] = [0, 1, 2, 3, 4, 5, 6, 7];
  const {full, tasks} = JSON.parse(document.getElementById("data").textContent);
  if (!tasks.length) return;
  const get = (id) => document.getElementById(id);
  const [task, part, mark, text, list, where, back, next] =
    ["task", "part", "mark", "text", "list", "where", "back", "next"].map(get);
  const KEPT = {
    "": () => true,
    wrong: (row) => row[MARK] === 0,
    between: (row) => row[MARK] > 0 && row[MARK] < full,
    right: (row) => row[MARK] === full,
    none: (row) => row[MARK] === null,
    cap: (row) => row[CAPPED] === 1,
  };
  let found = [], start = 0;

  const make = (name, className, content) => {
    const element = document.createElement(name);
    if (className) element.className = className;
    if (content !== undefined) element.textContent = content;
    return element;
  };
  const options = (select, names) =>
    select.replaceChildren(...names.map(([value, name]) => {
      const option = make("option", "", name);
      option.value = value;
      return option;
    }));
  const current = () => tasks[Number(task.value)];
  const searchable = (row) => row.lower ??= [row[SAMPLE], ...row.slice(ANSWER)].join("\n").toLowerCase();

  function said(row) {
    if (row[MARK] === null) return ["not counted", "none"];
    if (row[MARK] === 0) return ["wrong", "bad"];
    if (row[MARK] === full) return ["right", "good"];
    return [Math.round(1000 * row[MARK] / full) / 10 + " %", ""];
  }

  function item(row, parts) {
    const details = make("details"), summary = make("summary"), [word, kind] = said(row);
    summary.append(make("span", "id", row[SAMPLE]), make("span", "mark " + kind, word),
      make("span", "gist", row[ANSWER].trim().slice(-160) || "(empty)"));
    details.append(summary);
    details.addEventListener("toggle", () => {
      if (details.children.length > 1) return;
      const facts = [row[TOKENS] + " tokens" + (row[CAPPED] ? ", ended by the cap" : "")];
      if (row[PART] >= 0) facts.unshift(parts[row[PART]]);
      details.append(make("small", "", facts.join(" · ")));
      for (const [title, place] of [["Question", QUESTION], ["Answer", ANSWER], ["Reference", REFERENCE]]) {
        if (row[place] || place === ANSWER) details.append(make("h4", "", title), make("pre", "", row[place]));
      }
    });
    return details;
  }

  function show() {
    const shown = found.slice(start, start + PAGE);
    list.replaceChildren(...shown.map((row) => item(row, current().subsets)));
    where.textContent = found.length
      ? `${start + 1} to ${start + shown.length} of ${found.length} ${mark.selectedOptions[0].textContent}` : "No answer is like that.";
    back.disabled = start === 0;
    next.disabled = start + PAGE >= found.length;
  }

  function choose() {
    const words = text.value.toLowerCase(), wanted = part.value === "" ? null : Number(part.value);
    found = current().rows.filter((row) => (wanted === null || row[PART] === wanted)
      && KEPT[mark.value](row) && (!words || searchable(row).includes(words)));
    start = 0;
    show();
  }

  function enter() {
    const parts = current().subsets;
    options(part, [["", "all"], ...parts.map((name, place) => [place, name.replaceAll("_", " ")])]);
    part.disabled = !parts.length;
    choose();
  }

  options(task, tasks.map(({name}, place) => [place, name]));
  task.addEventListener("change", enter);
  for (const select of [part, mark]) select.addEventListener("change", choose);
  let waiting;
  text.addEventListener("input", () => { clearTimeout(waiting); waiting = setTimeout(choose, 150); });
  get("controls").addEventListener("submit", (event) => event.preventDefault());
  const turn = (by) => { start += by; show(); get("controls").scrollIntoView(); };
  back.addEventListener("click", () => turn(-PAGE));
  next.addEventListener("click", () => turn(PAGE));
  get("controls").hidden = get("pages").hidden = false;
  if (tasks.some(({rows}) => rows.some(KEPT.wrong))) mark.value = "wrong";
  enter();
})();
