// Where things stand: lanes over time, which messages are in view, and the few strokes that everything is drawn with.

const GUTTER = 64, AXIS = 24, BAR = 16;

class Sheet {
  constructor(canvas, recording, view) {
    Object.assign(this, { canvas, recording, view });
    this.sheet = document.createElement("canvas");
    this.layOutFaults();
  }

  // Faults that overlap get rows of their own, up to six; beyond that they share the row that is free first.
  layOutFaults() {
    const MOST = 6, free = [];
    for (const fault of this.recording.faults) {
      let row = free.findIndex((until) => until < fault.at);
      if (row < 0) row = free.length < MOST ? free.length : free.indexOf(Math.min(...free));
      // One that is over at once is still as wide as a mark.
      free[row] = Math.max(free[row] || 0, fault.until, fault.at + this.recording.end_us / 150);
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
    this.given = height;
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

  faultBar(fault) {
    const left = this.x(fault.at);
    return [left, AXIS + 3 + fault.row * (BAR + 2), Math.max(3, this.x(fault.until) - left)];
  }

  // Where the arrow of a message begins and ends.
  arrow(i) {
    const { messages } = this.recording;
    const left = this.x(messages.sent[i]), from = this.middle[messages.from[i]], to = this.middle[messages.to[i]];
    if (!messages.lost[i]) return [left, from, this.x(messages.until[i]), to];
    return [left, from, left + 6, from + (to - from) * 0.35];
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
