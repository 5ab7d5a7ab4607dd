// The whole run at a glance: how much was said when, what failed when, and which part the lanes show.

class Overview {
  constructor(canvas, recording, view) {
    Object.assign(this, { canvas, recording, view });
    this.sheet = document.createElement("canvas");
  }

  resize(width, height) {
    this.width = width;
    this.height = height;
    this.ratio = window.devicePixelRatio || 1;
    for (const canvas of [this.canvas, this.sheet]) {
      canvas.width = Math.round(width * this.ratio);
      canvas.height = Math.round(height * this.ratio);
    }
    this.stale = true;
  }

  x(at_us) { return GUTTER + (at_us / this.recording.end_us) * (this.width - GUTTER - 8); }
  time(x) { return ((x - GUTTER) / (this.width - GUTTER - 8)) * this.recording.end_us; }

  draw() {
    if (this.stale) {
      this.drawSheet();
      this.stale = false;
    }
    const ink = this.canvas.getContext("2d");
    ink.setTransform(1, 0, 0, 1, 0, 0);
    ink.clearRect(0, 0, this.canvas.width, this.canvas.height);
    ink.drawImage(this.sheet, 0, 0);
    ink.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
    const left = Math.max(GUTTER, this.x(this.view.from)), right = Math.max(left + 2, Math.min(this.width - 1, this.x(this.view.until)));
    ink.fillStyle = colour("ground");
    ink.globalAlpha = 0.72;
    ink.fillRect(GUTTER, 0, left - GUTTER, this.height);
    ink.fillRect(right, 0, this.width - right, this.height);
    ink.globalAlpha = 1;
    ink.strokeStyle = colour("accent");
    ink.lineWidth = 1;
    ink.strokeRect(left + 0.5, 0.5, Math.max(2, right - left - 1), this.height - 1);
    ink.lineWidth = 1.5;
    line(ink, this.x(this.view.at), 0, this.x(this.view.at), this.height);
  }

  drawSheet() {
    const { messages, faults, heal_us, end_us, end } = this.recording;
    const ink = this.sheet.getContext("2d");
    ink.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
    ink.clearRect(0, 0, this.width, this.height);
    // Two pixels a column, a colour a kind, tall columns held down by a square root.
    const columns = Math.max(1, Math.floor((this.width - GUTTER - 8) / 2)), kinds = KINDS.length + 1;
    const counts = new Uint32Array(columns * kinds);
    let most = 1;
    for (let i = 0; i < messages.count; i++) {
      const kind = messages.lost[i] ? -1 : messages.kind[i];
      if (this.view.off.has(messages.kind[i]) || (this.view.match && !this.view.match.sets[messages.keys[i]])) continue;
      const column = Math.min(columns - 1, Math.floor((messages.sent[i] / end_us) * columns));
      counts[column * kinds + kind + 1]++;
    }
    for (let column = 0; column < columns; column++) {
      let sum = 0;
      for (let kind = 0; kind < kinds; kind++) sum += counts[column * kinds + kind];
      most = Math.max(most, sum);
    }
    const tall = this.height - 18;
    for (let column = 0; column < columns; column++) {
      let y = this.height - 3, sum = 0;
      for (let kind = 0; kind < kinds; kind++) sum += counts[column * kinds + kind];
      const scale = sum > 0 ? (Math.sqrt(sum / most) * tall) / sum : 0;
      for (const kind of [4, 5, 0, 1, 3, 6, 8, 7, 2, -1]) {
        const count = counts[column * kinds + kind + 1];
        if (count === 0) continue;
        const high = count * scale;
        ink.fillStyle = kindColour(kind);
        ink.fillRect(GUTTER + column * 2, y - high, 1.6, high);
        y -= high;
      }
    }
    ink.fillStyle = colour("bad");
    ink.globalAlpha = 0.45;
    for (const fault of faults) ink.fillRect(this.x(fault.at), 3 + fault.row * 3, Math.max(2, this.x(fault.until) - this.x(fault.at)), 2);
    ink.globalAlpha = 1;
    if (heal_us < end_us) {
      ink.fillStyle = colour("good");
      ink.fillRect(this.x(heal_us), 0, 1, this.height);
    }
    if (end.how !== "held") {
      ink.fillStyle = colour("bad");
      ink.fillRect(this.x(end_us) - 1, 0, 2, this.height);
    }
    ink.fillStyle = colour("soft");
    ink.font = "11px system-ui, sans-serif";
    ink.textBaseline = "middle";
    ink.fillText("all", 16, this.height / 2);
  }
}
