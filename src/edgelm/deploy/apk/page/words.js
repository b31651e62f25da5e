"use strict";
// The words of the screen: numbers with their units, and what to say where the model cannot be asked.

const NARROW = "\u202f";

function bytes(count) {
  if (count < 1e9) return `${(count / 1e6).toPrecision(3)}${NARROW}MB`;
  return `${(count / 1e9).toFixed(2)}${NARROW}GB`;
}
function many(count) {
  for (const [unit, size] of [
    ["B", 1e9],
    ["M", 1e6],
    ["K", 1e3],
  ])
    if (count >= size) return `${(count / size).toPrecision(3)}${NARROW}${unit}`;
  return String(count);
}
const rate = (value) => (value >= 100 ? whole(Math.round(value)) : value.toPrecision(3));
const seconds = (ns) => (ns < 1e9 ? `${Math.round(ns / 1e6)}${NARROW}ms` : `${(ns / 1e9).toFixed(2)}${NARROW}s`);
const whole = (count) => count.toLocaleString("en");

// Title, text and what else belongs to a state in which the model cannot be asked.
function troubleOf(session, folder) {
  const { card, phone, phase } = session;
  const push = `adb push model.gguf ${folder}/model.gguf`;
  if (phase === "weights" && session.weights.exists)
    return [
      "The weights are arriving",
      `${bytes(session.weights.size)} of ${bytes(card.model.size)} are here. If it stays so, push them anew:`,
      { command: push, bar: true },
    ];
  if (phase === "weights")
    return [
      "The weights are not here yet",
      `Run install.sh of the bundle, or this in its folder (${bytes(card.model.size)}). The app goes on by itself.`,
      { command: push },
    ];
  if (phase === "unreadable")
    return [
      "The weights cannot be read",
      `They are there, but this app may not read them${session.why ? ` (${session.why})` : ""}. Leave the app open and push them anew:`,
      { command: `adb shell rm ${folder}/model.gguf\n${push}` },
    ];
  if (phase === "wrong") {
    const how =
      session.why === "size"
        ? `they have ${whole(session.weights.size)} bytes instead of ${whole(card.model.size)}`
        : "their sha256 is another";
    return [
      "These are not this app's weights",
      `What lies in the app's folder belongs to another bundle, or did not arrive whole: ${how}. Push the bundle's own:`,
      { command: push, again: true },
    ];
  }
  if (phase === "checking")
    return ["Checking the weights", "Their sha256 is compared with the bundle's. This is done once.", { bar: true }];
  if (phase === "loading") {
    const tight = phone.memory.available < card.model.size + card.kv_bytes * card.context;
    return [
      "Loading",
      `${bytes(card.model.size)} are read into memory.` +
        (tight
          ? ` Only ${bytes(phone.memory.available)} are free now: close other apps, Android may stop this one.`
          : ""),
      { bar: true },
    ];
  }
  if (phase === "died") {
    if (session.why === "memory")
      return [
        "There was not enough memory",
        `Android ended the runner, or it found no room. It needs about ${bytes(card.model.size + card.kv_bytes * card.context)}; the phone has ${bytes(phone.memory.total)} in all. Close other apps, or make the model smaller.`,
        { log: session.log, again: true },
      ];
    return ["The runner stopped", endOf(session), { log: session.log, again: true }];
  }
  return null;
}

// Exit codes of a process that a signal ended are 128 and the signal's number.
const SIGNALS = {
  "code 132": "This phone's processor lacks what the runner is built for: dot products and half precision of Arm v8.2.",
  "code 139": "It read memory that is not its own, which is a fault of the runner.",
  "code 159": "Android forbids a system call that it makes, which is a fault of the runner.",
};

function endOf(session) {
  if (session.why === "start") return "Android did not let it start.";
  if (session.said) return `${session.said.what}. What helps: ${session.said.mend}.`;
  return SIGNALS[session.why] || `It ended with ${session.why}.`;
}
