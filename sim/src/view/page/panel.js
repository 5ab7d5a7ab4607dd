// The panel: the time, what was chosen, what the nodes agree on, and the state of one lane. Everything from the recording
// goes in as text, never as markup: a key may hold anything.

function el(name, attributes, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes || {})) {
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value); else element.setAttribute(key, value);
  }
  element.append(...children.filter((child) => child !== null));
  return element;
}

function pairs(list) {
  return el("dl", null, ...list.flatMap(([name, value]) => [el("dt", null, name), el("dd", null, value)]));
}

function grid(heads, rows, kind = "wide") {
  const head = el("tr", null, ...heads.map((name) => el("th", null, name)));
  return el("div", { class: kind }, el("table", null, head, ...rows));
}

function thingOf(row) {
  return row.happening === undefined ? { type: "message", place: row.message } : { type: "happening", place: row.happening };
}

function many(count, what) {
  return count.toLocaleString("en") + " " + what + (count === 1 ? "" : "s");
}

class Panel {
  constructor(recording, states, view, actions) {
    Object.assign(this, { recording, states, view, actions });
    this.showIdle = false;
    this.parts = Object.fromEntries(["now", "chosen", "agreement", "lane", "run"].map((id) => [id, document.getElementById(id)]));
    this.fillRun();
  }

  draw() {
    const { view, recording } = this;
    const wall = new Date(recording.epoch_ms + view.at / 1000).toISOString().slice(11, 23);
    this.parts.now.replaceChildren(el("strong", null, seconds(view.at) + " s"), el("span", null, "wall clock of the world " + wall));
    this.fillChosen();
    this.fillAgreement();
    this.fillLane();
  }

  fillChosen() {
    const thing = this.view.chosen, { recording } = this;
    if (!thing) return this.parts.chosen.replaceChildren();
    const head = (name) => el("h2", null, name);
    if (thing.type === "message") {
      const { messages, texts, lanes } = recording, i = thing.place;
      const lost = messages.lost[i] === 1;
      this.parts.chosen.replaceChildren(
        head("Message " + lanes[messages.from[i]] + " → " + lanes[messages.to[i]] + (lost ? ", lost" : "")),
        el("p", { class: "what mono" }, texts[messages.text[i]]),
        pairs([
          ["kind", lost ? "lost" : KINDS[messages.kind[i]]],
          ["sent", seconds(messages.sent[i]) + " s"],
          [lost ? "lost by" : "arrived", seconds(messages.until[i]) + " s, after " + span(messages.until[i] - messages.sent[i])],
          ...this.keysOf(messages.keys[i]),
        ]));
    } else if (thing.type === "fault") {
      const fault = recording.faults[thing.place];
      this.parts.chosen.replaceChildren(head("Fault"), el("p", { class: "what mono" }, fault.title), el("p", { class: "soft" }, fault.about), pairs([
        ["from", seconds(fault.at) + " s"],
        ["until", seconds(fault.until) + " s, for " + span(fault.until - fault.at)],
        ["plan", fault.texts.join("\n")],
      ]));
    } else {
      const { happenings, texts, lanes } = recording, i = thing.place;
      const lane = happenings.lane[i];
      this.parts.chosen.replaceChildren(head(lane < 0 ? "The cluster" : lanes[lane]),
        el("p", { class: "what mono" }, texts[happenings.text[i]]),
        pairs([["at", seconds(happenings.at[i]) + " s"], ...this.keysOf(happenings.keys[i])]));
    }
  }

  keysOf(set) {
    const keys = this.recording.sets[set];
    if (keys.length === 0) return [];
    const names = keys.slice(0, 40).map((key) => this.recording.keys[key]).join(", ");
    return [["keys", keys.length > 40 ? names + " and " + (keys.length - 40) + " more" : names]];
  }

  // What each node's disk holds, where they differ; with a filter, of the keys that it lets through.
  fillAgreement() {
    const { recording, view, states } = this;
    const { keys, differ, held, gone } = states.differing(view.at);
    const filter = view.match;
    const byName = (a, b) => recording.keys[a].localeCompare(recording.keys[b], "en", { numeric: true });
    const wanted = filter ? recording.keys.map((_, key) => key).filter((key) => filter.keys[key] && held.some((map) => map.has(key))) : differ;
    wanted.sort(byName);
    const head = el("div", { class: "head" }, el("h2", null, "On the disks"),
      el("span", { class: differ.length ? "warn" : "good" },
        differ.length ? "differ in " + differ.length + " of " + keys + " keys" : "the same " + keys + " keys on all"));
    if (wanted.length === 0) return this.parts.agreement.replaceChildren(head);
    const MOST = 8, nodes = recording.lanes.slice(0, recording.nodes);
    const rows = wanted.slice(0, MOST).map((key) => {
      const all = held.map((map) => (map.has(key) ? map.get(key) : -1));
      const best = all.reduce((a, b) => (a < 0 || (b >= 0 && states.later(b, a) > 0) ? b : a), -1);
      const cells = all.map((version, node) => el("td", { class: version === best || gone[node] ? "" : "behind" }, version < 0 ? "–" : recording.versions.value[version]));
      return el("tr", null, el("td", null, recording.keys[key]), ...cells);
    });
    const more = wanted.length > MOST ? el("p", { class: "soft" }, "and " + (wanted.length - MOST) + " more keys") : null;
    this.parts.agreement.replaceChildren(...[head, grid(["key", ...nodes], rows, "wide close"), more].filter(Boolean));
  }

  fillLane() {
    const { view, recording } = this, lane = view.lane;
    const head = el("h2", null, (lane < recording.nodes ? "Node " : "Client ") + recording.lanes[lane] + " at " + seconds(view.at, 3) + " s");
    const parts = lane < recording.nodes ? this.nodeParts(lane) : this.clientParts(lane);
    this.parts.lane.replaceChildren(head, ...parts, ...this.steps());
  }

  nodeParts(node) {
    const { view, recording, states } = this;
    const { texts, lanes, versions, commits } = recording;
    const state = states.of(node, view.at);
    const phase = el("span", { class: state.isUp ? (state.phase.startsWith("ready") ? "good" : "warn") : "bad" }, state.phase);
    const conns = state.conns.map(([id, from, , peer, dialled, remote]) =>
      (remote < 0 ? (peer ? "a node" : "a client") : lanes[remote]) + (dialled ? " (dialled)" : "") + " #" + id);
    const facts = pairs([
      ["phase", state.isGone ? el("span", { class: "bad" }, "gone for good") : phase],
      ["boots", state.boots + (state.since === null ? "" : (state.isUp ? ", up since " : ", down since ") + seconds(state.since, 3) + " s")],
      ["clock", state.ahead_ms === 0 ? "right" : span(Math.abs(state.ahead_ms) * 1000) + " " + (state.ahead_ms > 0 ? "ahead" : "behind")],
      ["log", "durable to " + state.durable + ", applied to " + state.applied],
      ["connections", conns.length ? conns.join(", ") : "none"],
    ]);
    const isWanted = (version) => !view.match || view.match.keys[versions.key[version]];
    const row = (version, flight) => {
      const at = seconds((versions.ms[version] - recording.epoch_ms) * 1000, 3) + (versions.counter[version] ? "+" + versions.counter[version] : "");
      const ttl = versions.ttl[version] < 0 ? "" : ", for " + versions.ttl[version] + " ms";
      return el("tr", flight ? { class: "flight", title: "on its way to the disk" } : null,
        el("td", null, recording.keys[versions.key[version]]), el("td", { class: "free" }, versions.value[version] + ttl),
        el("td", null, at), el("td", null, versions.writer[version]));
    };
    const flight = state.flight.flatMap((i) => commits.versions[i]).filter(isWanted);
    const held = [...state.held.values()].filter(isWanted)
      .sort((a, b) => recording.keys[versions.key[a]].localeCompare(recording.keys[versions.key[b]], "en", { numeric: true }));
    const MOST = 200, rows = [...flight.map((version) => row(version, true)), ...held.slice(0, MOST).map((version) => row(version, false))];
    const title = el("h3", null, many(held.length, "record") + " on disk" + (flight.length ? ", " + many(flight.length, "version") + " on the way" : ""));
    const more = held.length > MOST ? el("p", { class: "soft" }, "and " + (held.length - MOST) + " more records") : null;
    return [facts, title, rows.length ? grid(["key", "value", "stamped", "writer"], rows, "wide low") : null, more].filter(Boolean);
  }

  clientParts(lane) {
    const { recording, view } = this, { happenings, texts } = recording;
    let asked = 0, done = 0;
    for (const { at, happening } of recording.rows[lane]) {
      if (at > view.at) break;
      if (happening === undefined || happenings.lane[happening] !== lane) continue;
      if (happenings.mark[happening] === MARK.done) done++;
      if (happenings.mark[happening] === MARK.ask && /^is to (put|delete) /.test(texts[happenings.text[happening]])) asked++;
    }
    return [pairs([["writes", asked + " begun, " + done + " acknowledged"]])];
  }

  // What the list of steps is made of: what happened in the lane, or, with a filter, what touched those keys anywhere.
  rows() {
    const { recording, view, showIdle } = this, { happenings } = recording;
    if (view.match) return { all: recording.happened, isShown: ({ happening }) => view.match.sets[happenings.keys[happening]] };
    const isQuiet = (mark) => mark === MARK.idle || mark === MARK.look;
    const isShown = ({ happening }) => showIdle || happening === undefined || !isQuiet(happenings.mark[happening]);
    return { all: recording.rows[view.lane], isShown };
  }

  // What happened around the time.
  steps() {
    const { recording, view } = this, { happenings, messages, texts, lanes } = recording, lane = view.lane;
    const { all, isShown } = this.rows(), BEFORE = 14, AFTER = 5;
    const here = countUpto(all.length, (i) => all[i].at, view.at);
    const shown = [];
    for (let i = here - 1; i >= 0 && shown.length < BEFORE; i--) if (isShown(all[i])) shown.unshift(all[i]);
    const before = shown.length;
    for (let i = here; i < all.length && shown.length < before + AFTER; i++) if (isShown(all[i])) shown.push(all[i]);
    const what = ({ happening, message }) => {
      if (happening !== undefined) return (view.match ? (lanes[happenings.lane[happening]] || "the cluster") + " " : "") + texts[happenings.text[happening]];
      const text = texts[messages.text[message]];
      return messages.from[message] === lane ? "sends to " + lanes[messages.to[message]] + " " + text + (messages.lost[message] ? ", which is lost" : "") : "is told by " + lanes[messages.from[message]] + " " + text;
    };
    const items = shown.map((row, i) => el("li", {
      class: i >= before ? "later" : i === before - 1 && row.at === view.at ? "current" : "",
      onclick: () => this.actions.choose(thingOf(row), row.at),
    }, el("time", null, seconds(row.at)), el("span", null, what(row))));
    const idle = el("input", { type: "checkbox", id: "idle", onchange: (event) => { this.showIdle = event.target.checked; this.actions.redraw(); } });
    idle.checked = this.showIdle;
    const head = el("div", { class: "head" }, el("h3", null, view.match ? "What touched these keys" : "Last steps"), el("span", { class: "push" }),
      lane < recording.nodes && !view.match ? el("label", { class: "soft" }, idle, " idle ones too") : null);
    return [head, items.length ? el("ol", { class: "steps" }, ...items) : el("p", { class: "soft" }, "none")];
  }

  fillRun() {
    const { recording } = this, { end, promises } = recording;
    const list = promises.map((name) => (name === end.promise
      ? el("button", { type: "button", class: "bad", onclick: () => this.actions.goToEnd() }, "✕ " + name)
      : el("span", { class: "soft" }, "✓ " + name)));
    this.parts.run.replaceChildren(
      el("h2", null, "The run"),
      ...(end.how === "held" ? [] : [el("p", { class: "bad what" }, end.text)]),
      el("p", { class: "soft" }, "Each promise was checked at " + recording.seen.toLocaleString("en") + " happenings."),
      el("p", null, ...list.flatMap((item) => [item, "  "])),
      pairs([["again", recording.replay], ...(end.hash ? [["hash", end.hash]] : [])]),
      el("details", null, el("summary", null, "The plan"), el("pre", null, recording.plan)));
  }
}
