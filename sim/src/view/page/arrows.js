// Messages as arrows. Where that is too much for single ones, those that would cover each other are drawn as one, the
// stronger the more they are.

// More messages than this are drawn together, and fewer than that are named.
const TOGETHER = 2500, HEADS = 900, NAMED = 70;
// Heartbeats at the bottom, refusals on top.
const ORDER = [7, 6, 5, 4, 3, 0, 1, 8, 2, -1];

class ArrowSheet extends Sheet {
  drawMessages(ink) {
    this.inView = this.visible();
    if (this.inView.length > TOGETHER) this.drawTogether(ink); else this.drawArrows(ink);
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
    const faint = Math.min(1, 1800 / together.size);
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
    if (named) this.drawNamesOfArrows(ink);
  }

  // Names along the arrows, where there is room for them.
  drawNamesOfArrows(ink) {
    const { messages, texts } = this.recording, GAP = 11;
    const taken = [];
    ink.font = "11px " + colour("mono");
    for (const i of this.inView) {
      const [x, y, x2, y2] = this.arrow(i), long = Math.hypot(x2 - x, y2 - y), along = [(x2 - x) / long, (y2 - y) / long];
      const fits = (name) => ink.measureText(name).width < long - 24;
      const name = [texts[messages.text[i]], texts[messages.text[i]].split(" ")[0]].find(fits);
      if (!name) continue;
      const half = ink.measureText(name).width / 2;
      // The points under the name, if its middle is so far along.
      const under = (part) => {
        const points = [];
        for (let at = -half; at <= half; at += GAP) points.push([x + along[0] * (long * part + at), y + along[1] * (long * part + at)]);
        return points;
      };
      const isFree = (points) => points.every(([px, py]) => px > GUTTER && taken.every(([tx, ty]) => Math.abs(tx - px) > GAP || Math.abs(ty - py) > GAP));
      const part = [0.5, 0.35, 0.65].filter((part) => half < long * Math.min(part, 1 - part) - 10).find((part) => isFree(under(part)));
      if (part === undefined) continue;
      taken.push(...under(part));
      ink.save();
      ink.translate(x + along[0] * long * part, y + along[1] * long * part);
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
}
