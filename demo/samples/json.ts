import express from 'express';
import { webSockets } from 'websocket-context';
import { z } from 'zod';

const app = express();
const sockets = webSockets();

const Order = z.object({ item: z.string().min(1), count: z.number().int().positive() });
const Receipt = z.object({ item: z.string(), count: z.number(), at: z.date().transform((date) => date.toISOString()) });

// Closes with 1007 and the reason when a message is not an order.
app.get(
  '/orders',
  sockets.handler(async (socket) => {
    const json = socket.json({ receive: Order, send: Receipt });
    for await (const { item, count } of json) await json.sendAsync({ item, count, at: new Date() });
  }),
);

// Says what is wrong instead, and goes on.
app.get(
  '/patient',
  sockets.handler(async (socket) => {
    const json = socket.json({
      receive: Order,
      invalid: (issues) => socket.json().sendAsync({ errors: issues.map(({ path, message }) => ({ path, message })) }),
    });
    for await (const order of json) await json.sendAsync({ taken: order.count });
  }),
);

export const server = app.listen(process.env.PORT ?? 8080);
sockets.attach(server, app);
