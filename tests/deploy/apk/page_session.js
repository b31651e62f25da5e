"use strict";
// Drives the app's session against a fake bridge: node page_session.js SESSION_JS. Prints what happened as JSON.
const path = require("node:path");
const { Session } = require(path.resolve(process.argv[2]));
const { FakeBridge } = require("./fake_bridge.js");

const rest = () => new Promise((done) => setTimeout(done, 0));

function opened(settings) {
  const bridge = new FakeBridge(settings),
    phases = [],
    session = new Session(bridge, () => {
      if (phases[phases.length - 1] !== session.phase) phases.push(session.phase);
    });
  session.look();
  session.tick(); // the check ends, the runner starts
  session.tick(); // it is ready
  return { bridge, session, phases };
}

// Tick until a promise has ended, or for a number of turns.
async function through(session, promise, turns = 400) {
  let over = false;
  promise.then(() => {
    over = true;
  });
  for (let turn = 0; turn < turns && !over; turn++) {
    session.tick();
    await rest();
  }
  return over;
}

const SCENES = {
  async starts() {
    const { bridge, phases } = opened();
    return { phases, started: bridge.started };
  },
  async lacks_weights() {
    const { bridge, session, phases } = opened({ exists: false, size: 0 });
    bridge.settings.exists = true;
    bridge.settings.size = 7_412_000_000;
    session.looked = 0; // two seconds later
    for (let turn = 0; turn < 3; turn++) session.tick();
    return { phases };
  },
  async sees_them_arrive() {
    const { bridge, session, phases } = opened({ size: 1_853_000_000 });
    const part = session.part;
    bridge.settings.size = 7_412_000_000;
    session.looked = 0;
    for (let turn = 0; turn < 3; turn++) session.tick();
    return { phases, part };
  },
  async cannot_read() {
    return { phases: opened({ readable: false }).phases };
  },
  async has_other_size() {
    const { session, phases } = opened({ size: 8_000_000_000 });
    return { phases, why: session.why };
  },
  async has_other_digest() {
    const { session, phases, bridge } = opened({ sha256: "00".repeat(32) });
    return { phases, why: session.why, started: bridge.started };
  },
  async may_not_start() {
    const { session, phases } = opened({ refuses: true });
    return { phases, why: session.why, log: session.log };
  },
  async answers() {
    const { bridge, session, phases } = opened();
    await through(session, session.ask("  What is an island?\n"));
    return { phases, answer: session.answer, asked: bridge.asked };
  },
  async begins_plain_text() {
    const { bridge, session } = opened({ card: { chat: false, before: "", behind: "", begins: true } });
    await through(session, session.ask("Once"));
    return { first: bridge.asked[1].ids, text: bridge.asked[0].text };
  },
  // The tokens 7 and 8 show nothing until 9 completes the character; a piece ends after 8.
  async answers_within_characters() {
    const { bridge, session } = opened({ words: ["a", "b", "c", "d", "e", "f", "", "", "渡", "h"] });
    await through(session, session.ask("x"));
    return {
      text: session.answer.text,
      tokens: session.answer.tokens,
      lengths: bridge.asked.slice(1).map((one) => one.ids.length),
    };
  },
  async is_stopped() {
    const { bridge, session, phases } = opened({ words: Array(200).fill("word") });
    const answering = session.ask("go on");
    session.tick();
    await rest();
    session.tick();
    await rest();
    session.stop();
    await through(session, answering);
    return { phases, end: session.answer.end, tokens: session.answer.tokens, questions: bridge.asked.length };
  },
  async has_no_room() {
    const { session, phases } = opened({ context: 10 });
    await through(session, session.ask("x".repeat(100)));
    return { phases, end: session.answer.end, why: session.answer.why };
  },
  async dies_while_answering(code = 137) {
    const { bridge, session, phases } = opened({ deaf: true });
    const answering = session.ask("x");
    session.tick();
    await rest();
    bridge.end(code, "out of memory");
    const over = await through(session, answering);
    return { phases, over, why: session.why, end: session.answer.end, log: session.log };
  },
  async breaks_down_while_answering() {
    const { bridge, session } = opened({ deaf: true });
    const answering = session.ask("x");
    session.tick();
    await rest();
    bridge.say({ error: { kind: "internal", what: "the runner broke down", mend: "its last words are on stderr" } });
    bridge.end(3, "assertion failed");
    await through(session, answering);
    return { phase: session.phase, why: session.why, log: session.log, end: session.answer.why };
  },
  async refuses_the_file() {
    const { bridge, session } = opened({ loads: false });
    bridge.say({ error: { kind: "file", what: "the file is cut off", mend: "push it again" } });
    bridge.end(2, "");
    session.tick();
    return { phase: session.phase, why: session.why, said: session.said };
  },
  async finds_no_memory() {
    const { bridge, session } = opened({ loads: false });
    bridge.say({ error: { kind: "memory", what: "no memory", mend: "less context" } });
    bridge.end(3, "");
    session.tick();
    return { phase: session.phase, why: session.why };
  },
  async measures() {
    const { bridge, session, phases } = opened();
    await through(session, session.runWorkload());
    return { phases, measure: session.measure, kept: bridge.kept, asked: bridge.asked };
  },
  async cannot_keep() {
    const { session } = opened({ full: true });
    await through(session, session.runWorkload());
    return { kept: session.measure.kept, figures: session.measure.figures };
  },
  async is_cancelled() {
    const { bridge, session, phases } = opened({ deaf: true });
    const measuring = session.runWorkload();
    session.tick();
    await rest();
    session.cancel();
    await through(session, measuring);
    session.tick();
    return { phases, measure: session.measure, started: bridge.started.length };
  },
  // What an older runner still said, and its end, mean nothing to the new one.
  async changes_threads() {
    const { bridge, session, phases } = opened();
    const old = bridge.run;
    session.setThreads(6);
    bridge.say({ ended: { run: old, code: 137, log: "" } });
    session.tick();
    return { phases, started: bridge.started, phase: session.phase };
  },
};

(async () => {
  const told = {};
  for (const [name, scene] of Object.entries(SCENES)) told[name] = await scene();
  process.stdout.write(JSON.stringify(told));
})();
