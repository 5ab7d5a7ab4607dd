// The lanes: what is drawn, from the ground up, and what is under the pointer. Only what is in view is drawn.

class Lanes extends ArrowSheet {
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
    this.drawMessages(ink);
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
      ink.fillStyle = colour(commits.tone[i]);
      ink.fillRect(left, y, Math.max(1, this.x(commits.until[i]) - left), 3);
    }
    ink.globalAlpha = 1;
  }

  drawMarks(ink) {
    const { happenings } = this.recording;
    const { from, until, match } = this.view;
    const first = countUpto(happenings.count, (i) => happenings.at[i], from - 1);
    const last = countUpto(happenings.count, (i) => happenings.at[i], until);
    const ticks = last - first < 3000, small = !match && last - first > 8000;
    for (let i = first; i < last; i++) {
      const mark = happenings.mark[i], lane = happenings.lane[i];
      if (mark === MARK.look) {
        ink.fillStyle = colour("good");
        ink.fillRect(this.x(happenings.at[i]) - 0.5, AXIS - 5, 1, 5);
      }
      if (lane < 0 || (mark === MARK.step && !ticks) || mark === MARK.idle) continue;
      const mine = !match || match.sets[happenings.keys[i]];
      if (!mine && (mark === MARK.step || mark === MARK.ask || mark === MARK.done)) continue;
      const x = this.x(happenings.at[i]), y = this.middle[lane];
      if (mark === MARK.step) {
        ink.fillStyle = colour("soft");
        ink.fillRect(x - 0.5, y - 3, 1, 6);
      } else drawMark(ink, mark, x, y, small);
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
    for (const [place, [at, name, tone]] of moments.entries()) {
      if (at < this.view.from || at > this.view.until || at > end_us) continue;
      const x = Math.round(this.x(at)) + (at === end_us ? -0.5 : 0.5), left = x > this.width - 200;
      ink.strokeStyle = ink.fillStyle = colour(tone);
      ink.lineWidth = tone === "bad" ? 2 : 1;
      ink.setLineDash(tone === "bad" ? [] : [5, 4]);
      line(ink, x, AXIS, x, this.height);
      ink.setLineDash([]);
      ink.textAlign = left ? "right" : "left";
      ink.fillText(name, x + (left ? -5 : 5), this.height - 4 - 14 * place);
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
    const fault = faults.findLastIndex((each) => {
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

function drawMark(ink, mark, x, y, small) {
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
    const side = mark === MARK.done ? 4 : -4;
    if (small) ink.fillRect(x - 0.5, y + side - 2, 1, 4); else { ink.arc(x, y + side, 2.5, 0, 7); ink.fill(); }
  }
}
