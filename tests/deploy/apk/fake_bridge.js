"use strict";
// A bridge without a phone, for tests and screenshots: a runner that answers at once, and what may go wrong.
// eslint-disable-next-line no-unused-vars
class FakeBridge {
  constructor(settings = {}) {
    this.settings = {
      exists: true,
      readable: true,
      size: 7_412_000_000,
      sha256: "ab".repeat(32),
      context: 4096,
      words: "An island is land with water on every side .".split(" "),
      ...settings,
    };
    this.lines = [];
    this.asked = [];
    this.kept = null;
    this.started = [];
    this.stops = 0;
  }

  card() {
    return JSON.stringify({
      format: 1,
      made_by: "edgelm 0.1.0",
      package: "app.edgelm",
      name: "phi-2-narrow",
      checkpoint: "5e".repeat(32),
      licence: "MIT",
      parameters: 3_706_000_000,
      dtype: "F16",
      vocab: 51200,
      layers: 28,
      model: { sha256: "ab".repeat(32), size: 7_412_000_000 },
      kv_bytes: 286_720,
      trained: 4096,
      context: 4096,
      chat: true,
      before: "<|user|>\n",
      behind: "<|end|>\n",
      begins: false,
      workload: { prompt_tokens: 1500, generated_tokens: 500, repeats: 5, whole: true },
      passage: "A ferry crosses the strait. ",
      passage_sha256: "00",
      ...this.settings.card,
    });
  }

  phone() {
    return JSON.stringify({
      maker: "Example",
      model: "Phone 9",
      hardware: "qcom",
      android: "14",
      sdk: 34,
      cores: 8,
      lost: false,
      power_save: false,
      thermal: 0,
      memory: { total: 15_900_000_000, available: 9_800_000_000, threshold: 400_000_000 },
      battery: { temperature: 312, level: 83, plugged: 0 },
      ...this.settings.phone,
    });
  }

  weights() {
    const { exists, readable, size } = this.settings;
    return JSON.stringify({
      path: "/storage/emulated/0/Android/data/app.edgelm/files/model.gguf",
      exists,
      readable,
      size,
    });
  }

  check() {
    this.say({ checking: { done: this.settings.size * 0.42 } });
    if (!this.settings.slow) this.say({ checked: { sha256: this.settings.sha256 } });
  }

  start(run, options) {
    this.started.push(JSON.parse(options));
    this.run = run;
    if (this.settings.refuses) return "java.io.IOException: error=13, Permission denied";
    if (this.settings.loads === false) return "";
    this.say({
      ready: {
        runner: "1",
        "llama.cpp": "b6000",
        arch: "phi2",
        parameters: 3_706_000_000,
        vocab: 51200,
        context: this.settings.context,
        trained: 4096,
        bos: 1,
        eos: [2],
        threads: 4,
        load_ns: 4_300_000_000,
        memory: { VmHWM: 8_100_000_000, VmRSS: 8_000_000_000 },
      },
    });
    return "";
  }

  end(code, log = "") {
    this.say({ ended: { run: this.run, code, log } });
  }

  send(line) {
    if (this.settings.gone) return false;
    const asked = JSON.parse(line);
    this.asked.push(asked);
    if (this.settings.deaf && asked.op === "generate") return true;
    this[asked.op](asked);
    return true;
  }

  tokenize({ text }) {
    this.say({ ids: Array.from({ length: Math.ceil(text.length / 4) }, (_, index) => 100 + (index % 800)) });
  }

  // The answer's words in order, wherever the question begins: as many as were made before stand behind the prompt.
  generate({ ids, max_tokens, ignore_end, stream }) {
    const { words } = this.settings,
      before = ids.filter((id) => id >= 1000 && id < 2000).length,
      made = [],
      arrived = [];
    let finish = "length",
      texts = "";
    for (let at = before; made.length < max_tokens; at++) {
      if (!ignore_end && at >= words.length) {
        finish = "stop";
        break;
      }
      const word = words[at % words.length],
        text = word === "" ? "" : (at ? " " : "") + word;
      made.push(1000 + (at % words.length));
      arrived.push(
        1_900_000_000 * (before ? 0.05 : 1) + made.length * 95_000_000 + ((made.length * 7919) % 13) * 400_000,
      );
      texts += text;
      if (stream) this.say({ token: made[made.length - 1], text, ns: arrived[arrived.length - 1] });
    }
    this.say({
      done: {
        ids: made,
        text: texts,
        prompt_tokens: ids.length,
        arrived_ns: arrived,
        finish,
        memory: { VmHWM: 8_640_000_000, VmRSS: 8_500_000_000 },
      },
    });
  }

  rates() {
    this.say({
      rates: { copy_bytes_per_second: 41e9, read_bytes_per_second: 48e9, matrix_operations_per_second: 310e9 },
    });
  }

  memory() {
    this.say({ memory: { VmHWM: 8_640_000_000, VmRSS: 8_500_000_000, Pss: 8_490_000_000 } });
  }

  keep(text) {
    this.kept = JSON.parse(text);
    return this.settings.full ? "java.io.IOException: No space left on device" : "";
  }

  stop() {
    this.stops++;
  }

  say(line) {
    this.lines.push(JSON.stringify(line));
  }

  poll() {
    return this.lines
      .splice(0)
      .map((line) => line + "\n")
      .join("");
  }
}

if (typeof module !== "undefined") module.exports = { FakeBridge };
