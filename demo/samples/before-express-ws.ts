import express from 'express';
import expressWs from 'express-ws';

const { app, getWss } = expressWs(express());

app.ws('/chat/:room', (ws, req) => {
  if (req.query.key !== 'secret') return ws.close(1008); // the client has seen `open` by now
  ws.on('message', (data) => {
    for (const client of getWss().clients) client.send(`${req.params.room}: ${data}`); // every client of the server
  });
  ws.on('error', () => {}); // or a malformed frame ends the process
});

export const server = app.listen(process.env.PORT ?? 8080);
