import { bestPeer, formatRatio, ratioOf } from './report.js';
import { scenarios } from './scenarios.js';
import { OURS } from './servers.js';

const WIDTH = 760;
const LABELS = 230;
const RIGHT = 60;
const ROW = 46;
const BAR = 14;
const TOP = 58;
const BOTTOM = 40;

/** Streams of one shape are enough for a chart that is read at a glance. */
const LEFT_OUT = [
  'echo-1m-untuned',
  'burst-group',
  'upload-fragments',
  'upload-compressed',
  'echo-frame',
  'echo-fragments',
  'memory',
  'memory-request',
  'memory-compressed',
];

/** @param {string} text */
const escaped = (text) =>
  text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('*', '');

/**
 * How many times as fast as raw `ws`, ours and the best of the others: bars that start at 1 on a logarithmic axis, so
 * that twice as fast and half as fast are as long as one another.
 *
 * @param {import('./run.js').Results} results
 * @returns {string} an SVG document that suits light and dark pages
 */
export function drawChart(results) {
  const rows = scenarios.flatMap((scenario) => {
    const outcomes = results.outcomes[scenario.id] ?? {};
    const ours = ratioOf(outcomes, OURS);
    if (!ours || LEFT_OUT.includes(scenario.id)) return [];
    return [{ title: scenario.title, ours: ours.median, peer: bestPeer(scenario, outcomes) }];
  });
  const values = rows.flatMap(({ ours, peer }) => [ours, peer?.ratio.median ?? 1]);
  const least = Math.min(-1, Math.floor(Math.log2(Math.min(1, ...values))));
  const most = Math.max(1, Math.ceil(Math.log2(Math.max(1, ...values))));
  const height = TOP + rows.length * ROW + BOTTOM;
  /** @param {number} ratio */
  const x = (ratio) => LABELS + ((Math.log2(ratio) - least) / (most - least)) * (WIDTH - LABELS - RIGHT);

  /**
   * @param {number} ratio
   * @param {number} y
   * @param {string} kind
   * @param {string} note
   */
  function bar(ratio, y, kind, note) {
    const [from, to] = [x(Math.min(1, ratio)), x(Math.max(1, ratio))];
    const width = Math.max(1, to - from).toFixed(1);
    return [
      `<rect class="${kind}" x="${from.toFixed(1)}" y="${y}" width="${width}" height="${BAR}" rx="2"/>`,
      `<text x="${(to + 6).toFixed(1)}" y="${y + BAR - 3}">${formatRatio(ratio)}${note ? ` <tspan class="note">${escaped(note)}</tspan>` : ''}</text>`,
    ];
  }

  const grid = Array.from({ length: most - least + 1 }, (_, i) => 2 ** (least + i)).flatMap((ratio) => [
    `<line class="${ratio === 1 ? 'one' : 'grid'}" x1="${x(ratio).toFixed(1)}" x2="${x(ratio).toFixed(1)}" y1="${TOP - 6}" y2="${height - BOTTOM}"/>`,
    `<text class="note" text-anchor="middle" x="${x(ratio).toFixed(1)}" y="${height - BOTTOM + 16}">${ratio < 1 ? `1/${1 / ratio}` : ratio}</text>`,
  ]);
  const bars = rows.flatMap(({ title, ours, peer }, i) => {
    const y = TOP + i * ROW;
    return [
      `<text text-anchor="end" x="${LABELS - 12}" y="${y + 20}">${escaped(title)}</text>`,
      ...bar(ours, y + 2, 'ours', ''),
      ...(peer ? bar(peer.ratio.median, y + 4 + BAR, 'peer', peer.contestant.title) : []),
    ];
  });
  return `${[
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" role="img" aria-labelledby="title">`,
    '<title id="title">Speed as a multiple of raw ws: websocket-context and the best of the other packages</title>',
    '<style>',
    'text { font: 13px system-ui, sans-serif; fill: #1f2328 } .heading { font-weight: 600 } .note { fill: #59636e; font-size: 11px }',
    '.ours { fill: #0969da } .peer { fill: #afb8c1 } .grid { stroke: #d1d9e0 } .one { stroke: #59636e }',
    '@media (prefers-color-scheme: dark) {',
    'text { fill: #f0f6fc } .note { fill: #9198a1 } .ours { fill: #4493f8 } .peer { fill: #656c76 } .grid { stroke: #3d444d } .one { stroke: #9198a1 }',
    '}',
    '</style>',
    `<text class="heading" x="12" y="22">Speed as a multiple of raw ws (1), same machine, same run</text>`,
    `<rect class="ours" x="12" y="32" width="12" height="12" rx="2"/><text x="30" y="42">websocket-context</text>`,
    `<rect class="peer" x="160" y="32" width="12" height="12" rx="2"/><text x="178" y="42">best of the other packages</text>`,
    ...grid,
    ...bars,
    '</svg>',
  ].join('\n')}\n`;
}
