"use strict";
// What the app does, without a screen: it talks to the bridge (`edgelm`, see Bridge.smali) and to the runner behind it.

const PIECE = 8; // tokens asked for at once: a stop waits for no more than these, and the runner goes on where it was
const LONGEST = 1024; // tokens of an answer
const NOISY = 0.1; // spread above which a measurement is marked
const KILLED = 137; // exit code of a process that the system ended

class Failed extends Error {}

class Session {
  // phase: start, weights, unreadable, checking, wrong, loading, ready, answering, measuring, died
  constructor(bridge, changed) {
    this.bridge = bridge;
    this.changed = changed;
    this.phase = "start";
    this.part = null; // of what is being done, from 0 to 1
    this.why = "";
    this.log = "";
    this.ready = null;
    this.answer = null;
    this.measure = null;
    this.threads = 0;
    this.waiting = null;
    this.runs = 0;
    this.looked = 0;
    this.card = JSON.parse(bridge.card());
    this.phone = JSON.parse(bridge.phone());
    this.see();
    this.lost = this.phone.lost;
  }

  to(phase, why = "") {
    this.phase = phase;
    this.why = why;
    this.part = null;
    this.since = Date.now();
    this.changed();
  }

  // Read what lies in the folder of the weights; whether that is something new.
  see() {
    const before = this.seen;
    this.seen = this.bridge.weights();
    this.weights = JSON.parse(this.seen);
    this.looked = Date.now();
    return this.seen !== before;
  }

  // Look for the weights, and begin to check them.
  look() {
    this.see();
    if (!this.weights.exists) return this.to("weights");
    if (!this.weights.readable) return this.to("unreadable");
    if (this.weights.size < this.card.model.size) {
      this.to("weights");
      this.part = this.weights.size / this.card.model.size;
      return;
    }
    if (this.weights.size > this.card.model.size) return this.to("wrong", "size");
    this.to("checking");
    this.bridge.check();
  }

  load() {
    this.ready = this.said = null;
    this.bridge.stop();
    this.bridge.poll(); // what the last runner said is of no use
    this.drop(new Failed("the runner was started anew"));
    this.run = `run ${++this.runs}`;
    const options = ["--context", String(this.card.context)];
    if (this.threads) options.push("--threads", String(this.threads));
    this.to("loading");
    const refused = this.bridge.start(this.run, JSON.stringify(options));
    if (refused) this.die("start", refused);
  }

  die(why, log) {
    this.log = log;
    this.ready = null;
    this.to("died", why);
    this.drop(new Failed(why));
  }

  drop(error) {
    const waiting = this.waiting;
    this.waiting = null;
    if (waiting) waiting.refuse(error);
  }

  // Hear what happened since the last time.
  tick() {
    for (const line of this.bridge.poll().split("\n")) {
      if (!line) continue;
      let heard;
      try {
        heard = JSON.parse(line);
      } catch {
        continue;
      }
      this.hear(heard);
    }
    const waits = ["weights", "unreadable", "wrong"].includes(this.phase);
    if (waits && Date.now() - this.looked > 2000 && this.see()) this.look();
  }

  hear(heard) {
    if (heard.checking) {
      this.part = heard.checking.done / this.card.model.size;
      this.changed();
    } else if (heard.checked) {
      if (this.phase !== "checking") return;
      if (heard.checked.error) this.to("unreadable", heard.checked.error);
      else if (heard.checked.sha256 !== this.card.model.sha256) this.to("wrong", "digest");
      else this.load();
    } else if (heard.ready) {
      this.ready = heard.ready;
      this.to("ready");
    } else if (heard.ended) {
      if (heard.ended.run !== this.run || this.phase === "died") return;
      const code = heard.ended.code,
        memory = code === KILLED || (code === 3 && (!this.said || this.said.kind === "memory"));
      this.die(memory ? "memory" : `code ${code}`, heard.ended.log);
    } else if (heard.error) {
      this.said = heard.error; // the end of the runner may follow, and its code alone does not say why
      this.drop(new Failed(heard.error.what));
    } else if (this.waiting) {
      if ("token" in heard) this.waiting.token(heard);
      else {
        const { take } = this.waiting;
        this.waiting = null;
        take(heard);
      }
    }
  }

  // One question to the runner; `token` is told each token of a stream.
  question(words, token = () => {}) {
    return new Promise((take, refuse) => {
      this.said = null;
      this.waiting = { take, refuse, token };
      if (!this.bridge.send(JSON.stringify(words))) {
        this.waiting = null;
        refuse(new Failed("the runner is gone"));
      }
    });
  }

  async ask(text) {
    if (this.phase !== "ready" || !text.trim()) return;
    const answer = {
      question: text.trim(),
      text: "",
      tokens: 0,
      first: null,
      speed: null,
      peak: null,
      end: "",
      stopped: false,
    };
    this.answer = answer;
    this.to("answering");
    try {
      await this.answerIn(answer);
    } catch (error) {
      answer.end = "failed";
      answer.why = error.message;
    }
    if (this.phase === "answering") this.to("ready");
  }

  async answerIn(answer) {
    const { ids } = await this.question({
      op: "tokenize",
      text: this.card.before + answer.question + this.card.behind,
    });
    if (this.card.begins && this.ready.bos !== null) ids.unshift(this.ready.bos);
    const room = Math.min(LONGEST, this.ready.context - ids.length);
    if (room < 1) throw new Failed(`the text has ${ids.length} tokens, the context ${this.ready.context}`);
    let made = [],
      spent = 0,
      texts = [];
    while (!answer.end) {
      const piece = [],
        most = Math.min(PIECE, room - made.length);
      const { done } = await this.question(
        { op: "generate", ids: ids.concat(made), max_tokens: most, stream: true, reuse: true },
        (token) => {
          if (answer.stopped) return;
          piece.push(token);
          if (answer.first === null) answer.first = token.ns;
          answer.text = texts.join("") + piece.map((one) => one.text).join("");
          answer.tokens = made.length + piece.length;
          answer.speed = answer.tokens > 1 ? ((answer.tokens - 1) * 1e9) / (spent + token.ns - answer.first) : null;
          this.changed();
        },
      );
      answer.peak = done.memory.VmHWM;
      if (answer.stopped) answer.end = "stopped";
      else if (done.finish === "stop") answer.end = "stop";
      else if (made.length + piece.length >= room) answer.end = "length";
      // A piece may end within a character: its tokens show nothing yet, and are made again with the next piece.
      let whole = piece.length;
      if (!answer.end) while (whole > 0 && piece[whole - 1].text === "") whole--;
      const kept = whole ? piece.slice(0, whole) : piece;
      made = made.concat(kept.map((one) => one.token));
      texts = texts.concat(kept.map((one) => one.text));
      if (kept.length) spent += kept[kept.length - 1].ns;
      this.changed();
    }
  }

  // End the answer after the piece in hand.
  stop() {
    if (this.answer) this.answer.stopped = true;
    this.changed();
  }

  async runWorkload() {
    if (this.phase !== "ready") return;
    const work = this.card.workload,
      before = JSON.parse(this.bridge.phone());
    const measure = { repeat: 0, token: 0, repeats: [], figures: null, kept: null, error: "" };
    this.measure = measure;
    this.to("measuring");
    try {
      const prompt = await this.exactly(work.prompt_tokens);
      for (measure.repeat = 0; measure.repeat <= work.repeats; measure.repeat++) {
        measure.token = 0;
        this.part = measure.repeat / (work.repeats + 1);
        this.changed();
        const { done } = await this.question(
          { op: "generate", ids: prompt, max_tokens: work.generated_tokens, ignore_end: true, stream: true },
          () => {
            measure.token++;
            this.part = (measure.repeat + measure.token / work.generated_tokens) / (work.repeats + 1);
            this.changed();
          },
        );
        const exact = done.prompt_tokens === work.prompt_tokens && done.arrived_ns.length === work.generated_tokens;
        if (!exact) throw new Failed("a repeat did not have the exact number of tokens");
        measure.peak = done.memory.VmHWM;
        if (measure.repeat > 0)
          measure.repeats.push({ arrived_ns: done.arrived_ns, ids: done.ids, prompt_tokens: done.prompt_tokens });
      }
      const { rates } = await this.question({ op: "rates", seconds: 3 });
      const { memory } = await this.question({ op: "memory" });
      measure.figures = figures(measure.repeats, work);
      const report = this.report(measure, before, rates, memory);
      measure.after = report.phone.after;
      measure.kept = this.bridge.keep(JSON.stringify(report));
    } catch (error) {
      measure.error = error.message;
    }
    if (this.phase === "measuring") this.to("ready");
  }

  // The first `count` ids of the passage, repeated as often as it takes.
  async exactly(count) {
    for (let copies = 1, last = -1; ; copies *= 2) {
      const { ids } = await this.question({ op: "tokenize", text: this.card.passage.repeat(copies) });
      if (ids.length >= count) return ids.slice(0, count);
      if (ids.length <= last) throw new Failed("the tokenizer makes too few tokens of the passage");
      last = ids.length;
    }
  }

  report(measure, before, rates, memory) {
    const { passage, before: _before, behind: _behind, ...card } = this.card;
    return {
      format: 1,
      kind: "measure-on-phone",
      made_by: this.card.made_by,
      checkpoint: this.card.checkpoint,
      at: new Date().toISOString(),
      card,
      workload: {
        prompt_tokens: this.card.workload.prompt_tokens,
        generated_tokens: this.card.workload.generated_tokens,
        batch: 1,
        repeats: this.card.workload.repeats,
      },
      repeats: measure.repeats,
      figures: measure.figures,
      memory: { phone: memory.VmHWM, ...memory },
      rates,
      runner: this.ready,
      phone: { before, after: JSON.parse(this.bridge.phone()) },
    };
  }

  // Give a measurement up: the runner is in the middle of it, so it is ended and started anew.
  cancel() {
    this.measure = null;
    this.load();
  }

  setThreads(count) {
    this.threads = count;
    this.load();
  }
}

function median(values) {
  const sorted = [...values].sort((one, other) => one - other),
    half = sorted.length >> 1;
  return sorted.length % 2 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
}

// The figures as `edgelm measure` computes them, from nanoseconds.
function figures(repeats, work) {
  const firsts = repeats.map((one) => one.arrived_ns[0]);
  const totals = repeats.map((one) => one.arrived_ns[one.arrived_ns.length - 1]);
  const gaps = repeats.flatMap((one) => one.arrived_ns.slice(1).map((at, index) => at - one.arrived_ns[index]));
  gaps.sort((one, other) => one - other);
  const spread = (Math.max(...totals) - Math.min(...totals)) / median(totals);
  return {
    throughput: median(totals.map((total) => ((work.prompt_tokens + work.generated_tokens) * 1e9) / total)),
    prefill: median(firsts.map((first) => (work.prompt_tokens * 1e9) / first)),
    decode: median(totals.map((total, index) => ((work.generated_tokens - 1) * 1e9) / (total - firsts[index]))),
    first_token_ns: median(firsts),
    repeats_ns: totals,
    spread,
    noisy: spread > NOISY,
    inter_token_median_ns: Math.round(median(gaps)),
    inter_token_p95_ns: gaps[Math.ceil(0.95 * gaps.length) - 1],
  };
}

if (typeof module !== "undefined") module.exports = { Session, figures, median };
