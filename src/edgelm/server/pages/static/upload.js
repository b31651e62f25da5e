// Bring a package: its manifest first, then the files that the server lacks, part by part (tus 1.0). Each part bears its
// sha256, and the server compares that of every whole file, so that nothing larger than a part is held here.
"use strict";

const TUS = { "Tus-Resumable": "1.0.0" };
const MANIFEST = "edgelm.json";
const AGAIN = new Set([408, 409, 423, 429, 460, 502, 503, 504]); // what may be otherwise the next time
const MOST_PROOFS = 1000; // in one call
const WAITS = [0.5, 1, 2, 4, 8, 15, 30, 30, 30]; // seconds before each further try
const UNITS_OF_SIZE = [[2 ** 30, "GiB"], [2 ** 20, "MiB"], [2 ** 10, "KiB"]];

/** What the server said of why it does not do it. */
class Refusal extends Error {
  constructor({ what, why, mend }) {
    super(what);
    Object.assign(this, { why, mend });
  }
}

class Uploader {
  constructor(csrf, say, tell, signal) {
    Object.assign(this, { csrf, say, tell, signal });
  }

  /** Bring what the server lacks of a package, given its files by their paths; gives the id of the upload. */
  async bring(files) {
    const manifest = await this.open(files, MANIFEST);
    const text = await manifest.text();
    const places = new Map(JSON.parse(text).files.map((entry) => [entry.sha256, entry.path]));
    const begun = await this.prove(files, places, await this.post("/uploads", text));
    const here = begun.missing.filter((each) => files.has(places.get(each.sha256)));
    const total = here.reduce((sum, each) => sum + each.size, 0);
    let before = 0;
    for (const each of here) {
      const path = places.get(each.sha256);
      const file = await this.open(files, path);
      if (file.size !== each.size) throw new Refusal({ what: this.say("other-size", { path }), mend: this.say("pack-again") });
      await this.send(file, each, begun.part, (done) => this.tell(path, before + done, total));
      before += each.size;
    }
    return begun.id;
  }

  /** Show to have files that another team brought, which need not be sent then; gives what the upload still lacks. */
  async prove(files, places, begun) {
    const known = crypto.subtle ? begun.missing.filter((each) => each.proof.length && files.has(places.get(each.sha256))) : [];
    for (let at = 0; at < known.length; at += MOST_PROOFS) {
      const proofs = {};
      for (const { sha256, proof } of known.slice(at, at + MOST_PROOFS)) {
        const file = await this.open(files, places.get(sha256));
        const ranges = proof.map(([offset, length]) => file.slice(offset, offset + length));
        proofs[sha256] = hex(await crypto.subtle.digest("SHA-256", await new Blob([begun.nonce, ...ranges]).arrayBuffer()));
      }
      begun = await this.post(`/uploads/${begun.id}/proofs`, JSON.stringify({ proofs }));
    }
    return begun;
  }

  async open(files, path) {
    if (!files.has(path)) throw new Refusal({ what: this.say("missing", { path }), mend: this.say("choose") });
    return files.get(path)();
  }

  /** Send the rest of a file; after any break, ask where it ends and go on from there. */
  async send(file, { sha256, offset, size }, part, tell) {
    for (let tries = 0; offset < size;) {
      tell(offset);
      try {
        const answer = await this.patch(sha256, offset, await file.slice(offset, offset + part).arrayBuffer());
        offset = Number(answer.headers.get("Upload-Offset"));
        tries = 0;
      } catch (error) {
        if (this.signal.aborted || error instanceof Refusal || tries >= WAITS.length) throw error;
        await this.wait(WAITS[tries++], error.wait);
        offset = await this.offsetOf(sha256, offset);
      }
    }
    tell(size);
  }

  async patch(sha256, offset, bytes) {
    const headers = { ...TUS, "Content-Type": "application/offset+octet-stream", "Upload-Offset": String(offset) };
    if (crypto.subtle) headers["Upload-Checksum"] = `sha256 ${base64(await crypto.subtle.digest("SHA-256", bytes))}`;
    return this.ask(`/tus/${sha256}`, { method: "PATCH", body: bytes, headers });
  }

  async offsetOf(sha256, known) {
    try {
      return Number((await this.ask(`/tus/${sha256}`, { method: "HEAD", headers: TUS })).headers.get("Upload-Offset"));
    } catch (error) {
      if (error instanceof Refusal) throw error;
      return known; // the next part says whether that is so
    }
  }

  async post(path, text) {
    return (await this.ask(path, { method: "POST", body: text, headers: { "Content-Type": "application/json" } })).json();
  }

  /** A call; what may be otherwise the next time is an Error with how long to wait, what will not is a Refusal. */
  async ask(path, { headers = {}, ...rest }) {
    const answer = await fetch(path, { ...rest, headers: { ...headers, Accept: "application/json", "X-CSRF-Token": this.csrf }, signal: this.signal });
    if (answer.ok) return answer;
    const what = this.say("answered", { status: answer.status });
    if (AGAIN.has(answer.status)) {
      throw Object.assign(new Error(what), { wait: Number(answer.headers.get("Retry-After") ?? 0) });
    }
    throw new Refusal(await answer.json().catch(() => ({ what })));
  }

  async wait(seconds, asked = 0) {
    await new Promise((done) => setTimeout(done, 1000 * Math.min(Math.max(seconds, asked), 120)));
    this.signal.throwIfAborted();
  }
}

/** The files of a folder that was chosen, by their paths below it. */
function filesOfFolder(list) {
  return new Map(Array.from(list, (file) => [file.webkitRelativePath.split("/").slice(1).join("/"), async () => file]));
}

function hex(buffer) {
  return Array.from(new Uint8Array(buffer), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function base64(buffer) {
  return btoa(String.fromCharCode(...new Uint8Array(buffer)));
}

function sizeOf(bytes) {
  const [unit, name] = UNITS_OF_SIZE.find(([least]) => bytes >= least) ?? [1, "B"];
  return unit === 1 ? `${bytes} B` : `${(bytes / unit).toFixed(2)} ${name}`;
}

const part = (name) => document.getElementById(`upload${name}`);
const [form, folder, archive, refusal, stop] = ["", "-folder", "-archive", "-refusal", "-stop"].map(part);
const words = wordsOf(form);

function show(path, done, total) {
  part("-at").hidden = false;
  part("-bar").value = total ? done / total : 1;
  part("-words").textContent = words("sent", { done: sizeOf(done), total: sizeOf(total), path });
}

function refuse(error) {
  refusal.replaceChildren(...[error.message, error.why, error.mend && words("mend", { mend: error.mend })].filter(Boolean).map((text) => {
    const line = document.createElement("p");
    line.textContent = text;
    return line;
  }));
  refusal.hidden = false;
}

/** Whether this script brings what is chosen; archives of other kinds go as plain forms do. */
function takes() {
  return folder.files.length > 0 || archive.files[0]?.name.toLowerCase().endsWith(".zip");
}

async function bring() {
  const aborting = new AbortController();
  const button = form.querySelector("button");
  refusal.hidden = stop.hidden = true;
  button.disabled = true;
  stop.hidden = false;
  stop.onclick = () => aborting.abort();
  try {
    const files = folder.files.length ? filesOfFolder(folder.files) : await readZip(archive.files[0], words);
    const id = await new Uploader(form.elements.csrf.value, words, show, aborting.signal).bring(files);
    location.assign(`/submit/${id}`);
  } catch (error) {
    refuse(aborting.signal.aborted ? { message: words("stopped") } : error);
  } finally {
    button.disabled = false;
    stop.hidden = true;
  }
}

folder.parentElement.hidden = false;
form.addEventListener("submit", (event) => {
  if (!takes()) return;
  event.preventDefault();
  bring();
});
