// Makes buffers beside objects and prints the µs of CPU for each: `loop.js SIZE true|false`, true: gives them back.
const size = Number(process.argv[2]);
const givesBack = process.argv[3] === 'true' && 'transfer' in ArrayBuffer.prototype;
const count = Math.min(1_000_000, Math.floor(1e9 / size));

/** What an application remembers. */
const state = Array.from({ length: 400_000 }, (_, id) => ({ id, name: `user ${id}` }));

const before = process.cpuUsage();
for (let made = 0; made < count; made++) {
  const { buffer } = Buffer.allocUnsafeSlow(size);
  // @ts-expect-error younger than the oldest version of Node that is supported
  if (givesBack) buffer.transfer(0);
  // The event loop turns, as it does between reads.
  if (made % 100 === 0) await new Promise((resolve) => setImmediate(resolve));
}
const { user, system } = process.cpuUsage(before);
console.log(state.length > 0 && (user + system) / count);
