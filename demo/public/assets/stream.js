import { byId, setPill, socketUrl } from './page.js';
import { plot } from './plot.js';

const MIB = 1024 * 1024;
const NOISE = 1024 * MIB;
/** The steps of the slider, in bytes a second; `null` is as fast as it can. */
const PACES = [MIB / 4, MIB, 4 * MIB, 16 * MIB, 32 * MIB, 64 * MIB, 128 * MIB, null];
/** The rate is that of the last second. */
const RATE_SECONDS = 1;

const state = byId('state');
const number = new Intl.NumberFormat('en', { maximumFractionDigits: 1 });
const amounts = plot(byId('amounts'), [
  { color: '--accent', isFilled: true },
  { color: '--warn' },
  { color: '--bad', width: 3 },
]);
const rates = plot(byId('rates'), [{ color: '--warn' }, { color: '--accent' }]);

/** @type {WebSocket} */
let watcher;
/** What ties the upload to the connection that watches it. */
let readerId;
let isReading = true;
/** The upload that runs: its worker, when it began, and what both sides said last. */
let upload;

watch();
byId('send').addEventListener('submit', (event) => {
  event.preventDefault();
  start(event.submitter === byId('send-file') ? { file: byId('file').files[0] } : { size: NOISE });
});
byId('file').addEventListener('change', enable);
byId('stop').addEventListener('click', () => end('stopped', ''));
byId('pace').addEventListener('input', wish);
byId('reading').addEventListener('click', () => {
  isReading = !isReading;
  byId('reading').textContent = isReading ? 'Cancel the read' : 'Read on';
  wish();
});
// A page that waits in the browser's history would keep its connections.
window.addEventListener('pagehide', () => {
  upload?.worker.terminate();
  watcher.close();
});
window.addEventListener('pageshow', ({ persisted }) => persisted && location.reload());

/** The second connection: the server's numbers come, the wishes go. */
function watch() {
  watcher = new WebSocket(socketUrl('/stream/watch'));
  watcher.addEventListener('message', ({ data }) => {
    const report = JSON.parse(data);
    if (report.reader === undefined) return show(report);
    readerId = report.reader;
    wish();
    setPill(state, 'ready', 'good');
    enable();
  });
  watcher.addEventListener('close', ({ code }) => {
    readerId = undefined;
    if (upload) end(`the server went away (${code})`, 'bad');
    setPill(state, `not connected (${code}), trying again`, 'bad');
    enable();
    setTimeout(watch, 1000);
  });
}

function wish() {
  const pace = PACES[byId('pace').valueAsNumber];
  const text = pace === null ? 'as fast as it can' : `${number.format(pace / MIB)} MiB per second`;
  byId('pace-text').textContent = text;
  byId('pace').setAttribute('aria-valuetext', text);
  if (watcher.readyState === WebSocket.OPEN) watcher.send(JSON.stringify({ pace, isReading }));
}

/** @param {{ file?: File, size?: number }} source */
function start(source) {
  const worker = new Worker('/assets/stream-worker.js', { type: 'module' });
  const url = socketUrl('/stream');
  url.searchParams.set('reader', readerId);
  upload = { worker, began: performance.now(), points: [], here: undefined, there: undefined, memoryBefore: undefined };
  amounts.clear();
  rates.clear();
  worker.addEventListener('message', ({ data }) => {
    if (data.closed) closed(data.closed);
    else upload.here = data;
  });
  worker.postMessage({ ...source, url: url.href, form: byId('form').value });
  setPill(state, 'sending', 'warn');
  enable();
}

/** The server's acknowledgement of the close comes when it has read everything; its last report may follow. */
function closed({ code, reason, wasClean }) {
  if (!wasClean || code !== 1000) return end(`closed ${code}${reason && ` “${reason}”`}`, 'bad');
  upload.isClosed = true;
}

function show(report) {
  if (!upload?.here) return showMemory(report.memory);
  const { here, began, points } = upload;
  upload.memoryBefore ??= report.memory;
  const seconds = (performance.now() - began) / 1000;
  const sent = here.handed - here.buffered;
  points.push({ seconds, sent, received: report.bytes });
  while (points.length > 2 && seconds - points[1].seconds > RATE_SECONDS) points.shift();
  const [first] = points;
  const elapsed = Math.max(seconds - first.seconds, 0.001);
  const [sending, receiving] = [(sent - first.sent) / elapsed, (report.bytes - first.received) / elapsed];
  amounts.add(seconds, [report.bytes / MIB, here.buffered / MIB, report.memory / MIB]);
  if (elapsed > RATE_SECONDS / 2) rates.add(seconds, [Math.max(sending, 0) / MIB, receiving / MIB]);

  showMemory(report.memory);
  set('sent', size(sent));
  set('buffered', size(here.buffered));
  set('received', size(report.bytes));
  set('rate', size(receiving));
  set('growth', size(report.memory - upload.memoryBefore));
  set('fragments', number.format(report.fragments));
  set('largest', size(report.largest));
  set('messages', number.format(report.messages));
  set('cancelled', number.format(report.cancelled));
  set('checksum-here', hex(here.checksum));
  set('checksum-there', hex(report.checksum));

  if (!upload.isClosed || !report.isComplete) return;
  const isSame = report.bytes === here.size && report.checksum === here.checksum;
  set('rate', size(report.bytes / seconds));
  end(isSame ? 'complete, checksums are identical' : 'DIFFERENT', isSame ? 'good' : 'bad');
}

function showMemory(bytes) {
  set('memory', size(bytes));
}

function end(text, tone) {
  upload?.worker.terminate();
  upload = undefined;
  setPill(state, text, tone);
  enable();
}

function enable() {
  const canStart = readerId !== undefined && !upload;
  byId('noise').disabled = !canStart;
  byId('send-file').disabled = !canStart || byId('file').files.length === 0;
  byId('form').disabled = !canStart;
  byId('stop').disabled = !upload;
  byId('reading').disabled = readerId === undefined;
}

function set(id, text) {
  byId(id).textContent = text;
}

function size(bytes) {
  if (Math.abs(bytes) < MIB) return `${number.format(bytes / 1024)} KiB`;
  return `${number.format(bytes / MIB)} MiB`;
}

function hex(checksum) {
  return checksum.toString(16).padStart(8, '0');
}
