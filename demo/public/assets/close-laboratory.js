import { byId, element, setPill, socketUrl } from './page.js';

const CLIENT_CLOSES = ['prompt', 'slow', 'never'];
const HAND_MADE = ['late', 'talkative', 'silent', 'crossing', 'vanishing'];
const CLIENT_CLOSES_AFTER_MS = 300;
const GIVE_UP_AFTER_MS = 15_000;
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
const buttons = [...document.querySelectorAll('[data-experiment]')];

/** The second channel; its id tells the server where a connection's entries go. */
let timelineId;
/** What must be added to this page's clock to get the server's. */
let clockOffset = 0;
/** The running experiment: when it began on the server's clock, and which sides have not come to their end. */
let trial;

const timeline = new EventSource('/close-laboratory/timeline');
timeline.addEventListener('opened', async ({ data }) => {
  timelineId = JSON.parse(data).id;
  clockOffset = await measureClockOffset();
  setReady('ready', 'good');
});
timeline.addEventListener('entry', ({ data }) => add(JSON.parse(data)));
timeline.addEventListener('error', () => {
  timelineId = undefined;
  finish();
  setPill(state, 'the laboratory is out of reach, trying again', 'bad');
  enable(false);
});

for (const button of buttons) {
  button.disabled = true;
  button.addEventListener('click', () => run(button.dataset.experiment));
}
byId('parameters').addEventListener('submit', (event) => event.preventDefault());

function run(experiment) {
  const isHandMade = HAND_MADE.includes(experiment);
  events.replaceChildren();
  byId('hint').hidden = true;
  byId('peer-name').textContent = isHandMade ? 'Client made by hand' : 'Client: this browser';
  for (const button of buttons) button.setAttribute('aria-pressed', String(button.dataset.experiment === experiment));
  enable(false);
  setPill(state, 'running', 'warn');
  trial = {
    began: undefined,
    open: new Set(['client', 'server']),
    timer: setTimeout(() => {
      finish();
      setReady('no end in sight', 'bad');
    }, GIVE_UP_AFTER_MS),
  };

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
  const socket = new WebSocket(socketUrl(`/close-laboratory?${new URLSearchParams(parameters)}`));
  const note = (kind, text) => {
    add({ side: 'client', kind, text, state: READY_STATES[socket.readyState], at: now() });
  };

  note('call', 'new WebSocket(…)');
  socket.addEventListener('open', () => {
    note('event', 'open event');
    if (CLIENT_CLOSES.includes(parameters.experiment)) {
      setTimeout(() => {
        socket.close(4001, 'done here');
        note('call', 'close(4001, "done here")');
      }, CLIENT_CLOSES_AFTER_MS);
    }
  });
  socket.addEventListener('message', ({ data }) => note('event', `message event: “${data}”`));
  socket.addEventListener('error', () => note('failure', 'error event'));
  socket.addEventListener('close', ({ code, reason, wasClean }) => {
    note('end', `close event: ${code}${reason && ` “${reason}”`}, wasClean ${wasClean}`);
    // Without a connection there is no server's side to wait for.
    if (!trial?.hasServer) finish();
  });
}

function add(entry) {
  if (!trial) return;
  trial.began ??= entry.at;
  if (entry.side === 'server') trial.hasServer = true;
  show(entry, entry.at - trial.began);
  if (entry.kind !== 'end') return;
  trial.open.delete(entry.side);
  if (trial.open.size > 0) return;
  finish();
  setReady('finished', 'good');
}

/** Entries of the two sides arrive through different channels; each goes where its time puts it. */
function show({ side, kind, text, state: stateOfSide, at }, elapsed) {
  const line = element('li', 'entry');
  Object.assign(line.dataset, { side, kind, at });
  const when = element('div', 'at');
  when.append(element('span', '', elapsed.toFixed(1)));
  const what = element('div', 'what');
  what.append(element('span', 'text', text));
  if (stateOfSide) {
    const pill = element('span', 'pill');
    setPill(pill, stateOfSide, TONES[stateOfSide] ?? '');
    what.append(pill);
  }
  line.append(element('span', 'spoken', side === 'client' ? 'Client: ' : 'Server: '), what, when);

  const later = [...events.children].find((other) => Number(other.dataset.at) > at);
  events.insertBefore(line, later ?? null);
  line.scrollIntoView({ block: 'nearest' });
}

function finish() {
  clearTimeout(trial?.timer);
  trial = undefined;
}

function setReady(text, tone) {
  setPill(state, text, tone);
  enable(true);
}

function enable(isEnabled) {
  for (const button of buttons) button.disabled = !isEnabled;
}

function now() {
  return performance.timeOrigin + performance.now() + clockOffset;
}

/** The answer of the quickest of a few round trips lies in its middle, give or take half of it. */
async function measureClockOffset() {
  let best = { roundTrip: Number.POSITIVE_INFINITY, offset: 0 };
  for (let round = 0; round < 5; round += 1) {
    const sent = performance.timeOrigin + performance.now();
    const response = await fetch('/close-laboratory/clock');
    const received = performance.timeOrigin + performance.now();
    const { now: server } = await response.json();
    const roundTrip = received - sent;
    if (roundTrip < best.roundTrip) best = { roundTrip, offset: server - (sent + received) / 2 };
  }
  return best.offset;
}
