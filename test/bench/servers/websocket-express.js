import { WebSocketExpress } from 'websocket-express';
import { serve } from './serve.js';
import { dispatch, endpoints } from './ws-endpoints.js';

const app = new WebSocketExpress();

for (const path of Object.keys(endpoints)) {
  app.ws(path, async (_req, res) => dispatch(await res.accept(), path));
}

await serve(app.createServer());
