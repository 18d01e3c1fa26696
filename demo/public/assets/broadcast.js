import { byId, element, setPill, socketUrl } from './page.js';
import { plot } from './plot.js';

const MIB = 1024 * 1024;
const SECOND = 1000;
const POLICIES = ['wait', 'volatile', 'latest'];
const COLORS = [{ color: '--bad' }, { color: '--accent' }, { color: '--warn' }];

const state = byId('state');
const number = new Intl.NumberFormat('en', { maximumFractionDigits: 1 });
const agePlot = plot(byId('ages'), COLORS);
const heldPlot = plot(byId('held'), COLORS);
/** The rows of the table: what stands in front of them, and how to read them off what server and clients say. */
const rows = [
  ['Members', ({ members }) => number.format(members)],
  ['Quick ones: messages per second, each', ({ perSecond, fast }) => number.format(perSecond / Math.max(fast.open, 1))],
  ['Quick ones: age, median', ({ age }) => milliseconds(age)],
  ['Slow ones: messages read, each', ({ slow }) => number.format(slow.count / SLOW)],
  ['Slow ones: age of what they read last', ({ slowAge }) => milliseconds(slowAge)],
  ['Held for them by the server', ({ held }) => size(held)],
  ['Passed over', ({ skipped }) => number.format(skipped)],
  ['Aborted at the limit', ({ aborted }) => number.format(aborted)],
];
const SLOW = 5;

/** @type {WebSocket} */
let socket;
let began;
/** What the clients said within the last second, for what is told per second. */
const told = [];
/** Ages stay what they were until something is read again. */
const ages = POLICIES.map(() => ({ age: null, slowAge: null }));

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
  keep(clients);
  if (backplane.status !== 'none') showBroker(backplane);
  const all = groups.map((group, index) => {
    const { fast, slow } = clients.groups[index];
    ages[index].age = fast.median ?? ages[index].age;
    ages[index].slowAge = slow.oldest ?? ages[index].slowAge;
    return {
      ...group,
      ...ages[index],
      fast,
      slow,
      perSecond: perSecond(({ groups: counts }) => counts[index].fast.count),
    };
  });
  for (const [row, [, read]] of rows.entries()) {
    for (const [column, group] of all.entries()) cells[row][column].textContent = read(group);
  }
  began ??= performance.now();
  const seconds = (performance.now() - began) / 1000;
  agePlot.add(
    seconds,
    all.map(({ age }) => age ?? 0),
  );
  heldPlot.add(
    seconds,
    all.map(({ held }) => held / MIB),
  );
}

function keep(clients) {
  // Its counts begin at 0: a process of clients that was started anew.
  if (clients.at < told.at(-1)?.at || clients.readAt[0] < told.at(-1)?.readAt[0]) told.length = 0;
  told.push(clients);
  while (told.length > 2 && clients.at - told[0].at > SECOND) told.shift();
}

function perSecond(read) {
  const [first, last] = [told[0], told.at(-1)];
  return last.at > first.at ? ((read(last) - read(first)) * SECOND) / (last.at - first.at) : 0;
}

function showBroker({ status, nodes, published, unavailable }) {
  byId('broker').hidden = false;
  if (byId('broker-state').textContent !== status)
    setPill(byId('broker-state'), status, status === 'ready' ? 'good' : 'bad');
  for (const [place, id] of ['read-here', 'read-there'].entries()) {
    byId(id).textContent = number.format(Math.round(perSecond(({ readAt }) => readAt[place])));
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
