/**
 * Puts what two sides noted, each by its own clock, into one order in which nothing stands above its cause.
 *
 * An entry: `{ side, text, kind, at, sends?, receives? }`, in the order in which its side noted it. Where one side sends
 * what the other receives, the one came before the other: these pairs order the entries, and narrow down by how much the
 * clocks differ. `clock` is what a comparison of the clocks has found: to be added to the client's times, give or take
 * `uncertainty`; both 0 when there is one clock only.
 *
 * @param {readonly object[]} entries
 * @param {{ offset: number, uncertainty: number }} clock
 */
export function arrange(entries, clock) {
  const arrows = match(entries);
  const compared = compareClocks(arrows, clock);
  const causeOf = new Map(arrows.map(({ from, to }) => [to, from]));
  const effectOf = new Map(arrows.map(({ from, to }) => [from, to]));
  const own = (entry) => entry.at + (entry.side === 'client' ? compared.offset : 0);
  // What was not seen happening was noted late: it came before what it caused.
  const timeOf = (entry) => {
    const effect = entry.kind === 'inferred' ? effectOf.get(entry) : undefined;
    return effect ? Math.min(own(entry), own(effect)) : own(entry);
  };

  const lanes = ['client', 'server'].map((side) => entries.filter((entry) => entry.side === side));
  const placed = new Set();
  const rows = [];
  let latest = Number.NEGATIVE_INFINITY;
  while (rows.length < entries.length) {
    const heads = lanes.flatMap(([head]) => head ?? []);
    const ready = heads.filter((head) => !causeOf.has(head) || placed.has(causeOf.get(head)));
    const [next] = (ready.length > 0 ? ready : heads).sort((a, b) => timeOf(a) - timeOf(b));
    lanes.find(([head]) => head === next).shift();
    placed.add(next);
    // Within the uncertainty a clock may put an effect before its cause; it came no earlier.
    latest = Math.max(latest, timeOf(next));
    rows.push({ entry: next, at: latest });
  }
  return { rows, arrows, uncertainty: compared.uncertainty };
}

/** Which entry received what which other one sent: the first of each side that name the same. */
function match(entries) {
  const arrows = [];
  const taken = new Set();
  for (const to of entries) {
    if (!to.receives) continue;
    const from = entries.find((other) => other.side !== to.side && other.sends === to.receives && !taken.has(other));
    if (!from) continue;
    taken.add(from);
    arrows.push({ from, to, label: to.receives });
  }
  return arrows;
}

/** What a message took is not negative: each arrow is a bound of the offset, below or above. */
function compareClocks(arrows, { offset, uncertainty }) {
  let [low, high] = [offset - uncertainty, offset + uncertainty];
  if (uncertainty > 0) {
    for (const { from, to } of arrows) {
      if (from.kind === 'inferred' || to.kind === 'inferred') continue;
      if (from.side === 'client') high = Math.min(high, to.at - from.at);
      else low = Math.max(low, from.at - to.at);
    }
  }
  return { offset: (low + high) / 2, uncertainty: Math.abs(high - low) / 2 };
}
