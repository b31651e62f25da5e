// What lies in a zip, read where it lies: a file of many gigabytes is never held in memory.
"use strict";

const ZIP = { end: 0x06054b50, end64: 0x06064b50, locator: 0x07064b50, entry: 0x02014b50, stored: 0, deflated: 8 };
const MOST_TAIL = 65535 + 22 + 20; // bytes in which the end of a directory lies, its comment and locator included
const MOST_DIRECTORY = 64 * 2 ** 20; // bytes of a directory that are read

/** The files of a zip by their paths, each as a function that gives its bytes as a Blob; `say` is as `wordsOf` gives it. */
async function readZip(file, say) {
  const { offset, size } = (await directoryOf(file)) ?? {};
  if (offset === undefined) throw new Error(say("no-zip"));
  if (size > MOST_DIRECTORY) throw new Error(say("long-zip"));
  const view = await viewOf(file, offset, offset + size);
  const files = new Map();
  for (let at = 0; at + 46 <= view.byteLength && view.getUint32(at, true) === ZIP.entry;) {
    const entry = entryAt(view, at);
    if (!entry.name.endsWith("/")) files.set(entry.name, () => contentOf(file, entry, say));
    at += entry.length;
  }
  return files;
}

async function viewOf(file, start, end) {
  return new DataView(await file.slice(start, end).arrayBuffer());
}

/** Where the directory lies, as the end of the file says; nowhere if that is no zip's. */
async function directoryOf(file) {
  const start = Math.max(0, file.size - MOST_TAIL);
  const view = await viewOf(file, start, file.size);
  for (let at = view.byteLength - 22; at >= 0; at--) {
    if (view.getUint32(at, true) !== ZIP.end) continue;
    if (at >= 20 && view.getUint32(at - 20, true) === ZIP.locator) {
      const end64 = await viewOf(file, ...range(number64(view, at - 12), 56));
      if (end64.byteLength === 56 && end64.getUint32(0, true) === ZIP.end64) {
        return { size: number64(end64, 40), offset: number64(end64, 48) };
      }
    }
    return { size: view.getUint32(at + 12, true), offset: view.getUint32(at + 16, true) };
  }
  return undefined;
}

/** An entry of the directory; sizes and places above 4 GiB stand in its extra field. */
function entryAt(view, at) {
  const lengths = [28, 30, 32].map((place) => view.getUint16(at + place, true));
  const [name, extra, comment] = lengths;
  const bytes = new Uint8Array(view.buffer, view.byteOffset + at + 46, name);
  const entry = {
    name: new TextDecoder().decode(bytes), method: view.getUint16(at + 10, true),
    packed: view.getUint32(at + 20, true), unpacked: view.getUint32(at + 24, true), offset: view.getUint32(at + 42, true),
    length: 46 + name + extra + comment,
  };
  const last = at + 46 + name + extra;
  for (let field = at + 46 + name; field + 4 <= last; field += 4 + view.getUint16(field + 2, true)) {
    if (view.getUint16(field, true) !== 1) continue;
    let place = field + 4;
    for (const key of ["unpacked", "packed", "offset"]) {
      if (entry[key] === 0xffffffff) { entry[key] = number64(view, place); place += 8; }
    }
  }
  return entry;
}

async function contentOf(file, entry, say) {
  const head = await viewOf(file, ...range(entry.offset, 30));
  const start = entry.offset + 30 + head.getUint16(26, true) + head.getUint16(28, true);
  const packed = file.slice(...range(start, entry.packed));
  if (entry.method === ZIP.stored) return packed;
  if (entry.method !== ZIP.deflated) throw new Error(say("odd-zip", { path: entry.name }));
  return new Response(packed.stream().pipeThrough(new DecompressionStream("deflate-raw"))).blob();
}

function range(start, length) {
  return [start, start + length];
}

function number64(view, at) {
  return Number(view.getBigUint64(at, true));
}
