"use strict";
// What the screen shows of the session.

const $ = (id) => document.getElementById(id);
function rows(list, entries) {
  list.replaceChildren(
    ...entries
      .filter((entry) => entry[1])
      .map(([name, value, kind]) => {
        const row = document.createElement("div"),
          term = document.createElement("dt"),
          said = document.createElement("dd");
        term.textContent = name;
        said.textContent = value;
        if (kind) said.className = kind;
        row.append(term, said);
        return row;
      }),
  );
}
function put(id, text) {
  const element = $(id);
  if (element.textContent !== text) element.textContent = text;
}
// A command, which may be broken behind a slash; what is copied has no break.
function putCommand(id, text) {
  const element = $(id);
  if (element.textContent === text) return;
  element.replaceChildren(...text.split(/(?<=\/)/).flatMap((part) => [part, document.createElement("wbr")]));
}

const STATUS = {
  start: ["wait", "Starting"],
  weights: ["wait", "No weights"],
  unreadable: ["bad", "Not readable"],
  checking: ["busy", "Checking"],
  wrong: ["bad", "Wrong weights"],
  loading: ["busy", "Loading"],
  ready: ["good", "Ready"],
  answering: ["busy", "Answering"],
  measuring: ["busy", "Measuring"],
  died: ["bad", "Stopped"],
};

class View {
  constructor(session) {
    this.session = session;
    const { card, phone } = session;
    this.folder = `/sdcard/Android/data/${card.package}/files`;
    put("name", card.name);
    put("sum", `${many(card.parameters)} parameters · ${bytes(card.model.size)},\u00a0${card.dtype}`);
    document.title = card.name;
    put(
      "hint",
      card.chat
        ? "The model answers here, on this phone. Nothing leaves it."
        : "The model goes on from your text, on this phone. Nothing leaves it.",
    );
    rows($("model-rows"), [
      ["Name", card.name],
      ["Parameters", whole(card.parameters)],
      ["Weights", `${bytes(card.model.size)}, ${card.dtype}`],
      ["Context", `${whole(card.context)} of ${whole(card.trained)} tokens`],
      ["Keys and values", bytes(card.kv_bytes * card.context)],
      ["Vocabulary", whole(card.vocab)],
      ["Layers", String(card.layers)],
      ["Licence", card.licence],
      ["Asked", card.chat ? "through its chat template" : "with the plain text"],
      ["Checkpoint", card.checkpoint, "code"],
      ["sha256 of weights", card.model.sha256, "code"],
      ["Made by", card.made_by],
    ]);
    const work = card.workload;
    put(
      "work",
      `${whole(work.prompt_tokens)} tokens are read and ${whole(work.generated_tokens)} made, ${work.repeats} times after a warm-up, with the end of text ignored. ` +
        "Close other apps, unplug the phone, and let it lie: it takes minutes and warms the phone.",
    );
    for (let count = 0; count <= phone.cores; count++)
      $("threads").append(new Option(count ? String(count) : "As the runner chooses", String(count)));
    this.listen();
  }

  listen() {
    const { session } = this;
    $("form").addEventListener("submit", (event) => {
      event.preventDefault();
      if (session.phase === "answering") return session.stop();
      const text = $("prompt").value;
      if (!text.trim()) return $("prompt").focus();
      $("prompt").value = "";
      $("prompt").blur();
      session.ask(text);
    });
    $("run").addEventListener("click", () =>
      session.phase === "measuring" ? session.cancel() : session.runWorkload(),
    );
    $("trouble-again").addEventListener("click", () => session.look());
    $("threads").addEventListener("change", (event) => session.setThreads(Number(event.target.value)));
    for (const button of document.querySelectorAll("nav button"))
      button.addEventListener("click", () => this.turn(button.dataset.view));
  }

  turn(name) {
    for (const view of document.querySelectorAll(".view")) view.hidden = view.id !== name;
    for (const button of document.querySelectorAll("nav button")) {
      if (button.dataset.view === name) button.setAttribute("aria-current", "page");
      else button.removeAttribute("aria-current");
    }
    document.querySelector("main").scrollTop = 0;
    if (name !== "ask") this.session.phone = { ...JSON.parse(this.session.bridge.phone()), lost: false };
    this.show();
  }

  show() {
    const { session } = this,
      { phase } = session;
    const [tone, said] = STATUS[phase];
    $("status").dataset.tone = tone;
    const percent =
      session.part === null || phase === "measuring" ? "" : ` ${Math.floor(session.part * 100)}${NARROW}%`;
    const arriving = phase === "weights" && session.weights.exists;
    put("status-text", (arriving ? "Arriving" : said) + percent);
    this.showTrouble();
    this.showAnswer();
    this.showMeasure();
    this.showPhone();
  }

  showTrouble() {
    const { session } = this,
      { phase, card } = session;
    const trouble = troubleOf(session, this.folder);
    $("trouble").hidden = !trouble;
    const idle = Boolean(trouble) && !session.answer;
    $("talk").hidden = $("figures").hidden = idle;
    $("form").hidden = idle && !["checking", "loading"].includes(phase);
    if (!trouble) return;
    const [title, text, extra = {}] = trouble;
    put("trouble-title", title);
    put("trouble-text", text);
    $("trouble-command").hidden = !extra.command;
    putCommand("trouble-command", extra.command || "");
    $("trouble-more").hidden = !extra.log;
    put("trouble-log", extra.log || "");
    $("trouble-again").hidden = !extra.again;
    const bar = $("trouble-bar");
    bar.hidden = !extra.bar;
    bar.classList.toggle("unknown", session.part === null);
    if (session.part !== null) bar.firstElementChild.style.width = `${session.part * 100}%`;
  }

  showAnswer() {
    const { session } = this,
      { answer, phase } = session;
    const busy = phase === "answering",
      go = $("go");
    go.disabled = !(busy && !answer.stopped) && phase !== "ready";
    go.classList.toggle("stop", busy);
    put("go", busy ? (answer.stopped ? "Stopping" : "Stop") : "Ask");
    $("hint").hidden = Boolean(answer);
    if (session.lost && !answer)
      put("hint", "Memory was short, and Android closed this page. The runner was stopped and started anew.");
    if (!answer) return;
    $("question").hidden = false;
    put("question", answer.question);
    const talk = $("talk"),
      low = talk.scrollHeight - talk.scrollTop - talk.clientHeight < 60;
    put("answer", answer.text);
    $("answer").setAttribute("aria-live", busy ? "off" : "polite");
    const ends = {
      "": "",
      stop: `${answer.tokens} tokens`,
      length: `${answer.tokens} tokens, cut there`,
      stopped: `${answer.tokens} tokens, stopped by you`,
      failed: `It failed: ${answer.why}`,
    };
    put("ending", ends[answer.end]);
    if (low) talk.scrollTop = talk.scrollHeight;
    put("speed", answer.speed ? `${rate(answer.speed)} tok/s` : "–");
    put("first", answer.first ? seconds(answer.first) : "–");
    put("peak", answer.peak ? bytes(answer.peak) : "–");
  }

  warnings() {
    const { card, phone } = this.session,
      found = [];
    if (!card.workload.whole)
      found.push(
        `The rules' workload is 1,500 + 500 tokens; this model's context of ${whole(card.trained)} holds less.`,
      );
    if (phone.thermal >= 2) found.push("The phone is hot and runs slower. Let it cool down first.");
    if (phone.power_save) found.push("Power saving is on. Switch it off.");
    if (phone.battery.level >= 0 && phone.battery.level < 20) found.push(`The battery is at ${phone.battery.level} %.`);
    return found;
  }

  showMeasure() {
    const { session } = this,
      { measure, phase, card } = session;
    const busy = phase === "measuring",
      run = $("run");
    run.disabled = phase !== "ready" && !busy;
    run.classList.toggle("stop", busy);
    put("run", busy ? "Cancel" : measure && measure.figures ? "Measure again" : "Measure");
    const found = this.warnings();
    if (measure && measure.error && !busy) found.unshift(`It did not work: ${measure.error}.`);
    if (measure && measure.figures && measure.figures.noisy)
      found.unshift("The repeats differ by more than 10 %: let the phone cool down, and measure again.");
    if (JSON.stringify(found) !== this.warned) {
      this.warned = JSON.stringify(found);
      $("warnings").replaceChildren(
        ...found.map((text) => Object.assign(document.createElement("li"), { textContent: text })),
      );
    }
    $("steps").hidden = !busy;
    if (busy) {
      const work = card.workload,
        percent = Math.floor((session.part || 0) * 100);
      const name =
        measure.repeat === 0
          ? "Warm-up"
          : measure.repeat > work.repeats
            ? "Memory and rates"
            : `Repeat ${measure.repeat} of ${work.repeats}`;
      put(
        "step",
        measure.repeat > work.repeats
          ? name
          : measure.token
            ? `${name} · ${whole(measure.token)} of ${whole(work.generated_tokens)} tokens`
            : `${name} · reading ${whole(work.prompt_tokens)} tokens`,
      );
      $("bar").setAttribute("aria-valuenow", String(percent));
      $("bar").firstElementChild.style.width = `${percent}%`;
    }
    const result = Boolean(measure && measure.figures) && !busy;
    $("result").hidden = !result;
    if (!result || this.shown === measure) return;
    this.shown = measure;
    this.showResult(measure);
  }

  showResult(measure) {
    const figures = measure.figures;
    put("throughput", rate(figures.throughput));
    rows($("result-rows"), [
      ["Reading the prompt", `${rate(figures.prefill)} tokens/s`],
      ["Making tokens", `${rate(figures.decode)} tokens/s`],
      ["First token", seconds(figures.first_token_ns)],
      ["Between tokens, median", seconds(figures.inter_token_median_ns)],
      ["Between tokens, 95th percentile", seconds(figures.inter_token_p95_ns)],
      ["Repeats", `${figures.repeats_ns.map((ns) => (ns / 1e9).toFixed(1)).join(", ")}${NARROW}s`],
      ["Their spread", `${(figures.spread * 100).toFixed(1)}${NARROW}%`],
      ["Peak memory", bytes(measure.peak)],
    ]);
    put(
      "kept",
      measure.kept
        ? `The report could not be kept: ${measure.kept}`
        : "The report is kept on the phone. Fetch it with:",
    );
    $("pull").hidden = Boolean(measure.kept);
    putCommand("pull", `adb pull ${this.folder}/measure.json`);
  }

  showPhone() {
    const { session } = this,
      { phone, ready } = session;
    const heat = ["cool", "light", "moderate", "severe", "critical", "emergency", "shutting down"][phone.thermal];
    rows($("phone-rows"), [
      ["Phone", `${phone.maker} ${phone.model}`],
      ["Android", `${phone.android} (API ${phone.sdk})`],
      ["Cores", String(phone.cores)],
      ["Memory", `${bytes(phone.memory.available)} free of ${bytes(phone.memory.total)}`],
      ["Heat", heat],
      [
        "Battery",
        phone.battery.level >= 0 ? `${phone.battery.level} %, ${(phone.battery.temperature / 10).toFixed(1)} °C` : "",
      ],
      ["Threads", ready ? String(ready.threads) : ""],
      ["llama.cpp", ready ? ready["llama.cpp"] : ""],
      ["Loaded in", ready ? seconds(ready.load_ns) : ""],
    ]);
    const threads = $("threads");
    threads.disabled = session.phase === "measuring" || session.phase === "answering";
  }
}

function begin(bridge) {
  let drawn = false,
    view = null;
  const session = new Session(bridge, () => {
    if (drawn || !view) return;
    drawn = true; // once for all that happens within a frame's time
    setTimeout(() => {
      drawn = false;
      view.show();
    }, 16);
  });
  view = new View(session);
  session.look();
  view.show();
  setInterval(() => session.tick(), 60);
  return session;
}

if (window.edgelm) {
  window.session = begin(window.edgelm);
} else {
  put("status-text", "Not in the app");
  put("hint", "This page belongs to the app that the bundle installs: run install.sh.");
  $("go").disabled = $("run").disabled = true;
}
