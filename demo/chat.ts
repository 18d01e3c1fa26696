import { createHash } from 'node:crypto';
import type { Request } from 'express';
import type { WebSocketContext, WebSocketGroup, WebSockets } from 'websocket-context';

const HISTORY_LENGTH = 50;
const MOST_ROOMS = 100;

/** Somebody with a session: the same in all tabs. Nobody learns the session from the id. */
interface Person {
  readonly id: string;
  readonly name: string;
}

/** What a room tells its members, as JSON. */
type ChatEvent =
  | { readonly type: 'history'; readonly you: string; readonly since: number; readonly lines: readonly ChatLine[] }
  | { readonly type: 'people'; readonly people: readonly Person[] }
  | ChatLine;

/** A line of the conversation; `text` of `joined` and `left` is empty. */
interface ChatLine extends Person {
  readonly type: 'said' | 'joined' | 'left';
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
  readonly #sockets: WebSockets;
  readonly #rooms = new Map<string, ChatRoom>();

  constructor(sockets: WebSockets) {
    this.#sockets = sockets;
  }

  accepts(name: string): boolean {
    return /^[a-z0-9-]{1,32}$/.test(name) && (this.#rooms.has(name) || this.#rooms.size < MOST_ROOMS);
  }

  /** A visitor's stay in the room of the route: from the handshake until the connection closes. */
  async visit(socket: WebSocketContext, req: Request<{ room: string }>): Promise<void> {
    const { room: name } = req.params;
    const room = this.#rooms.get(name) ?? new ChatRoom(this.#sockets.group(`chat ${name}`));
    this.#rooms.set(name, room);

    const id = createHash('sha256').update(req.sessionID).digest('hex').slice(0, 12);
    const leave = room.enter(socket, { id, name: req.session.name ?? 'somebody' });
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

/** A group and what was said in it. One person may be here with several tabs; the others see one come and go. */
class ChatRoom {
  readonly #group: WebSocketGroup;
  readonly #people = new Map<WebSocketContext, Person>();
  readonly #history: ChatLine[] = [];
  readonly #since = Date.now();

  constructor(group: WebSocketGroup) {
    this.#group = group;
  }

  get isEmpty(): boolean {
    return this.#people.size === 0;
  }

  enter(socket: WebSocketContext, person: Person): () => void {
    const isNew = !this.#isHere(person);
    const history: ChatEvent = { type: 'history', you: person.id, since: this.#since, lines: this.#history };
    void socket.sendAsync(JSON.stringify(history));
    void socket.addToGroupAsync(this.#group.name);
    this.#people.set(socket, person);
    if (isNew) this.#tell('joined', person);
    this.#tellPeople();

    return () => {
      this.#people.delete(socket);
      if (!this.#isHere(person)) this.#tell('left', person);
      this.#tellPeople();
    };
  }

  say(socket: WebSocketContext, text: string): void {
    const person = this.#people.get(socket);
    if (person && text.trim() !== '') this.#tell('said', person, text);
  }

  #isHere({ id }: Person): boolean {
    return [...this.#people.values()].some((person) => person.id === id);
  }

  #tell(type: ChatLine['type'], person: Person, text = ''): void {
    const line: ChatLine = { type, ...person, text, at: Date.now() };
    this.#history.push(line);
    if (this.#history.length > HISTORY_LENGTH) this.#history.shift();
    this.#send(line);
  }

  #tellPeople(): void {
    const people = new Map([...this.#people.values()].map((person) => [person.id, person]));
    this.#send({ type: 'people', people: [...people.values()].sort((a, b) => a.name.localeCompare(b.name)) });
  }

  /** Waits for nobody: a slow member costs the others nothing, and beyond `sendBufferLimit` it is aborted. */
  #send(event: ChatEvent): void {
    void this.#group.sendAsync(JSON.stringify(event));
  }
}
