const SVG = 'http://www.w3.org/2000/svg';
const WIDE = 46;

/**
 * Draws a sequence diagram of what `arrange` has arranged: two lifelines, coloured by the state of their side, and an
 * arrow for each message, which falls as far as time passed for others meanwhile. All lengths are in `em`, so that it
 * grows with the text. To a screen reader it is a list: what happened, and what went from where to where.
 *
 * @param {HTMLElement} frame is filled
 * @param {{ rows: object[], arrows: object[], names: { client: string, server: string }, tones: Record<string, string> }} what
 */
export function draw(frame, { rows, arrows, names, tones }) {
  const em = Number.parseFloat(getComputedStyle(frame).fontSize);
  const width = frame.clientWidth / em;
  const isWide = width >= WIDE;
  const x = isWide ? { client: width * 0.32, server: width * 0.68 } : { client: 0.6, server: width - 0.6 };
  // Narrow, the texts stand above their dots, between the lifelines.
  const row = isWide ? 2.5 : 3.2;
  const y = (index) => (index + 1) * row + 2.1;
  const height = y(rows.length - 1) + 1.5;
  const indexOf = new Map(rows.map(({ entry }, index) => [entry, index]));
  const shape = (name, attributes, text) => {
    const created = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) {
      created.setAttribute(key, typeof value === 'number' ? String(value * em) : value);
    }
    if (text !== undefined) created.textContent = text;
    return created;
  };
  const svg = shape('svg', { class: 'diagram', role: 'list', 'aria-label': 'Sequence diagram', height });

  const lines = shape('g', { 'aria-hidden': 'true' });
  for (const side of ['client', 'server']) {
    const outer = side === 'client' ? 'start' : 'end';
    const at = isWide
      ? { x: x[side], 'text-anchor': 'middle' }
      : { x: side === 'client' ? 0 : width, 'text-anchor': outer };
    lines.append(shape('text', { ...at, y: 1.1, class: 'lane-name' }, names[side]));
    // From each entry to the next of its side, in the colour of the state that it left behind.
    const stops = rows.flatMap(({ entry }, index) => (entry.side === side ? [{ entry, y: y(index) }] : []));
    lines.append(shape('line', { x1: x[side], x2: x[side], y1: 1.8, y2: height, class: 'lifeline' }));
    for (const [index, { entry, y: from }] of stops.entries()) {
      const to = stops[index + 1]?.y ?? from;
      const tone = tones[entry.state] ?? '';
      lines.append(shape('line', { x1: x[side], x2: x[side], y1: from, y2: to, class: 'state', 'data-tone': tone }));
    }
  }

  const labels = shape('g', { 'aria-hidden': 'true' });
  const steps = rows.map(({ entry }, index) => {
    const item = shape('g', { role: 'listitem', 'aria-label': describe(entry, names, arrows) });
    item.append(shape('circle', { cx: x[entry.side], cy: y(index), r: 0.32, class: 'dot', 'data-kind': entry.kind }));
    const isLeft = entry.side === 'client';
    const gap = isWide ? (isLeft ? -0.9 : 0.9) : isLeft ? 0.8 : -0.8;
    const anchor = gap < 0 ? 'end' : 'start';
    const label = {
      x: x[entry.side] + gap,
      y: y(index) + (isWide ? 0.33 : -0.45),
      'text-anchor': anchor,
      class: 'step',
    };
    item.append(shape('text', label, shorten(entry.text)));
    return item;
  });
  for (const { from, to, label } of arrows) {
    const [start, end] = [
      { x: x[from.side], y: y(indexOf.get(from)) },
      { x: x[to.side], y: y(indexOf.get(to)) },
    ];
    const [dx, dy] = [end.x - start.x, end.y - start.y];
    const length = Math.hypot(dx, dy);
    // Between the dots, with a head at the end.
    const [ux, uy] = [dx / length, dy / length];
    const tip = { x: end.x - 0.45 * ux, y: end.y - 0.45 * uy };
    const back = (side) =>
      `${(tip.x - 0.6 * ux - side * 0.28 * uy) * em},${(tip.y - 0.6 * uy + side * 0.28 * ux) * em}`;
    const item = steps[indexOf.get(from)];
    item.append(
      shape('line', { x1: start.x + 0.45 * ux, y1: start.y + 0.45 * uy, x2: tip.x, y2: tip.y, class: 'arrow' }),
      shape('polygon', { points: `${tip.x * em},${tip.y * em} ${back(1)} ${back(-1)}`, class: 'arrow-head' }),
    );
    // Above everything. Nearer to one end, two arrows that cross are apart; the far end is clear of what its sender did next.
    const along = isWide ? 0.4 : dy > 1.5 * row ? 0.75 : 0.5;
    labels.append(
      shape(
        'text',
        { x: start.x + along * dx, y: start.y + along * dy - 0.3, 'text-anchor': 'middle', class: 'message' },
        label,
      ),
    );
  }
  svg.append(lines, ...steps, labels);
  frame.replaceChildren(svg);
}

function describe(entry, names, arrows) {
  const sent = arrows.find(({ from }) => from === entry);
  return `${names[entry.side]}: ${entry.text}${sent ? `; sends to the other side: ${sent.label}` : ''}`;
}

/** The diagram has room for the beginning; the timeline says all of it. */
function shorten(text) {
  return text.split(/[(:,;]| after | for | and | (?=\d)/)[0].trim();
}
