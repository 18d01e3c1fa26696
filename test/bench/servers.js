import { plain, socketIo } from './dialects.js';

/**
 * @typedef {{
 *   id: string,
 *   title: string,
 *   file: string,
 *   dialect: import('./dialects.js').Dialect,
 *   variant?: 'bufferutil' | 'deflate' | 'reading' | 'inflating' | 'express',
 *   ours?: boolean,
 *   build?: string,
 *   node?: string,
 *   flags?: readonly string[],
 * }} Contestant `variant`: what is added to the plain package, in the scenarios where that makes a difference; `build`: the
 *   build of this package that is measured, instead of the one in the working tree; `node`: the path of the Node that runs it,
 *   instead of the one that runs the benchmark; `flags`: for it
 */

/** What the others are divided by. */
export const BASELINE = 'ws';

/** This package, as it is in the working tree. */
export const OURS = 'websocket-context';

/** What no server can be beyond. */
export const NODE_ALONE = 'node-only';

/** What no server can be beyond that gives its messages to somebody. */
export const NODE_READING = 'node-reading';

/** What no server can be beyond that inflates a message and gives its pieces to somebody. */
export const NODE_INFLATING = 'node-inflating';

/** What no server can be beyond that brings a WebSocket to Express. */
export const EXPRESS_ALONE = 'express-only';

/** What no server can be beyond that leaves the handshake to `ws` behind Express. */
export const EXPRESS_HANDSHAKE = 'express-handshake';

/** @type {readonly Contestant[]} */
export const contestants = [
  { id: 'ws', title: 'raw `ws` 8.23', file: 'ws.js', dialect: plain },
  { id: 'ws+bufferutil', title: 'raw `ws` + bufferutil', file: 'ws.js', dialect: plain, variant: 'bufferutil' },
  { id: 'ws+deflate', title: 'raw `ws` + permessage-deflate', file: 'ws.js', dialect: plain, variant: 'deflate' },
  { id: 'websocket-context', title: '**websocket-context**', file: 'websocket-context.js', dialect: plain, ours: true },
  { id: 'express-and-ws', title: 'Express 5 by hand + `ws`', file: 'express-and-ws.js', dialect: plain },
  {
    id: 'express-and-ws+bufferutil',
    title: 'Express 5 by hand + `ws` + bufferutil',
    file: 'express-and-ws.js',
    dialect: plain,
    variant: 'bufferutil',
  },
  { id: 'express-ws', title: 'express-ws 5.0', file: 'express-ws.js', dialect: plain },
  { id: 'websocket-express', title: 'websocket-express 4.0', file: 'websocket-express.js', dialect: plain },
  { id: 'tinyws', title: 'tinyws 1.0', file: 'tinyws.js', dialect: plain },
  { id: 'fastify-websocket', title: '@fastify/websocket 11.3', file: 'fastify-websocket.js', dialect: plain },
  { id: 'crossws', title: 'crossws 0.4', file: 'crossws.js', dialect: plain },
  { id: 'socket-io', title: 'Socket.IO 4.8', file: 'socket-io.js', dialect: socketIo },
  { id: NODE_ALONE, title: '*Node alone*', file: 'node-only.js', dialect: plain },
  { id: NODE_READING, title: '*Node alone, reading*', file: 'node-reading.js', dialect: plain, variant: 'reading' },
  {
    id: NODE_INFLATING,
    title: '*Node alone, inflating*',
    file: 'node-inflating.js',
    dialect: plain,
    variant: 'inflating',
  },
  { id: EXPRESS_ALONE, title: '*Express alone*', file: 'express-only.js', dialect: plain, variant: 'express' },
  {
    id: EXPRESS_HANDSHAKE,
    title: '*Express and the handshake of `ws`*',
    file: 'express-handshake.js',
    dialect: plain,
    variant: 'express',
  },
];
