import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import connect from 'connect';
import express from 'express';
import express4 from 'express4';
import { type NextFunction, type WebSocketOptions, type WebSockets, webSockets } from '../../src/index.js';
import { serve, type TestContext, webSocketUrlOf } from './servers.js';

/** A middleware that any of the frameworks takes. */
export type Middleware = (req: IncomingMessage, res: ServerResponse, next: NextFunction) => unknown;

/** A middleware for errors. */
export type ErrorMiddleware = (error: Error, req: IncomingMessage, res: ServerResponse, next: NextFunction) => unknown;

/** What the applications of all frameworks have in common. */
export interface TestApp {
  (req: IncomingMessage, res: ServerResponse, next?: NextFunction): unknown;
  use(middleware: Middleware): unknown;
  use(errorMiddleware: ErrorMiddleware): unknown;
  use(path: string, middleware: Middleware): unknown;
}

/** The frameworks under test. */
export const frameworks: Readonly<Record<string, () => TestApp>> = {
  'Express 5': () => express() as TestApp,
  'Express 4': () => express4() as TestApp,
  Connect: () => connect() as TestApp,
};

/** Where any framework will do. */
export const anyFramework = (): TestApp => express() as TestApp;

/** A server with an application and an instance of the library that is attached to it. */
export interface Site {
  readonly server: Server;
  readonly sockets: WebSockets;
  /** The base of the URLs of its WebSockets, without a slash at its end. */
  readonly url: string;
  /** What the `onError` option got. */
  readonly errors: unknown[];
}

/** Serves an application that `build` puts together. */
export async function serveApp(
  t: TestContext,
  create: () => TestApp,
  build: (app: TestApp, sockets: WebSockets) => void,
  options: WebSocketOptions = {},
): Promise<Site> {
  const errors: unknown[] = [];
  const sockets = webSockets({ onError: (error) => void errors.push(error), ...options });
  const app = create();
  build(app, sockets);
  const server = await serve(t, app);
  sockets.attach(server, app);
  return { server, sockets, url: webSocketUrlOf(server), errors };
}

/** Settles when `condition` holds, looking again behind everything that is due in between. */
export async function eventually(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setImmediate(resolve));
}
