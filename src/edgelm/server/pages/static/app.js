// What pages do beyond their HTML. Without this file all of them work: times stay in UTC and AoE, live parts are
// loaded again by hand.
"use strict";

const PAGE = document.documentElement;
const say = wordsOf(PAGE);
const LOCAL = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
const MINUTE = 60 * 1000;
const UNITS = [[86400, "day"], [3600, "hour"], [60, "minute"]];

/** What says, by a key, a text that an element has for scripts, with what it is about in place of {names}. */
function wordsOf(element) {
  const words = JSON.parse(element.dataset.words);
  return (key, about = {}) => words[key].replace(/\{(\w+)\}/g, (_, name) => about[name]);
}

/** Add the reader's own time to every time below an element. */
function addLocalTimes(root) {
  for (const time of root.querySelectorAll("time:not(.countdown):not([data-local])")) {
    const local = document.createElement("small");
    local.textContent = say("local", { time: LOCAL.format(new Date(time.dateTime)) });
    time.dataset.local = "";
    time.append(" ", local);
  }
}

/** A length of time in its two largest units, as the server writes it. */
function span(milliseconds) {
  let left = Math.max(0, Math.floor(milliseconds / 1000));
  const parts = [];
  for (const [unit, name] of UNITS) {
    const number = Math.floor(left / unit);
    left %= unit;
    if (number) parts.push(new Intl.NumberFormat(PAGE.lang, { style: "unit", unit: name, unitDisplay: "long" }).format(number));
  }
  return parts.slice(0, 2).join(" ") || say("moment");
}

/** Say to those who hear the page which state a part of it has come to. */
function announce(element) {
  const said = document.getElementById("news"), state = element.querySelector(".state");
  if (said && state && said.textContent !== state.textContent) said.textContent = state.textContent;
}

function count() {
  for (const time of document.querySelectorAll("time.countdown")) time.textContent = span(new Date(time.dateTime) - Date.now());
}

/** Where an element names a stream of events, htmx loads its part of the page again at each of them; all of it at the end. */
function follow(element) {
  const stream = new EventSource(element.dataset.events);
  stream.addEventListener(element.dataset.event, (event) => {
    const news = JSON.parse(event.data);
    if (news.over) {
      stream.close();
      location.reload();
      return;
    }
    htmx.trigger(element, "news");
  });
}

addLocalTimes(document);
setInterval(count, MINUTE);
document.addEventListener("htmx:afterSettle", (event) => {
  addLocalTimes(event.target);
  if (event.target.dataset.events) announce(event.target);
});
for (const element of document.querySelectorAll("[data-events]")) follow(element);
for (const form of document.querySelectorAll("form[data-confirm]")) {
  form.addEventListener("submit", (event) => { if (!confirm(form.dataset.confirm)) event.preventDefault(); });
}
