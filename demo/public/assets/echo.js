import { appendLine, byId, element, setPill, socketUrl } from './page.js';

const MOST_LINES = 200;
// getRandomValues fills at most this many bytes in one call.
const MOST_RANDOM = 65_536;

const state = byId('state');
const log = byId('log');
const number = new Intl.NumberFormat('en');

/** @type {WebSocket | undefined} */
let socket;
/** What was sent and has not come back yet, oldest first. */
const sent = [];

byId('connect').addEventListener('click', connect);
byId('disconnect').addEventListener('click', () => {
  socket?.close(1000, 'enough');
  setPill(state, 'closing', 'warn');
});
byId('clear').addEventListener('click', () => log.replaceChildren());
onSubmit('text-form', () => send(byId('text').value));
onSubmit('binary-form', () => send(randomBytes(Number(byId('size').value))));
connect();

function connect() {
  socket = new WebSocket(socketUrl('/echo'), ['report']);
  socket.binaryType = 'arraybuffer';
  setPill(state, 'connecting', 'warn');
  byId('connect').disabled = true;

  socket.addEventListener('open', () => {
    setPill(state, 'open', 'good');
    enable(true);
  });
  socket.addEventListener('message', ({ data }) => receive(data));
  socket.addEventListener('close', ({ code, reason, wasClean }) => {
    setPill(state, `closed ${code}`, wasClean ? '' : 'bad');
    add('note', '×', `Closed with ${code}${reason && ` “${reason}”`}, ${wasClean ? 'clean' : 'not clean'}`);
    sent.length = 0;
    enable(false);
  });
}

/** @param {string | ArrayBuffer} data */
function send(data) {
  sent.push({ data, at: performance.now(), isBack: false });
  socket.send(data);
  add(typeof data === 'string' ? 'text' : 'binary', '→', describe(data), size(data));
}

/** Echo and report take turns: each message that comes back is followed by the server's line about it. */
function receive(data) {
  const [oldest] = sent;
  if (!oldest) return;

  if (!oldest.isBack) {
    oldest.isBack = true;
    const verdict = isSame(oldest.data, data) ? 'identical' : 'DIFFERENT';
    const elapsed = `${(performance.now() - oldest.at).toFixed(1)} ms`;
    add(typeof data === 'string' ? 'text' : 'binary', '←', describe(data), `${size(data)} · ${verdict} · ${elapsed}`);
    return;
  }

  sent.shift();
  const { bytes, fragments, largest, duration } = JSON.parse(data);
  const parts =
    fragments === 1 ? 'one part' : `${number.format(fragments)} parts, the largest of ${number.format(largest)} bytes`;
  add('report', '·', `Server: ${number.format(bytes)} bytes in ${parts}, passed on in ${duration.toFixed(1)} ms`);
}

function add(kind, arrow, text, aside = '') {
  const line = document.createElement('li');
  line.dataset.kind = kind;
  line.append(element('span', 'arrow', arrow), element('span', 'text', text), element('span', 'aside', aside));
  appendLine(log, line, MOST_LINES);
}

function enable(isOpen) {
  byId('connect').disabled = isOpen;
  byId('disconnect').disabled = !isOpen;
  for (const button of document.querySelectorAll('form button')) button.disabled = !isOpen;
}

function onSubmit(id, action) {
  byId(id).addEventListener('submit', (event) => {
    event.preventDefault();
    action();
  });
}

function randomBytes(length) {
  const bytes = new Uint8Array(length);
  for (let start = 0; start < length; start += MOST_RANDOM) {
    crypto.getRandomValues(bytes.subarray(start, start + MOST_RANDOM));
  }
  return bytes.buffer;
}

function isSame(a, b) {
  if (typeof a === 'string' || typeof b === 'string') return a === b;
  const [left, right] = [new Uint8Array(a), new Uint8Array(b)];
  return left.length === right.length && left.every((byte, index) => byte === right[index]);
}

function describe(data) {
  if (typeof data === 'string') return data.length > 500 ? `${data.slice(0, 500)}…` : data;
  const start = Array.from(new Uint8Array(data, 0, Math.min(12, data.byteLength)), (byte) =>
    byte.toString(16).padStart(2, '0'),
  );
  return `binary ${start.join(' ')}${data.byteLength > 12 ? ' …' : ''}`;
}

function size(data) {
  const bytes = typeof data === 'string' ? new TextEncoder().encode(data).length : data.byteLength;
  return `${number.format(bytes)} B`;
}
