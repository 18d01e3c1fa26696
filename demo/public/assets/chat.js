import { appendLine, byId, element, setPill, socketUrl } from './page.js';

const MOST_LINES = 500;
const FIRST_RETRY_MS = 500;
const LAST_RETRY_MS = 8000;

const room = location.pathname.split('/').pop();
const state = byId('state');
const log = byId('log');
const time = new Intl.DateTimeFormat(undefined, { timeStyle: 'short' });

/** @type {WebSocket | undefined} */
let socket;
let retryDelay = FIRST_RETRY_MS;
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
    byId('people').replaceChildren(...event.names.map((name) => element('li', '', name)));
  } else if (event.type === 'history') {
    log.replaceChildren();
    for (const line of event.lines) add(line);
  } else {
    add(event);
  }
}

function add({ type, name, text, at }) {
  const line = document.createElement('li');
  const body = element('span', 'text');
  if (type === 'said') {
    line.dataset.kind = 'said';
    body.append(element('span', 'name', name), text);
  } else {
    line.dataset.kind = 'note';
    body.textContent = type === 'joined' ? `${name} came in` : `${name} left`;
  }
  const when = element('time', 'aside', time.format(at));
  when.dateTime = new Date(at).toISOString();
  line.append(body, when);
  appendLine(log, line, MOST_LINES);
}

function setOpen(isOpen) {
  byId('say-form').querySelector('button').disabled = !isOpen;
  if (!isOpen) byId('people').replaceChildren();
}
