// Compiled only: what the types of the public surface promise to users of TypeScript.
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { ReadableStream, WritableStream } from 'node:stream/web';
import type { StandardSchemaV1 } from '@standard-schema/spec';
import { type } from 'arktype';
import { expectTypeOf } from 'expect-type';
import express, { type Request, type Response } from 'express';
import type { Session, SessionData } from 'express-session';
import * as v from 'valibot';
import type { WebSocket } from 'ws';
import { z } from 'zod';
import {
  type CloseInfo,
  type CompletionCallback,
  type DrainResult,
  type FragmentReadResult,
  type ReceiveResult,
  type StandardIssue,
  type StandardSchema,
  WebSocketCloseStatus,
  type WebSocketContext,
  WebSocketError,
  type WebSocketErrorCode,
  type WebSocketMessage,
  WebSocketMessageType,
  type WebSocketOptions,
  WebSocketState,
  webSockets,
} from '../src/index.js';

const app = express();
const sockets = webSockets();

// The request has route parameters and what middleware adds to it; an annotation says more.
app.get(
  '/typed/:id',
  sockets.handler((_socket, req) => expectTypeOf(req.params['id']).toEqualTypeOf<string | undefined>()),
);
app.get(
  '/typed/:id',
  sockets.handler((_socket, req: Request<{ id: string }>) => req.params.id),
);
sockets.handler((_socket, req, res) => {
  expectTypeOf(req).toExtend<IncomingMessage>();
  expectTypeOf(req.webSocket).toEqualTypeOf<WebSocketContext | undefined>();
  expectTypeOf(res).toExtend<ServerResponse>();
  // In a project with the types of Express, all that it and its middleware add is there.
  expectTypeOf(req).toExtend<Request>();
  expectTypeOf(req.query['page']).toEqualTypeOf<Request['query'][string] | undefined>();
  expectTypeOf(req.ip).toEqualTypeOf<string | undefined>();
  expectTypeOf(req.session).toEqualTypeOf<Session & Partial<SessionData>>();
  expectTypeOf(res).toExtend<Response>();
});
sockets.handler((socket) => void socket, { subProtocols: ['v1'], perMessageDeflate: true });
sockets.handler(() => {}, { maxConnections: 1, onError: (_error, _socket, _req, { expected }) => void expected });
// Every option may be undefined.
const absent: { [name in keyof WebSocketOptions]-?: undefined } = {} as never;
webSockets(absent);
sockets.attach(app.listen(0), app, { filter: undefined, exclusive: undefined });

// A middleware for Express, alone and with a path; req.webSocket is known behind it.
app.use(sockets);
app.use('/live', sockets);
app.get('/live/ticker', async (req, _res, next) => {
  expectTypeOf(req.webSocket).toEqualTypeOf<WebSocketContext | undefined>();
  if (!req.webSocket) return next();
  await req.webSocket.sendAsync('tick');
});
app.get('/manual', async (req) => {
  if (!sockets.isWebSocketRequest(req)) return;
  expectTypeOf(await sockets.accept(req, { subProtocols: ['a'] })).toEqualTypeOf<WebSocketContext>();
  expectTypeOf(sockets.requestedProtocols(req)).toEqualTypeOf<readonly string[]>();
});

const server = app.listen(0);
expectTypeOf(server).toExtend<Server>();
expectTypeOf(sockets.attach(server, app)).toEqualTypeOf<() => void>();
sockets.attach(server, (_req, res) => res.end(), { filter: (req) => req.url === '/' });
expectTypeOf(sockets.connections).toEqualTypeOf<ReadonlySet<WebSocketContext>>();
expectTypeOf(sockets.close({ code: 1001, reason: 'x', timeout: 5 })).toEqualTypeOf<Promise<DrainResult>>();
// @ts-expect-error nobody may add a connection
sockets.connections.add;

// Options.
const options: WebSocketOptions = {
  origin: async (origin, req) => origin === req.headers.host,
  subProtocols: (requested) => requested[0],
  maxConnections: 5,
  onError(error, socket, req) {
    expectTypeOf(error).toBeUnknown();
    expectTypeOf(socket).toEqualTypeOf<WebSocketContext>();
    expectTypeOf(req).toEqualTypeOf<IncomingMessage>();
  },
};
webSockets(options);
webSockets({ origin: ['https://example.com'], perMessageDeflate: { threshold: 10 } });
// @ts-expect-error a typo
webSockets({ orgin: 'any' });

// The context.
export async function context(socket: WebSocketContext): Promise<void> {
  expectTypeOf(socket.state).toEqualTypeOf<WebSocketState>();
  expectTypeOf(socket.closeStatus).toEqualTypeOf<number | undefined>();
  expectTypeOf(socket.closeStatusDescription).toEqualTypeOf<string | undefined>();
  expectTypeOf(socket.subProtocol).toEqualTypeOf<string | undefined>();
  expectTypeOf(await socket.receiveAsync()).toEqualTypeOf<ReceiveResult>();
  expectTypeOf(
    await socket.receiveAsync(new Uint8Array(5), { signal: AbortSignal.timeout(5) }),
  ).toEqualTypeOf<ReceiveResult>();
  expectTypeOf(socket.sendAsync('x')).toEqualTypeOf<Promise<void>>();
  for (const data of [
    new Uint8Array(),
    Buffer.alloc(1),
    new ArrayBuffer(1),
    new SharedArrayBuffer(1),
    new DataView(new ArrayBuffer(1)),
  ]) {
    await socket.sendAsync(data, { messageType: WebSocketMessageType.Text, endOfMessage: false, compress: true });
  }
  // @ts-expect-error no number
  await socket.sendAsync(5);
  // @ts-expect-error Close is no message to send
  await socket.sendAsync('x', { messageType: WebSocketMessageType.Close });
  expectTypeOf(socket.closeAsync(WebSocketCloseStatus.NormalClosure, 'x', {})).toEqualTypeOf<Promise<void>>();
  expectTypeOf(socket.closeOutputAsync(1000)).toEqualTypeOf<Promise<void>>();
  expectTypeOf(socket.abort()).toEqualTypeOf<void>();

  expectTypeOf(socket.readFragment()).toEqualTypeOf<Promise<FragmentReadResult>>();
  expectTypeOf(socket.writeFragment('x', { utf8Encoded: true })).toEqualTypeOf<Promise<number>>();
  expectTypeOf(socket.sendConnectionClose()).toEqualTypeOf<Promise<void>>();
  const completion: CompletionCallback<{ n: number }> = (error, own, bytes, utf8Encoded, finalFragment, close) => {
    expectTypeOf(error).toEqualTypeOf<Error | undefined>();
    expectTypeOf(own).toEqualTypeOf<{ n: number }>();
    expectTypeOf(bytes).toEqualTypeOf<number>();
    expectTypeOf([utf8Encoded, finalFragment, close]).toEqualTypeOf<boolean[]>();
  };
  expectTypeOf(socket.readFragment(undefined, completion, { n: 1 })).toEqualTypeOf<void>();
  expectTypeOf(socket.writeFragment('x', undefined, completion, { n: 1 })).toEqualTypeOf<void>();
  expectTypeOf(socket.sendConnectionClose(1000, undefined, completion, { n: 1 })).toEqualTypeOf<void>();
  // @ts-expect-error another context than the callback takes
  socket.readFragment(undefined, completion, { n: 'x' });
  expectTypeOf(socket.getCloseStatus()).toExtend<{ statusCode: number; reason: string } | undefined>();
  expectTypeOf(socket.closeTcpConnection()).toEqualTypeOf<void>();
  expectTypeOf(socket.cancelOutstandingIO()).toEqualTypeOf<void>();

  for await (const message of socket) {
    expectTypeOf(message).toEqualTypeOf<WebSocketMessage>();
    if (typeof message === 'string') expectTypeOf(message).toEqualTypeOf<string>();
    else expectTypeOf(message).toEqualTypeOf<Buffer>();
    await socket.sendAsync(message);
  }
  expectTypeOf(await socket.receiveMessageAsync()).toEqualTypeOf<WebSocketMessage | undefined>();
  expectTypeOf(socket.readable).toEqualTypeOf<ReadableStream<WebSocketMessage>>();
  expectTypeOf(socket.writable).toExtend<WritableStream>();
  await socket.readable.pipeTo(socket.writable);
  expectTypeOf(socket.signal).toEqualTypeOf<AbortSignal>();
  expectTypeOf(socket.closed).toEqualTypeOf<Promise<CloseInfo>>();
  expectTypeOf(socket.closing).toEqualTypeOf<AbortSignal>();
  expectTypeOf(socket.bufferedAmount).toEqualTypeOf<number>();
  expectTypeOf(socket.ping('x')).toEqualTypeOf<Promise<number>>();
  expectTypeOf(socket.request).toEqualTypeOf<IncomingMessage>();
  expectTypeOf(socket.ws).toEqualTypeOf<WebSocket>();
  // @ts-expect-error read-only
  socket.state = WebSocketState.Closed;
  await using scoped = socket;
  void scoped;
}

// JSON messages have the types of their schemas, whichever library they are from.
export async function json(socket: WebSocketContext, spec: StandardSchemaV1<string, Date>): Promise<void> {
  const plain = socket.json();
  expectTypeOf(await plain.receiveAsync()).toBeUnknown();
  expectTypeOf(plain.sendAsync).parameter(0).toBeUnknown();

  const receive = z.object({ text: z.string(), at: z.string().transform((text) => new Date(text)) });
  const send = v.pipe(
    v.date(),
    v.transform((date) => date.getTime()),
  );
  const typed = socket.json({ receive, send });
  for await (const message of typed) expectTypeOf(message).toEqualTypeOf<{ text: string; at: Date }>();
  expectTypeOf(await typed.receiveAsync({ signal: socket.signal })).toEqualTypeOf<
    { text: string; at: Date } | undefined
  >();
  expectTypeOf(typed.sendAsync(new Date(), { compress: true })).toEqualTypeOf<Promise<void>>();
  // @ts-expect-error not what the schema takes
  await typed.sendAsync(5);
  // @ts-expect-error a JSON message is a whole one
  await typed.sendAsync(new Date(), { endOfMessage: false });

  const union = socket.json({ receive: type({ kind: "'a' | 'b'" }) });
  expectTypeOf(await union.receiveAsync()).toEqualTypeOf<{ kind: 'a' | 'b' } | undefined>();
  expectTypeOf(await socket.json({ receive: spec }).receiveAsync()).toEqualTypeOf<Date | undefined>();
  expectTypeOf<StandardSchema<string, Date>>().toExtend<StandardSchemaV1<string, Date>>();
  socket.json({ invalid: 'skip' });
  socket.json({
    async invalid(issues, raw, on) {
      expectTypeOf(issues).toEqualTypeOf<readonly StandardIssue[]>();
      expectTypeOf(raw).toEqualTypeOf<WebSocketMessage>();
      expectTypeOf(on).toEqualTypeOf<WebSocketContext>();
    },
  });
  // @ts-expect-error no such policy
  socket.json({ invalid: 'ignore' });
  // @ts-expect-error no schema
  socket.json({ receive: { type: 'string' } });
}

// Numbers have names, and names numbers.
export function name(socket: WebSocketContext): void {
  expectTypeOf(WebSocketState[socket.state]).toEqualTypeOf<
    'None' | 'Connecting' | 'Open' | 'CloseSent' | 'CloseReceived' | 'Closed' | 'Aborted'
  >();
  expectTypeOf(WebSocketState[2]).toEqualTypeOf<'Open'>();
  expectTypeOf<WebSocketState>().toEqualTypeOf<0 | 1 | 2 | 3 | 4 | 5 | 6>();
  expectTypeOf(WebSocketMessageType[WebSocketMessageType.Text]).toEqualTypeOf<'Text'>();
  expectTypeOf(WebSocketCloseStatus[1001]).toEqualTypeOf<'EndpointUnavailable'>();
}

// Habits of ws do not compile.
export function habits(socket: WebSocketContext): void {
  // @ts-expect-error no events
  socket.on('message', () => {});
  // @ts-expect-error no events
  socket.addEventListener('message', () => {});
  // @ts-expect-error sendAsync
  socket.send('x');
  // @ts-expect-error closeAsync
  socket.close();
  // @ts-expect-error for await
  socket.onmessage = () => {};
  expectTypeOf(socket.readyState).toBeNever();
}

// Errors narrow by their code.
export function explain(error: unknown): WebSocketErrorCode | undefined {
  return error instanceof WebSocketError ? error.code : undefined;
}
