import { appendLine, byId, element, setPill, socketUrl } from './page.js';

const MOST_LINES = 500;
const FIRST_RETRY_MS = 500;
const LAST_RETRY_MS = 8000;
/** After so long without a word the conversation shows that it was quiet. */
const QUIET_MS = 5 * 60_000;

const room = location.pathname.split('/').pop();
const state = byId('state');
const log = byId('log');
const time = new Intl.DateTimeFormat(undefined, { timeStyle: 'short' });

/** @type {WebSocket | undefined} */
let socket;
let retryDelay = FIRST_RETRY_MS;
/** Which person this page is; the others have their own ids. */
let myId;
/** When the room that was seen last began; a later one has forgotten what was said before. */
let roomSince;
let lastLineAt;
let isRenaming = false;
let isLeaving = false;

byId('title').textContent = `Chat: ${room}`;
document.title = `${room} · chat · websocket-context`;
byId('room').value = room;

byId('name-form').addEventListener('submit', (event) => {
  event.preventDefault();
  chooseName(byId('name').value);
});
byId('rename').addEventListener('click', () => {
  // The name of a connection is that of its handshake, so a new one needs a new connection.
  isRenaming = true;
  setPill(state, 'not connected', '');
  if (socket?.readyState === WebSocket.OPEN) socket.close(1000, 'renaming');
  askName(byId('me').textContent);
});
byId('say-form').addEventListener('submit', (event) => {
  event.preventDefault();
  socket.send(byId('say').value);
  byId('say').value = '';
});
byId('room-form').addEventListener('submit', (event) => {
  event.preventDefault();
  location.assign(`/chat/${encodeURIComponent(byId('room').value)}`);
});

// A page that waits in the browser's history would keep its connection, and its visitor in the room.
window.addEventListener('pagehide', () => {
  isLeaving = true;
  socket?.close(1000, 'leaving');
});
window.addEventListener('pageshow', ({ persisted }) => {
  isLeaving = false;
  if (persisted && socket) connect();
});
start();

async function start() {
  const { name } = await (await fetch('/name')).json();
  if (name === null) askName('');
  else enter(name);
}

function askName(name) {
  byId('name-card').hidden = false;
  byId('chat').hidden = true;
  byId('name').value = name;
  byId('name').focus();
}

async function chooseName(name) {
  const response = await fetch('/name', {
    method: 'PUT',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify({ name }),
  });
  byId('name-error').textContent = response.ok ? '' : await response.text();
  if (response.ok) enter((await response.json()).name);
}

function enter(name) {
  isRenaming = false;
  byId('me').textContent = name;
  byId('name-card').hidden = true;
  byId('chat').hidden = false;
  connect();
}

function connect() {
  socket = new WebSocket(socketUrl(location.pathname));
  setPill(state, 'connecting', 'warn');

  socket.addEventListener('open', () => {
    retryDelay = FIRST_RETRY_MS;
    setPill(state, 'connected', 'good');
    setOpen(true);
    byId('say').focus();
  });
  socket.addEventListener('message', ({ data }) => show(JSON.parse(data)));
  socket.addEventListener('close', ({ code, reason }) => {
    setOpen(false);
    if (isRenaming || isLeaving) return;
    const why = code === 1001 ? `server ${reason}` : `closed ${code}${reason && ` “${reason}”`}`;
    setPill(state, `${why}, trying again`, 'bad');
    setTimeout(reconnect, retryDelay);
    retryDelay = Math.min(2 * retryDelay, LAST_RETRY_MS);
  });
}

/** A restarted server has forgotten its sessions: then the name goes first, as the handshake would be refused. */
async function reconnect() {
  const response = await fetch('/name').catch(() => undefined);
  if (!response?.ok) {
    setTimeout(reconnect, retryDelay);
    retryDelay = Math.min(2 * retryDelay, LAST_RETRY_MS);
  } else if ((await response.json()).name === null) {
    await chooseName(byId('me').textContent);
  } else {
    connect();
  }
}

function show(event) {
  if (event.type === 'people') {
    byId('people').replaceChildren(
      ...event.people.map((person) => colored(element('li', 'person', person.name), person)),
    );
  } else if (event.type === 'history') {
    showHistory(event);
  } else {
    add(event);
  }
}

function showHistory({ you, since, lines }) {
  const isForgotten = roomSince !== undefined && since !== roomSince;
  myId = you;
  roomSince = since;
  lastLineAt = undefined;
  log.replaceChildren();
  if (isForgotten) addNote(`The room was opened anew at ${time.format(since)}; what was said before is gone.`);
  for (const line of lines) add(line);
}

function add({ type, id, name, text, at }) {
  if (lastLineAt !== undefined && at - lastLineAt > QUIET_MS) {
    addNote(`Quiet for ${Math.round((at - lastLineAt) / 60_000)} minutes`);
  }
  lastLineAt = at;
  const line = document.createElement('li');
  const body = element('span', 'text');
  if (type === 'said') {
    line.dataset.kind = id === myId ? 'mine' : 'said';
    body.append(colored(element('span', 'name', id === myId ? `${name} (you)` : name), { id }), text);
  } else {
    line.dataset.kind = 'note';
    body.textContent = type === 'joined' ? `${name} came in` : `${name} left`;
  }
  const when = element('time', 'aside', time.format(at));
  when.dateTime = new Date(at).toISOString();
  line.append(body, when);
  appendLine(log, line, MOST_LINES);
}

function addNote(text) {
  const line = element('li', '', text);
  line.dataset.kind = 'pause';
  appendLine(log, line, MOST_LINES);
}

/** One colour for each person, the same in every window: the hue comes from the id. */
function colored(created, { id }) {
  created.style.setProperty('--hue', String(Number.parseInt(id.slice(0, 6), 16) % 360));
  return created;
}

function setOpen(isOpen) {
  byId('say-form').querySelector('button').disabled = !isOpen;
  if (!isOpen) byId('people').replaceChildren();
}
