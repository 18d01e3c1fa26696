import { createServer, ServerResponse } from 'node:http';

/**
 * Upgrade requests travel through an application of Express by hand: with a response of their own, whose locals have the socket.
 *
 * @param {import('express').Express} app
 * @returns a server that does not listen yet
 */
export function serverOf(app) {
  const server = createServer(app);
  server.on('upgrade', (req, socket, head) => {
    const res = new ServerResponse(req);
    res.assignSocket(/** @type {import('node:net').Socket} */ (socket));
    Object.assign(res, { locals: { socket, head } });
    app(req, res);
  });
  return server;
}
