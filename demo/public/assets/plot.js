import uPlot from './uplot.js';

const MOST_POINTS = 1200;

/**
 * A plot over time that grows with its frame, in the colours of the page.
 *
 * @param {HTMLElement} frame
 * @param {readonly { color: string, width?: number, isFilled?: boolean }[]} lines colours are names of custom properties
 */
export function plot(frame, lines) {
  /** @type {number[][]} */
  let data = [[], ...lines.map(() => [])];
  const axis = {
    stroke: () => color('--quiet'),
    grid: { stroke: () => color('--line'), width: 1 },
    ticks: { show: false },
  };
  const chart = new uPlot(
    {
      width: frame.clientWidth,
      height: 220,
      legend: { show: false },
      cursor: { show: false },
      scales: { x: { time: false }, y: { range: (_chart, _min, max) => [0, Math.max(max * 1.05, 1)] } },
      axes: [
        { ...axis, size: 30, values: (_chart, ticks) => ticks.map((seconds) => `${seconds} s`) },
        { ...axis, size: 56 },
      ],
      series: [
        {},
        ...lines.map(({ color: name, width = 2, isFilled = false }) => ({
          width,
          points: { show: false },
          stroke: () => color(name),
          ...(isFilled ? { fill: () => `color-mix(in srgb, ${color(name)} 12%, transparent)` } : {}),
        })),
      ],
    },
    data,
    frame,
  );
  new ResizeObserver(() => chart.setSize({ width: frame.clientWidth, height: 220 })).observe(frame);
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => chart.redraw(false));

  return {
    /** @param {number} seconds @param {readonly number[]} values */
    add(seconds, values) {
      for (const [index, value] of [seconds, ...values].entries()) data[index].push(value);
      // A long run keeps every second point.
      if (data[0].length > MOST_POINTS) data = data.map((column) => column.filter((_value, index) => index % 2 === 0));
      chart.setData(data);
    },
    clear() {
      data = data.map(() => []);
      chart.setData(data);
    },
  };

  function color(name) {
    // A custom property may hold light-dark(); only a real property resolves it.
    frame.style.color = `var(${name})`;
    return getComputedStyle(frame).color;
  }
}
