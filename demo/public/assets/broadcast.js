import { byId, element, setPill, socketUrl } from './page.js';
import { plot } from './plot.js';

const MIB = 1024 * 1024;
const POLICIES = ['wait', 'volatile', 'latest'];
const COLORS = [{ color: '--bad' }, { color: '--accent' }, { color: '--warn' }];

const state = byId('state');
const number = new Intl.NumberFormat('en', { maximumFractionDigits: 1 });
const ages = plot(byId('ages'), COLORS);
const held = plot(byId('held'), COLORS);
/** The rows of the table: what stands in front of them, and how to read them off what server and clients say. */
const rows = [
  ['Members', ({ members }) => number.format(members)],
  [
    'Quick ones: messages per second, each',
    ({ fast, quick, perSecond }) => number.format((fast.count * perSecond) / quick),
  ],
  ['Quick ones: age, median', ({ fast }) => milliseconds(fast.median)],
  ['Slow ones: messages read, each', ({ read }) => number.format(read / SLOW)],
  ['Slow ones: age of what they read last', ({ age }) => milliseconds(age)],
  ['Held for them by the server', ({ held: bytes }) => size(bytes)],
  ['Passed over', ({ skipped }) => number.format(skipped)],
  ['Aborted at the limit', ({ aborted }) => number.format(aborted)],
];
const SLOW = 5;

/** @type {WebSocket} */
let socket;
let began;
/** What was read at each process, for the last second. */
const reads = [];
let last = POLICIES.map(() => 0);
/** What the slow ones have read, and how old it was: they read seldom. */
const seldom = POLICIES.map(() => ({ read: 0, age: null }));

const cells = rows.map(([title]) => {
  const row = document.createElement('tr');
  const heading = element('th', '', title);
  heading.scope = 'row';
  const created = POLICIES.map((policy) => Object.assign(element('td', '', '–'), { id: `${policy}-${idOf(title)}` }));
  row.append(heading, ...created);
  byId('policies').append(row);
  return created;
});

// Scrolls by keyboard too.
byId('policies').closest('section').tabIndex = 0;
byId('pause-broker').addEventListener('click', () => socket.send(JSON.stringify({ pauseBroker: true })));
connect();
byId('rate').addEventListener('input', () => {
  const rate = byId('rate').valueAsNumber;
  byId('rate-text').textContent = `${rate} per second`;
  if (socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify({ rate }));
});
// The clients are there as long as somebody watches.
window.addEventListener('pagehide', () => socket.close());
window.addEventListener('pageshow', ({ persisted }) => persisted && location.reload());

function connect() {
  socket = new WebSocket(socketUrl('/broadcast'));
  socket.addEventListener('message', ({ data }) => show(JSON.parse(data)));
  socket.addEventListener('close', ({ code }) => {
    setPill(state, `not connected (${code}), trying again`, 'bad');
    setTimeout(connect, 1000);
  });
}

function show({ rate, groups, clients, memory, backplane }) {
  const members = groups.reduce((sum, group) => sum + group.members, 0);
  const where = backplane.status === 'none' ? '' : ' at this process';
  setPill(state, `${members} members${where}, server at ${size(memory)}`, members > 0 ? 'good' : 'warn');
  if (document.activeElement !== byId('rate')) {
    byId('rate').value = rate;
    byId('rate-text').textContent = `${rate} per second`;
  }
  if (!clients.groups) return;
  if (backplane.status !== 'none') showBroker(backplane, clients);
  const all = groups.map((group, index) => {
    const perSecond = 1000 / clients.interval;
    const { slow } = clients.groups[index];
    seldom[index].read += slow.count;
    seldom[index].age = slow.oldest ?? seldom[index].age;
    return {
      ...group,
      ...clients.groups[index],
      ...seldom[index],
      perSecond,
      quick: Math.max(group.members - SLOW, 1),
    };
  });
  for (const [row, [, read]] of rows.entries()) {
    for (const [column, group] of all.entries()) cells[row][column].textContent = read(group);
  }
  began ??= performance.now();
  const seconds = (performance.now() - began) / 1000;
  // Between two messages the age stays what it was.
  last = all.map(({ fast }, index) => fast.median ?? last[index]);
  ages.add(seconds, last);
  held.add(
    seconds,
    all.map(({ held: bytes }) => bytes / MIB),
  );
}

function showBroker({ status, nodes, published, unavailable }, { readAt }) {
  byId('broker').hidden = false;
  if (byId('broker-state').textContent !== status)
    setPill(byId('broker-state'), status, status === 'ready' ? 'good' : 'bad');
  reads.push({ at: performance.now(), readAt });
  if (reads.length > 5) reads.shift();
  const [first] = reads;
  const seconds = Math.max((performance.now() - first.at) / 1000, 0.001);
  for (const [place, id] of ['read-here', 'read-there'].entries()) {
    byId(id).textContent = number.format(Math.round((readAt[place] - first.readAt[place]) / seconds));
  }
  byId('nodes').textContent = number.format(nodes);
  byId('published').textContent = number.format(published);
  byId('unavailable').textContent = number.format(unavailable);
}

function milliseconds(value) {
  return value === null ? '…' : `${number.format(value)} ms`;
}

function size(bytes) {
  return bytes < MIB ? `${number.format(bytes / 1024)} KiB` : `${number.format(bytes / MIB)} MiB`;
}

function idOf(title) {
  return title.toLowerCase().replaceAll(/\W+/g, '-');
}
