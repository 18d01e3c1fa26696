import { draw } from './diagram.js';
import { byId, element, setPill, socketUrl } from './page.js';
import { arrange } from './sequence.js';

const CLIENT_CLOSES = ['prompt', 'slow', 'never'];
const HAND_MADE = ['late', 'talkative', 'silent', 'crossing', 'vanishing'];
const CLIENT_CLOSES_AFTER_MS = 300;
const GIVE_UP_AFTER_MS = 15_000;
const REQUEST = 'upgrade request';
const SWITCHED = '101 Switching Protocols';
const TCP_END = 'TCP closed';
const READY_STATES = ['CONNECTING', 'OPEN', 'CLOSING', 'CLOSED'];
const TONES = {
  CONNECTING: '',
  OPEN: 'good',
  CLOSING: 'warn',
  CLOSED: '',
  Open: 'good',
  CloseSent: 'warn',
  CloseReceived: 'warn',
  Closed: '',
  Aborted: 'bad',
};

const state = byId('state');
const events = byId('events');
const diagram = byId('diagram');
const buttons = new Map(
  [...document.querySelectorAll('[data-experiment]')].map((each) => [each.dataset.experiment, each]),
);

/** The second channel; its id tells the server where a connection's entries go. */
let timelineId;
/** What must be added to this page's clock to get the server's, give or take the uncertainty. */
let clock = { offset: 0, uncertainty: 0 };
/** The experiment that runs or has run: its entries, and the sides that have not come to their end. */
let trial;

const timeline = new EventSource('/close-laboratory/timeline');
timeline.addEventListener('opened', async ({ data }) => {
  timelineId = JSON.parse(data).id;
  clock = await compareClocks();
  setReady('ready', 'good');
  runAddressed();
});
timeline.addEventListener('entry', ({ data }) => add(JSON.parse(data)));
timeline.addEventListener('error', () => {
  timelineId = undefined;
  finish();
  setPill(state, 'the laboratory is out of reach, trying again', 'bad');
  enable(false);
});

enable(false);
for (const [experiment, button] of buttons) {
  button.addEventListener('click', () => {
    if (button.getAttribute('aria-disabled') === 'true') return;
    // The address of the experiment; setting it to what it is already starts nothing.
    if (location.hash === `#${experiment}`) run(experiment);
    else location.hash = experiment;
  });
}
window.addEventListener('hashchange', runAddressed);
byId('parameters').addEventListener('submit', (event) => event.preventDefault());
new ResizeObserver(() => show()).observe(diagram);

/** Runs the experiment that the address names, as a link to it asks. */
function runAddressed() {
  const experiment = location.hash.slice(1);
  if (timelineId !== undefined && trial?.isRunning !== true && buttons.has(experiment)) run(experiment);
}

function run(experiment) {
  const isHandMade = HAND_MADE.includes(experiment);
  const button = buttons.get(experiment);
  for (const other of buttons.values()) other.setAttribute('aria-pressed', String(other === button));
  button.scrollIntoView({ block: 'nearest', inline: 'center' });
  byId('experiment').textContent = button.querySelector('code').textContent;
  byId('explanation').textContent = button.querySelector('small').textContent;
  byId('result').hidden = false;
  byId('hint').hidden = true;
  events.replaceChildren();
  enable(false);
  setPill(state, 'running', 'warn');
  trial = {
    isRunning: true,
    isHandMade,
    names: { client: isHandMade ? 'Client made by hand' : 'This browser', server: 'Server' },
    entries: [],
    lines: new Map(),
    open: new Set(['client', 'server']),
    timer: setTimeout(() => {
      finish();
      setReady('no end in sight', 'bad');
    }, GIVE_UP_AFTER_MS),
  };
  byId('client-name').textContent = trial.names.client;

  const parameters = { timeline: timelineId, experiment, code: byId('code').value, reason: byId('reason').value };
  if (isHandMade) startPeer(parameters);
  else connect(parameters);
}

async function startPeer(parameters) {
  const response = await fetch('/close-laboratory/peers', {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify(parameters),
  });
  if (!response.ok) {
    finish();
    setReady(await response.text(), 'bad');
  }
}

function connect(parameters) {
  const closesFirst = CLIENT_CLOSES.includes(parameters.experiment);
  const note = (kind, text, wire = {}) => {
    add({ side: 'client', kind, text, state: READY_STATES[socket.readyState], at: now(), ...wire });
  };
  const began = now();
  const socket = new WebSocket(socketUrl(`/close-laboratory?${new URLSearchParams(parameters)}`));

  note('call', 'new WebSocket(…)', { sends: REQUEST, at: began });
  socket.addEventListener('open', () => {
    note('event', 'open event', { receives: SWITCHED });
    tellOpen(parameters.timeline);
    if (!closesFirst) return;
    setTimeout(() => {
      const at = now();
      socket.close(4001, 'done here');
      note('call', 'close(4001, "done here")', { sends: closeFrame(4001, 'done here'), at });
    }, CLIENT_CLOSES_AFTER_MS);
  });
  socket.addEventListener('message', ({ data }) =>
    note('event', `message event: “${data}”`, { receives: `“${data}”` }),
  );
  socket.addEventListener('error', () => note('failure', 'error event', { receives: TCP_END }));
  socket.addEventListener('close', ({ code, reason, wasClean }) => {
    const frame = closeFrame(code, reason);
    const isAnswer = wasClean && closesFirst;
    // No script can see the acknowledgement leave.
    if (wasClean && !closesFirst) {
      note('inferred', 'the browser acknowledges by itself', { state: 'CLOSING', receives: frame, sends: frame });
    }
    note('end', `close event: ${code}${reason && ` “${reason}”`}, wasClean ${wasClean}`, {
      receives: isAnswer ? frame : TCP_END,
    });
    // Without a connection there is no server's side to wait for.
    if (!trial.entries.some(({ side }) => side === 'server')) finish();
  });
}

/** What the server does to the connection waits for this. */
function tellOpen(timeline) {
  const headers = { 'Content-Type': 'application/json' };
  fetch('/close-laboratory/opened', { method: 'POST', headers, body: JSON.stringify({ timeline }) }).catch(() => {});
}

function add(entry) {
  if (!trial?.isRunning) return;
  trial.entries.push(entry);
  show();
  if (entry.kind !== 'end') return;
  trial.open.delete(entry.side);
  if (trial.open.size > 0) return;
  finish();
  setReady('finished', 'good');
}

/** Entries of the two sides arrive through different channels: each one can change the place of the others. */
function show() {
  if (!trial || trial.entries.length === 0) return;
  // A client made by hand lives in the server's process, and has its clock.
  const arranged = arrange(trial.entries, trial.isHandMade ? { offset: 0, uncertainty: 0 } : clock);
  const began = arranged.rows[0].at;
  for (const [index, { entry, at }] of arranged.rows.entries()) {
    const line = trial.lines.get(entry) ?? createLine(entry);
    trial.lines.set(entry, line);
    line.querySelector('.at').textContent = `${entry.kind === 'inferred' ? '≤ ' : ''}${(at - began).toFixed(1)}`;
    if (events.children[index] !== line) events.insertBefore(line, events.children[index] ?? null);
  }
  byId('uncertainty').textContent = trial.isHandMade
    ? 'Both sides by one clock.'
    : `The clocks of the two sides agree to ± ${arranged.uncertainty.toFixed(1)} ms. Nothing stands above its cause.`;
  draw(diagram, { ...arranged, names: trial.names, tones: TONES });
}

function createLine({ side, kind, text, state: stateOfSide }) {
  const line = element('li', 'entry');
  Object.assign(line.dataset, { side, kind });
  const what = element('div', 'what');
  const words = element('span', 'text');
  // A long name may break after its underscores, and nowhere else.
  for (const [index, part] of text.split(/(?<=_)/).entries())
    words.append(...(index > 0 ? [element('wbr')] : []), part);
  what.append(words);
  if (stateOfSide) {
    const pill = element('span', 'pill');
    setPill(pill, stateOfSide, TONES[stateOfSide] ?? '');
    what.append(' ', pill);
  }
  line.append(element('span', 'at'), element('span', 'side', `${trial.names[side]}: `), what);
  return line;
}

function finish() {
  if (!trial) return;
  clearTimeout(trial.timer);
  trial.isRunning = false;
}

function setReady(text, tone) {
  setPill(state, text, tone);
  enable(true);
}

/** Not `disabled`, which would take the focus away from the button that was just pressed. */
function enable(isEnabled) {
  for (const button of buttons.values()) button.setAttribute('aria-disabled', String(!isEnabled));
}

/** The names under which the server notes what goes over the wire. */
function closeFrame(code, reason) {
  return code === 1005 ? 'close frame, empty' : `close ${code}${reason && ` “${reason}”`}`;
}

function now() {
  return performance.timeOrigin + performance.now();
}

/** The answer of the quickest of a few round trips lies in its middle, give or take half of it. */
async function compareClocks() {
  let best = { offset: 0, uncertainty: Number.POSITIVE_INFINITY };
  for (let round = 0; round < 5; round += 1) {
    const sent = now();
    const response = await fetch('/close-laboratory/clock');
    const received = now();
    const { now: server } = await response.json();
    const uncertainty = (received - sent) / 2;
    if (uncertainty < best.uncertainty) best = { offset: server - (sent + received) / 2, uncertainty };
  }
  return best;
}
