import { type Channel, channel } from 'node:diagnostics_channel';
import { EventEmitter } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Server } from 'node:net';
import { NodeMethod } from './node-method.js';

// Node's own: it tells of every ordinary request, and of no upgrade.
const started: Channel = channel('http.server.request.start');
const finished: Channel = channel('http.server.response.finish');

type Emit = Server['emit'];

/** Who gets the request. */
export interface Listener {
  begin(): void;
}

/** The last `emit` that was found on a server itself, and whether it emits on the object that it is called on. */
const probed = new WeakMap<Server, { readonly emit: Emit; readonly isFaithful: boolean }>();

const PROBE = 'websocket-context:probe';

/**
 * Has `listener` begin through the `request` event of `server`, but none of the listeners that the server has for it:
 * the event is emitted on an object that inherits everything from the server but its listeners. So whatever has been put
 * around the event to follow requests (OpenTelemetry, Sentry, New Relic, Elastic) follows an upgrade request too.
 */
export function emitRequest(server: Server, req: IncomingMessage, res: ServerResponse, listener: Listener): void {
  if (started.hasSubscribers || finished.hasSubscribers) publishLikeNode(server, req, res);
  if (isBare(server)) {
    listener.begin();
    return;
  }
  emitAround(server, req, res, listener);
}

function emitAround(server: Server, req: IncomingMessage, res: ServerResponse, listener: Listener): void {
  const stage = stageOn(server, 'request', () => listener.begin());
  Reflect.apply(emitOf(server), stage, ['request', req, res]);
}

function publishLikeNode(server: Server, req: IncomingMessage, res: ServerResponse): void {
  const message = { request: req, response: res, socket: req.socket, server };
  if (started.hasSubscribers) started.publish(message);
  if (finished.hasSubscribers) res.once('finish', () => finished.publish(message));
}

const emitOfNode = new NodeMethod('kErrorMonitor');
const onOfNode = new NodeMethod('_addListener(');

/** Whether nothing has been put around the events of `server`, so that nobody can see whether there was one. */
function isBare(server: Server): boolean {
  return emitOfNode.is(server.emit) && onOfNode.is(Reflect.get(Object.getPrototypeOf(server), 'on'));
}

/** An object that is `server` to whoever looks at it, with a single listener. */
function stageOn(server: Server, event: string, listener: () => void): Server {
  const stage: Server = Object.create(server);
  // Gives it listeners of its own, since it has inherited those that it has
  Reflect.apply(EventEmitter, stage, []);
  // Not that of the server itself, which may have been tied to it
  Reflect.apply(Reflect.get(Object.getPrototypeOf(server), 'on'), stage, [event, listener]);
  return stage;
}

/** The outermost `emit` around the events of `server` that emits on the object it is called on. */
function emitOf(server: Server): Emit {
  const { emit } = server;
  const inherited: Emit = Reflect.get(Object.getPrototypeOf(server), 'emit');
  if (emit === inherited) return emit;
  let probe = probed.get(server);
  if (probe?.emit !== emit) {
    let isFaithful = false;
    const stage = stageOn(server, PROBE, () => {
      isFaithful = true;
    });
    Reflect.apply(emit, stage, [PROBE]);
    probe = { emit, isFaithful };
    probed.set(server, probe);
  }
  return probe.isFaithful ? emit : inherited;
}
