// What a node is and holds at a time.

// Follows one node's disk: asked for one time after another, it goes on from where it was, or from a copy that it kept.
class Disk {
  constructor(track, versions) {
    this.at = track.durable_at;
    this.versions = track.durable;
    this.keyOf = versions.key;
    this.done = 0;
    this.held = new Map();
    this.copies = [{ done: 0, held: new Map() }];
  }

  // Versions by keys, as a crash would leave them.
  upto(at_us) {
    const EVERY = 250;
    const wanted = countUpto(this.at.length, (i) => this.at[i], at_us);
    const copy = this.copies[Math.min(Math.floor(wanted / EVERY), this.copies.length - 1)];
    if (wanted < this.done || copy.done > this.done) {
      this.done = copy.done;
      this.held = new Map(copy.held);
    }
    for (; this.done < wanted; ) {
      const version = this.versions[this.done++];
      if (version < 0) this.held.clear(); else this.held.set(this.keyOf[version], version);
      if (this.done === this.copies.length * EVERY) this.copies.push({ done: this.done, held: new Map(this.held) });
    }
    return this.held;
  }
}

class States {
  constructor(recording) {
    this.recording = recording;
    this.disks = recording.tracks.map((track) => new Disk(track, recording.versions));
  }

  // The state of a node, as far as it can be seen from outside.
  of(node, at_us) {
    const { recording } = this;
    const track = recording.tracks[node];
    const boots = countUpto(track.up.length, (i) => track.up[i][0], at_us);
    const boot = boots > 0 ? track.up[boots - 1] : null;
    const isUp = boot !== null && (boot[1] < 0 || at_us < boot[1]);
    const phase = valueAt(track.phases, at_us);
    const clock = valueAt(track.clock, at_us);
    const log = valueAt(track.log, at_us);
    const open = ([, from, until]) => from <= at_us && (until < 0 || at_us < until);
    const flight = recording.commitsOf[node].filter((i) => recording.commits.at[i] <= at_us && at_us < recording.commits.until[i]);
    return {
      isUp, isGone: this.isGone(node, at_us), boots, since: boot && (isUp ? boot[0] : boot[1]),
      phase: phase ? recording.texts[phase[1]] : "not booted yet",
      ahead_ms: clock ? clock[1] : 0, durable: log ? log[1] : 0, applied: log ? log[2] : 0,
      conns: track.conns.filter(open), flight, held: this.disks[node].upto(at_us),
    };
  }

  // Whether a node was taken away by the healing: one that goes down then or later does not come back.
  isGone(node, at_us) {
    const { up } = this.recording.tracks[node], { heal_us } = this.recording;
    const last = up.length > 0 ? up[up.length - 1][1] : -1;
    return last >= heal_us && at_us >= last;
  }

  // The keys in which the disks of the nodes that are left differ, and how many keys there are.
  differing(at_us) {
    const held = this.disks.map((disk) => disk.upto(at_us));
    const gone = this.disks.map((_, node) => this.isGone(node, at_us));
    const left = held.filter((_, node) => !gone[node]);
    const keys = new Set(left.flatMap((map) => [...map.keys()]));
    const differ = [...keys].filter((key) => left.some((map) => map.get(key) !== left[0].get(key)));
    return { keys: keys.size, differ, held, gone };
  }

  // Whether version `a` was stamped after `b`.
  later(a, b) {
    const { ms, counter } = this.recording.versions;
    return ms[a] - ms[b] || counter[a] - counter[b];
  }
}
