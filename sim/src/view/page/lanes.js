// The lanes: what is drawn, and what is under the pointer. Only what is in view is drawn. Where that is too much for single
// arrows, those that would cover each other are drawn as one, the stronger the more they are.

const GUTTER = 64, AXIS = 24, BAR = 16;
// More messages than this are drawn together, and fewer than that are named.
const TOGETHER = 2500, HEADS = 900, NAMED = 70;
// Heartbeats at the bottom, refusals on top.
const ORDER = [7, 6, 5, 4, 3, 0, 1, 8, 2, -1];

class Lanes {
  constructor(canvas, recording, view) {
    Object.assign(this, { canvas, recording, view });
    this.sheet = document.createElement("canvas");
    this.layOutFaults();
  }

  // Faults that overlap get rows of their own; beyond four they share the last.
  layOutFaults() {
    const free = [];
    for (const fault of this.recording.faults) {
      let row = free.findIndex((until) => until < fault.at);
      if (row < 0) row = Math.min(free.length, 3);
      free[row] = Math.max(free[row] || 0, fault.until);
      fault.row = row;
    }
    this.faultRows = free.length;
  }

  resize(width, height) {
    const { recording } = this;
    this.top = AXIS + (this.faultRows > 0 ? this.faultRows * (BAR + 2) + 6 : 0);
    const clients = recording.lanes.length - recording.nodes;
    // A node has more to show than a client.
    const shares = recording.nodes * 1.5 + clients;
    const share = Math.max(34, (height - this.top - 12) / shares);
    this.width = width;
    this.height = Math.max(height, Math.ceil(this.top + share * shares + 12));
    this.tall = recording.lanes.map((_, lane) => (lane < recording.nodes ? share * 1.5 : share));
    let y = this.top;
    this.middle = this.tall.map((tall) => (y += tall) - tall / 2);
    this.ratio = window.devicePixelRatio || 1;
    for (const canvas of [this.canvas, this.sheet]) {
      canvas.width = Math.round(width * this.ratio);
      canvas.height = Math.round(this.height * this.ratio);
    }
    this.canvas.style.height = this.height + "px";
    this.stale = true;
  }

  x(at_us) { return GUTTER + ((at_us - this.view.from) / (this.view.until - this.view.from)) * (this.width - GUTTER); }
  time(x) { return this.view.from + ((x - GUTTER) / (this.width - GUTTER)) * (this.view.until - this.view.from); }

  // The messages in view, those that are switched off aside.
  visible() {
    const { from, until, off, match } = this.view;
    const { messages, blocks } = this.recording;
    const found = [];
    for (const block of blocks) {
      if (block.from > until) break;
      if (block.until < from) continue;
      for (let i = block.first; i < block.last; i++) {
        if (messages.until[i] < from || messages.sent[i] > until || off.has(messages.kind[i])) continue;
        if (match && !match.sets[messages.keys[i]]) continue;
        found.push(i);
      }
    }
    return found;
  }

  draw() {
    if (this.stale) {
      this.drawSheet();
      this.stale = false;
    }
    const ink = this.canvas.getContext("2d");
    ink.setTransform(1, 0, 0, 1, 0, 0);
    ink.drawImage(this.sheet, 0, 0);
    ink.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
    this.drawChosen(ink);
    this.drawCursor(ink);
  }

  // Everything that stays when only the time or the choice changes.
  drawSheet() {
    const ink = this.sheet.getContext("2d");
    ink.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
    ink.fillStyle = colour("ground");
    ink.fillRect(0, 0, this.width, this.height);
    this.drawBands(ink);
    ink.save();
    ink.beginPath();
    ink.rect(GUTTER, 0, this.width - GUTTER, this.height);
    ink.clip();
    this.drawAxis(ink);
    this.drawDowns(ink);
    this.drawLines(ink);
    this.inView = this.visible();
    if (this.inView.length > TOGETHER) this.drawTogether(ink); else this.drawArrows(ink);
    this.drawCommits(ink);
    this.drawMarks(ink);
    this.drawFaults(ink);
    this.drawMoments(ink);
    ink.restore();
    this.drawNames(ink);
  }

  drawBands(ink) {
    this.recording.lanes.forEach((_, lane) => {
      if (lane % 2 === 0) return;
      ink.fillStyle = colour("band");
      ink.fillRect(0, this.middle[lane] - this.tall[lane] / 2, this.width, this.tall[lane]);
    });
  }

  drawNames(ink) {
    ink.fillStyle = colour("paper");
    ink.fillRect(0, 0, GUTTER, this.height);
    ink.fillStyle = colour("rule");
    ink.fillRect(GUTTER - 1, 0, 1, this.height);
    ink.textBaseline = "middle";
    ink.textAlign = "left";
    this.recording.lanes.forEach((name, lane) => {
      const chosen = lane === this.view.lane;
      if (chosen) {
        ink.fillStyle = colour("accent");
        ink.fillRect(0, this.middle[lane] - this.tall[lane] / 2, 3, this.tall[lane]);
      }
      ink.font = (chosen ? "700" : "600") + " 13px " + colour("mono");
      ink.fillStyle = colour(chosen ? "accent" : lane < this.recording.nodes ? "ink" : "soft");
      ink.fillText(name, 16, this.middle[lane]);
    });
    if (this.faultRows > 0) {
      ink.font = "11px system-ui, sans-serif";
      ink.fillStyle = colour("soft");
      ink.fillText("faults", 16, AXIS + 3 + BAR / 2);
    }
  }

  drawAxis(ink) {
    const { from, until } = this.view;
    const wanted = (until - from) / Math.max(2, (this.width - GUTTER) / 110);
    const tens = 10 ** Math.floor(Math.log10(wanted));
    const step = Math.max(1, [1, 2, 5, 10].find((n) => n * tens >= wanted) * tens);
    const digits = step >= 1e6 ? 0 : step >= 1e5 ? 1 : step >= 1e4 ? 2 : step >= 1e3 ? 3 : 6;
    ink.font = "11px " + colour("mono");
    ink.textAlign = "left";
    ink.textBaseline = "middle";
    for (let at = Math.ceil(from / step) * step; at <= until; at += step) {
      const x = Math.round(this.x(at)) + 0.5;
      ink.strokeStyle = colour("rule");
      line(ink, x, 0, x, this.height);
      ink.fillStyle = colour("soft");
      ink.fillText(seconds(at, digits) + " s", x + 5, AXIS / 2);
    }
  }

  // Nodes that are down are hatched.
  drawDowns(ink) {
    this.recording.tracks.forEach((track, node) => {
      const gaps = track.up.map(([, until], i) => [until, i + 1 < track.up.length ? track.up[i + 1][0] : this.recording.end_us]);
      for (const [from, until] of gaps) {
        if (from < 0 || until < this.view.from || from > this.view.until) continue;
        const left = Math.max(GUTTER, this.x(from)), right = Math.min(this.width, this.x(until));
        const top = this.middle[node] - this.tall[node] / 2 + 3, bottom = top + this.tall[node] - 6;
        ink.save();
        ink.beginPath();
        ink.rect(left, top, Math.max(1, right - left), bottom - top);
        ink.clip();
        ink.fillStyle = colour("down");
        ink.fillRect(left, top, Math.max(1, right - left), bottom - top);
        ink.strokeStyle = colour("hatch");
        ink.lineWidth = 1;
        ink.beginPath();
        for (let x = left - (bottom - top) - (left % 8); x < right; x += 8) {
          ink.moveTo(x, bottom);
          ink.lineTo(x + bottom - top, top);
        }
        ink.stroke();
        ink.restore();
      }
    });
  }

  // A node's line is there while it is up, and has the colour of what it does.
  drawLines(ink) {
    const { tracks, nodes, lanes, texts, end_us } = this.recording;
    ink.lineWidth = 1.5;
    for (let lane = nodes; lane < lanes.length; lane++) {
      ink.strokeStyle = colour("faint");
      line(ink, GUTTER, this.middle[lane], this.x(end_us), this.middle[lane]);
    }
    tracks.forEach((track, node) => track.phases.forEach(([from, text], i) => {
      const until = i + 1 < track.phases.length ? track.phases[i + 1][0] : end_us;
      const word = texts[text].split(/[ :]/)[0];
      if (word === "down" || until < this.view.from || from > this.view.until) return;
      ink.strokeStyle = colour({ ready: "soft", recovering: "recovering", failed: "bad" }[word] || "faint");
      ink.lineWidth = word === "ready" ? 1.5 : 4;
      line(ink, Math.max(GUTTER, this.x(from)), this.middle[node], this.x(until), this.middle[node]);
    }));
  }

  drawTogether(ink) {
    const { messages, lanes } = this.recording;
    const together = new Map(), wide = Math.ceil(this.width) + 64, count = lanes.length;
    for (const i of this.inView) {
      const left = Math.max(-30, Math.round(this.x(messages.sent[i]) / 2)), way = this.x(messages.until[i]) - this.x(messages.sent[i]);
      const right = Math.min(wide - 32, left + Math.round(way / 2));
      const kind = messages.lost[i] ? -1 : messages.kind[i];
      const id = ((((kind + 1) * count + messages.from[i]) * count + messages.to[i]) * wide + left + 30) * wide + right + 30;
      together.set(id, (together.get(id) || 0) + 1);
    }
    // A sheet full of lines shows nothing: the fuller it is, the fainter they are.
    const faint = Math.min(1, 2600 / together.size);
    const strokes = new Map();
    for (const [id, times] of together) {
      let rest = id;
      const take = (size) => { const value = rest % size; rest = Math.floor(rest / size); return value; };
      const right = (take(wide) - 30) * 2, left = (take(wide) - 30) * 2, to = take(count), from = take(count), kind = rest - 1;
      const strength = Math.min(3, Math.floor(Math.log2(times)));
      const name = kind * 4 + strength;
      if (!strokes.has(name)) strokes.set(name, { kind, strength, lines: [] });
      strokes.get(name).lines.push(left, from, right, to);
    }
    const place = (stroke) => ORDER.indexOf(stroke.kind) * 4 + stroke.strength;
    for (const { kind, strength, lines } of [...strokes.values()].sort((a, b) => place(a) - place(b))) {
      ink.strokeStyle = kindColour(kind);
      ink.globalAlpha = Math.min(1, (kind === 7 ? 0.22 : 0.55) * faint * (1 + strength * 0.5) + (kind < 0 || kind === 2 ? 0.4 : 0.03));
      ink.lineWidth = 1;
      ink.beginPath();
      for (let i = 0; i < lines.length; i += 4) {
        const from = this.middle[lines[i + 1]], to = this.middle[lines[i + 3]];
        ink.moveTo(lines[i], from);
        if (kind < 0) ink.lineTo(lines[i], from + (to - from) * 0.35); else ink.lineTo(lines[i + 2], to);
      }
      ink.stroke();
    }
    ink.globalAlpha = 1;
  }

  // Where the arrow of a message begins and ends.
  arrow(i) {
    const { messages } = this.recording;
    const left = this.x(messages.sent[i]), from = this.middle[messages.from[i]], to = this.middle[messages.to[i]];
    if (!messages.lost[i]) return [left, from, this.x(messages.until[i]), to];
    return [left, from, left + 6, from + (to - from) * 0.35];
  }

  drawArrows(ink) {
    const { messages, texts } = this.recording;
    const heads = this.inView.length <= HEADS, named = this.inView.length <= NAMED;
    for (const kind of ORDER) {
      ink.strokeStyle = ink.fillStyle = kindColour(kind);
      ink.globalAlpha = heads || kind < 0 ? (kind === 7 ? 0.7 : 1) : kind === 7 ? 0.3 : 0.7;
      ink.lineWidth = named ? 1.6 : 1.1;
      const those = this.inView.filter((i) => (messages.lost[i] ? -1 : messages.kind[i]) === kind);
      for (const i of those) this.drawArrow(ink, this.arrow(i), heads, kind < 0);
    }
    ink.globalAlpha = 1;
    if (!named) return;
    // Names where there is room for them.
    const taken = [];
    ink.font = "11px " + colour("mono");
    for (const i of this.inView) {
      const [x, y, x2, y2] = this.arrow(i), long = Math.hypot(x2 - x, y2 - y);
      let name = texts[messages.text[i]];
      if (ink.measureText(name).width > long - 24) name = name.split(" ")[0];
      if (ink.measureText(name).width > long - 24) continue;
      const spot = [(x + x2) / 2, (y + y2) / 2];
      if (taken.some(([tx, ty]) => Math.abs(tx - spot[0]) < 26 && Math.abs(ty - spot[1]) < 40)) continue;
      taken.push(spot);
      ink.save();
      ink.translate(...spot);
      const turn = Math.atan2(y2 - y, x2 - x);
      ink.rotate(Math.abs(turn) > Math.PI / 2 ? turn + Math.PI : turn);
      ink.textAlign = "center";
      ink.textBaseline = "bottom";
      ink.lineWidth = 4;
      ink.strokeStyle = colour("ground");
      ink.strokeText(name, 0, -2);
      ink.fillStyle = kindColour(messages.lost[i] ? -1 : messages.kind[i]);
      ink.fillText(name, 0, -2);
      ink.restore();
    }
  }

  drawArrow(ink, [x, y, x2, y2], head, lost) {
    ink.setLineDash(lost ? [3, 3] : []);
    line(ink, x, y, x2, y2);
    ink.setLineDash([]);
    if (lost) {
      line(ink, x2 - 4, y2 - 4, x2 + 4, y2 + 4);
      line(ink, x2 + 4, y2 - 4, x2 - 4, y2 + 4);
    } else if (head) {
      const turn = Math.atan2(y2 - y, x2 - x);
      ink.beginPath();
      ink.moveTo(x2, y2);
      ink.lineTo(x2 - 7 * Math.cos(turn - 0.4), y2 - 7 * Math.sin(turn - 0.4));
      ink.lineTo(x2 - 7 * Math.cos(turn + 0.4), y2 - 7 * Math.sin(turn + 0.4));
      ink.fill();
    }
  }

  // What is on its way to the disk, as a bar under the node's line.
  drawCommits(ink) {
    const { commits, sets, versions } = this.recording;
    const { from, until, match } = this.view;
    for (let i = 0; i < commits.count; i++) {
      if (commits.at[i] > until) break;
      if (commits.until[i] < from) continue;
      const mine = !match || commits.versions[i].some((version) => match.keys[versions.key[version]]);
      const left = this.x(commits.at[i]), y = this.middle[commits.node[i]] + 5;
      ink.globalAlpha = mine ? 0.85 : 0.2;
      ink.fillStyle = colour(commits.done[i] ? "good" : "bad");
      ink.fillRect(left, y, Math.max(1, this.x(commits.until[i]) - left), 3);
    }
    ink.globalAlpha = 1;
  }

  drawMarks(ink) {
    const { happenings } = this.recording;
    const { from, until, match } = this.view;
    const first = countUpto(happenings.count, (i) => happenings.at[i], from - 1);
    const last = countUpto(happenings.count, (i) => happenings.at[i], until);
    const ticks = last - first < 3000;
    for (let i = first; i < last; i++) {
      const mark = happenings.mark[i], lane = happenings.lane[i];
      if (lane < 0 || (mark === MARK.step && !ticks) || mark === MARK.idle) continue;
      const mine = !match || match.sets[happenings.keys[i]];
      if (!mine && (mark === MARK.step || mark === MARK.ask || mark === MARK.done)) continue;
      const x = this.x(happenings.at[i]), y = this.middle[lane];
      if (mark === MARK.step) {
        ink.fillStyle = colour("soft");
        ink.fillRect(x - 0.5, y - 3, 1, 6);
      } else drawMark(ink, mark, x, y);
    }
  }

  drawFaults(ink) {
    ink.font = "11px system-ui, sans-serif";
    ink.textBaseline = "middle";
    ink.textAlign = "left";
    for (const fault of this.recording.faults) {
      if (fault.until < this.view.from || fault.at > this.view.until) continue;
      const [left, top, wide] = this.faultBar(fault);
      ink.fillStyle = colour("ground");
      ink.fillRect(left, top, wide, BAR);
      ink.globalAlpha = 0.22;
      ink.fillStyle = colour("bad");
      ink.fillRect(left, top, wide, BAR);
      ink.globalAlpha = 1;
      ink.fillRect(left, top, 2, BAR);
      if (wide < 24) continue;
      ink.save();
      ink.beginPath();
      ink.rect(left, top, wide - 3, BAR);
      ink.clip();
      ink.fillStyle = colour("ink");
      ink.fillText(fault.title, Math.max(left, GUTTER) + 6, top + BAR / 2 + 0.5);
      ink.restore();
    }
  }

  faultBar(fault) {
    const left = this.x(fault.at);
    return [left, AXIS + 3 + fault.row * (BAR + 2), Math.max(3, this.x(fault.until) - left)];
  }

  // The healing, the last look at everything, and where a promise broke.
  drawMoments(ink) {
    const { heal_us, end_us, end, happenings } = this.recording;
    const moments = [[heal_us, "healed", "good"]];
    for (let i = 0; i < happenings.count; i++) {
      if (happenings.mark[i] === MARK.quiet) moments.push([happenings.at[i], "at rest: all promises checked", "good"]);
    }
    if (end.how !== "held") moments.push([end_us, end.how === "broken" ? end.promise + " broke" : end.how, "bad"]);
    ink.font = "600 11px system-ui, sans-serif";
    ink.textBaseline = "bottom";
    for (const [at, name, tone] of moments) {
      if (at < this.view.from || at > this.view.until || at > end_us) continue;
      const x = Math.round(this.x(at)) + (at === end_us ? -0.5 : 0.5), left = x > this.width - 200;
      ink.strokeStyle = ink.fillStyle = colour(tone);
      ink.lineWidth = tone === "bad" ? 2 : 1;
      ink.setLineDash(tone === "bad" ? [] : [5, 4]);
      line(ink, x, AXIS, x, this.height);
      ink.setLineDash([]);
      ink.textAlign = left ? "right" : "left";
      ink.fillText(name, x + (left ? -5 : 5), this.height - 4);
    }
  }

  drawCursor(ink) {
    const x = Math.round(this.x(this.view.at)) + 0.5;
    if (x < GUTTER || x > this.width) return;
    ink.strokeStyle = colour("accent");
    ink.lineWidth = 1.5;
    line(ink, x, AXIS - 4, x, this.height);
    ink.font = "600 11px " + colour("mono");
    const name = seconds(this.view.at), wide = ink.measureText(name).width + 10;
    const left = Math.max(GUTTER, Math.min(x - wide / 2, this.width - wide));
    ink.fillStyle = colour("accent");
    ink.fillRect(left, 2, wide, AXIS - 6);
    ink.fillStyle = colour("paper");
    ink.textAlign = "left";
    ink.textBaseline = "middle";
    ink.fillText(name, left + 5, AXIS / 2 - 0.5);
  }

  drawChosen(ink) {
    for (const thing of [this.view.hovered, this.view.chosen]) {
      if (!thing) continue;
      ink.lineWidth = 2.5;
      ink.strokeStyle = ink.fillStyle = colour("ink");
      if (thing.type === "message") this.drawArrow(ink, this.arrow(thing.place), true, this.recording.messages.lost[thing.place]);
      if (thing.type === "fault") {
        const fault = this.recording.faults[thing.place], [left, top, wide] = this.faultBar(fault);
        ink.strokeRect(Math.max(GUTTER, left), top, wide, BAR);
        ink.globalAlpha = 0.12;
        ink.fillStyle = colour("bad");
        for (const lane of fault.lanes) ink.fillRect(Math.max(GUTTER, left), this.middle[lane] - this.tall[lane] / 2, wide, this.tall[lane]);
        ink.globalAlpha = 1;
      }
      if (thing.type === "happening") {
        const { at, lane } = this.recording.happenings;
        ink.beginPath();
        ink.arc(this.x(at[thing.place]), this.middle[lane[thing.place]], 9, 0, 7);
        ink.stroke();
      }
    }
  }

  // What is under the pointer, the smaller thing first.
  hit(x, y) {
    const { happenings, faults } = this.recording;
    if (x < GUTTER) {
      const lane = this.middle.findIndex((middle, i) => Math.abs(y - middle) <= this.tall[i] / 2);
      return lane < 0 ? null : { type: "lane", place: lane };
    }
    const fault = faults.findIndex((each) => {
      const [left, top, wide] = this.faultBar(each);
      return x >= left - 2 && x <= left + wide + 2 && y >= top && y <= top + BAR;
    });
    if (fault >= 0) return { type: "fault", place: fault };
    const first = countUpto(happenings.count, (i) => happenings.at[i], this.time(x - 7));
    const last = countUpto(happenings.count, (i) => happenings.at[i], this.time(x + 7));
    for (let i = first; i < last; i++) {
      const lane = happenings.lane[i], mark = happenings.mark[i];
      if (lane >= 0 && mark > MARK.idle && Math.abs(this.middle[lane] - y) < 9) return { type: "happening", place: i };
    }
    let nearest = 6, found = null;
    for (const i of this.inView || []) {
      const away = distance(x, y, this.arrow(i));
      if (away < nearest) [nearest, found] = [away, { type: "message", place: i }];
    }
    return found;
  }
}

function drawMark(ink, mark, x, y) {
  ink.lineWidth = 2;
  const tone = { 2: "good", 3: "bad", 4: "bad", 5: "kind0", 6: "good", 8: "odd" }[mark];
  ink.fillStyle = ink.strokeStyle = colour(tone);
  ink.beginPath();
  if (mark === MARK.boot) {
    ink.moveTo(x, y - 6); ink.lineTo(x + 6, y + 5); ink.lineTo(x - 6, y + 5); ink.fill();
  } else if (mark === MARK.crash) {
    ink.moveTo(x - 5, y - 5); ink.lineTo(x + 5, y + 5); ink.moveTo(x + 5, y - 5); ink.lineTo(x - 5, y + 5); ink.stroke();
  } else if (mark === MARK.failure || mark === MARK.odd) {
    ink.moveTo(x, y - 6); ink.lineTo(x + 6, y); ink.lineTo(x, y + 6); ink.lineTo(x - 6, y); ink.fill();
  } else {
    ink.arc(x, y + (mark === MARK.done ? 4 : -4), 2.5, 0, 7); ink.fill();
  }
}

function line(ink, x, y, x2, y2) {
  ink.beginPath();
  ink.moveTo(x, y);
  ink.lineTo(x2, y2);
  ink.stroke();
}

// How far a point is from a line that ends.
function distance(x, y, [x1, y1, x2, y2]) {
  const dx = x2 - x1, dy = y2 - y1;
  const along = Math.max(0, Math.min(1, ((x - x1) * dx + (y - y1) * dy) / (dx * dx + dy * dy || 1)));
  return Math.hypot(x - x1 - along * dx, y - y1 - along * dy);
}

// Colours are those of the style sheet, light or dark.
const colours = new Map();
function colour(name) {
  if (!colours.has(name)) colours.set(name, getComputedStyle(document.documentElement).getPropertyValue("--" + name).trim());
  return colours.get(name);
}
function kindColour(kind) { return colour(kind < 0 ? "lost" : "kind" + kind); }
