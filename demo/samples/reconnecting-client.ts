/** Codes after which trying again is of no use: the server has said what it had to say, or does not want us. */
const isFinal = (code: number) => code === 1000 || code === 1008 || (code >= 4400 && code < 4500 && code !== 4429);

/** A connection that comes back: backs off between attempts, and keeps what is sent meanwhile, up to a bound. */
export function connect(url: string, onMessage: (data: string) => void, onEnd: (code: number) => void) {
  const unsent: string[] = [];
  let [attempts, isOver] = [0, false];
  let timer: ReturnType<typeof setTimeout> | undefined;
  let socket: WebSocket;
  open();
  function open(): void {
    let since = Number.POSITIVE_INFINITY;
    socket = new WebSocket(url);
    socket.onopen = () => {
      since = Date.now();
      for (const message of unsent.splice(0)) socket.send(message);
    };
    socket.onmessage = ({ data }) => onMessage(String(data));
    socket.onerror = () => {}; // 'close' follows
    socket.onclose = ({ code }) => {
      isOver ||= isFinal(code);
      if (isOver) return onEnd(code);
      if (Date.now() - since > 5000) attempts = 0; // it has held, so begin with short waits again
      timer = setTimeout(open, Math.min(30_000, 500 * 2 ** attempts++) * (0.5 + Math.random() / 2)); // not all at once
    };
  }
  return {
    send(message: string): void {
      if (isOver) throw new Error('Cannot send: the connection has ended for good');
      if (socket.readyState === 1) socket.send(message);
      else if (unsent.push(message) > 100) unsent.shift();
    },
    close(): void {
      clearTimeout(timer);
      if (!isOver && socket.readyState === 3) onEnd(1000); // between two attempts
      isOver = true;
      socket.close(1000);
    },
  };
}
