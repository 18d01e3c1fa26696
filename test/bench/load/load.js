// The load generator for machines on which load.c cannot be built: same options, same output, same checks. It takes
// several times the processor time of the one in C, so look at its share in the results before you trust a high ratio.
import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { FrameScanner } from './frame-scanner.js';

/** @type {Record<string, number>} */
const numbers = {
  connections: 1,
  window: 1,
  inflight: 64,
  burst: 10,
  greeting: 0,
  answer: 0,
  duration: 1000,
  warmup: 0,
};
/** @type {Record<string, string>} */
const words = {};
/** @type {Record<string, Buffer>} */
const files = {};
for (const argument of process.argv.slice(2)) {
  const at = argument.indexOf('=');
  const name = argument.slice(0, at);
  const value = argument.slice(at + 1);
  if (name === 'mode' || name === 'accept') words[name] = value;
  else if (value.startsWith('/') || Number.isNaN(Number(value))) files[name] = readFileSync(value);
  else numbers[name] = Number(value);
}

const NOTHING = Buffer.alloc(0);
const PIECE = 1 << 16;
const { mode, accept = '' } = words;
const { port = 0, window = 1, inflight = 64, burst = 10, greeting = 0, answer = 0, blocks = 0, total = 0 } = numbers;
const { duration = 1000, warmup = 0, timeout = 60_000 } = numbers;
const { handshake = NOTHING, preamble = NOTHING, prefix = NOTHING, block = NOTHING, suffix = NOTHING } = files;
const wanted = /** @type {number} */ (numbers.connections);

/**
 * Many copies one after the other let one write, or one comparison, cover many messages.
 *
 * @param {Buffer} unit
 */
function repeated(unit) {
  const copies = unit.length === 0 || unit.length >= PIECE ? 1 : Math.floor(PIECE / unit.length);
  return Buffer.concat(Array.from({ length: copies }, () => unit));
}

const requestSize = files.request?.length ?? 0;
const replySize = files.reply?.length ?? 0;
const requests = repeated(files.request ?? NOTHING);
const replies = mode === 'stream' ? (files.reply ?? NOTHING) : repeated(files.reply ?? NOTHING);
const pattern = files.pattern ?? NOTHING;
const streamSize = prefix.length + blocks * block.length + suffix.length;

const input = Buffer.alloc(1 << 18);
const beganAt = performance.now();
/** @type {Connection[]} */
const connections = [];
let opened = 0;
let ready = 0;
let ops = 0;
let burstLeft = 0;
let payloadSeen = 0;
let firstOpAt = 0;
let startedAt = 0;
let opsAtStart = 0;
let cpuAtStart = 0;
let sleepsAtStart = 0;

const sleeps = () => process.resourceUsage().voluntaryContextSwitches;

const cpuSeconds = () => {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
};

/** @param {object} result */
function finish(result) {
  process.stdout.write(`${JSON.stringify(result)}\n`);
  if ('error' in result) process.exit(1);
  // What it takes the server to lose all connections is no part of what was measured.
  process.stdin.on('end', () => process.exit(0)).resume();
}

/**
 * @param {string} error
 * @returns {never}
 */
function fail(error) {
  finish({ error });
  throw new Error(error);
}

function startClock() {
  startedAt = performance.now();
  cpuAtStart = cpuSeconds();
  sleepsAtStart = sleeps();
  opsAtStart = ops;
  process.stdout.write('start\n');
}

function report() {
  const seconds = (performance.now() - startedAt) / 1000;
  finish({ ops: ops - opsAtStart, seconds, cpu: cpuSeconds() - cpuAtStart, sleeps: sleeps() - sleepsAtStart });
}

function checkClock() {
  if (ops === 0 || mode === 'stream' || mode === 'idle' || mode === 'handshake') return;
  const now = performance.now();
  firstOpAt ||= now;
  if (!startedAt) {
    if (now - firstOpAt >= warmup) startClock();
  } else if (now - startedAt >= duration) {
    report();
  }
}

/**
 * Compares with a pattern that repeats for ever.
 *
 * @param {Buffer} data
 * @param {Buffer} expected
 * @param {number} position of the data in the whole
 */
function compare(data, expected, position) {
  for (let at = 0; at < data.length; ) {
    const offset = (position + at) % expected.length;
    const part = Math.min(expected.length - offset, data.length - at);
    if (data.compare(expected, offset, offset + part, at, at + part) !== 0) {
      fail(`A reply differs from what was expected after ${position + at} bytes`);
    }
    at += part;
  }
}

function trigger() {
  burstLeft = wanted;
  connections[0]?.allow(requestSize);
}

class Connection {
  #state = 'handshake';
  #text = NOTHING;
  #frames = new FrameScanner();
  #framesSeen = 0;
  #out = 0;
  #allowed = 0;
  #in = 0;
  #blocked = false;

  constructor() {
    opened++;
    this.socket = connect({
      port,
      host: '127.0.0.1',
      noDelay: true,
      onread: { buffer: input, callback: (size) => this.#onRead(input.subarray(0, size)) },
    });
    this.socket.on('connect', () => this.socket.write(handshake));
    this.socket.on('drain', () => {
      this.#blocked = false;
      this.#flush();
    });
    this.socket.on('error', (error) => fail(`${error.message} after ${this.#in} bytes`));
    this.socket.on('end', () => fail(`The server closed a connection after ${this.#in} bytes`));
  }

  /** @param {number} bytes */
  allow(bytes) {
    this.#allowed += bytes;
    this.#flush();
  }

  #flush() {
    const end = mode === 'stream' && this.#state === 'ready' ? streamSize : this.#allowed;
    while (this.#out < end && !this.#blocked) {
      const piece = mode === 'stream' ? this.#streamPiece() : this.#requestPiece();
      this.#out += piece.length;
      this.#blocked = !this.socket.write(piece);
    }
  }

  #requestPiece() {
    const offset = this.#out % requests.length;
    return requests.subarray(offset, offset + Math.min(requests.length - offset, this.#allowed - this.#out));
  }

  #streamPiece() {
    const inBlocks = this.#out - prefix.length;
    if (inBlocks < 0) return prefix.subarray(this.#out);
    const inSuffix = inBlocks - blocks * block.length;
    return inSuffix < 0 ? block.subarray(inBlocks % block.length) : suffix.subarray(inSuffix);
  }

  /** @param {Buffer} data */
  #onRead(data) {
    if (this.#state === 'handshake') this.#onHandshake(data);
    else if (this.#state === 'greeting' || this.#state === 'answer') this.#onPrologue(data);
    else this.#onData(data);
    checkClock();
    return true;
  }

  /** @param {Buffer} data */
  #onHandshake(data) {
    this.#text = Buffer.concat([this.#text, data]);
    const end = this.#text.indexOf('\r\n\r\n');
    if (end < 0) return;
    const head = this.#text.toString('latin1', 0, end + 2);
    if (!head.startsWith('HTTP/1.1 101 ')) fail(`The handshake was refused: ${head.slice(0, 60)}`);
    if (!head.match(/\r\nsec-websocket-accept: (.*)\r\n/i)?.[1]?.startsWith(accept)) {
      fail('Sec-WebSocket-Accept is missing or wrong');
    }
    this.#state = 'greeting';
    const rest = this.#text.subarray(end + 4);
    this.#text = NOTHING;
    this.#onPrologue(rest);
  }

  /**
   * Frames of a protocol on top (Engine.IO) that come before the application's.
   *
   * @param {Buffer} data
   */
  #onPrologue(data) {
    let at = 0;
    for (;;) {
      if (this.#state === 'greeting' && this.#framesSeen >= greeting) {
        if (preamble.length > 0) this.socket.write(preamble);
        this.#state = 'answer';
      }
      if (this.#state === 'answer' && this.#framesSeen >= greeting + answer) break;
      if (at === data.length) return;
      const { used, ended } = this.#frames.scan(data, at, () => {});
      at += used;
      if (ended) this.#framesSeen++;
    }
    this.#framesSeen = 0;
    this.#state = 'ready';
    this.#onReady();
    if (at < data.length) this.#onData(data.subarray(at));
  }

  #onReady() {
    ready++;
    if (mode === 'handshake') {
      if (++ops === wanted) report();
    } else if (mode === 'echo') {
      if (ready === wanted) for (const connection of connections) connection.allow(window * requestSize);
    } else if (mode === 'push') {
      this.allow(requestSize);
    } else if (mode === 'stream') {
      startClock();
      this.#flush();
    } else if (mode === 'idle' && requestSize > 0) {
      ready--;
      this.allow(requestSize);
      return;
    } else if (mode === 'burst' && ready === wanted) {
      trigger();
    }
    openNext();
  }

  /** @param {Buffer} data */
  #onData(data) {
    if (mode === 'handshake') return;
    if (mode === 'idle' || pattern.length > 0) {
      this.#onFrames(data);
      return;
    }
    compare(data, replies, this.#in);
    const before = Math.floor(this.#in / replySize);
    this.#in += data.length;
    const complete = Math.floor(this.#in / replySize) - before;
    ops += complete;
    if (mode === 'echo') this.allow(complete * requestSize);
    else if (mode === 'burst' && this.#in % (replySize * burst) === 0 && --burstLeft === 0) trigger();
    else if (mode === 'stream' && complete > 0) report();
  }

  /** @param {Buffer} data */
  #onFrames(data) {
    for (let at = 0; at < data.length; ) {
      const { used, ended } = this.#frames.scan(data, at, (payload) => {
        if (pattern.length > 0) compare(payload, pattern, payloadSeen);
        payloadSeen += payload.length;
      });
      at += used;
      if (ended) this.#onFrameEnd(this.#frames.first);
    }
  }

  /** @param {number} first */
  #onFrameEnd(first) {
    if (mode === 'idle') {
      if (first !== numbers.reply_head) fail(`The reply's first byte is ${first}, expected ${numbers.reply_head}`);
      ready++;
      openNext();
      return;
    }
    if ((first & 127) !== (this.#framesSeen++ === 0 ? 2 : 0)) fail(`Unexpected first byte of a frame: ${first}`);
    if ((first & 128) === 0) return;
    if (payloadSeen !== total) fail(`The echo ended after ${payloadSeen} bytes`);
    ops++;
    report();
  }
}

function openNext() {
  if (opened < wanted) connections.push(new Connection());
  if (mode !== 'idle' || ready < wanted) return;
  process.stdout.write('ready\n');
  process.stdin.on('end', () => finish({ ops: 0, seconds: 0, cpu: 0, sleeps: 0 })).resume();
}

if (mode === 'handshake') startClock();
const atOnce = mode === 'echo' ? wanted : Math.min(wanted, inflight);
while (opened < atOnce) connections.push(new Connection());
setInterval(() => {
  if (performance.now() - beganAt > timeout) fail(`Timed out: ${ready} of ${wanted} connections, ${ops} messages`);
}, 100);
