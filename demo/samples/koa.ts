import Koa from 'koa';
import { webSockets } from 'websocket-context';

const app = new Koa();
const sockets = webSockets();

app.use(async (ctx, next) => {
  if (!sockets.isWebSocketRequest(ctx.req)) return next();
  if (ctx.query.key !== 'secret') ctx.throw(401, 'Sign in first'); // answered before the handshake
  ctx.respond = false; // from here on Koa leaves the response alone
  const socket = await sockets.accept(ctx.req);
  for await (const message of socket) await socket.sendAsync(message);
  await socket.closeAsync();
});

export const server = app.listen(process.env.PORT ?? 8080);
sockets.attach(server, app.callback());
