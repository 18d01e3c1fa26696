import { randomBytes } from 'node:crypto';
import { connect, type Socket } from 'node:net';
import { closeFrame, REQUEST, SWITCHED, TCP_CUT, TCP_END, type TimelineEntry } from './timeline.js';

const TEXT = 1;
const CLOSE = 8;
const FIN = 0x80;
const MASKED = 0x80;
// The largest payload that needs no extended length (RFC 6455, section 5.2); nothing longer passes here.
const SHORT = 125;

/** What a client does when the server's close frame arrives. */
export type CloseHabit = (client: RawClient, payload: Buffer) => void;

/**
 * A WebSocket client by hand, for what no browser can be made to do: every browser answers a close frame at once, this
 * one answers late, in the middle of other things, or never. It writes what it sees into a timeline.
 */
export class RawClient {
  readonly #socket: Socket;
  readonly #record: (entry: TimelineEntry) => void;
  readonly #habit: CloseHabit;
  #received: Buffer = Buffer.alloc(0);
  #isOpen = false;
  #hasSentClose = false;
  #hasReceivedClose = false;

  constructor(port: number, path: string, habit: CloseHabit, record: (entry: TimelineEntry) => void) {
    this.#habit = habit;
    this.#record = record;
    this.#socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
    this.#socket.write(
      `GET ${path} HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n` +
        `Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${randomBytes(16).toString('base64')}\r\n\r\n`,
    );
    this.#note('call', 'connects and asks for an upgrade', { sends: REQUEST });
    this.#socket.on('data', (chunk) => this.#read(chunk));
    this.#socket.on('error', (error: NodeJS.ErrnoException) => this.#note('failure', `TCP failed: ${error.code}`));
    this.#socket.on('end', () => {
      this.#note('event', 'the server’s FIN arrived', { receives: TCP_END });
      this.#socket.end();
    });
    this.#socket.on('close', () => {
      const wasClean = this.#hasSentClose && this.#hasReceivedClose;
      this.#note('end', `TCP is closed; the close was ${wasClean ? 'clean' : 'not clean'}`);
    });
  }

  sendText(text: string): void {
    if (this.#send(TEXT, Buffer.from(text))) this.#note('event', `sent the text “${text}”`, { sends: `“${text}”` });
  }

  /** Sends a close frame: `payload` as it is (an acknowledgement echoes what came), or made of a code and a reason. */
  sendClose(payload: Buffer): void {
    if (this.#hasSentClose || !this.#send(CLOSE, payload)) return;
    this.#hasSentClose = true;
    this.#note('call', `sent a close frame: ${describe(payload)}`, { sends: frameOf(payload) });
  }

  /** Vanishes: the RST that a crashed process leaves behind. */
  reset(): void {
    this.#note('call', 'crashes: RST, no close frame', { sends: TCP_CUT });
    this.#socket.resetAndDestroy();
  }

  note(text: string): void {
    this.#note('event', text);
  }

  #note(kind: TimelineEntry['kind'], text: string, wire: Pick<TimelineEntry, 'sends' | 'receives'> = {}): void {
    this.#record({ side: 'client', kind, text, state: this.#state, ...wire });
  }

  get #state(): string {
    if (this.#socket.destroyed) return 'CLOSED';
    if (this.#hasSentClose || this.#hasReceivedClose) return 'CLOSING';
    return this.#isOpen ? 'OPEN' : 'CONNECTING';
  }

  #send(opcode: number, payload: Buffer): boolean {
    if (!this.#socket.writable) return false;
    const mask = randomBytes(4);
    const masked = payload.map((byte, index) => byte ^ (mask[index % 4] ?? 0));
    this.#socket.write(Buffer.concat([Buffer.of(FIN | opcode, MASKED | payload.length), mask, masked]));
    return true;
  }

  #read(chunk: Buffer): void {
    this.#received = Buffer.concat([this.#received, chunk]);
    if (!this.#isOpen && !this.#readHandshake()) return;

    for (;;) {
      const [first = 0, length = 0] = this.#received;
      if (this.#received.length < 2 || this.#received.length < 2 + length) return;
      if (length > SHORT) {
        this.#socket.destroy(new Error('This client reads short frames only'));
        return;
      }
      const payload = this.#received.subarray(2, 2 + length);
      this.#received = this.#received.subarray(2 + length);
      this.#take(first & 0x0f, payload);
    }
  }

  #readHandshake(): boolean {
    const end = this.#received.indexOf('\r\n\r\n');
    if (end < 0) return false;
    const [statusLine = ''] = this.#received.toString('latin1', 0, end).split('\r\n');
    this.#received = this.#received.subarray(end + 4);
    this.#isOpen = statusLine.startsWith('HTTP/1.1 101 ');
    this.#note('event', `received ${statusLine}`, { receives: SWITCHED });
    if (!this.#isOpen) this.#socket.destroy();
    return this.#isOpen;
  }

  #take(opcode: number, payload: Buffer): void {
    if (opcode === TEXT) this.#note('event', `received the text “${payload}”`);
    if (opcode !== CLOSE) return;
    this.#hasReceivedClose = true;
    this.#note('event', `received a close frame: ${describe(payload)}`, { receives: frameOf(payload) });
    if (!this.#hasSentClose) this.#habit(this, payload);
  }
}

/** The payload of a close frame: the code in network byte order, then the reason (RFC 6455, section 5.5.1). */
export function closePayload(code: number, reason: string): Buffer {
  const payload = Buffer.alloc(2 + Buffer.byteLength(reason));
  payload.writeUInt16BE(code);
  payload.write(reason, 2);
  return payload;
}

function frameOf(payload: Buffer): string {
  return payload.length < 2
    ? closeFrame(undefined, '')
    : closeFrame(payload.readUInt16BE(), payload.toString('utf8', 2));
}

function describe(payload: Buffer): string {
  if (payload.length < 2) return 'empty';
  return `${payload.readUInt16BE()} “${payload.toString('utf8', 2)}”`;
}
