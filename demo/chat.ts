import type { Request } from 'express';
import type { WebSocketContext } from 'websocket-context';

const HISTORY_LENGTH = 50;
const MOST_ROOMS = 100;

/** What a room tells its members, as JSON. */
type ChatEvent =
  | { readonly type: 'history'; readonly lines: readonly ChatLine[] }
  | { readonly type: 'people'; readonly names: readonly string[] }
  | ChatLine;

/** A line of the conversation; `text` of `joined` and `left` is empty. */
interface ChatLine {
  readonly type: 'said' | 'joined' | 'left';
  readonly name: string;
  readonly text: string;
  /** Milliseconds since the epoch. */
  readonly at: number;
}

/** A name fit to be shown, or `undefined`: 1 to 24 characters, none of them invisible. */
export function toName(value: unknown): string | undefined {
  if (typeof value !== 'string') return undefined;
  const name = value.normalize('NFC').trim().replace(/\s+/g, ' ');
  return /^[^\p{C}]{1,24}$/u.test(name) ? name : undefined;
}

export class ChatRooms {
  readonly #rooms = new Map<string, ChatRoom>();

  accepts(name: string): boolean {
    return /^[a-z0-9-]{1,32}$/.test(name) && (this.#rooms.has(name) || this.#rooms.size < MOST_ROOMS);
  }

  /** A visitor's stay in the room of the route: from the handshake until the connection closes. */
  async visit(socket: WebSocketContext, req: Request<{ room: string }>): Promise<void> {
    const { room: name } = req.params;
    const room = this.#rooms.get(name) ?? new ChatRoom();
    this.#rooms.set(name, room);

    const leave = room.enter(socket, req.sessionID, req.session.name ?? 'somebody');
    try {
      for await (const message of socket) {
        if (typeof message !== 'string') return await socket.closeAsync(1003, 'The chat takes text only');
        room.say(socket, message);
      }
    } finally {
      leave();
      if (room.isEmpty) this.#rooms.delete(name);
    }
  }
}

/** One person may be here with several tabs; the others see one name come and go. */
class ChatRoom {
  readonly #members = new Map<WebSocketContext, { readonly visitor: string; readonly name: string }>();
  readonly #history: ChatLine[] = [];

  get isEmpty(): boolean {
    return this.#members.size === 0;
  }

  enter(socket: WebSocketContext, visitor: string, name: string): () => void {
    const isNew = !this.#isHere(visitor);
    send(socket, { type: 'history', lines: this.#history });
    this.#members.set(socket, { visitor, name });
    if (isNew) this.#tell('joined', name);
    this.#tellPeople();

    return () => {
      this.#members.delete(socket);
      if (!this.#isHere(visitor)) this.#tell('left', name);
      this.#tellPeople();
    };
  }

  say(socket: WebSocketContext, text: string): void {
    const member = this.#members.get(socket);
    if (member && text.trim() !== '') this.#tell('said', member.name, text);
  }

  #isHere(visitor: string): boolean {
    return [...this.#members.values()].some((member) => member.visitor === visitor);
  }

  #tell(type: ChatLine['type'], name: string, text = ''): void {
    const line: ChatLine = { type, name, text, at: Date.now() };
    this.#history.push(line);
    if (this.#history.length > HISTORY_LENGTH) this.#history.shift();
    for (const socket of this.#members.keys()) send(socket, line);
  }

  #tellPeople(): void {
    const names = new Map([...this.#members.values()].map(({ visitor, name }) => [visitor, name]));
    const sorted = [...names.values()].sort((a, b) => a.localeCompare(b));
    for (const socket of this.#members.keys()) send(socket, { type: 'people', names: sorted });
  }
}

function send(socket: WebSocketContext, event: ChatEvent): void {
  // Nobody waits for a slow member: beyond sendBufferLimit its connection is aborted, and its own visit ends with the
  // error. That is why a failure needs no handling here.
  socket.sendAsync(JSON.stringify(event)).catch(() => {});
}
