import { type WebSocketContext, WebSocketMessageType } from 'websocket-context';

/**
 * Sends every fragment back as it arrives: a message of any size passes through in constant memory, at the pace at
 * which the client takes it. A client that asks for the subprotocol `report` gets, after each echo, a line about it.
 */
export async function echo(socket: WebSocketContext): Promise<void> {
  const reports = socket.subProtocol === 'report';
  let [bytes, fragments, largest, began] = [0, 0, 0, 0];

  for (;;) {
    const { data, messageType, endOfMessage } = await socket.receiveAsync();
    if (messageType === WebSocketMessageType.Close) return;
    if (fragments === 0) began = performance.now();
    await socket.sendAsync(data, { messageType, endOfMessage });

    bytes += data.byteLength;
    fragments += 1;
    largest = Math.max(largest, data.byteLength);
    if (!endOfMessage) continue;

    if (reports) {
      await socket.sendAsync(JSON.stringify({ bytes, fragments, largest, duration: performance.now() - began }));
    }
    [bytes, fragments, largest] = [0, 0, 0];
  }
}
