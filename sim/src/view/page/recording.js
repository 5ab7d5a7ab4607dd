"use strict";

// The recording, unpacked: columns of numbers, and the texts and keys that they point at. Times are in microseconds
// since the run began. A lane is a node or a client, nodes first.

const KINDS = ["writes", "done", "refused", "reads", "changes", "repair", "handshakes", "heartbeats", "unreadable"];
const MARK = { step: 0, idle: 1, boot: 2, crash: 3, failure: 4, ask: 5, done: 6, quiet: 7, odd: 8, look: 9 };

function unpack(raw) {
  // Ascending columns are written as steps from one value to the next.
  const sum = (steps) => {
    const out = new Float64Array(steps.length);
    let value = 0;
    for (let i = 0; i < steps.length; i++) out[i] = value += steps[i];
    return out;
  };
  const lanes = [];
  for (let n = 0; n < raw.nodes; n++) lanes.push("n" + n);
  for (let c = 0; c < raw.clients; c++) lanes.push("c" + c);

  const m = raw.messages;
  const messages = { ...m, sent: sum(m.sent), count: m.sent.length, until: null };
  messages.until = messages.sent.map((sent, i) => sent + m.way[i]);
  const happenings = { ...raw.happenings, at: sum(raw.happenings.at), count: raw.happenings.at.length };
  const commits = { ...raw.commits, at: sum(raw.commits.at), count: raw.commits.at.length };
  const end = Math.max(1, raw.end.at_us);
  commits.tone = commits.until.map((until, i) => (commits.done[i] ? "good" : until < 0 ? "warn" : "bad"));
  // One that nobody answered is still on its way when the run ends.
  commits.until = commits.until.map((until) => (until < 0 ? end + 1 : until));
  const versions = { ...raw.versions, ms: sum(raw.versions.ms) };
  const tracks = [];
  for (let n = 0; n < raw.nodes; n++) tracks.push({ ...raw["n" + n], durable_at: sum(raw["n" + n].durable_at) });

  return { ...raw, lanes, messages, happenings, commits, versions, tracks, faults: gathered(raw.faults), end_us: end,
    blocks: blocksOf(messages), happened: Array.from(happenings.at, (at, happening) => ({ at, happening })), rows: rowsOf(lanes.length, raw.nodes, messages, happenings),
    commitsOf: lanes.map((_, lane) => placesWhere(commits.node, lane)) };
}

// What is done to many in the same way at the same time is one bar: a partition is many links, a power cut many nodes.
function gathered(raw) {
  const all = new Map();
  raw.at.forEach((at, i) => {
    const words = raw.text[i].replace(/ for \d+$/, "").split(" "), ends = raw.lanes[i].length;
    // The way: how, and by how much.
    const way = [words[0], ...words.slice(1 + ends)].join(" ");
    const id = [way, ends, raw.link[i], at, raw.until[i]].join();
    if (!all.has(id)) all.set(id, { at, until: raw.until[i], about: raw.about[i], way, link: raw.link[i] === 1, title: words.join(" "), ends: [], texts: [], lanes: new Set() });
    const fault = all.get(id);
    fault.texts.push(raw.text[i]);
    fault.ends.push(words.slice(1, 1 + ends));
    raw.lanes[i].forEach((lane) => fault.lanes.add(lane));
  });
  const faults = [...all.values()].sort((a, b) => a.at - b.at);
  for (const fault of faults) if (fault.texts.length > 1) fault.title = titleOf(fault);
  return faults;
}

function titleOf({ ends, way, link }) {
  if (!link) return way + " " + ends.map((each) => each.join(" ")).sort().join(", ");
  // By who they lead to: those who are cut off from the same others are named together.
  const others = new Map(), groups = new Map();
  for (const [from, to] of ends) others.set(from, [...(others.get(from) || []), to].sort());
  for (const [from, tos] of others) groups.set(tos.join(" "), [...(groups.get(tos.join(" ")) || []), from].sort());
  const sides = [...groups].map(([tos, froms]) => [froms.join(" "), tos]);
  const mutual = sides.length === 2 && sides[0][0] === sides[1][1] && sides[0][1] === sides[1][0];
  if (mutual) return (way === "block" ? "split " : way + " ") + sides[0].join(" | ");
  return way + " " + sides.map((side) => side.join(" → ")).join(", ");
}

// Blocks of messages with the times that they span, so that those in view are found without looking at each.
function blocksOf(messages) {
  const SIZE = 256, blocks = [];
  for (let first = 0; first < messages.count; first += SIZE) {
    const last = Math.min(first + SIZE, messages.count);
    let until = 0;
    for (let i = first; i < last; i++) until = Math.max(until, messages.until[i]);
    blocks.push({ first, last, from: messages.sent[first], until });
  }
  return blocks;
}

// What can be listed for each lane, by time. Nodes have steps; of a client its messages are all there is to see.
function rowsOf(lanes, nodes, messages, happenings) {
  const rows = Array.from({ length: lanes }, () => []);
  for (let i = 0; i < happenings.count; i++) {
    const lane = happenings.lane[i];
    for (const list of lane < 0 ? rows : [rows[lane]]) list.push({ at: happenings.at[i], happening: i });
  }
  for (let i = 0; i < messages.count; i++) {
    if (messages.from[i] >= nodes) rows[messages.from[i]].push({ at: messages.sent[i], message: i });
    if (messages.to[i] >= nodes && !messages.lost[i]) rows[messages.to[i]].push({ at: messages.until[i], message: i });
  }
  for (const list of rows) list.sort((a, b) => a.at - b.at);
  return rows;
}

function placesWhere(column, value) {
  const places = [];
  column.forEach((each, i) => { if (each === value) places.push(i); });
  return places;
}

// How many of an ascending column are at or before `value`.
function countUpto(length, at, value) {
  let low = 0, high = length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (at(middle) <= value) low = middle + 1; else high = middle;
  }
  return low;
}

// The value of a list of [time, ...] pairs at a time.
function valueAt(list, at_us) {
  const count = countUpto(list.length, (i) => list[i][0], at_us);
  return count > 0 ? list[count - 1] : null;
}

// The key that is called so, or those whose names hold it; and the sets of keys that hold one of those.
function matching(recording, part) {
  if (part === "") return null;
  const isWhole = recording.keys.includes(part);
  const keys = recording.keys.map((key) => (isWhole ? key === part : key.includes(part)));
  const sets = recording.sets.map((set) => set.some((key) => keys[key]));
  return { keys, sets };
}

// A time to the precision that is worth showing: 1.250 s.
function seconds(at_us, digits = 6) {
  const [whole, rest] = (at_us / 1e6).toFixed(digits).split(".");
  if (!rest) return whole;
  return whole + "." + (rest.length > 3 ? rest.slice(0, 3) + " " + rest.slice(3) : rest);
}

// How long something took, in the unit that fits.
function span(us) {
  if (us < 1000) return us + " µs";
  if (us < 1e6) return (us / 1000).toFixed(us < 1e4 ? 2 : 1) + " ms";
  return (us / 1e6).toFixed(2) + " s";
}
